"""How far a base policy's noise moves the palm, against what a bounded residual does: for the gates before
training (`rfs_sim.separation`)."""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rfs_core import robot, tasks
from rfs_core.errors import RfsError

Array = NDArray[np.float64]

RESIDUAL_BOUND = 0.01
"""m per control step, the default of the residual's bound in training."""


def noise_reach(
    path: Path,
    task: str,
    states: NDArray[np.float32],
    draws: int,
    clip: float,
    seed: int,
    goes_on: Callable[[Array], NDArray[np.bool_]],
    axes: tuple[int, int],
) -> tuple[Array, Array]:
    """How far noise moves the palm's displacement along two axes, m per control step.

    Args:
        path: of the base policy.
        task: its task.
        states: observations at which it is measured. Shape: (M, O)
        draws: of the noise, per state.
        clip: half width of the noise's box.
        seed: of the noise.
        goes_on: whether finger targets leave the hand doing what it does there: what ends that holds nothing.
        axes: of the displacement; 0, 1, 2: x, y, z of the base frame.

    Returns:
        Standard deviation under N(0, I), and largest deviation from the mean over the box, at the states
        where the hand mostly goes on. Shapes: (M', 2)
    """
    found = {entry.name: entry for entry in entry_points(group="rfs.policies")}
    if "checkpoint" not in found:
        raise RfsError("no installed package reads checkpoints (entry point group rfs.policies)")
    spec = robot.DEFAULT_ACTION_SPEC
    policy: Any = found["checkpoint"].load()(
        path, action_spec=spec, observation_spec=tasks.load(task).OBSERVATION_SPEC, a0="normal"
    )
    rng = np.random.default_rng(seed)
    shape = (draws, spec.horizon, spec.size)
    deviation, reach = [], []
    for state in states:
        repeated = np.repeat(state[None], draws, axis=0)
        normal = policy.act(repeated, rng.standard_normal(shape).astype(np.float32)).a_b[:, 0, axes]
        box = policy.act(repeated, rng.uniform(-clip, clip, shape).astype(np.float32)).a_b[:, 0]
        left = box[goes_on(box[:, 6:])][:, axes]
        if len(left) < draws // 4:
            continue  # it is about to let go here
        deviation.append(normal.std(axis=0))
        reach.append(np.abs(left - left.mean(axis=0)).max(axis=0))
    return np.array(deviation), np.array(reach)


def some_of(states: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """At most `count` of the states. Shape: (M, O) -> (<= count, O)"""
    rng = np.random.default_rng(seed)
    return states[rng.choice(len(states), size=min(count, len(states)), replace=False)]


def reach_table(where: str, axes: str, deviation: Array, reach: Array, gain: float) -> Table:
    """Reach along two axes, and the offsets that noise and a residual hold against a gain."""
    table = Table(title=f"reach of the base policy's noise {where}")
    for heading in ("mm", *axes):
        table.add_column(heading, justify="left" if heading == "mm" else "right")
    for name, values in (
        ("standard deviation per step, median", np.median(deviation, axis=0)),
        ("reach per step, median", np.median(reach, axis=0)),
        ("reach per step, 90 %", np.quantile(reach, 0.9, axis=0)),
        ("offset that noise holds (90 %)", np.quantile(reach, 0.9, axis=0) / gain),
        ("offset that a residual holds", np.full(2, RESIDUAL_BOUND / gain)),
    ):
        table.add_row(name, *(f"{1e3 * v:.2f}" for v in values))
    return table


def print_gates(console: Console, gates: list[tuple[str, bool]]) -> None:
    """A line for each."""
    for name, holds in gates:
        console.print(f"{name}: {'[green]holds[/green]' if holds else '[red]does not hold[/red]'}")
