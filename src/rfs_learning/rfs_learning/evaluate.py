"""Measure a policy in the vector environment, without ROS.

    ros2 run rfs_learning evaluate --checkpoint checkpoints/grasp_base.safetensors --task grasp \
        --episodes 1024 --seed 0 --json runs/grasp_base.json
    ros2 run rfs_learning evaluate --checkpoint checkpoints/grasp_base.safetensors --task grasp \
        --episodes 256 --a0 zero --physics-dt 0.005
    ros2 run rfs_learning evaluate --checkpoint checkpoints/grasp_rfs.safetensors --world gap \
        --objects unseen --episodes 256 --picture runs/gap_unseen.png

Episodes 0 to N - 1 of the seed are played exactly once each, so short episodes do not count more often than
long ones. The ROS stack plays the same episodes for the same seed, with the same noise.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from rfs_core.errors import RfsError
from rfs_core.seeding import episode_rng
from rfs_learning import camera_options, checkpoint, elsewhere, evaluation_picture
from rfs_learning.container import write_atomic
from rfs_learning.modulation import A0_CHOICES, A0_TRAINED
from rfs_learning.policy import Policy, PolicyOutput
from rfs_learning.statistics import wilson_interval
from rfs_learning.vec_env import VecEnv, make_env

NOISE_STREAM = "policy_noise"


@dataclasses.dataclass
class Episode:
    """What became of one episode."""

    episode: int
    """Index under the seed."""
    success: bool = False
    outcome: str = ""
    """"success", or why not."""
    reward: float = 0.0
    """Sum over its control steps, not discounted."""
    length: int = 0
    """Control steps executed."""
    object: str = ""
    """Name of the object, where the environment tells."""
    object_start: tuple[float, float] | None = None
    """Where it stood when the episode began, base frame x and y (m), where the environment tells."""
    infeasible: bool = False
    """It ended with fingers that run more than half a centimetre into each other."""


class Acting(Protocol):
    """The part of `rfs_learning.policy.Policy` that playing needs."""

    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> PolicyOutput:
        """Args: observation (N, O), noise (N, H, A)."""
        ...


def play(policy: Acting, env: VecEnv, seed: int, episodes: NDArray[np.int64]) -> list[Episode]:
    """Play `episodes` of `seed` side by side, each once, and return them in that order.

    Args:
        env: `len(episodes)` may be smaller than its number of environments; what they play after the end of
            their episode, with or without autoreset, is not looked at.
    """
    decisions = play_by_decisions(policy, env, seed, episodes)
    while True:
        try:
            next(decisions)
        except StopIteration as end:
            played: list[Episode] = end.value
            return played


def play_by_decisions(
    policy: Acting, env: VecEnv, seed: int, episodes: NDArray[np.int64]
) -> Generator[None, None, list[Episode]]:
    """`play` for whoever must look up between decisions: yields after each, returns the episodes."""
    count = len(episodes)
    # Idle environments play the first episode again; their results are not looked at.
    padded = np.concatenate([episodes, np.full(env.num_envs - count, episodes[0], np.int64)])
    horizon, size = env.action_spec.horizon, env.action_spec.size
    generators = [episode_rng(seed, int(episode), NOISE_STREAM) for episode in padded]
    played = [Episode(int(episode)) for episode in episodes]
    observation = env.reset(seed, padded)
    over = np.zeros(env.num_envs, bool)
    over[count:] = True
    for _ in range(-(-env.max_episode_steps // horizon)):
        noise = np.stack([rng.standard_normal((horizon, size)).astype(np.float32) for rng in generators])
        result = env.step(policy.act(observation, noise).a)
        observation = result.observation
        reward, length = (result.reward * result.executed).sum(axis=1), result.executed.sum(axis=1)
        ended = (result.terminated | result.truncated) & ~over
        for i in np.flatnonzero(~over).tolist():
            played[i].reward += float(reward[i])
            played[i].length += int(length[i])
        for i in np.flatnonzero(ended).tolist():
            played[i].success = bool(result.success[i])
            played[i].outcome = _outcome(result, i)
            played[i].object = _of_env(result.log, "object", i)
            played[i].object_start = _place_of_env(result.log, i)
            played[i].infeasible = _of_env(result.log, "infeasible", i) == "True"
        over |= ended
        if over.all():
            return played
        yield
    left = [int(episode) for episode in padded[~over]]
    raise RfsError(
        f"task {env.task}: episodes {left[:8]} did not end within {env.max_episode_steps} control steps: the "
        f"environment must report them terminated or truncated by then"
    )


def _of_env(log: dict[str, Any], key: str, index: int) -> str:
    values = log.get(key)
    return str(values[index]) if values is not None and np.ndim(values) == 1 else ""


def _place_of_env(log: dict[str, Any], index: int) -> tuple[float, float] | None:
    places = log.get("object_start")
    return None if places is None else (float(places[index][0]), float(places[index][1]))


def _outcome(result: Any, index: int) -> str:
    if result.success[index]:
        return "success"
    told = _of_env(result.log, "outcome", index)
    return told or ("terminated" if result.terminated[index] else "time limit")


def evaluate(
    policy: Acting,
    env: VecEnv,
    seed: int,
    episodes: int,
    report: Callable[[list[Episode]], None] = lambda played: None,
) -> list[Episode]:
    """Play episodes 0 to `episodes` - 1 in batches; `report` is told of each finished batch."""
    played: list[Episode] = []
    while len(played) < episodes:
        count = min(env.num_envs, episodes - len(played))
        batch = play(policy, env, seed, np.arange(len(played), len(played) + count))
        played += batch
        report(batch)
    return played


def summarize(played: Sequence[Episode]) -> dict[str, Any]:
    """Success with its 95 % Wilson interval, means, share whose fingers ended in each other, failures by
    reason, success by object."""
    reasons: dict[str, int] = {}
    objects: dict[str, list[bool]] = {}
    for episode in played:
        reasons[episode.outcome] = reasons.get(episode.outcome, 0) + 1
        if episode.object:
            objects.setdefault(episode.object, []).append(episode.success)
    return {
        "episodes": len(played),
        **_rate([episode.success for episode in played]),
        "mean_return": float(np.mean([episode.reward for episode in played])),
        "mean_length": float(np.mean([episode.length for episode in played])),
        "infeasible_share": float(np.mean([episode.infeasible for episode in played])),
        "outcomes": dict(sorted(reasons.items(), key=lambda item: -item[1])),
        "objects": {name: {"episodes": len(won), **_rate(won)} for name, won in sorted(objects.items())},
    }


def _rate(won: list[bool]) -> dict[str, Any]:
    low, high = wilson_interval(sum(won), len(won))
    return {"successes": sum(won), "success_rate": sum(won) / len(won), "interval_95": [low, high]}


def _print(summary: dict[str, Any], title: str, control_dt: float) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("episodes", justify="right")
    table.add_column("success", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, rate in [("all", summary), *summary["objects"].items()]:
        low, high = rate["interval_95"]
        table.add_row(name, str(rate["episodes"]), f"{rate['success_rate']:.3f}", f"{low:.3f} - {high:.3f}")
    console = Console()
    console.print(table)
    seconds = summary["mean_length"] * control_dt
    console.print(
        f"mean return {summary['mean_return']:.2f}, mean length {summary['mean_length']:.1f} control steps "
        f"({seconds:.2f} s), {100 * summary['infeasible_share']:.1f} % end with fingers in each other"
    )
    console.print(
        "ended by: " + ", ".join(f"{reason} {count}" for reason, count in summary["outcomes"].items())
    )


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="checkpoint to measure")
    parser.add_argument("--task", help="task to play; default: the one the checkpoint was trained on")
    parser.add_argument("--episodes", type=positive, default=256, help="number of episodes")
    parser.add_argument("--seed", type=not_negative, default=0, help="seed of episodes and noise")
    parser.add_argument(
        "--a0",
        choices=A0_CHOICES,
        default=A0_TRAINED,
        help="a_0 where it is not steered: as trained, drawn from N(0, I), or zero",
    )
    parser.add_argument("--physics-dt", type=float, default=0.01, help="s, step of the physics")
    parser.add_argument(
        "--world",
        default="training",
        help="world to play in: training, or gap, which differs as a robot does",
    )
    parser.add_argument("--objects", default="seen", help="objects of the gap world: seen or unseen")
    parser.add_argument("--batch", type=positive, default=256, help="environments side by side")
    parser.add_argument("--threads", type=positive, default=1, help="threads of the physics")
    parser.add_argument("--engine", default="mujoco", help="engine, an entry point of rfs.engines")
    camera_options.add(parser)
    parser.add_argument(
        "--picture", type=Path, help="file for success by object and by place on the table, such as .png"
    )
    parser.add_argument("--json", type=Path, help="file for the figures and every episode's outcome")
    return parser


def positive(text: str) -> int:
    """A whole number >= 1 from a command line."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"is {value}, must be >= 1")
    return value


def not_negative(text: str) -> int:
    """A whole number >= 0 from a command line."""
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"is {value}, must be >= 0")
    return value


def _world_options(arguments: argparse.Namespace) -> dict[str, str]:
    """Options of the engine; none for the training world, which every engine has."""
    chosen = {"world": arguments.world, "objects": arguments.objects}
    return {} if chosen == {"world": "training", "objects": "seen"} else chosen


def run(arguments: argparse.Namespace, command: str) -> dict[str, Any]:
    """Load, play, print, write; returns what the JSON file holds.

    Raises:
        RfsError: the checkpoint cannot be used or is of another task or spec, or an unknown engine or task.
    """
    header = checkpoint.load(arguments.checkpoint).header
    task = arguments.task or header.task
    env = make_env(
        arguments.engine,
        task,
        min(arguments.batch, arguments.episodes),
        physics_dt=arguments.physics_dt,
        autoreset=False,
        threads=arguments.threads,
        **_world_options(arguments),
        **camera_options.of(arguments, header.observation_spec),
    )
    if task != header.task:
        raise RfsError(
            f"{arguments.checkpoint}: was trained on task {header.task!r}, asked for is {task!r}: choose a "
            f"checkpoint of {task!r}, or --task {header.task}"
        )
    policy = Policy.load(arguments.checkpoint, env.action_spec, env.observation_spec, a0=arguments.a0)
    started = time.monotonic()
    with tqdm(total=arguments.episodes, desc="evaluate", unit="episode") as bar:
        won = 0

        def report(batch: list[Episode]) -> None:
            nonlocal won
            won += sum(episode.success for episode in batch)
            bar.update(len(batch))
            bar.set_postfix(success=f"{won / bar.n:.3f}")

        played = evaluate(policy, env, arguments.seed, arguments.episodes, report)
    settings = {
        "command": command,
        "checkpoint": policy.checkpoint_id,
        "task": task,
        "seed": arguments.seed,
        "a0": policy.noise_source,
        "integrator": policy.header.integrator.to_dict(),
        "engine": arguments.engine,
        "world": arguments.world,
        "objects_set": arguments.objects,
        "camera": camera_options.told(arguments, header.observation_spec),
        "physics_dt": arguments.physics_dt,
        "control_dt": env.action_spec.control_dt,
        "wall_s": round(time.monotonic() - started, 1),
    }
    summary = summarize(played)
    title = f"{policy.checkpoint_id}, {task}, a_0 {policy.noise_source}, dt {arguments.physics_dt:g} s"
    if arguments.world != "training":
        title += f", {arguments.world} world, {arguments.objects} objects"
    if told := camera_options.words(arguments, header.observation_spec):
        title += f", {told}"
    _print(summary, f"{title}, seed {arguments.seed}", env.action_spec.control_dt)
    figures = {**settings, **summary}
    if arguments.picture is not None:
        evaluation_picture.draw(played, f"{title}, seed {arguments.seed}", arguments.picture)
        print(f"written: {arguments.picture}")
    if arguments.json is not None:
        per_episode = [dataclasses.asdict(episode) for episode in played]
        text = json.dumps({**figures, "per_episode": per_episode}, indent=1, allow_nan=False)
        write_atomic(arguments.json, (text + "\n").encode())
        print(f"written: {arguments.json}")
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning evaluate`."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(given)
    try:
        elsewhere.go(arguments.engine, "rfs_learning.evaluate", given)
        run(arguments, shlex.join(["ros2", "run", "rfs_learning", "evaluate", *given]))
    except RfsError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("evaluate: interrupted, nothing written", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
