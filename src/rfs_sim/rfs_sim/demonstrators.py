"""Which demonstrator a task has, and the published variants of its defects."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rfs_core import tasks
from rfs_core.errors import RfsError
from rfs_sim import (
    demonstrator,
    kit_demonstrator,
    pick_place_demonstrator,
    pour_demonstrator,
    push_grasp_demonstrator,
    set_down_demonstrator,
)
from rfs_sim.demonstrator import GraspDemonstrator
from rfs_sim.kit_demonstrator import KitDemonstrator
from rfs_sim.pick_place_demonstrator import PickPlaceDemonstrator
from rfs_sim.pour_demonstrator import PourDemonstrator
from rfs_sim.push_grasp_demonstrator import PushGraspDemonstrator
from rfs_sim.set_down_demonstrator import SetDownDemonstrator


class DemonstratorError(RfsError):
    """A task without a demonstrator, or a variant that does not exist."""


class Demonstrator(Protocol):
    """Plays N episodes; see `GraspDemonstrator`."""

    def reset(
        self, seed: int, episodes: NDArray[np.integer], envs: NDArray[np.integer] | None = None
    ) -> None:
        """Draws what is wrong with the demonstrator in these episodes."""
        ...

    def act(self, observation: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What it wants to do, and what it does. Shapes: (N, O) -> (N, A), (N, A)"""
        ...


@dataclass(frozen=True)
class Kind:
    """A task's demonstrator."""

    make: Any
    """(num_envs, config) -> Demonstrator"""
    variants: Mapping[str, Any]
    """Configurations by name; `main` is the default, `flawless` has nothing wrong."""


_GRASP = {"main": demonstrator.DemonstratorConfig(), "flawless": demonstrator.FLAWLESS}

KINDS: dict[str, Kind] = {
    "grasp": Kind(GraspDemonstrator, _GRASP),
    "kit": Kind(KitDemonstrator, kit_demonstrator.VARIANTS),
    "pick_place": Kind(PickPlaceDemonstrator, pick_place_demonstrator.VARIANTS),
    "pinch": Kind(partial(GraspDemonstrator, posture=demonstrator.PINCH_POSTURE), _GRASP),
    "place": Kind(SetDownDemonstrator, set_down_demonstrator.variants(set_down_demonstrator.PLACE)),
    "pour": Kind(PourDemonstrator, pour_demonstrator.VARIANTS),
    "power": Kind(partial(GraspDemonstrator, posture=demonstrator.POWER_POSTURE), _GRASP),
    "push_grasp": Kind(PushGraspDemonstrator, push_grasp_demonstrator.VARIANTS),
    "stack": Kind(SetDownDemonstrator, set_down_demonstrator.variants(set_down_demonstrator.STACK)),
}
"""By the task's name."""


def of(task: str) -> Kind:
    """The demonstrator of a task. Raises UnknownTaskError, or DemonstratorError where it has none."""
    tasks.load(task)
    if task not in KINDS:
        raise DemonstratorError(f"task '{task}' has no demonstrator; tasks with one: {', '.join(KINDS)}.")
    return KINDS[task]


def config_of(task: str, variant: str = "main") -> Any:
    """A variant's configuration. Raises as `of`, and DemonstratorError for an unknown variant."""
    known = of(task).variants
    if variant not in known:
        raise DemonstratorError(f"variant '{variant}' of {task} does not exist; known: {', '.join(known)}.")
    return known[variant]


def make(task: str, num_envs: int, config: Any = None) -> Demonstrator:
    """The demonstrator of a task for N environments; config None: flawless."""
    found: Demonstrator = of(task).make(num_envs, config)
    return found
