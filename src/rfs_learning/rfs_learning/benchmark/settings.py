"""What a cell trains with unless told otherwise, and the numbers of the paper that it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from rfs_core import tasks
from rfs_core.config import nearest, param
from rfs_core.errors import RfsError


class BenchmarkError(RfsError):
    """A benchmark that cannot be run as asked."""


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """How a task's cells are trained; the same for every method."""

    budget: int = param(600_000, doc="Control steps to train for", low=1)
    noise_std: float = param(0.8, doc="Initial exploration of a_0", low=0.001, high=3.0)
    residual_std: float = param(
        0.15, doc="Initial exploration of the residual, as a share of its bounds", low=0.001
    )
    evaluate_every: int = param(
        100_000, doc="Control steps between the evaluations that choose the checkpoint", low=1
    )
    train_dt: float = param(0.01, doc="Step of the physics while training", unit="s", low=0.0005, high=0.05)
    num_envs: int = param(256, doc="Environments side by side", low=1, high=65536)


TASK_SETTINGS: dict[str, TaskSettings] = {
    "grasp": TaskSettings(noise_std=0.5, residual_std=0.12),
    "place": TaskSettings(budget=430_000),
    "kit": TaskSettings(budget=600_000),
    # What boxes and balls do depends on the physics step; long episodes, fewer at once: as many updates.
    "push_grasp": TaskSettings(budget=640_000, evaluate_every=160_000, train_dt=0.005, num_envs=160),
    "stack": TaskSettings(budget=430_000),
    "pour": TaskSettings(budget=620_000, evaluate_every=200_000, train_dt=0.005, num_envs=160),
    # Over the hand: the arm is learned from nothing, so longer, and with more exploration of what it does.
    "power": TaskSettings(budget=2_000_000, noise_std=0.5, residual_std=0.25),
    "pinch": TaskSettings(budget=2_000_000, noise_std=0.5, residual_std=0.25),
}
"""By task; a task that is not here trains with the defaults."""

METHODS: dict[str, dict[str, Any]] = {
    "base": {},
    "noise": {"modulation": "noise"},
    "residual": {"modulation": "residual"},
    "rfs": {"modulation": "both"},
    "noise_hand": {"modulation": "noise", "over": "hand"},
    "residual_hand": {"modulation": "residual", "over": "hand"},
    "rfs_hand": {"modulation": "both", "over": "hand"},
}
"""Settings of `ppo_trainer` by method; base is not trained."""

DEFAULT_METHODS = ("base", "noise", "residual", "rfs")

METHOD_TITLES = {
    "base": "base (flow matching)",
    "noise": "noise only (DSRL's actions)",
    "residual": "residual only",
    "rfs": "RFS",
    "noise_hand": "noise, hand",
    "residual_hand": "residual, hand",
    "rfs_hand": "RFS, hand",
}

PAPER_TASKS = ("grasp", "place", "kit", "push_grasp", "stack", "pour")
"""In the order of the paper's table."""

GRASP_TYPES = ("power", "pinch")
"""The paper's two grasps, which have a table of their own: steered over the hand."""

GRASP_TYPE_METHODS = ("noise_hand", "rfs_hand")
"""What the paper compares there."""

PAPER: dict[str, dict[str, float]] = {
    method: dict(zip(PAPER_TASKS, rates, strict=True))
    for method, rates in {
        "base": (0.495, 0.367, 0.30, 0.131, 0.06, 0.15),
        "noise": (0.732, 0.692, 0.639, 0.430, 0.135, 0.268),
        "residual": (0.65, 0.57, 0.302, 0.165, 0.67, 0.24),
        "rfs": (0.899, 0.939, 0.781, 0.721, 0.951, 0.873),
    }.items()
} | {
    "noise_hand": {"power": 0.923, "pinch": 0.833},
    "rfs_hand": {"power": 0.988, "pinch": 0.930},
}
"""Success by method and task: Residual Flow Steering (ICLR 2026), table of six tasks in simulation, its rows
flow matching, DSRL (noise), ResiP (residual), RFS; and table of two grasps, rows hand: DSRL, RFS-Chunk."""


def settings_of(task: str) -> TaskSettings:
    """Defaults of a task."""
    return TASK_SETTINGS.get(task, TaskSettings())


def check_tasks(names: Iterable[str]) -> None:
    """Raise BenchmarkError for a task that does not exist, with those that do."""
    for name in names:
        if name not in tasks.TASKS:
            raise BenchmarkError(f"task {name!r} does not exist; {nearest(name, list(tasks.TASKS))}")


def check_methods(names: Iterable[str]) -> None:
    """Raise BenchmarkError for a method that does not exist, with those that do."""
    for name in names:
        if name not in METHODS:
            raise BenchmarkError(f"method {name!r} does not exist; {nearest(name, list(METHODS))}")


def in_order(names: Iterable[str]) -> list[str]:
    """Task names in the order of the paper's tables, others behind, by name."""
    order = (*PAPER_TASKS, *GRASP_TYPES)
    return sorted(set(names), key=lambda name: (order.index(name) if name in order else 99, name))
