"""Push-grasp: a box too flat and too wide to be grasped where it lies is pushed against a kerb, tipped up on
it, and lifted.

Push-Grasp is one of the six tasks of the RFS paper; scene and numbers are ours. The box is 12 cm square and 2
cm high: fingers and thumb do not span it, and nothing goes under it. A kerb, 4 cm high and fixed to the
table, stands 3 to 7 cm behind it. Against the kerb the thumb can tip the box up by its near edge; then
fingers on its upper face and thumb on its lower face pinch it. Success: its centre 15 cm above where it lay,
near the palm, no arm joint at its limit, held for some control steps.

Pure functions of a batched `WorldState`; numpy arrays or torch tensors.
"""

from dataclasses import dataclass

import numpy as np

from rfs_core import robot
from rfs_core.arrays import Array, namespace, norm, number
from rfs_core.config import param
from rfs_core.scene import Body, BodyStart, EpisodeStart, ObjectShape, Solid
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import grasp, parts
from rfs_core.tasks.set_down import total_reward as total_reward
from rfs_core.world_state import WorldState

NAME = "push_grasp"

MAX_EPISODE_STEPS = 90
"""Control steps of an episode (4.5 s at 20 Hz)."""

OBJECT_SOLIDS: tuple[Solid, ...] = ()
"""The object is a primitive."""

TARGET_BODY = "kerb"
KERB_HALF_DEPTH = 0.015
"""m, along the push"""
KERB_HALF_HEIGHT = 0.02
"""m: higher than the box lying, so that it stops it; low enough for fingers behind the tipped box"""

BODIES = (
    Body(
        TARGET_BODY,
        (Solid("box", (KERB_HALF_DEPTH, 0.20, KERB_HALF_HEIGHT)),),
        friction=0.8,
    ),
)
"""Fixed to the table."""

CARRIES = False
"""The object is not carried about: friction may creep a little."""

BOX = ObjectShape("flat box", "box", (0.06, 0.06, 0.010))

OBSERVATION_SPEC = ObservationSpec(
    (
        parts.ARM_POSITION,
        parts.HAND_POSITION,
        parts.PALM_POSITION,
        parts.PALM_ROTATION,
        parts.OBJECT_POSITION,
        parts.OBJECT_ROTATION,
        parts.TARGET_POSITION,
        parts.GOAL_POSITION,
        parts.CONTACTS,
    )
)
"""Proprioception, box, kerb, goal, contacts."""


@dataclass(frozen=True)
class Config:
    """Ranges of a reset, weights of the reward, thresholds of success."""

    object_x: tuple[float, float] = param((0.52, 0.56), doc="Box's centre at reset, base frame x.", unit="m")
    object_y: tuple[float, float] = param((-0.08, 0.08), doc="Box's centre at reset, base frame y.", unit="m")
    object_yaw: tuple[float, float] = param((-0.12, 0.12), doc="Box's heading at reset.", unit="rad")
    object_scale: tuple[float, float] = param((0.95, 1.05), doc="Factor on each of the box's lengths.")
    object_mass: tuple[float, float] = param((0.08, 0.14), doc="Mass of the box.", unit="kg")
    object_friction: tuple[float, float] = param((0.9, 1.1), doc="Sliding friction of the box's contacts.")
    gap: tuple[float, float] = param((0.03, 0.07), doc="From the box's far side to the kerb.", unit="m")
    arm_offset: float = param(
        0.05, doc="Each arm joint starts within this of grasp's ARM_START.", unit="rad", low=0.0
    )
    hand_offset: float = param(
        0.05, doc="Each hand joint starts within this of HAND_OPEN.", unit="rad", low=0.0
    )
    arm_gain: tuple[float, float] = param((0.9, 1.1), doc="Factor on the arm's stiffness and damping.")
    hand_gain: tuple[float, float] = param((0.8, 1.2), doc="Factor on the hand's stiffness.")

    lift_height: float = param(
        0.15, doc="Success: rise of the box's centre above its rest.", unit="m", low=0.0
    )
    near_palm: float = param(
        0.17, doc="Success: distance of the box's centre from the palm.", unit="m", low=0.0
    )
    limit_margin: float = param(
        0.05, doc="Success: every arm joint this far inside its limits.", unit="rad", low=0.0
    )
    hold_steps: int = param(5, doc="Success: control steps for which all of this must have held.", low=1)
    goal_rise: float = param(0.20, doc="The goal lies this far above where the box lay.", unit="m", low=0.0)
    too_high: float = param(0.30, doc="Rise from which lifting higher is penalised.", unit="m", low=0.0)
    lost_radius: float = param(
        0.30, doc="Box lost: this far from the kerb's middle, sideways.", unit="m", low=0.0
    )
    lost_below: float = param(-0.05, doc="Box lost: its centre below this height.", unit="m")

    reach_weight: float = param(0.1, doc="Reward: fingertips near the box.")
    push_weight: float = param(0.1, doc="Reward: box at the kerb, or off the table.")
    tilt_weight: float = param(0.2, doc="Reward: box tipped up towards full_tilt.")
    full_tilt: float = param(0.8, doc="Tilt from which tilting more pays nothing.", unit="rad", low=0.0)
    contact_weight: float = param(0.1, doc="Reward: thumb and a finger or the palm touch the box.")
    lift_weight: float = param(0.5, doc="Reward: share of lift_height reached, near the palm.")
    success_weight: float = param(1.0, doc="Reward: the momentary success condition.")
    too_high_weight: float = param(0.5, doc="Penalty: lifted above too_high.")
    limit_weight: float = param(0.1, doc="Penalty: an arm joint within limit_margin of its limit.")


DEFAULT = Config()


def draw_episode(rng: np.random.Generator, config: Config = DEFAULT) -> EpisodeStart:
    """Draws an episode's start, always in the same order, so that equal generators give equal episodes."""
    size = tuple(float(s) for s in rng.uniform(*config.object_scale, size=3) * BOX.size)
    shape = ObjectShape(BOX.name, BOX.kind, size)  # type: ignore[arg-type]
    mass = float(rng.uniform(*config.object_mass))
    friction = float(rng.uniform(*config.object_friction))
    x, y = rng.uniform(*config.object_x), rng.uniform(*config.object_y)
    yaw, gap = rng.uniform(*config.object_yaw), rng.uniform(*config.gap)
    arm = np.asarray(grasp.ARM_START) + rng.uniform(-config.arm_offset, config.arm_offset, size=7)
    hand = np.asarray(robot.HAND_OPEN) + rng.uniform(-config.hand_offset, config.hand_offset, size=16)
    arm_gain, hand_gain = float(rng.uniform(*config.arm_gain)), float(rng.uniform(*config.hand_gain))
    reach = size[0] * np.cos(yaw) + size[1] * abs(np.sin(yaw))
    kerb = np.array([x + reach + gap + KERB_HALF_DEPTH, y, KERB_HALF_HEIGHT])
    return EpisodeStart(
        shape=shape,
        object_mass=mass,
        object_friction=friction,
        object_position=np.array([x, y, shape.half_height]),
        object_quaternion=np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]),
        goal_position=np.array([x + gap, y, shape.half_height + config.goal_rise]),
        arm_position=np.clip(arm, robot.ARM_LIMITS[0], robot.ARM_LIMITS[1]),
        hand_position=np.clip(hand, robot.HAND_LIMITS[0], robot.HAND_LIMITS[1]),
        arm_gain=arm_gain,
        hand_gain=hand_gain,
        bodies={TARGET_BODY: BodyStart(kerb, np.array([1.0, 0.0, 0.0, 0.0]))},
    )


def observe(state: WorldState) -> Array:
    """Observation of every world. Shape: (N, OBSERVATION_SPEC.size)"""
    return parts.observe(OBSERVATION_SPEC, state, TARGET_BODY)


def rise(state: WorldState) -> Array:
    """Height of the box's centre above its rest, m. Shape: (N,)"""
    return grasp.rise(state)


def gap(state: WorldState) -> Array:
    """From the box's far side, were it not tilted, to the kerb, m; less where it is tipped up. Shape: (N,)"""
    kerb = state.bodies[TARGET_BODY].pose.position[:, 0] - KERB_HALF_DEPTH
    return (kerb - state.object_pose.position[:, 0] - BOX.size[0]).clip(0.0, None)


def tilt(state: WorldState) -> Array:
    """Angle between the box's axis and the vertical, rad, 0 to pi. Shape: (N,)"""
    q = state.object_pose.quaternion
    return namespace(q).acos((1.0 - 2.0 * (q[:, 1] ** 2 + q[:, 2] ** 2)).clip(-1.0, 1.0))


def reward_terms(state: WorldState, config: Config = DEFAULT) -> dict[str, Array]:
    """The reward's terms of one control step; their sum is the reward. Shapes: (N,)"""
    tips = norm(state.fingertip_position - state.object_pose.position[:, None]).mean(axis=1)
    height = rise(state)
    near = number(grasp.palm_distance(state) < config.near_palm, height)
    limit = grasp.limit_distance(state)
    xp, thumb = namespace(height), state.contacts[:, 3]
    opposite = state.contacts[:, :3].any(axis=1) | state.contacts[:, 4]
    pushed = xp.maximum(1.0 - xp.tanh(20.0 * gap(state)), number(height > 0.05, height))
    return {
        "distance": config.reach_weight * (1.0 - xp.tanh(8.0 * (tips - 0.03).clip(0.0, None))),
        "push": config.push_weight * pushed,
        "tilt": config.tilt_weight * (tilt(state) / config.full_tilt).clip(0.0, 1.0) * near,
        "contact": config.contact_weight * number(thumb & opposite, height),
        "lift": config.lift_weight * (height / config.lift_height).clip(0.0, 1.0) * near,
        "success": config.success_weight * number(momentary_success(state, config), height),
        "too_high": -config.too_high_weight * number(height > config.too_high, height),
        "joint_limit": -config.limit_weight * number(limit < config.limit_margin, height),
    }


def momentary_success(state: WorldState, config: Config = DEFAULT) -> Array:
    """Lifted, near the palm, in a feasible arm pose, at this control step. Shape: (N,)"""
    return (
        (rise(state) >= config.lift_height)
        & (grasp.palm_distance(state) <= config.near_palm)
        & (grasp.limit_distance(state) >= config.limit_margin)
    )


def success(state: WorldState, config: Config = DEFAULT) -> Array:
    """The momentary condition has held for the last `hold_steps` control steps. Shape: (N,)"""
    return state.held_steps >= config.hold_steps


def terminated(state: WorldState, config: Config = DEFAULT) -> Array:
    """The box is lost: swept away, fallen, or no longer a number. Shape: (N,)"""
    position = state.object_pose.position
    away = norm(position[:, :2] - state.bodies[TARGET_BODY].pose.position[:, :2])
    return ~((away <= config.lost_radius) & (position[:, 2] >= config.lost_below))


def termination_reason(config: Config = DEFAULT) -> str:
    """What `terminated` means, for people."""
    return (
        f"object lost: more than {config.lost_radius:g} m from the kerb's middle, "
        f"or below {config.lost_below:g} m height"
    )


def outcome(state: WorldState, config: Config = DEFAULT) -> list[str]:
    """How each world's episode has ended, in a few words for reports; length N."""
    lost, won = terminated(state, config), success(state, config)
    height, near = rise(state), grasp.palm_distance(state) <= config.near_palm
    free, tipped, apart = grasp.limit_distance(state) >= config.limit_margin, tilt(state) > 0.2, gap(state)
    words = []
    for i in range(state.num_worlds):
        if lost[i]:
            words.append("object lost")
        elif won[i]:
            words.append("success")
        elif height[i] < 0.5 * config.lift_height:
            if tipped[i]:
                words.append("tipped up, not lifted")
            else:
                words.append("flat, at the kerb" if apart[i] < 0.01 else "flat, not at the kerb")
        elif not near[i]:
            words.append("lifted, not near the palm")
        elif height[i] < config.lift_height:
            words.append("lifted, not high enough")
        elif not free[i]:
            words.append("lifted, arm joint at its limit")
        else:
            words.append("lifted, not held long enough")
    return words
