"""How fast the vector environment is, and what share of that is bare physics.

    ros2 run rfs_sim benchmark_env
    ros2 run rfs_sim benchmark_env --engine mjwarp --task grasp stack --num-envs 4096

The second form measures any engine: see `rfs_sim.benchmark_engine`. The first form:
Plays the demonstrator on grasp and times `step` while hand and object are in contact: with observation,
reward, success, disturbances, control law and inverse kinematics. Then it integrates the very same states
and controls once more with nothing but `mujoco.rollout`. Both in CPU time of this process on one thread,
repeats interleaved, medians.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from rich.console import Console
from rich.table import Table

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_sim import benchmark_engine
from rfs_sim.demonstrator import GraspDemonstrator
from rfs_sim.engine import CONTROL_SPEC
from rfs_sim.vec_env import make_env

FIRST_STEP, LAST_STEP = 18, 62
"""Control steps of the episode that are timed: from closing the hand to holding the object."""


@dataclass(frozen=True)
class Benchmark:
    """Medians over the repeats."""

    environment_rate: float
    """control steps per CPU-second, everything included"""
    physics_rate: float
    """control steps per CPU-second of bare physics, same states and controls"""
    ratio: float
    """median of environment_rate / physics_rate of each repeat"""
    contact_share: float
    """share of the timed steps in which the hand touches the object"""
    reset_us: float
    """CPU time of one episode's reset, microseconds"""
    num_envs: int
    physics_dt: float
    repeats: int


def run(num_envs: int, repeats: int, physics_dt: float, seed: int = 0) -> Benchmark:
    """Measures. Every repeat plays new episodes; the first one warms up and does not count."""
    env = make_env("grasp", num_envs, physics_dt=physics_dt, autoreset=False)
    engine = env.worlds.engine
    demonstrator = GraspDemonstrator(num_envs)
    steps = range(FIRST_STEP, LAST_STEP, robot.HORIZON)
    data = mujoco.MjData(engine.models[0])
    bare = Rollout(nthread=0)
    rows = []
    for repeat in range(repeats + 1):
        episodes = repeat * num_envs + np.arange(num_envs)
        began = time.process_time()
        observation = env.reset(seed, episodes)
        reset_time = time.process_time() - began
        demonstrator.reset(seed, episodes)
        for _ in range(FIRST_STEP // robot.HORIZON):
            observation = _step(env, demonstrator, observation)[0]
        environment_time = physics_time = 0.0
        contact = []
        for _ in steps:
            action = np.repeat(demonstrator.act(observation)[1][:, None], robot.HORIZON, axis=1)
            began = time.process_time()
            observation = env.step(action).observation
            environment_time += time.process_time() - began
            contact.append(engine.contacts.any(axis=1).mean())
            # What that chunk's last control step integrated, once more, as often as it has control steps.
            states, control = engine.last_inputs()
            out = np.empty((num_envs, engine.substeps, states.shape[1]))
            sensors = np.empty((num_envs, engine.substeps, engine.models[0].nsensordata))
            began = time.process_time()
            for _ in range(robot.HORIZON):
                bare.rollout(
                    engine.models,
                    [data],
                    states,
                    control,
                    control_spec=CONTROL_SPEC,
                    skip_checks=True,
                    nstep=engine.substeps,
                    state=out,
                    sensordata=sensors,
                )
            physics_time += time.process_time() - began
        count = len(steps) * robot.HORIZON * num_envs
        rows.append(
            (
                count / environment_time,
                count / physics_time,
                physics_time / environment_time,
                np.mean(contact),
                reset_time,
            )
        )
    median = np.median(np.array(rows[1:]), axis=0)
    env.close()
    return Benchmark(
        *(float(m) for m in median[:4]), float(median[4]) / num_envs * 1e6, num_envs, physics_dt, repeats
    )


def _step(env, demonstrator, observation):  # type: ignore[no-untyped-def]
    action = np.repeat(demonstrator.act(observation)[1][:, None], robot.HORIZON, axis=1)
    return env.step(action).observation, action


def main() -> None:
    """Entry point of `ros2 run rfs_sim benchmark_env`."""
    parser = argparse.ArgumentParser(
        prog="benchmark_env", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", help="measure this engine, over --steps control steps")
    parser.add_argument("--task", nargs="+", default=["grasp"], help="with --engine: tasks to measure")
    parser.add_argument("--steps", type=int, default=120, help="with --engine: control steps of each task")
    parser.add_argument("--num-envs", type=int, default=128, help="environments (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="repeats of which the median counts")
    parser.add_argument("--physics-dt", type=float, default=0.01, help="time step, s (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    if args.engine:
        try:
            results = [
                benchmark_engine.run(args.engine, t, args.num_envs, args.steps, physics_dt=args.physics_dt)
                for t in args.task
            ]
        except RfsError as error:
            print(f"benchmark_env: {error}", file=sys.stderr)
            sys.exit(1)
        benchmark_engine.report(results, args.json)
        return
    result = run(args.num_envs, args.repeats, args.physics_dt)
    table = Table(
        title=f"grasp in contact, {args.num_envs} environments, dt {1e3 * args.physics_dt:g} ms, 1 thread"
    )
    for heading, align in (("figure", "left"), ("median", "right"), ("goal", "right")):
        table.add_column(heading, justify=align)  # type: ignore[arg-type]
    table.add_row("control steps per CPU-second, all included", f"{result.environment_rate:,.0f}", ">= 4,000")
    table.add_row("control steps per CPU-second, bare physics", f"{result.physics_rate:,.0f}", "")
    table.add_row("share of the bare physics", f"{result.ratio:.3f}", ">= 0.75")
    table.add_row("timed steps with hand and object in contact", f"{result.contact_share:.2f}", "")
    table.add_row("reset of an episode, CPU microseconds", f"{result.reset_us:.0f}", "")
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(result.__dict__, indent=2) + "\n")


if __name__ == "__main__":
    main()
