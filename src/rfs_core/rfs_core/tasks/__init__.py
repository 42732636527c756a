"""The tasks: reset ranges, observation, reward, success and termination as pure functions of a `WorldState`.

A task is a module with the names of `grasp`: Config, OBSERVATION_SPEC, MAX_EPISODE_STEPS, BODIES,
OBJECT_SOLIDS, TARGET_BODY, CARRIES, draw_episode, observe, reward_terms, total_reward, momentary_success,
success, terminated, termination_reason, outcome.
Engines and nodes get one by name.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from rfs_core.config import from_mapping
from rfs_core.errors import RfsError
from rfs_core.tasks import grasp, kit, pick_place, pinch, place, pour, power, push_grasp, stack

TASKS: dict[str, ModuleType] = {
    "grasp": grasp,
    "kit": kit,
    "pick_place": pick_place,
    "pinch": pinch,
    "place": place,
    "pour": pour,
    "power": power,
    "push_grasp": push_grasp,
    "stack": stack,
}
"""Every task by its name."""


class UnknownTaskError(RfsError):
    """A task was asked for that does not exist."""


def load(name: str) -> ModuleType:
    """The task's module. Raises UnknownTaskError, which lists what exists."""
    if name not in TASKS:
        raise UnknownTaskError(f"task '{name}' does not exist; known tasks: {', '.join(sorted(TASKS))}.")
    return TASKS[name]


def configure(name: str, options: Mapping[str, Any]) -> Any:
    """The task's configuration with some values other than the defaults.

    Raises UnknownTaskError, or ConfigError for an unknown key or a value out of range.
    """
    return from_mapping(load(name).Config, options)
