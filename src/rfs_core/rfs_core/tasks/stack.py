"""Stack: put the brick in the hand on top of a platform that stands beside it, and let go.

Success (RFS paper, task Stack, and a measured trial): centred within 1.5 cm, both at rest and upright,
released. The platform is wide, 10 x 10 x 4 cm; on a narrow one the brick topples at nearly every release.

The terms are those of `set_down`; here are the target and the numbers.
"""

from dataclasses import dataclass

import numpy as np

from rfs_core.arrays import Array
from rfs_core.scene import Body, EpisodeStart, Solid
from rfs_core.tasks import held, parts, set_down
from rfs_core.tasks.set_down import MAX_EPISODE_STEPS as MAX_EPISODE_STEPS
from rfs_core.tasks.set_down import OBSERVATION_SPEC as OBSERVATION_SPEC
from rfs_core.tasks.set_down import success as success
from rfs_core.tasks.set_down import terminated as terminated
from rfs_core.tasks.set_down import termination_reason as termination_reason
from rfs_core.tasks.set_down import total_reward as total_reward
from rfs_core.world_state import WorldState

NAME = "stack"

OBJECT_SOLIDS: tuple[Solid, ...] = ()
"""The object is a primitive."""

TARGET_BODY = "platform"
HALF_WIDTH = 0.05
"""m"""
HALF_HEIGHT = 0.02
"""m"""

BODIES = (Body(TARGET_BODY, (Solid("box", (HALF_WIDTH, HALF_WIDTH, HALF_HEIGHT)),), mass=0.8),)
"""Free to be pushed; 0.8 kg."""

CARRIES = True
"""The brick is carried: friction must not creep."""


@dataclass(frozen=True)
class Config(set_down.SetDownConfig):
    """Numbers of stack: those of `SetDownConfig`."""


DEFAULT = Config()


def draw_episode(rng: np.random.Generator, config: set_down.SetDownConfig = DEFAULT) -> EpisodeStart:
    """Draws an episode's start, always in the same order, so that equal generators give equal episodes."""
    return set_down.draw(rng, config, TARGET_BODY, HALF_HEIGHT, 2 * HALF_HEIGHT + held.BRICK.half_height)


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
