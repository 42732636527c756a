"""Place: put the brick in the hand upright on a mark on the table, and let go.

Success (RFS paper, task Place, with the numbers of a measured trial): centred within 2 cm, at rest, upright,
released. The mark has no height and is not touched.

The terms are those of `set_down`; here are the target and the numbers.
"""

from dataclasses import dataclass

import numpy as np

from rfs_core.arrays import Array
from rfs_core.config import param
from rfs_core.scene import Body, EpisodeStart, Solid
from rfs_core.tasks import held, parts, set_down
from rfs_core.tasks.set_down import MAX_EPISODE_STEPS as MAX_EPISODE_STEPS
from rfs_core.tasks.set_down import OBSERVATION_SPEC as OBSERVATION_SPEC
from rfs_core.tasks.set_down import success as success
from rfs_core.tasks.set_down import terminated as terminated
from rfs_core.tasks.set_down import termination_reason as termination_reason
from rfs_core.tasks.set_down import total_reward as total_reward
from rfs_core.world_state import WorldState

NAME = "place"

OBJECT_SOLIDS: tuple[Solid, ...] = ()
"""The object is a primitive."""

TARGET_BODY = "mark"
HALF_WIDTH = 0.05
"""m, radius of the mark"""
HEIGHT = 0.0005
"""m, of the centre of the mark, a disc that is only seen"""

BODIES = (
    Body(
        TARGET_BODY,
        (Solid("cylinder", (HALF_WIDTH, HALF_WIDTH, HEIGHT)),),
        collides=False,
        rgba=(0.25, 0.65, 0.35, 1.0),
    ),
)

CARRIES = True
"""The brick is carried: friction must not creep."""


@dataclass(frozen=True)
class Config(set_down.SetDownConfig):
    """Numbers of place, where they are not those of `SetDownConfig`."""

    tolerance: float = param(
        0.02, doc="Success: centre beside the goal by less than this.", unit="m", low=0.0
    )


DEFAULT = Config()


def draw_episode(rng: np.random.Generator, config: set_down.SetDownConfig = DEFAULT) -> EpisodeStart:
    """Draws an episode's start, always in the same order, so that equal generators give equal episodes."""
    return set_down.draw(rng, config, TARGET_BODY, HEIGHT, held.BRICK.half_height)


def observe(state: WorldState) -> Array:
    """Observation of every world. Shape: (N, OBSERVATION_SPEC.size)"""
    return parts.observe(OBSERVATION_SPEC, state, TARGET_BODY)


def reward_terms(state: WorldState, config: set_down.SetDownConfig = DEFAULT) -> dict[str, Array]:
    """See `set_down.reward_terms`."""
    return set_down.reward_terms(state, config, TARGET_BODY, HALF_WIDTH)


def momentary_success(state: WorldState, config: set_down.SetDownConfig = DEFAULT) -> Array:
    """See `set_down.momentary_success`."""
    return set_down.momentary_success(state, config, TARGET_BODY)


def outcome(state: WorldState, config: set_down.SetDownConfig = DEFAULT) -> list[str]:
    """See `set_down.outcome`."""
    return set_down.outcome(state, config, TARGET_BODY)
