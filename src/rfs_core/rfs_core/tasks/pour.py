"""Pour: tip four balls out of the cup in the hand into a bowl beside it, and keep the cup.

Pour is one of the six tasks of the RFS paper; the numbers are ours. Cup and balls are rigid: a square cup,
open at the top, of the brick's width, so that the brick's grasps hold it; balls of 16 mm. The bowl is four
walls around a square of 9 cm, 4 cm high and fixed to the table. Success, held for some control steps up to
the end: at least 75 % of the balls in the bowl, the cup still in the hand.

Pure functions of a batched `WorldState`; numpy arrays or torch tensors.
"""

from dataclasses import dataclass

import numpy as np

from rfs_core import se3
from rfs_core.arrays import Array, like, namespace, norm, number
from rfs_core.config import param
from rfs_core.scene import Body, BodyStart, EpisodeStart, ObjectShape, Solid
from rfs_core.tasks import held, parts, set_down
from rfs_core.tasks.set_down import OBSERVATION_SPEC as OBSERVATION_SPEC
from rfs_core.world_state import WorldState

NAME = "pour"

MAX_EPISODE_STEPS = 80
"""Control steps of an episode (4 s at 20 Hz)."""

TARGET_BODY = "bowl"

CARRIES = True
"""The cup is carried: friction must not creep."""

WIDTH = held.BRICK.size[0]
"""m, half width of the cup outside: that of the brick"""
CUP_WALL = 0.008
"""m, thickness of walls and floor: thick enough that fingers and balls stay on their sides of it"""
BOTTOM, TOP = -held.BRICK.half_height, 0.022
"""m, the cup's ends in its frame, whose origin is where the brick's centre would be. Lower than the brick, so
that the balls pass between its edge and the palm."""
BALL_RADIUS = 0.008
"""m"""
BALL_MASS = 0.004
"""kg"""
NUM_BALLS = 4
BALLS = tuple(f"ball_{i}" for i in range(NUM_BALLS))

INNER = 0.045
"""m, half width of the bowl inside"""
RIM = 0.040
"""m, its height"""
BOWL_WALL = 0.010
"""m"""


def _walls(inner: float, thickness: float, low: float, high: float) -> tuple[Solid, ...]:
    """Four walls around a square."""
    middle, z, height = inner + thickness / 2, (low + high) / 2, (high - low) / 2
    long, short = (thickness / 2, inner + thickness, height), (inner, thickness / 2, height)
    return (
        Solid("box", long, (middle, 0.0, z)),
        Solid("box", long, (-middle, 0.0, z)),
        Solid("box", short, (0.0, middle, z)),
        Solid("box", short, (0.0, -middle, z)),
    )


OBJECT_SOLIDS = (
    *_walls(WIDTH - CUP_WALL, CUP_WALL, BOTTOM, TOP),
    Solid("box", (WIDTH - CUP_WALL, WIDTH - CUP_WALL, CUP_WALL / 2), (0.0, 0.0, BOTTOM + CUP_WALL / 2)),
)
"""The cup."""

CUP = ObjectShape("cup", "solids", (WIDTH, WIDTH, held.BRICK.half_height), OBJECT_SOLIDS)

BODIES = (
    Body(TARGET_BODY, _walls(INNER, BOWL_WALL, 0.0, RIM), friction=0.5),
    *(
        Body(
            name,
            (Solid("sphere", (BALL_RADIUS,) * 3),),
            mass=BALL_MASS,
            friction=0.3,
            rgba=(0.90, 0.25, 0.20, 1.0),
        )
        for name in BALLS
    ),
)
"""The bowl's frame lies on the table in its middle; it has no floor of its own."""

_UP = np.array([[0.0, 0.0, 1.0]])

_NEST = 0.0081
"""m, of each ball's centre from the middle of the four, x and y: they just do not touch."""


@dataclass(frozen=True)
class Config:
    """Ranges of a reset, weights of the reward, thresholds of success."""

    bowl_along: tuple[float, float] = param(
        (-0.02, 0.02), doc="Bowl from the cup at reset, base frame x.", unit="m"
    )
    bowl_side: tuple[float, float] = param(
        (0.10, 0.14), doc="Bowl from the cup at reset, base frame y.", unit="m"
    )
    bowl_yaw: tuple[float, float] = param((-0.2, 0.2), doc="Bowl's heading at reset.", unit="rad")
    pour_height: float = param(
        0.22, doc="The goal, where the cup's mouth shall pour, above the bowl's middle.", unit="m", low=0.0
    )

    share: float = param(0.75, doc="Success: share of the balls in the bowl.", low=0.0, high=1.0)
    near_palm: float = param(0.12, doc="Success: cup's middle this near to the palm.", unit="m", low=0.0)
    above_table: float = param(0.05, doc="Success: cup's middle above this height.", unit="m", low=0.0)
    hold_steps: int = param(5, doc="Success: control steps for which all of this must have held.", low=1)
    dropped: float = param(0.25, doc="Cup lost: its middle this far from the palm.", unit="m", low=0.0)
    lost_below: float = param(-0.05, doc="Cup lost: its middle below this height.", unit="m")

    distance_weight: float = param(0.2, doc="Reward: mouth of the cup above the bowl.")
    tilt_weight: float = param(0.2, doc="Reward: cup tilted, its mouth above the bowl.")
    balls_weight: float = param(0.6, doc="Reward: share of the balls in the bowl.")
    spilled_weight: float = param(0.3, doc="Penalty: share of the balls on the table.")
    dropped_weight: float = param(0.3, doc="Penalty: cup not in the hand.")
    success_weight: float = param(1.0, doc="Reward: the momentary success condition.")


DEFAULT = Config()


def draw_episode(rng: np.random.Generator, config: Config = DEFAULT) -> EpisodeStart:
    """Draws an episode's start, always in the same order, so that equal generators give equal episodes."""
    grasped = held.draw(rng)
    along, side = rng.uniform(*config.bowl_along), rng.uniform(*config.bowl_side)
    yaw = rng.uniform(*config.bowl_yaw)
    cup, turn = grasped["object_position"], grasped["object_quaternion"]
    bodies = {
        TARGET_BODY: BodyStart(
            np.array([cup[0] + along, cup[1] + side, 0.0]),
            np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]),
        )
    }
    # In the cup's lowest corner, where they would roll to.
    down = se3.quat_rotate(se3.quat_conjugate(turn[None]), np.array([[0.0, 0.0, -1.0]]))[0]
    middle = np.sign(down[:2]) * (WIDTH - CUP_WALL - BALL_RADIUS - _NEST)
    for name, corner in zip(BALLS, ((-1, -1), (-1, 1), (1, -1), (1, 1)), strict=True):
        place = np.array([*(middle + _NEST * np.array(corner)), BOTTOM + CUP_WALL + BALL_RADIUS])
        bodies[name] = BodyStart(cup + se3.quat_rotate(turn[None], place[None])[0], turn)
    return EpisodeStart(
        shape=CUP,
        object_mass=float(grasped["mass"]) - NUM_BALLS * BALL_MASS,
        object_friction=held.FRICTION,
        object_position=cup,
        object_quaternion=turn,
        goal_position=np.array([cup[0] + along, cup[1] + side, config.pour_height]),
        arm_position=grasped["arm_position"],
        hand_position=grasped["hand_position"],
        arm_gain=float(grasped["arm_gain"]),
        hand_gain=float(grasped["hand_gain"]),
        held=True,
        arm_target=grasped["arm_target"],
        hand_target=grasped["hand_target"],
        contacts=grasped["contacts"],
        bodies=bodies,
    )


def observe(state: WorldState) -> Array:
    """Observation of every world; the balls are not seen. Shape: (N, OBSERVATION_SPEC.size)"""
    return parts.observe(OBSERVATION_SPEC, state, TARGET_BODY)


def axis(state: WorldState) -> Array:
    """Direction from the cup's floor to its mouth. Shape: (N, 3)"""
    quaternion = state.object_pose.quaternion
    return se3.quat_rotate(quaternion, like(_UP, quaternion))


def mouth(state: WorldState) -> Array:
    """Middle of the cup's opening, m. Shape: (N, 3)"""
    return state.object_pose.position + TOP * axis(state)


def in_bowl(state: WorldState) -> Array:
    """Which balls are inside the bowl, below its rim. Shape: (N, NUM_BALLS)"""
    bowl = state.bodies[TARGET_BODY].pose
    back = se3.quat_conjugate(bowl.quaternion)
    inside = []
    for name in BALLS:
        place = se3.quat_rotate(back, state.bodies[name].pose.position - bowl.position)
        inside.append((abs(place[:, :2]) < INNER).all(axis=1) & (place[:, 2] < RIM))
    return namespace(inside[0]).stack(inside, axis=1)


def spilled(state: WorldState) -> Array:
    """Which balls lie on the table outside the bowl. Shape: (N, NUM_BALLS)"""
    low = [state.bodies[n].pose.position[:, 2] < 1.5 * BALL_RADIUS for n in BALLS]
    return namespace(low[0]).stack(low, axis=1) & ~in_bowl(state)


def holds(state: WorldState, config: Config = DEFAULT) -> Array:
    """The cup is in the hand, above the table. Shape: (N,)"""
    return (
        (_palm_distance(state) < config.near_palm)
        & (state.object_pose.position[:, 2] > config.above_table)
        & state.contacts.any(axis=1)
    )


def reward_terms(state: WorldState, config: Config = DEFAULT) -> dict[str, Array]:
    """The reward's terms of one control step; their sum is the reward. Shapes: (N,)"""
    offset = mouth(state) - state.bodies[TARGET_BODY].pose.position
    beside = norm(offset[:, :2])
    above = (beside < INNER) & (offset[:, 2] > RIM)
    tilt = ((1.0 - axis(state)[:, 2]) / 1.5).clip(0.0, 1.0)
    held_now = holds(state, config)
    return {
        "distance": config.distance_weight * (1.0 - namespace(beside).tanh(8.0 * beside)),
        "tilt": config.tilt_weight * tilt * number(above, tilt),
        "balls": config.balls_weight * number(in_bowl(state), tilt).mean(axis=1),
        "spilled": -config.spilled_weight * number(spilled(state), tilt).mean(axis=1),
        "dropped": -config.dropped_weight * number(~held_now, tilt),
        "success": config.success_weight * number(momentary_success(state, config), tilt),
    }


def total_reward(terms: dict[str, Array]) -> Array:
    """Sum of the terms. Shape: (N,)"""
    return set_down.total_reward(terms)


def momentary_success(state: WorldState, config: Config = DEFAULT) -> Array:
    """Enough balls in the bowl and the cup in the hand, at this control step. Shape: (N,)"""
    return (in_bowl(state).sum(axis=1) >= config.share * NUM_BALLS) & holds(state, config)


def success(state: WorldState, config: Config = DEFAULT) -> Array:
    """The momentary condition has held for the last `hold_steps` control steps. Shape: (N,)"""
    return state.held_steps >= config.hold_steps


def terminated(state: WorldState, config: Config = DEFAULT) -> Array:
    """The cup is lost: dropped, or no longer a number. Shape: (N,)"""
    kept = (_palm_distance(state) <= config.dropped) & (state.object_pose.position[:, 2] >= config.lost_below)
    return ~kept


def termination_reason(config: Config = DEFAULT) -> str:
    """What `terminated` means, for people."""
    return f"cup lost: more than {config.dropped:g} m from the palm, or below {config.lost_below:g} m height"


def outcome(state: WorldState, config: Config = DEFAULT) -> list[str]:
    """How each world's episode has ended, in a few words for reports; length N."""
    lost, won, kept = terminated(state, config), success(state, config), holds(state, config)
    inside, outside = in_bowl(state).sum(axis=1), spilled(state).sum(axis=1)
    words = []
    for i in range(state.num_worlds):
        if lost[i]:
            words.append("object lost")
        elif won[i]:
            words.append("success")
        elif not kept[i]:
            words.append("cup dropped")
        elif inside[i] >= config.share * NUM_BALLS:
            words.append("poured, not held long enough")
        elif outside[i] > NUM_BALLS - config.share * NUM_BALLS:
            words.append("poured beside the bowl")
        else:
            words.append("balls left in the cup")
    return words


def _palm_distance(state: WorldState) -> Array:
    return norm(state.object_pose.position - state.palm.position)
