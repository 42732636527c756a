"""Pinch: take something small between the tips of thumb and fingers, and lift it.

One of the two types of grasp that the RFS paper evaluates. The tips of the thumb and of a finger touch the
object, the palm does not, and its centre is more than 5.5 cm from the palm's surface.

Success is that of grasp with these conditions, held for some control steps.
"""

from dataclasses import dataclass

import numpy as np

from rfs_core.arrays import Array
from rfs_core.config import param
from rfs_core.scene import Body, EpisodeStart, ObjectShape, Solid
from rfs_core.tasks import grasp, grasp_types
from rfs_core.tasks.grasp import MAX_EPISODE_STEPS as MAX_EPISODE_STEPS
from rfs_core.tasks.grasp import OBSERVATION_SPEC as OBSERVATION_SPEC
from rfs_core.tasks.grasp import observe as observe
from rfs_core.tasks.grasp import success as success
from rfs_core.tasks.grasp import terminated as terminated
from rfs_core.tasks.grasp import termination_reason as termination_reason
from rfs_core.tasks.grasp import total_reward as total_reward
from rfs_core.world_state import WorldState

NAME = "pinch"

BODIES: tuple[Body, ...] = ()
"""Nothing beside the object."""

OBJECT_SOLIDS: tuple[Solid, ...] = ()
"""The object is a primitive."""

TARGET_BODY = ""
"""The goal is a place in the air."""

CARRIES = False
"""The object is not carried about: friction may creep a little."""

OBJECTS: tuple[ObjectShape, ...] = (
    ObjectShape("die", "box", (0.020, 0.020, 0.022)),
    ObjectShape("domino", "box", (0.014, 0.024, 0.030)),
    ObjectShape("stick", "box", (0.014, 0.014, 0.035)),
    ObjectShape("spool", "cylinder", (0.018, 0.018, 0.025)),
)
"""3 to 5 cm wide, 4 to 7 cm high."""


@dataclass(frozen=True)
class Config(grasp_types.GraspTypeConfig):
    """Numbers of pinch."""

    object_mass: tuple[float, float] = param((0.03, 0.08), doc="Mass of the object.", unit="kg")


DEFAULT = Config()


def draw_episode(rng: np.random.Generator, config: grasp.GraspConfig = DEFAULT) -> EpisodeStart:
    """Draws an episode's start, always in the same order, so that equal generators give equal episodes."""
    return grasp.draw_episode(rng, config, OBJECTS)


def holds(state: WorldState, config: grasp_types.GraspTypeConfig = DEFAULT) -> Array:
    """The tips of the thumb and a finger touch the object, the palm does not and is away. Shape: (N,)"""
    return (
        state.contacts[:, 3]
        & state.contacts[:, :3].any(axis=1)
        & ~state.contacts[:, 4]
        & (grasp_types.palm_depth(state) > config.apart)
    )


def reward_terms(state: WorldState, config: grasp_types.GraspTypeConfig = DEFAULT) -> dict[str, Array]:
    """See `grasp_types.reward_terms`."""
    return grasp_types.reward_terms(state, config, holds)


def momentary_success(state: WorldState, config: grasp_types.GraspTypeConfig = DEFAULT) -> Array:
    """See `grasp_types.momentary_success`."""
    return grasp_types.momentary_success(state, config, holds)


def outcome(state: WorldState, config: grasp_types.GraspTypeConfig = DEFAULT) -> list[str]:
    """See `grasp_types.outcome`."""
    return grasp_types.outcome(state, config, holds, "lifted, not between the fingertips")
