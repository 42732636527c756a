"""What *stack* and *place* share: a brick that is in the hand at the start shall stand on a target, released.

Success, held for some control steps up to the end: the brick's centre within `tolerance` of the goal sideways
and within `height_tolerance` in height, brick and target upright, no hand at the brick, the palm farther away
than `palm_away`, all at rest. The terms' weights are those of a first trial (measured, not tuned further):
distance and centring draw the brick to the goal, standing and released pay for letting go even beside it.

Pure functions of a batched `WorldState`; numpy arrays or torch tensors. Task modules bind their body and
numbers.
"""

from dataclasses import dataclass

import numpy as np

from rfs_core.arrays import Array, namespace, norm, number
from rfs_core.config import param
from rfs_core.scene import BodyStart, EpisodeStart
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import held, parts
from rfs_core.world_state import BodyState, WorldState

MAX_EPISODE_STEPS = 56
"""Control steps of an episode (2.8 s at 20 Hz)."""

OBSERVATION_SPEC = ObservationSpec(
    (
        parts.ARM_POSITION,
        parts.HAND_POSITION,
        parts.PALM_POSITION,
        parts.PALM_ROTATION,
        parts.OBJECT_POSITION,
        parts.OBJECT_ROTATION,
        parts.TARGET_POSITION,
        parts.TARGET_ROTATION,
        parts.GOAL_POSITION,
        parts.GOAL_OFFSET,
        parts.CONTACTS,
    )
)


@dataclass(frozen=True)
class SetDownConfig:
    """Ranges of a reset, weights of the reward, thresholds of success."""

    target_along: tuple[float, float] = param(
        (-0.04, 0.04), doc="Target from the brick at reset, base frame x.", unit="m"
    )
    target_side: tuple[float, float] = param(
        (0.08, 0.14), doc="Target from the brick at reset, base frame y.", unit="m"
    )
    target_yaw: tuple[float, float] = param((-0.2, 0.2), doc="Target's heading at reset.", unit="rad")

    tolerance: float = param(
        0.015, doc="Success: centre beside the goal by less than this.", unit="m", low=0.0
    )
    height_tolerance: float = param(
        0.010, doc="Success: centre above or below the goal by less than this.", unit="m", low=0.0
    )
    upright: float = param(0.97, doc="Success: cosine of the tilt of brick and target.", low=0.0, high=1.0)
    palm_away: float = param(0.12, doc="Success: palm this far from the brick's centre.", unit="m", low=0.0)
    still: float = param(0.05, doc="Success: brick and target slower than this.", unit="m/s", low=0.0)
    hold_steps: int = param(5, doc="Success: control steps for which all of this must have held.", low=1)
    fallen: float = param(0.7, doc="Brick fallen: cosine of its tilt below this.", low=0.0, high=1.0)
    lost_radius: float = param(0.40, doc="Brick lost: this far from the goal, sideways.", unit="m", low=0.0)
    lost_below: float = param(-0.05, doc="Brick lost: its centre below this height.", unit="m")

    distance_weight: float = param(0.2, doc="Reward: brick near the goal.")
    centre_weight: float = param(0.1, doc="Reward: brick above or at the goal's centre, low.")
    standing_weight: float = param(0.2, doc="Reward: brick upright on the target.")
    released_weight: float = param(0.2, doc="Reward: that, and no hand at it.")
    success_weight: float = param(1.0, doc="Reward: the momentary success condition.")
    fallen_weight: float = param(0.2, doc="Penalty: brick fallen.")


def draw(
    rng: np.random.Generator, config: SetDownConfig, body: str, body_height: float, goal_height: float
) -> EpisodeStart:
    """Draws a start: the brick held, the target beside it.

    Args:
        rng: of the episode.
        config: ranges.
        body: name of the target.
        body_height: m, where the target's centre stands.
        goal_height: m, where the brick's centre shall be.
    """
    grasped = held.draw(rng)
    along, side = rng.uniform(*config.target_along), rng.uniform(*config.target_side)
    yaw = rng.uniform(*config.target_yaw)
    x, y = grasped["object_position"][0] + along, grasped["object_position"][1] + side
    target = BodyStart(np.array([x, y, body_height]), np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]))
    return EpisodeStart(
        shape=held.BRICK,
        object_mass=float(grasped["mass"]),
        object_friction=held.FRICTION,
        object_position=grasped["object_position"],
        object_quaternion=grasped["object_quaternion"],
        goal_position=np.array([x, y, goal_height]),
        arm_position=grasped["arm_position"],
        hand_position=grasped["hand_position"],
        arm_gain=float(grasped["arm_gain"]),
        hand_gain=float(grasped["hand_gain"]),
        held=True,
        arm_target=grasped["arm_target"],
        hand_target=grasped["hand_target"],
        contacts=grasped["contacts"],
        bodies={body: target},
    )


def beside(state: WorldState) -> Array:
    """Distance of the brick's centre from the goal, sideways, m. Shape: (N,)"""
    return norm((state.object_pose.position - state.goal_position)[:, :2])


def above(state: WorldState) -> Array:
    """Height of the brick's centre above the goal, m. Shape: (N,)"""
    return state.object_pose.position[:, 2] - state.goal_position[:, 2]


def uprightness(quaternion: Array) -> Array:
    """Cosine of the tilt. Shape: (N, 4) -> (N,)"""
    return 1.0 - 2.0 * (quaternion[:, 1] ** 2 + quaternion[:, 2] ** 2)


def standing(state: WorldState, config: SetDownConfig, half_width: float) -> Array:
    """The brick is upright at the goal's height, its centre on the target. Shape: (N,)"""
    return (
        (abs(above(state)) < config.height_tolerance)
        & (beside(state) < half_width)
        & (uprightness(state.object_pose.quaternion) > config.upright)
    )


def reward_terms(
    state: WorldState, config: SetDownConfig, target: str, half_width: float
) -> dict[str, Array]:
    """The reward's terms of one control step; their sum is the reward. Shapes: (N,)"""
    sideways = beside(state)
    distance = norm(state.object_pose.position - state.goal_position)
    stands = standing(state, config, half_width)
    tilt = uprightness(state.object_pose.quaternion)
    tanh, low = namespace(tilt).tanh, number(abs(above(state)) < 0.05, tilt)
    return {
        "distance": config.distance_weight * (1.0 - tanh(6.0 * distance)),
        "centre": config.centre_weight * (1.0 - tanh(30.0 * sideways)) * low,
        "standing": config.standing_weight * number(stands, tilt),
        "released": config.released_weight * number(stands & ~state.contacts.any(axis=1), tilt),
        "success": config.success_weight * number(momentary_success(state, config, target), tilt),
        "fallen": -config.fallen_weight * number(tilt < config.fallen, tilt),
    }


def total_reward(terms: dict[str, Array]) -> Array:
    """Sum of the terms. Shape: (N,)"""
    total = namespace(terms["distance"]).zeros_like(terms["distance"])
    for term in terms.values():
        total += term
    return total


def momentary_success(state: WorldState, config: SetDownConfig, target: str) -> Array:
    """All conditions of success at this control step. Shape: (N,)"""
    return (
        (beside(state) < config.tolerance)
        & (abs(above(state)) < config.height_tolerance)
        & (uprightness(state.object_pose.quaternion) > config.upright)
        & ~state.contacts.any(axis=1)
        & (_palm_distance(state) > config.palm_away)
        & _at_rest(state, config, state.bodies[target])
    )


def success(state: WorldState, config: SetDownConfig) -> Array:
    """The momentary condition has held for the last `hold_steps` control steps. Shape: (N,)"""
    return state.held_steps >= config.hold_steps


def terminated(state: WorldState, config: SetDownConfig) -> Array:
    """The brick is lost: swept away, or no longer a number. Shape: (N,)"""
    inside = (beside(state) <= config.lost_radius) & (state.object_pose.position[:, 2] >= config.lost_below)
    return ~inside


def termination_reason(config: SetDownConfig) -> str:
    """What `terminated` means, for people."""
    return (
        f"object lost: more than {config.lost_radius:g} m beside the goal, "
        f"or below {config.lost_below:g} m height"
    )


def outcome(state: WorldState, config: SetDownConfig, target: str) -> list[str]:
    """How each world's episode has ended, in a few words for reports; length N."""
    lost, won = terminated(state, config), success(state, config)
    tilt = uprightness(state.object_pose.quaternion)
    touched = state.contacts.any(axis=1)
    height, sideways = above(state), beside(state)
    words = []
    for i in range(state.num_worlds):
        if lost[i]:
            words.append("object lost")
        elif won[i]:
            words.append("success")
        elif tilt[i] < config.fallen:
            words.append("fallen")
        elif touched[i]:
            words.append("not released")
        elif abs(height[i]) >= config.height_tolerance:
            words.append("released, not at the goal's height")
        elif sideways[i] >= config.tolerance:
            words.append("released beside the goal")
        else:
            words.append("at the goal, not upright, not at rest, or the palm too near")
    return words


def _palm_distance(state: WorldState) -> Array:
    return norm(state.object_pose.position - state.palm.position)


def _at_rest(state: WorldState, config: SetDownConfig, target: BodyState) -> Array:
    return (
        (norm(state.object_velocity[:, :3]) < config.still)
        & (norm(target.velocity[:, :3]) < config.still)
        & (uprightness(target.pose.quaternion) > config.upright)
    )
