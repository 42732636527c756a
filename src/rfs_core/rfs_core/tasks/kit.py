"""Kit: put the brick in the hand into a tray that is little larger, and let go.

Kit is one of the six tasks of the RFS paper; the numbers are ours. The tray is four walls around a square,
6 mm wider than the brick on every side, its rim 1.5 cm high. It is fixed to the table, turned by up to 0.2
rad, so the brick has to be turned as well as carried: centred, it goes in while it is turned from the tray
by less than 0.2 rad.
Success: the brick inside and well below the rim, upright, released, the palm away, at rest.

The terms are those of `set_down`, with two more: how well the brick is turned, and how deep it is in.
"""

from dataclasses import dataclass

import numpy as np

from rfs_core.arrays import Array, namespace, number
from rfs_core.config import param
from rfs_core.scene import Body, EpisodeStart, Solid
from rfs_core.tasks import held, parts, set_down
from rfs_core.tasks.set_down import OBSERVATION_SPEC as OBSERVATION_SPEC
from rfs_core.tasks.set_down import success as success
from rfs_core.tasks.set_down import terminated as terminated
from rfs_core.tasks.set_down import termination_reason as termination_reason
from rfs_core.tasks.set_down import total_reward as total_reward
from rfs_core.world_state import WorldState

NAME = "kit"

MAX_EPISODE_STEPS = 64
"""Control steps of an episode (3.2 s at 20 Hz): carrying, turning, fitting in."""

OBJECT_SOLIDS: tuple[Solid, ...] = ()
"""The object is a primitive."""

TARGET_BODY = "tray"
CLEARANCE = 0.006
"""m, between the centred brick and each wall"""
RIM = 0.015
"""m, height of the walls"""
WALL = 0.010
"""m, their thickness: thick enough that nothing is pressed through them within a physics step"""
INNER = held.BRICK.size[0] + CLEARANCE
"""m, half width inside"""

_MIDDLE = INNER + WALL / 2
_LONG, _SHORT = (WALL / 2, INNER + WALL, RIM / 2), (INNER, WALL / 2, RIM / 2)

BODIES = (
    Body(
        TARGET_BODY,
        (
            Solid("box", _LONG, (_MIDDLE, 0.0, RIM / 2)),
            Solid("box", _LONG, (-_MIDDLE, 0.0, RIM / 2)),
            Solid("box", _SHORT, (0.0, _MIDDLE, RIM / 2)),
            Solid("box", _SHORT, (0.0, -_MIDDLE, RIM / 2)),
        ),
        friction=0.3,
    ),
)
"""Its frame lies on the table in the middle. Without a floor: the brick stands on the table inside it."""

CARRIES = True
"""The brick is carried: friction must not creep."""


@dataclass(frozen=True)
class Config(set_down.SetDownConfig):
    """Numbers of kit, where they are not those of `SetDownConfig`."""

    tolerance: float = param(
        0.012,
        doc="Success: centre beside the goal by less than this; more than a brick inside can be.",
        unit="m",
        low=0.0,
    )
    height_tolerance: float = param(
        0.005, doc="Success: centre above or below the goal by less than this.", unit="m", low=0.0
    )
    turn_weight: float = param(0.1, doc="Reward: brick turned as the tray is.")
    depth_weight: float = param(0.2, doc="Reward: share of the rim's height that the brick is inside.")


DEFAULT = Config()


def draw_episode(rng: np.random.Generator, config: set_down.SetDownConfig = DEFAULT) -> EpisodeStart:
    """Draws an episode's start, always in the same order, so that equal generators give equal episodes."""
    return set_down.draw(rng, config, TARGET_BODY, 0.0, held.BRICK.half_height)


def observe(state: WorldState) -> Array:
    """Observation of every world. Shape: (N, OBSERVATION_SPEC.size)"""
    return parts.observe(OBSERVATION_SPEC, state, TARGET_BODY)


def turned(state: WorldState) -> Array:
    """Angle about the vertical from the tray to the brick, modulo a quarter turn, rad, in [-pi/4, pi/4).

    Shape: (N,)
    """
    angle = heading(state.object_pose.quaternion) - heading(state.bodies[TARGET_BODY].pose.quaternion)
    return (angle + np.pi / 4) % (np.pi / 2) - np.pi / 4


def heading(quaternion: Array) -> Array:
    """Angle of the frame's x axis about the vertical, rad. Shape: (N, 4) -> (N,)"""
    w, x, y, z = quaternion[:, 0], quaternion[:, 1], quaternion[:, 2], quaternion[:, 3]
    return namespace(quaternion).atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))


def depth(state: WorldState, config: set_down.SetDownConfig = DEFAULT) -> Array:
    """Share of the rim's height by which the brick is inside the tray, 0 to 1. Shape: (N,)"""
    inside = set_down.beside(state) < config.tolerance
    share = (1.0 - set_down.above(state) / RIM).clip(0.0, 1.0)
    return share * number(inside, share)


def reward_terms(state: WorldState, config: Config = DEFAULT) -> dict[str, Array]:
    """The reward's terms of one control step; their sum is the reward. Shapes: (N,)"""
    terms = set_down.reward_terms(state, config, TARGET_BODY, config.tolerance)
    height, angle = set_down.above(state), abs(turned(state))
    low = number(height < 0.05, height)
    terms["turn"] = config.turn_weight * (1.0 - namespace(angle).tanh(8.0 * angle)) * low
    terms["depth"] = config.depth_weight * depth(state, config)
    return terms


def momentary_success(state: WorldState, config: set_down.SetDownConfig = DEFAULT) -> Array:
    """All conditions of success at this control step; see `set_down.momentary_success`. Shape: (N,)"""
    return set_down.momentary_success(state, config, TARGET_BODY)


def outcome(state: WorldState, config: set_down.SetDownConfig = DEFAULT) -> list[str]:
    """How each world's episode has ended, in a few words for reports; length N."""
    words = set_down.outcome(state, config, TARGET_BODY)
    height = set_down.above(state)
    for i, word in enumerate(words):
        if word in ("released, not at the goal's height", "fallen") and abs(height[i]) < 2.0 * RIM:
            words[i] = "released on the rim"
        elif word == "released, not at the goal's height":
            words[i] = "released, not in the tray"
    return words
