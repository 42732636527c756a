"""Where policies put what they hold in the gap world, and when they let go of it.

    python scripts/place_errors.py checkpoints/place_distilled.safetensors human \
        runs/offline_table/place/rfs_0/checkpoints/policy.safetensors --picture runs/place_errors.png

Every argument is a policy: a checkpoint; `ARM+FINGERS`, the arm of one checkpoint with the fingers of
another; `human`, the first checkpoint with the scripted human beside it; an ending `:zero` gives the flow
a_0 = 0 instead of a drawn one. All play the same episodes. It explains figures of `offline_table`; it makes
none.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_learning.evaluate import Acting
from rfs_learning.offline.collect import Corrector, collect, make_corrector
from rfs_learning.policy import Policy, PolicyOutput
from rfs_learning.vec_env import VecEnv, make_env


class ZeroNoise:
    """A policy whose a_0 is 0 where it is not steered."""

    def __init__(self, inner: Acting) -> None:
        self._inner = inner

    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> PolicyOutput:
        """See `Acting`."""
        return self._inner.act(observation, np.zeros_like(noise))


class Spliced:
    """The arm of one policy with the fingers of another, both looking at the same observation."""

    def __init__(self, arm: Policy, fingers: Policy) -> None:
        self._arm, self._fingers = arm, fingers
        self._hand = arm.header.action_spec.slice("hand_target")

    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> PolicyOutput:
        """See `Acting`."""
        arm, fingers = self._arm.act(observation, noise), self._fingers.act(observation, noise)
        parts = {name: getattr(arm, name).copy() for name in ("a_b", "a_r", "a")}
        for name, values in parts.items():
            values[..., self._hand] = getattr(fingers, name)[..., self._hand]
        return dataclasses.replace(arm, **parts)


class Watching:
    """A corrector that notes, before every decision, whether the hand is at the object."""

    def __init__(self, inner: Corrector) -> None:
        self._inner = inner
        self.touched: list[NDArray[np.bool_]] = []

    def reset(self, env: VecEnv, seed: int, episodes: NDArray[np.int64]) -> None:
        """See `Corrector`."""
        self._inner.reset(env, seed, episodes)

    def __call__(self, env: Any, output: PolicyOutput) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """See `Corrector`."""
        self.touched.append(env.worlds.state.contacts.any(axis=1))
        return self._inner(env, output)


@dataclasses.dataclass(frozen=True)
class Ends:
    """How N episodes ended."""

    success: NDArray[np.bool_]
    beside: NDArray[np.float64]
    """mm, the object's centre from the goal, x and y of the base frame. Shape: (N, 2)"""
    let_go: NDArray[np.int64]
    """Decisions after which the hand did not touch the object any more. Shape: (N,)"""
    decisions: int
    """Decisions of an episode."""

    def row(self, name: str) -> str:
        """A line of the table."""
        centre = np.median(self.beside, axis=0)
        low, high = np.percentile(self.beside, (16, 84), axis=0)
        cells = [f"{c:.0f} +- {s:.0f}" for c, s in zip(centre, (high - low) / 2, strict=True)]
        held = float((self.let_go == self.decisions).mean())
        late = f"{np.median(self.let_go):.0f}"
        return f"| {name} | {self.success.mean():.3f} | {cells[0]} | {cells[1]} | {late} | {held:.2f} |"


def load(said: str, first: Path) -> tuple[Acting, str]:
    """The policy that an argument names, and who corrects it."""
    said, zero = said.removesuffix(":zero"), said.endswith(":zero")
    who = "scripted" if said == "human" else "none"
    paths = [first] if said == "human" else [Path(path) for path in said.split("+")]
    policies = [Policy.load(path) for path in paths]
    policy: Acting = Spliced(*policies) if len(policies) == 2 else policies[0]
    return (ZeroNoise(policy) if zero else policy), who


def play(policy: Acting, who: str, env: Any, seed: int) -> Ends:
    """Play one episode in every environment."""
    watching = Watching(make_corrector(who))
    data = collect(policy, env, watching, seed, np.arange(env.num_envs))
    state = env.worlds.state
    touched = np.array([*watching.touched, state.contacts.any(axis=1)])
    last = np.array([np.flatnonzero(one)[-1] if one.any() else 0 for one in touched.T])
    beside = 1000 * (state.object_pose.position - state.goal_position)[:, :2]
    return Ends(data.success, beside, last, len(touched) - 1)


def draw(ends: dict[str, Ends], tolerance_mm: float, path: Path) -> None:
    """A picture of where the objects stand, seen as the robot sees the table."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(ends), 3.1), layout="constrained")
    panels = figure.subplots(1, len(ends), sharex=True, sharey=True, squeeze=False)[0]
    turn = np.linspace(0.0, 2 * np.pi, 100)
    for panel, (name, one) in zip(panels, ends.items(), strict=True):
        for won, colour in ((True, "tab:green"), (False, "tab:red")):
            x, y = one.beside[one.success == won].T
            panel.plot(y, x, ".", color=colour, markersize=4, alpha=0.6)
        panel.plot(tolerance_mm * np.cos(turn), tolerance_mm * np.sin(turn), color="0.4", linewidth=1)
        panel.set(title=f"{name}: {one.success.mean():.2f}", xlabel="y (mm)", aspect="equal")
        panel.set(xlim=(40, -40), ylim=(-40, 40))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("x (mm)")
    figure.savefig(path, dpi=110)
    print(f"written: {path}")


def main(argv: Sequence[str] | None = None) -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policies", nargs="+", metavar="POLICY", help="see above; the first: a checkpoint")
    parser.add_argument("--names", nargs="+", default=[], help="a short name for each of them")
    parser.add_argument("--task", default="place", help="place or stack")
    parser.add_argument("--objects", default="seen", help="objects of the gap world: seen or unseen")
    parser.add_argument("--episodes", type=int, default=256, help="episodes, side by side")
    parser.add_argument("--seed", type=int, default=6_000_003, help="seed of the episodes")
    parser.add_argument("--picture", type=Path, help="a picture of where the objects stand")
    arguments = parser.parse_args(argv)
    names = arguments.names or [Path(said).name for said in arguments.policies]
    if len(names) != len(arguments.policies):
        parser.error(f"{len(arguments.policies)} policies and {len(names)} names: give one for each")
    env = make_env(
        "mujoco",
        arguments.task,
        arguments.episodes,
        autoreset=False,
        world="gap",
        objects=arguments.objects,
    )
    first = Path(arguments.policies[0].removesuffix(":zero"))
    print("| policy | success | x (mm) | y (mm) | lets go after | never |\n|---|---|---|---|---|---|")
    ends = {}
    for name, said in zip(names, arguments.policies, strict=True):
        ends[name] = play(*load(said, first), env, arguments.seed)
        print(ends[name].row(name), flush=True)
    if arguments.picture:
        draw(ends, 20.0 if arguments.task == "place" else 15.0, arguments.picture)


if __name__ == "__main__":
    main()
