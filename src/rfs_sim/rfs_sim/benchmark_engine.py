"""Control steps per second of any engine: what a training run would wait for, and how its time is spent.

    ros2 run rfs_sim benchmark_env --engine mjwarp --task stack --num-envs 4096

Plays whole episodes, the demonstrator's on grasp, elsewhere the hand holds what it has while the arm wanders,
so that there are contacts. `environment`: everything that learning waits for but resets; `engine`: its
physics alone; `reset`: of one episode. In wall time on a GPU; on the CPU in CPU time of the process, one
thread, so that a busy machine does not count. The first control steps compile and capture; they do not count.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from rfs_core import arrays, robot
from rfs_core.errors import RfsError
from rfs_sim.demonstrator import GraspDemonstrator

DEMONSTRATED = ("grasp", "power", "pinch")
GOAL = 200_000
"""control steps per second on an H200-class card"""


@dataclass
class EngineBenchmark:
    """What was measured; see the module for which seconds."""

    engine: str
    task: str
    num_envs: int
    device: str
    environment_rate: float
    """control steps per second, everything but resets"""
    engine_rate: float
    """control steps per second of the engine's `step` alone"""
    reset_us: float
    """microseconds per reset of one episode"""
    first_step_s: float
    """seconds until the first control step was done: compiling and capturing"""
    touching: float
    """share of the worlds in which hand and object touched, on average"""
    peaks: dict[str, int] = field(default_factory=dict)
    """most memory for contacts and constraints in use after a control step, where the engine tells"""
    problems: dict[str, int] = field(default_factory=dict)
    """worlds lost, by reason"""


class Timed:
    """An engine's `step`, with a clock around it."""

    def __init__(self, engine: Any) -> None:
        self._step, self._example = engine.step, engine.example
        self.clock = time.perf_counter if getattr(engine.example, "is_cuda", False) else time.process_time
        self.seconds = 0.0
        engine.step = self

    def __call__(self, *targets: Any) -> None:
        """Step and wait for the result."""
        began = self.clock()
        self._step(*targets)
        wait(self._example)
        self.seconds += self.clock() - began


def wait(example: Any) -> None:
    """Until the device has done what it was told."""
    if getattr(example, "is_cuda", False):
        # A copy to the host on the default stream waits for all that was launched before.
        arrays.to_numpy(example.new_zeros(1))


def run(engine: str, task: str, num_envs: int, steps: int, **options: Any) -> EngineBenchmark:
    """Measures over `steps` control steps, in whole decisions.

    Raises:
        RfsError: an engine that is unknown, not installed or has no such option.
    """
    found = {entry.name: entry for entry in entry_points(group="rfs.engines")}
    if engine not in found:
        raise RfsError(f"engine is {engine!r}, known are {', '.join(sorted(found))}")
    env = found[engine].load()(task, num_envs, autoreset=False, **options)
    physics = env.worlds.engine
    demonstrator = GraspDemonstrator(num_envs) if task in DEMONSTRATED else None
    rng = np.random.default_rng(0)

    def action(observation: Any) -> Any:
        if demonstrator is not None:
            return np.repeat(demonstrator.act(observation)[1][:, None], robot.HORIZON, axis=1)
        chunk = np.zeros((num_envs, robot.HORIZON, env.action_spec.size))
        chunk[..., :6] = rng.uniform(-0.2, 0.2, (num_envs, 1, 6)) * env.action_spec.high[:6]
        chunk[..., 6:] = arrays.to_numpy(env.worlds.hand_target)[:, None]
        return chunk

    timed = Timed(physics)
    began = timed.clock()
    observation = env.reset(0)
    reset = timed.clock() - began
    if demonstrator is not None:
        demonstrator.reset(0, np.arange(num_envs))
    began = timed.clock()
    for _ in range(2):  # the second one replays what the first one captured
        observation = env.step(action(observation)).observation
    wait(physics.example)
    first = timed.clock() - began
    timed.seconds = 0.0
    whole, done, touching, peaks = 0.0, 0, [], {}
    while done < steps:
        if env.steps.max() >= env.max_episode_steps - robot.HORIZON:
            began = timed.clock()
            observation = env.reset(0, env.episodes + num_envs)
            wait(physics.example)
            reset = timed.clock() - began
            if demonstrator is not None:
                demonstrator.reset(0, env.episodes)
        chunk = action(observation)
        began = timed.clock()
        observation = env.step(chunk).observation
        wait(physics.example)
        whole += timed.clock() - began
        done += robot.HORIZON
        touching.append(arrays.to_numpy(physics.contacts).any(axis=1).mean())
        if hasattr(physics, "peaks"):
            peaks = {k: max(v, peaks.get(k, 0)) for k, v in physics.peaks().items()}
    result = EngineBenchmark(
        engine=engine,
        task=task,
        num_envs=num_envs,
        device=str(getattr(physics, "device", "cpu")),
        environment_rate=done * num_envs / whole,
        engine_rate=done * num_envs / timed.seconds,
        reset_us=1e6 * reset / num_envs,
        first_step_s=first,
        touching=float(np.mean(touching)),
        peaks=peaks,
        problems=dict(physics.problems()),
    )
    env.close()
    return result


def report(results: list[EngineBenchmark], file: Path | None) -> None:
    """Prints the figures, and writes them as JSON where a file is named."""
    table = Table(
        title=f"control steps per second, of CPU time on a CPU (goal on an H200-class card: {GOAL:,})"
    )
    for heading in (
        "engine",
        "task",
        "worlds",
        "device",
        "environment",
        "engine alone",
        "reset us",
        "first s",
    ):
        table.add_column(heading, justify="left" if heading in ("engine", "task", "device") else "right")
    for r in results:
        rates = (f"{r.environment_rate:,.0f}", f"{r.engine_rate:,.0f}", f"{r.reset_us:.0f}")
        table.add_row(r.engine, r.task, f"{r.num_envs:,}", r.device, *rates, f"{r.first_step_s:.1f}")
    console = Console()
    console.print(table)
    for r in results:
        console.print(
            f"{r.engine}, {r.task}: hand and object touch in {r.touching:.2f} of the worlds; in use at most "
            f"{r.peaks or 'not told'}; worlds lost: {r.problems or 'none'}"
        )
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
