"""Grasp's and pour's part of the gate before training; `rfs_sim.separation` says what is measured and why."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rfs_core.tasks import grasp, pour
from rfs_core.world_state import WorldState
from rfs_sim import demonstrators
from rfs_sim.demonstrator import DEFAULT_POSTURE, DemonstratorConfig
from rfs_sim.noise_reach import RESIDUAL_BOUND, noise_reach, print_gates, reach_table, some_of
from rfs_sim.pour_demonstrator import PourDemonstratorConfig
from rfs_sim.vec_env import make_env

Array = NDArray[np.float64]

_OPEN = DEFAULT_POSTURE.hand(DEFAULT_POSTURE.finger_open, DEFAULT_POSTURE.thumb_open)
_SPAN = DEFAULT_POSTURE.hand(DEFAULT_POSTURE.finger_closed, DEFAULT_POSTURE.thumb_closed) - _OPEN


_UPRIGHT = np.cos(0.15)


def closed(hand: Array) -> Array:
    """How far the hand is closed, 0 open, 1 closed. Shape: (N, 16) -> (N,)"""
    return np.asarray((hand - _OPEN) @ _SPAN / (_SPAN @ _SPAN))


@dataclass(frozen=True)
class Probe:
    """Where and along what the reach of a task's base policy is measured."""

    where: str
    """For people."""
    axes: tuple[int, int]
    """Of the palm's displacement, base frame."""
    decisive: Callable[[WorldState], NDArray[np.bool_]]
    """Worlds in which the offset is made now. -> Shape: (N,)"""
    goes_on: Callable[[Array], NDArray[np.bool_]]
    """Finger targets that leave the hand doing what it does there. Shape: (N, 16) -> (N,)"""
    rows: Callable[[Any], Mapping[str, Any]]
    """The script with one defect at a time, from that with all of them; the last row has all."""
    offset: Callable[[Any, Array], Array]
    """m, of where the script aims; from its configuration and the target's place. (N, 3) -> (N,)"""


def _approaching(state: WorldState) -> NDArray[np.bool_]:
    near = grasp.palm_distance(state) < 0.14
    return np.asarray(near & ~state.contacts.any(axis=1) & (closed(state.hand_position) < 0.15))


def _grasp_rows(main: DemonstratorConfig) -> dict[str, DemonstratorConfig]:
    calm = replace(main, bias=(0.0, 0.0, 0.0), partial_share=0.0)
    along = np.asarray(main.bias) / np.linalg.norm(main.bias)
    beside = {
        f"{mm} mm beside": replace(calm, bias=tuple((mm / 1e3 * along).tolist())) for mm in (6, 13, 20, 30)
    }
    return {
        "flawless": demonstrators.config_of("grasp", "flawless"),
        "no offset, hand closes": calm,
        "no offset, hand closes in part": replace(calm, partial_share=1.0),
        **beside,
        "all defects": main,
    }


def _grasp_offset(config: DemonstratorConfig, target: Array) -> Array:
    return np.full(len(target), np.linalg.norm(config.bias))


def _carrying(state: WorldState) -> NDArray[np.bool_]:
    """Cup upright in the hand, its mouth not yet where it is tipped."""
    beside = np.linalg.norm((state.goal_position - pour.mouth(state))[:, :2], axis=1)
    return np.asarray((pour.axis(state)[:, 2] > _UPRIGHT) & pour.holds(state) & (beside > 0.03))


def _pour_rows(main: PourDemonstratorConfig) -> dict[str, PourDemonstratorConfig]:
    calm = replace(main, bias=(0.0, 0.0), loose_share=0.0)
    beside = {
        f"{mm} mm beside": replace(calm, bias=(mm / 1e3 / np.sqrt(2.0),) * 2, bias_growth=0.0)
        for mm in (15, 30, 45, 60)
    }
    return {
        "flawless": demonstrators.config_of("pour", "flawless"),
        "no offset, fingers closed": calm,
        "no offset, fingers loosen": replace(calm, loose_share=1.0),
        **beside,
        "all defects": main,
    }


def _pour_offset(config: PourDemonstratorConfig, target: Array) -> Array:
    return np.asarray(np.linalg.norm(demonstrators.make("pour", len(target), config).aim(target), axis=1))


PROBES = {
    "grasp": Probe(
        "on the way to the grasp",
        (0, 2),
        _approaching,
        lambda hand: closed(hand) < 0.3,
        _grasp_rows,
        _grasp_offset,
    ),
    "pour": Probe(
        "while it carries the cup",
        (0, 1),
        _carrying,
        lambda hand: closed(hand) > 0.8,
        _pour_rows,
        _pour_offset,
    ),
}
"""By task. `goes_on`: an open hand stays open, a closed one closed."""


def play(
    task: str, config: Any, episodes: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], Array]:
    """Plays the script.

    Returns:
        What it saw where the reach is measured (M, O), success (N,), and the size of its offset (N,).
    """
    probe = PROBES[task]
    env = make_env(task, episodes, autoreset=False)
    demonstrator = demonstrators.make(task, episodes, config)
    observation = env.reset(seed)
    demonstrator.reset(seed, np.arange(episodes))
    target = env.worlds.task.TARGET_BODY
    state = env.worlds.state
    offset = probe.offset(config, state.bodies[target].pose.position if target else state.goal_position)
    seen = []
    success = np.zeros(episodes, dtype=np.bool_)
    for _ in range(env.max_episode_steps):
        seen.append(observation[probe.decisive(env.worlds.state)])
        result = env.step(demonstrator.act(observation)[1][:, None])
        observation = result.observation
        success |= result.success
    env.close()
    return np.concatenate(seen), success, offset


def report(args: argparse.Namespace) -> None:
    """What an offset costs the script, and what each channel can do about it."""
    probe = PROBES[args.task]
    config = demonstrators.config_of(args.task, args.variant)
    console = Console()
    table = Table(title=f"{args.task}, variant {args.variant}: the script, {args.episodes} episodes a row")
    table.add_column("defects")
    table.add_column("success", justify="right")
    rates, states, offset = [], np.zeros((0, 0), np.float32), np.zeros(0)
    for name, defects in probe.rows(config).items():
        states, success, offset = play(args.task, defects, args.episodes, args.seed)
        rates.append(float(success.mean()))
        table.add_row(name, f"{rates[-1]:.3f}")
    console.print(table)
    # The states and offsets left are those of all defects, the last row.
    size = float(np.median(offset))
    console.print(
        f"offset: {1e3 * offset.min():.0f} to {1e3 * offset.max():.0f} mm, median {1e3 * size:.0f} mm"
    )
    gates = [
        ("script without defects >= .4", rates[1] >= 0.4),
        ("script in the bad mode <= .15", rates[2] <= 0.15),
        ("gain x median offset <= .7 of the residual's bound", config.gain * size <= 0.7 * RESIDUAL_BOUND),
    ]
    if args.base is not None:
        some = some_of(states, args.states, args.seed)
        deviation, reach = noise_reach(
            args.base, args.task, some, args.draws, args.noise_clip, args.seed, probe.goes_on, probe.axes
        )
        letters = "".join("xyz"[axis] for axis in probe.axes)
        console.print(reach_table(probe.where, letters, deviation, reach, config.gain))
        held = np.linalg.norm(np.quantile(reach, 0.9, axis=0)) / config.gain
        gates.append(("noise holds less than half of the median offset", bool(held < size / 2)))
    print_gates(console, gates)
