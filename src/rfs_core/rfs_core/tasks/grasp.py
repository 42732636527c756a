"""Grasp: take an object from the table, lift it 20 cm and hold it near the palm.

Reward in three stages and success follow the RFS paper (ICLR 2026, appendix on simulation tasks): fingers
near the object; fingertips and palm in contact; object lifted to a target height, with penalties for
lifting too high and for joints at their limits. Success: the object at least 20 cm above where it stood,
near the palm, with a feasible arm pose, held for some control steps.

Pure functions of a batched `WorldState`; numpy arrays or torch tensors.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_core.arrays import Array, like, namespace, norm, number, single
from rfs_core.config import param
from rfs_core.scene import Body, EpisodeStart, ObjectShape, Solid
from rfs_core.specs import ObservationSpec, Part
from rfs_core.world_state import WorldState

NAME = "grasp"

MAX_EPISODE_STEPS = 64
"""Control steps of an episode (3.2 s at 20 Hz)."""

BODIES: tuple[Body, ...] = ()
"""Nothing beside the object."""

OBJECT_SOLIDS: tuple[Solid, ...] = ()
"""The object is a primitive."""

TARGET_BODY = ""
"""The goal is a place in the air."""

CARRIES = False
"""The object is not carried about: friction may creep a little."""


OBJECTS: tuple[ObjectShape, ...] = (
    ObjectShape("cube", "box", (0.030, 0.030, 0.030)),
    ObjectShape("brick", "box", (0.030, 0.030, 0.040)),
    ObjectShape("bar", "box", (0.025, 0.040, 0.035)),
    ObjectShape("carton", "box", (0.030, 0.030, 0.050)),
    ObjectShape("slab", "box", (0.022, 0.035, 0.045)),
    ObjectShape("block", "box", (0.035, 0.035, 0.035)),
    ObjectShape("can", "cylinder", (0.032, 0.032, 0.045)),
    ObjectShape("tin", "cylinder", (0.036, 0.036, 0.035)),
)
"""The training set. Spheres and lying capsules are left out: the demonstrator never lifts them."""


@dataclass(frozen=True)
class GraspConfig:
    """Ranges of a reset, weights of the reward, thresholds of success."""

    object_x: tuple[float, float] = param(
        (0.52, 0.64), doc="Object's centre at reset, base frame x.", unit="m"
    )
    object_y: tuple[float, float] = param(
        (-0.12, 0.12), doc="Object's centre at reset, base frame y.", unit="m"
    )
    object_yaw: tuple[float, float] = param((-0.4, 0.4), doc="Object's heading at reset.", unit="rad")
    object_scale: tuple[float, float] = param((0.92, 1.08), doc="Factor on each of the object's lengths.")
    object_mass: tuple[float, float] = param((0.05, 0.15), doc="Mass of the object.", unit="kg")
    object_friction: tuple[float, float] = param(
        (0.8, 1.2), doc="Sliding friction of all the object's contacts."
    )
    arm_offset: float = param(
        0.06, doc="Each arm joint starts within this of ARM_START.", unit="rad", low=0.0
    )
    hand_offset: float = param(
        0.05, doc="Each hand joint starts within this of HAND_OPEN.", unit="rad", low=0.0
    )
    arm_gain: tuple[float, float] = param((0.9, 1.1), doc="Factor on the arm's stiffness and damping.")
    hand_gain: tuple[float, float] = param((0.8, 1.2), doc="Factor on the hand's stiffness.")

    lift_height: float = param(
        0.20, doc="Success: rise of the object's centre above its rest.", unit="m", low=0.0
    )
    near_palm: float = param(
        0.15, doc="Success: distance of the object's centre from the palm.", unit="m", low=0.0
    )
    limit_margin: float = param(
        0.05, doc="Success: every arm joint this far inside its limits.", unit="rad", low=0.0
    )
    hold_steps: int = param(5, doc="Success: control steps for which all of this must have held.", low=1)
    goal_rise: float = param(
        0.24, doc="The goal lies this far above where the object stood.", unit="m", low=0.0
    )
    too_high: float = param(0.32, doc="Rise from which lifting higher is penalised.", unit="m", low=0.0)
    lost_radius: float = param(
        0.30, doc="Object lost: this far from where it stood, sideways.", unit="m", low=0.0
    )
    lost_below: float = param(-0.05, doc="Object lost: its centre below this height.", unit="m")

    reach_weight: float = param(0.1, doc="Reward: fingertips near the object.")
    contact_weight: float = param(0.1, doc="Reward: thumb and a finger or the palm touch the object.")
    lift_weight: float = param(0.5, doc="Reward: share of lift_height reached, near the palm.")
    success_weight: float = param(1.0, doc="Reward: the momentary success condition.")
    too_high_weight: float = param(0.5, doc="Penalty: lifted above too_high.")
    limit_weight: float = param(0.1, doc="Penalty: an arm joint within limit_margin of its limit.")


Config = GraspConfig

DEFAULT = GraspConfig()

ARM_START: tuple[float, ...] = (0.0, -0.03, 0.0, -2.75, 0.0, 3.69, 0.0)
"""rad, where the arm's randomised start is centred: the palm above and behind the objects, looking down."""


def draw_episode(
    rng: np.random.Generator, config: GraspConfig = DEFAULT, objects: tuple[ObjectShape, ...] = OBJECTS
) -> EpisodeStart:
    """Draws an episode's start, always in the same order, so that equal generators give equal episodes."""
    base = objects[int(rng.integers(len(objects)))]
    scale = rng.uniform(*config.object_scale, size=3)
    if base.kind != "box":
        scale[1] = scale[0]
    shape = ObjectShape(base.name, base.kind, tuple(float(s) for s in scale * base.size))  # type: ignore[arg-type]
    mass = float(rng.uniform(*config.object_mass))
    friction = float(rng.uniform(*config.object_friction))
    x, y = rng.uniform(*config.object_x), rng.uniform(*config.object_y)
    yaw = rng.uniform(*config.object_yaw)
    arm = np.asarray(ARM_START) + rng.uniform(-config.arm_offset, config.arm_offset, size=7)
    hand = np.asarray(robot.HAND_OPEN) + rng.uniform(-config.hand_offset, config.hand_offset, size=16)
    arm_gain, hand_gain = float(rng.uniform(*config.arm_gain)), float(rng.uniform(*config.hand_gain))
    position = np.array([x, y, shape.half_height])
    return EpisodeStart(
        shape=shape,
        object_mass=mass,
        object_friction=friction,
        object_position=position,
        object_quaternion=np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]),
        goal_position=position + np.array([0.0, 0.0, config.goal_rise]),
        arm_position=np.clip(arm, robot.ARM_LIMITS[0], robot.ARM_LIMITS[1]),
        hand_position=np.clip(hand, robot.HAND_LIMITS[0], robot.HAND_LIMITS[1]),
        arm_gain=arm_gain,
        hand_gain=hand_gain,
    )


def _joint_part(name: str, limits: NDArray[np.float64]) -> Part:
    return Part(name, (limits.shape[1],), "rad", tuple(limits[0].tolist()), tuple(limits[1].tolist()))


OBSERVATION_SPEC = ObservationSpec(
    (
        _joint_part("arm_position", robot.ARM_LIMITS),
        _joint_part("hand_position", robot.HAND_LIMITS),
        Part("palm_position", (3,), "m", -1.5, 1.5, robot.BASE_FRAME),
        Part("palm_rotation", (6,), "1", -1.0, 1.0, robot.BASE_FRAME),
        Part("object_position", (3,), "m", -1.5, 1.5, robot.BASE_FRAME),
        Part("object_rotation", (6,), "1", -1.0, 1.0, robot.BASE_FRAME),
        Part("goal_position", (3,), "m", -1.5, 1.5, robot.BASE_FRAME),
        Part("contacts", (len(robot.CONTACT_NAMES),), "1", 0.0, 1.0),
    )
)
"""What a state policy sees: proprioception, object pose, goal, contacts. Nodes observe the same from
topics."""


def observe(state: WorldState) -> Array:
    """Observation of every world. Shape: (N, OBSERVATION_SPEC.size)"""
    parts = (
        state.arm_position,
        state.hand_position,
        state.palm.position,
        se3.rotation_6d(state.palm.quaternion),
        state.object_pose.position,
        se3.rotation_6d(state.object_pose.quaternion),
        state.goal_position,
        state.contacts,
    )
    return namespace(parts[0]).concat([single(part) for part in parts], axis=1)


def rise(state: WorldState) -> Array:
    """Height of the object's centre above its rest, m. Shape: (N,)"""
    return state.object_pose.position[:, 2] - state.object_rest_height


def palm_distance(state: WorldState) -> Array:
    """Distance of the object's centre from the palm, m. Shape: (N,)"""
    return norm(state.object_pose.position - state.palm.position)


def limit_distance(state: WorldState) -> Array:
    """Smallest distance of an arm joint to its limits, rad; negative outside. Shape: (N,)"""
    xp, q = namespace(state.arm_position), state.arm_position
    limits = like(robot.ARM_LIMITS, q)
    return xp.min(xp.minimum(q - limits[0], limits[1] - q), axis=1)


def reward_terms(state: WorldState, config: GraspConfig = DEFAULT) -> dict[str, Array]:
    """The reward's terms of one control step; their sum is the reward. Shapes: (N,)"""
    tips = norm(state.fingertip_position - state.object_pose.position[:, None]).mean(axis=1)
    height = rise(state)
    near = palm_distance(state) < config.near_palm
    xp, thumb = namespace(height), state.contacts[:, 3]
    opposite = state.contacts[:, :3].any(axis=1) | state.contacts[:, 4]
    return {
        "distance": config.reach_weight * (1.0 - xp.tanh(8.0 * (tips - 0.03).clip(0.0, None))),
        "contact": config.contact_weight * number(thumb & opposite, height),
        "lift": config.lift_weight * (height / config.lift_height).clip(0.0, 1.0) * number(near, height),
        "success": config.success_weight * number(momentary_success(state, config), height),
        "too_high": -config.too_high_weight * number(height > config.too_high, height),
        "joint_limit": -config.limit_weight * number(limit_distance(state) < config.limit_margin, height),
    }


def total_reward(terms: dict[str, Array]) -> Array:
    """Sum of the terms. Shape: (N,)"""
    total = namespace(terms["distance"]).zeros_like(terms["distance"])
    for term in terms.values():
        total += term
    return total


def momentary_success(state: WorldState, config: GraspConfig = DEFAULT) -> Array:
    """Lifted, near the palm, in a feasible arm pose, at this control step. Shape: (N,)"""
    return (
        (rise(state) >= config.lift_height)
        & (palm_distance(state) <= config.near_palm)
        & (limit_distance(state) >= config.limit_margin)
    )


def success(state: WorldState, config: GraspConfig = DEFAULT) -> Array:
    """The momentary condition has held for the last `hold_steps` control steps. Shape: (N,)"""
    return state.held_steps >= config.hold_steps


def terminated(state: WorldState, config: GraspConfig = DEFAULT) -> Array:
    """The object is lost: swept away, fallen, or no longer a number. Shape: (N,)"""
    position = state.object_pose.position
    away = norm(position[:, :2] - state.goal_position[:, :2])  # the goal is above where the object stood
    inside = (away <= config.lost_radius) & (position[:, 2] >= config.lost_below)
    return ~inside


def termination_reason(config: GraspConfig = DEFAULT) -> str:
    """What `terminated` means, for people."""
    return (
        f"object lost: more than {config.lost_radius:g} m from where it stood, "
        f"or below {config.lost_below:g} m height"
    )


def outcome(state: WorldState, config: GraspConfig = DEFAULT) -> list[str]:
    """How each world's episode has ended, in a few words for reports; length N."""
    lost, won = terminated(state, config), success(state, config)
    height, near = rise(state), palm_distance(state) <= config.near_palm
    free = limit_distance(state) >= config.limit_margin
    words = []
    for i in range(state.num_worlds):
        if lost[i]:
            words.append("object lost")
        elif won[i]:
            words.append("success")
        elif height[i] < 0.25 * config.lift_height:
            words.append("not lifted or dropped")
        elif not near[i]:
            words.append("lifted, not near the palm")
        elif height[i] < config.lift_height:
            words.append("lifted, not high enough")
        elif not free[i]:
            words.append("lifted, arm joint at its limit")
        else:
            words.append("lifted, not held long enough")
    return words
