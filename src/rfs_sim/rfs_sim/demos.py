"""Collects demonstrations of a task and writes them as one .npz file.

    ros2 run rfs_sim collect_demonstrations --task grasp --episodes 400 --seed 0 --out demos.npz
    ros2 run rfs_sim collect_demonstrations --task stack --variant unbiased --seed 0 --out demos.npz
    ros2 run rfs_sim collect_demonstrations --task stack --help

The file holds one row per control step:

    observation    (T, O) float32   what the demonstrator saw
    action         (T, A) float32   what it wanted to do, physical units (execution noise is not recorded)
    episode_start  (E + 1,) int64   rows of episode e: episode_start[e] ... episode_start[e + 1] - 1
    success        (E,) bool        whether the episode ended in success
    header         JSON text        task, specs, seed, command, versions, time steps, configuration
"""

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rfs_core import robot
from rfs_core.config import describe, from_mapping, to_mapping
from rfs_core.errors import RfsError
from rfs_sim import demonstrators
from rfs_sim.demonstrators import Demonstrator
from rfs_sim.vec_env import make_env

FORMAT_VERSION = 1


class DemonstrationError(RfsError):
    """Demonstrations cannot be collected as asked."""


@dataclass(frozen=True)
class Demonstrations:
    """Episodes one after the other; the arrays of the file."""

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    episode_start: NDArray[np.int64]
    success: NDArray[np.bool_]
    header: dict[str, Any]

    def save(self, path: Path) -> None:
        """Writes the file; a half-written one never carries its name."""
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                observation=self.observation,
                action=self.action,
                episode_start=self.episode_start,
                success=self.success,
                header=np.array(json.dumps(self.header)),
            )
        partial.replace(path)


def collect(
    task: str,
    episodes: int,
    seed: int,
    *,
    num_envs: int = 64,
    keep: str = "all",
    physics_dt: float = 0.01,
    disturbance: float = 1.0,
    config: Any = None,
    progress: bool = False,
) -> Demonstrations:
    """Plays the demonstrator until enough episodes are kept.

    Args:
        task: name of the task; it must have a demonstrator.
        episodes: how many to keep.
        seed: of the episodes, which are 0, 1, 2, ... of that seed, in that order, whatever `num_envs` is.
        num_envs: episodes played side by side.
        keep: `all`, or `success` to drop episodes that fail.
        physics_dt: time step of the physics, s.
        disturbance: factor on the torque pulses.
        config: of the task's demonstrator; None: its variant `main`.
        progress: show a bar.
    """
    config = config or demonstrators.config_of(task)
    if keep not in ("all", "success"):
        raise DemonstrationError(f"keep is '{keep}', allowed: all, success.")
    if episodes < 1:
        raise DemonstrationError(f"episodes is {episodes}, needs at least 1.")
    num_envs = min(num_envs, episodes)
    env = make_env(task, num_envs, physics_dt=physics_dt, disturbance=disturbance, autoreset=False)
    demonstrator = demonstrators.make(task, num_envs, config)
    observations: list[NDArray[np.float32]] = []
    actions: list[NDArray[np.float32]] = []
    successes: list[bool] = []
    played = 0
    with tqdm(total=episodes, unit="episode", disable=not progress) as bar:
        while len(successes) < episodes:
            first = played
            played += num_envs
            numbers = np.arange(first, played)
            seen, done, length, success = _play(env, demonstrator, seed, numbers)
            for i in range(num_envs):
                if len(successes) == episodes or (keep == "success" and not success[i]):
                    continue
                observations.append(seen[i, : length[i]])
                actions.append(done[i, : length[i]])
                successes.append(bool(success[i]))
                bar.update()
            bar.set_postfix(played=played, success=f"{np.mean(successes or [0]):.2f}")
            if keep == "success" and played >= 20 * episodes and len(successes) < played / 50:
                raise DemonstrationError(
                    f"only {len(successes)} of {played} episodes succeeded: the demonstrator does not work "
                    "here; keep all episodes, or change its configuration."
                )
    env.close()
    lengths = [len(o) for o in observations]
    header = {
        "format_version": FORMAT_VERSION,
        "task": task,
        "action_spec": env.action_spec.to_dict(),
        "observation_spec": env.observation_spec.to_dict(),
        "seed": seed,
        "keep": keep,
        "episodes_played": played,
        "physics_dt": physics_dt,
        "control_dt": robot.CONTROL_DT,
        "disturbance": disturbance,
        "demonstrator": to_mapping(config),
        "demonstrator_class": type(config).__name__,
        # Not argv[0]: where the program lies on this machine says nothing to others.
        "command": shlex.join(["ros2", "run", "rfs_sim", "collect_demonstrations", *sys.argv[1:]]),
        "versions": {"mujoco": mujoco.__version__, "numpy": np.__version__},
    }
    return Demonstrations(
        np.concatenate(observations),
        np.concatenate(actions),
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        np.array(successes),
        header,
    )


def _play(env: Any, demonstrator: Demonstrator, seed: int, episodes: NDArray[np.integer]) -> tuple[Any, ...]:
    """One episode in every environment: observations, recorded actions, lengths and success."""
    n, steps = env.num_envs, env.max_episode_steps
    seen = np.zeros((n, steps, env.observation_spec.size), dtype=np.float32)
    done = np.zeros((n, steps, env.action_spec.size), dtype=np.float32)
    length = np.zeros(n, dtype=np.int64)
    success = np.zeros(n, dtype=np.bool_)
    observation = env.reset(seed, episodes)
    demonstrator.reset(seed, episodes)
    for k in range(steps):
        wanted, executed = demonstrator.act(observation)
        seen[:, k], done[:, k] = observation, wanted
        result = env.step(executed[:, None])
        length += result.executed[:, 0]
        success |= result.success
        observation = result.observation
    return seen, done, length, success


def main() -> None:
    """Entry point of `ros2 run rfs_sim collect_demonstrations`."""
    # The demonstrator's options are the task's, and their defaults the variant's.
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--task", default="grasp", help="task to demonstrate (default: %(default)s)")
    first.add_argument("--variant", default="main", help="published set of defects (default: %(default)s)")
    chosen, _ = first.parse_known_args()
    try:
        base = demonstrators.config_of(chosen.task, chosen.variant)
    except RfsError as error:
        raise SystemExit(f"collect_demonstrations: {error}") from None
    parser = argparse.ArgumentParser(
        prog="collect_demonstrations",
        description=__doc__,
        parents=[first],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--episodes", type=int, default=400, help="episodes to keep (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the episodes (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .npz")
    parser.add_argument("--keep", choices=("all", "success"), default="all", help="episodes to keep")
    parser.add_argument(
        "--num-envs", type=int, default=64, help="episodes side by side (default: %(default)s)"
    )
    parser.add_argument("--physics-dt", type=float, default=0.01, help="time step, s (default: %(default)s)")
    parser.add_argument("--disturbance", type=float, default=1.0, help="factor on the torque pulses")
    known = ", ".join(demonstrators.of(chosen.task).variants)
    group = parser.add_argument_group(f"demonstrator of {chosen.task}, variant {chosen.variant} of {known}")
    fields, values = describe(type(base)), to_mapping(base)
    for item in fields:
        value = values[item.name]
        many = {"nargs": len(value)} if isinstance(value, list) else {}
        unit = f", {item.unit}" if item.unit else ""
        group.add_argument(
            f"--{item.name.replace('_', '-')}",
            type=float,
            default=value,
            help=f"{item.doc} (default: {value}{unit})",
            **many,  # type: ignore[arg-type]
        )
    args = parser.parse_args()
    try:
        config = from_mapping(type(base), {item.name: getattr(args, item.name) for item in fields})
        demonstrations = collect(
            args.task,
            args.episodes,
            args.seed,
            num_envs=args.num_envs,
            keep=args.keep,
            physics_dt=args.physics_dt,
            disturbance=args.disturbance,
            config=config,
            progress=True,
        )
        args.out.parent.mkdir(parents=True, exist_ok=True)
        demonstrations.save(args.out)
    except RfsError as error:
        raise SystemExit(f"collect_demonstrations: {error}") from None
    d = demonstrations
    print(
        f"{args.out}: {len(d.success)} episodes, {len(d.observation)} steps, success {d.success.mean():.3f} "
        f"of those kept, {d.header['episodes_played']} played"
    )


if __name__ == "__main__":
    main()
