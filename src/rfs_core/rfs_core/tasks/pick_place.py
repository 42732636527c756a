"""Pick-place: take the brick from the table, put it upright on a mark beside it, and let go.

*Place* from the beginning: the hand starts open above the brick, as in *grasp*, instead of holding it.
Brick, mark, observation and success are those of *place*, so that the two tell apart what the start in the
hand makes easier.

Pure functions of a batched `WorldState`; numpy arrays or torch tensors.
"""

from dataclasses import dataclass

import numpy as np

from rfs_core import robot
from rfs_core.arrays import Array, namespace, norm, number
from rfs_core.config import param
from rfs_core.scene import BodyStart, EpisodeStart, Solid
from rfs_core.tasks import grasp, held, parts, place, set_down
from rfs_core.tasks.place import BODIES as BODIES
from rfs_core.tasks.place import HALF_WIDTH as HALF_WIDTH
from rfs_core.tasks.place import HEIGHT as HEIGHT
from rfs_core.tasks.place import TARGET_BODY as TARGET_BODY
from rfs_core.tasks.set_down import OBSERVATION_SPEC as OBSERVATION_SPEC
from rfs_core.tasks.set_down import success as success
from rfs_core.tasks.set_down import terminated as terminated
from rfs_core.tasks.set_down import termination_reason as termination_reason
from rfs_core.tasks.set_down import total_reward as total_reward
from rfs_core.world_state import WorldState

NAME = "pick_place"

MAX_EPISODE_STEPS = 96
"""Control steps of an episode (4.8 s at 20 Hz): the script needs about 55, and may have to grasp again."""

OBJECT_SOLIDS: tuple[Solid, ...] = ()
"""The object is a primitive."""

CARRIES = True
"""The brick is carried: friction must not creep."""


@dataclass(frozen=True)
class Config(place.Config):
    """Numbers of pick-place beside those of place."""

    object_x: tuple[float, float] = param((0.53, 0.59), doc="Brick at reset, base frame x.", unit="m")
    object_y: tuple[float, float] = param((-0.12, -0.04), doc="Brick at reset, base frame y.", unit="m")
    object_yaw: tuple[float, float] = param((-0.2, 0.2), doc="Brick's heading at reset.", unit="rad")
    object_mass: tuple[float, float] = param((0.07, 0.09), doc="Mass of the brick.", unit="kg")
    arm_offset: float = param(
        0.03, doc="Each arm joint starts within this of grasp's ARM_START.", unit="rad", low=0.0
    )
    hand_offset: float = param(
        0.05, doc="Each hand joint starts within this of HAND_OPEN.", unit="rad", low=0.0
    )
    arm_gain: tuple[float, float] = param((0.9, 1.1), doc="Factor on the arm's stiffness and damping.")
    hand_gain: tuple[float, float] = param((0.8, 1.2), doc="Factor on the hand's stiffness.")

    reach_weight: float = param(0.1, doc="Reward: fingertips near the brick, until it is where it shall be.")
    carried_weight: float = param(
        0.3, doc="Reward: brick lifted between thumb and fingers, or standing there."
    )
    carried_height: float = param(0.03, doc="Lifted by this pays all of it.", unit="m", low=0.001)


DEFAULT = Config()


def draw_episode(rng: np.random.Generator, config: Config = DEFAULT) -> EpisodeStart:
    """Draws an episode's start, always in the same order, so that equal generators give equal episodes."""
    mass = float(rng.uniform(*config.object_mass))
    x, y = rng.uniform(*config.object_x), rng.uniform(*config.object_y)
    yaw = rng.uniform(*config.object_yaw)
    arm = np.asarray(grasp.ARM_START) + rng.uniform(-config.arm_offset, config.arm_offset, size=7)
    hand = np.asarray(robot.HAND_OPEN) + rng.uniform(-config.hand_offset, config.hand_offset, size=16)
    arm_gain, hand_gain = float(rng.uniform(*config.arm_gain)), float(rng.uniform(*config.hand_gain))
    goal_x, goal_y = x + rng.uniform(*config.target_along), y + rng.uniform(*config.target_side)
    turn = rng.uniform(*config.target_yaw)
    mark = BodyStart(
        np.array([goal_x, goal_y, HEIGHT]), np.array([np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)])
    )
    return EpisodeStart(
        shape=held.BRICK,
        object_mass=mass,
        object_friction=held.FRICTION,
        object_position=np.array([x, y, held.BRICK.half_height]),
        object_quaternion=np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]),
        goal_position=np.array([goal_x, goal_y, held.BRICK.half_height]),
        arm_position=np.clip(arm, robot.ARM_LIMITS[0], robot.ARM_LIMITS[1]),
        hand_position=np.clip(hand, robot.HAND_LIMITS[0], robot.HAND_LIMITS[1]),
        arm_gain=arm_gain,
        hand_gain=hand_gain,
        bodies={TARGET_BODY: mark},
    )


def observe(state: WorldState) -> Array:
    """Observation of every world. Shape: (N, OBSERVATION_SPEC.size)"""
    return parts.observe(OBSERVATION_SPEC, state, TARGET_BODY)


def reward_terms(state: WorldState, config: Config = DEFAULT) -> dict[str, Array]:
    """Those of place, and what pays on the way there; their sum is the reward. Shapes: (N,)"""
    terms = set_down.reward_terms(state, config, TARGET_BODY, HALF_WIDTH)
    stands = set_down.standing(state, config, HALF_WIDTH)
    tips = norm(state.fingertip_position - state.object_pose.position[:, None]).mean(axis=1)
    reached = 1.0 - namespace(tips).tanh(8.0 * (tips - 0.03).clip(0.0, None))
    lifted = (set_down.above(state) / config.carried_height).clip(0.0, 1.0)
    gripped = number(state.contacts[:, 3] & state.contacts[:, :3].any(axis=1), tips)
    there = number(stands, tips)
    terms["reach"] = config.reach_weight * (there + (1.0 - there) * reached)
    terms["carried"] = config.carried_weight * (there + (1.0 - there) * gripped * lifted)
    return terms


def momentary_success(state: WorldState, config: Config = DEFAULT) -> Array:
    """See `set_down.momentary_success`."""
    return set_down.momentary_success(state, config, TARGET_BODY)


def outcome(state: WorldState, config: Config = DEFAULT) -> list[str]:
    """How each world's episode has ended, in a few words for reports; length N."""
    words = set_down.outcome(state, config, TARGET_BODY)
    for i, sideways in enumerate(set_down.beside(state)):
        if words[i] not in ("success", "object lost") and sideways > HALF_WIDTH:
            words[i] = "not carried to the mark"
    return words
