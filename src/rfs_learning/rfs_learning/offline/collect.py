"""Episodes in simulation with the fields of recorded ones, without ROS: for experiments and tests.

    ros2 run rfs_learning collect_episodes --checkpoint checkpoints/grasp_base.safetensors --world gap \
        --episodes 50 --seed 0 --out runs/gap_bags/0.npz

What decides is the same as in the ROS stack: the policy, the gate's composition of residuals, the task's
reward. A corrector stands in for the human; an engine offers one in the entry point group `rfs.correctors`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rfs_core import bounds as residuals
from rfs_core.bounds import ResidualBounds
from rfs_core.errors import RfsError
from rfs_core.seeding import episode_rng
from rfs_data.offline import OfflineData, Source, rows_of_decisions, save
from rfs_learning import camera_options
from rfs_learning.evaluate import NOISE_STREAM, Acting, not_negative, positive
from rfs_learning.policy import Policy, PolicyOutput
from rfs_learning.vec_env import VecEnv, make_env

ENTRY_POINT_GROUP = "rfs.correctors"


class Corrector(Protocol):
    """A stand-in for the human with N environments."""

    def reset(self, env: VecEnv, seed: int, episodes: NDArray[np.int64]) -> None:
        """Episodes begin in all environments."""
        ...

    def __call__(self, env: VecEnv, output: PolicyOutput) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The residual (N, H, A) of the coming chunk in physical units, and whether it is engaged (N, H)."""
        ...


class NoCorrector:
    """Nobody corrects."""

    def reset(self, env: VecEnv, seed: int, episodes: NDArray[np.int64]) -> None:
        """See `Corrector`."""

    def __call__(self, env: VecEnv, output: PolicyOutput) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """See `Corrector`."""
        return np.zeros(output.a.shape), np.zeros(output.a.shape[:2], dtype=bool)


def collect(
    policy: Acting,
    env: VecEnv,
    corrector: Corrector,
    seed: int,
    episodes: NDArray[np.int64],
    bounds: ResidualBounds | None = None,
    checkpoint_id: str = "",
) -> OfflineData:
    """Play `episodes` of `seed` side by side, each once.

    Args:
        env: Without autoreset, of as many environments as there are episodes.
        bounds: Of the human's and the policy's residual, as the gate has them.
    """
    count, spec = len(episodes), env.action_spec
    if count != env.num_envs:
        raise RfsError(f"{count} episodes in {env.num_envs} environments: make as many")
    limit = (bounds or ResidualBounds()).vector(spec)
    generators = [episode_rng(seed, int(episode), NOISE_STREAM) for episode in episodes]
    rows: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    observation = env.reset(seed, episodes)
    corrector.reset(env, seed, episodes)
    first, success, over = observation, np.zeros(count, bool), np.zeros(count, bool)
    objects = [""] * count
    for _ in range(-(-env.max_episode_steps // spec.horizon)):
        noise = np.stack(
            [rng.standard_normal((spec.horizon, spec.size)).astype(np.float32) for rng in generators]
        )
        output = policy.act(observation, noise)
        human, engaged = corrector(env, output)
        chunk = residuals.compose(output.a_b, output.a_r, human, limit, spec)
        result = env.step(chunk)
        for i in np.flatnonzero(~over).tolist():
            rows[i].append(
                {
                    "a_0": output.a_0[i],
                    "a_b": output.a_b[i],
                    "executed": chunk[i],
                    "human": np.clip(human[i], -limit, limit),
                    "engaged": engaged[i] & result.executed[i],
                    "mask": result.executed[i],
                    "reward": result.reward[i] * result.executed[i],
                    "terminated": bool(result.terminated[i]),
                    "truncated": bool(result.truncated[i]),
                    "next": result.final_observation[i],
                }
            )
            success[i] |= bool(result.success[i])
            objects[i] = str(result.log["object"][i]) if "object" in result.log else ""
        over |= result.terminated | result.truncated
        observation = result.observation
        if over.all():
            break
    lengths = np.array([len(one) for one in rows])
    flat = [row for one in rows for row in one]
    seen = [value for i, one in enumerate(rows) for value in (first[i], *(row["next"] for row in one))]
    used = tuple(
        Source(
            name=f"{env.task}-{seed}#{int(episode)}",
            sha256="",
            checkpoint=checkpoint_id,
            decisions=len(one),
            corrected=int(sum(row["engaged"].sum() for row in one)),
            unverified=0,
            success=bool(success[i]),
            group=objects[i],
        )
        for i, (episode, one) in enumerate(zip(episodes, rows, strict=True))
    )

    def stacked(name: str, dtype: type) -> NDArray[Any]:
        return np.array([row[name] for row in flat], dtype=dtype)

    return OfflineData(
        task=env.task,
        action_spec=spec,
        observation_spec=env.observation_spec,
        seen=np.array(seen, np.float32),
        at=rows_of_decisions(lengths),
        a_0=stacked("a_0", np.float32),
        a_b=stacked("a_b", np.float32),
        executed=stacked("executed", np.float32),
        human=stacked("human", np.float32),
        engaged=stacked("engaged", np.bool_),
        mask=stacked("mask", np.bool_),
        own=np.ones((len(flat), spec.horizon), bool),
        reward=stacked("reward", np.float32),
        terminated=stacked("terminated", np.bool_),
        truncated=stacked("truncated", np.bool_),
        episode_start=np.concatenate([[0], np.cumsum(lengths)]),
        used=used,
    )


def make_corrector(name: str) -> Corrector:
    """A corrector by name; "none" corrects nothing.

    Raises:
        RfsError: an unknown one; the sentence lists the known ones.
    """
    if name == "none":
        return NoCorrector()
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        raise RfsError(f"corrector is {name!r}, known are none, {', '.join(sorted(found))}")
    corrector: Corrector = found[name].load()()
    return corrector


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="collect_episodes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="policy that acts")
    parser.add_argument("--out", required=True, type=Path, help="file (.npz) to write")
    parser.add_argument("--episodes", type=positive, default=50, help="number of episodes")
    parser.add_argument("--seed", type=not_negative, default=0, help="seed of episodes and noise")
    parser.add_argument("--corrector", default="scripted", help="who corrects: scripted, or none")
    parser.add_argument("--world", default="training", help="world to play in: training, or gap")
    parser.add_argument("--objects", default="seen", help="objects of the gap world: seen or unseen")
    parser.add_argument("--engine", default="mujoco", help="engine, an entry point of rfs.engines")
    return parser


def run(arguments: argparse.Namespace, command: str) -> OfflineData:
    """Play and write; returns what was written."""
    policy = Policy.load(arguments.checkpoint)
    task = policy.header.task
    options: dict[str, Any] = (
        {} if arguments.world == "training" else {"world": arguments.world, "objects": arguments.objects}
    )
    options |= camera_options.plain(policy.header.observation_spec)
    env = make_env(arguments.engine, task, arguments.episodes, autoreset=False, **options)
    policy = Policy.load(arguments.checkpoint, env.action_spec, env.observation_spec)
    data = collect(
        policy,
        env,
        make_corrector(arguments.corrector),
        arguments.seed,
        np.arange(arguments.episodes),
        checkpoint_id=policy.checkpoint_id,
    )
    said = {name: getattr(arguments, name) for name in ("seed", "world", "objects", "corrector")}
    save(data, arguments.out, {"command": command, **said})
    print(data.summary())
    for doubt in data.warnings():
        print(f"warning: {doubt}", file=sys.stderr)
    print(f"written: {arguments.out}")
    return data


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning collect_episodes`."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(given)
    try:
        run(arguments, shlex.join(["ros2", "run", "rfs_learning", "collect_episodes", *given]))
    except RfsError as error:
        print(f"collect_episodes: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
