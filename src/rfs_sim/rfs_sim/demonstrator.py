"""A scripted demonstrator of grasp: state feedback, low gain, imperfect on purpose.

Its action is a function of the observation alone, so a policy can imitate it, and a policy's mistakes are
met by the same answer. It has no clock and no memory: whether to approach, close or lift is read from where
palm, object and fingers are.

What is imperfect, drawn once per episode: it takes the object to be somewhat off (`belief_error`), and in a
share of the episodes its fingers close only in part (`partial_closing`). Execution noise is not recorded (see
`scripted`).

The grasp itself (pitch of the palm, place of the object in the palm, postures of the fingers) was found by
the cross-entropy method; the constants below name the command.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_core.config import param
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import grasp
from rfs_sim.scripted import ScriptedDemonstrator, pitched, quaternion

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GraspPosture:
    """The grasp that the demonstrator aims for. Found by `python -m rfs_sim.grasp_search --iterations 28
    --seed 0` (0.94 success over 256 other episodes at dt 10 ms), rounded."""

    pitch: float = 0.486
    """rad, palm x below the horizontal"""
    object_in_palm: tuple[float, float, float] = (0.0385, -0.0092, -0.0712)
    """m, where the object's centre shall lie in the palm frame"""
    finger_open: tuple[float, float, float] = (0.306, 0.549, 0.573)
    """rad: mcp, pip, dip of the three fingers, open"""
    thumb_open: tuple[float, float, float, float] = (1.421, 1.425, 0.140, 0.104)
    """rad: cmc, axl, mcp, ipl, open"""
    finger_closed: tuple[float, float, float] = (0.558, 1.100, 1.301)
    """rad: closed beyond the object; the difference to where it stops them is the grip"""
    thumb_closed: tuple[float, float, float, float] = (1.430, 0.860, 0.839, 0.323)
    """rad"""

    def hand(self, fingers: tuple[float, ...], thumb: tuple[float, ...]) -> Array:
        """All 16 joints, the fingers' side joints at 0."""
        return np.array([0.0, *fingers] * 3 + list(thumb))


@dataclass(frozen=True)
class DemonstratorConfig:
    """How the demonstrator moves and what is wrong with it.

    The defaults are chosen so that a policy that imitates it succeeds about as rarely as the paper's base
    policy: an offset of the palm and a share of weak grips, each of which a correction can undo.
    """

    gain: float = param(
        0.28, doc="Share of the remaining distance taken per control step.", low=0.0, high=1.0
    )
    hover: float = param(0.08, doc="Height above the grasp from which it descends.", unit="m", low=0.0)
    funnel: float = param(
        4.0, doc="Metres above the grasp per metre beside it, beyond `funnel_radius`.", low=0.0
    )
    funnel_radius: float = param(
        0.008, doc="Beside the grasp by less than this it may be all down.", unit="m"
    )
    close_within: float = param(0.014, doc="Palm this near to the grasp: start closing.", unit="m", low=0.0)
    let_go_beyond: float = param(0.05, doc="Palm this far from the grasp: open again.", unit="m", low=0.0)
    lift_speed: float = param(0.022, doc="Largest rise per control step.", unit="m", low=0.0)
    belief_error: float = param(
        0.003, doc="Standard deviation of where it takes the object to be.", unit="m", low=0.0
    )
    bias: tuple[float, float, float] = param(
        (0.01, 0.0, -0.008), doc="Same error in every episode, palm frame.", unit="m"
    )
    partial_share: float = param(0.3, doc="Share of the episodes with partial closing.", low=0.0, high=1.0)
    partial_closing: float = param(0.6, doc="How far the fingers then close.", low=0.0, high=1.0)
    noise_position: float = param(0.003, doc="Execution noise on the palm, per step.", unit="m", low=0.0)
    noise_rotation: float = param(0.01, doc="Execution noise on the palm, per step.", unit="rad", low=0.0)
    noise_hand: float = param(0.01, doc="Execution noise on the finger targets.", unit="rad", low=0.0)


FLAWLESS = DemonstratorConfig(
    belief_error=0.0,
    bias=(0.0, 0.0, 0.0),
    partial_share=0.0,
    noise_position=0.0,
    noise_rotation=0.0,
    noise_hand=0.0,
)
"""Nothing wrong with it: how good the grasp itself is, and a way to bring worlds into contact."""

DEFAULT_POSTURE = GraspPosture()

POWER_POSTURE = GraspPosture(pitch=0.4, object_in_palm=(0.03, -0.0092, -0.05), finger_open=(0.2, 0.4, 0.4))
"""For power: the object deep in the hand; by eye."""

PINCH_POSTURE = GraspPosture(
    pitch=0.449,
    object_in_palm=(0.0367, -0.0088, -0.0781),
    finger_open=(0.205, 0.792, 0.549),
    thumb_open=(1.435, 1.300, 0.346, 0.181),
    finger_closed=(0.717, 0.784, 1.331),
    thumb_closed=(1.295, 0.632, 0.917, 0.374),
)
"""For pinch. Found by `python -m rfs_sim.grasp_search --task pinch --iterations 10 --candidates 40
--episodes 4 --spread 0.6` (0.82 success over 256 other episodes at dt 10 ms), rounded."""


class GraspDemonstrator(ScriptedDemonstrator):
    """Demonstrates grasp to N environments."""

    def __init__(
        self,
        num_envs: int,
        config: DemonstratorConfig | None = None,
        posture: GraspPosture | Sequence[GraspPosture] = DEFAULT_POSTURE,
        observation_spec: ObservationSpec = grasp.OBSERVATION_SPEC,
    ) -> None:
        """
        Args:
            num_envs: N.
            config: how it moves and what is wrong with it; None: FLAWLESS.
            posture: the grasp it aims for; one for all environments, or one for each.
            observation_spec: of the observations it will be given.
        """
        super().__init__(num_envs, config or FLAWLESS, observation_spec)
        postures = [posture] * num_envs if isinstance(posture, GraspPosture) else posture
        self._pitch = np.array([p.pitch for p in postures])
        self._object_in_palm = np.array([p.object_in_palm for p in postures])
        self._open = np.array([p.hand(p.finger_open, p.thumb_open) for p in postures])
        self._closed = np.array([p.hand(p.finger_closed, p.thumb_closed) for p in postures])
        self._error = np.zeros((num_envs, 3))
        self._closing = np.ones((num_envs, 1))

    def _draw(self, env: int, rng: np.random.Generator) -> None:
        config = self.config
        self._error[env] = config.belief_error * rng.standard_normal(3)
        self._error[env, 2] *= 0.5
        self._closing[env] = config.partial_closing if rng.random() < config.partial_share else 1.0

    def policy(self, observation: NDArray[np.float32]) -> Array:
        config = self.config
        part = self._parts(observation)
        hand, contacts = part["hand_position"], part["contacts"] > 0.5
        palm = quaternion(part["palm_rotation"])
        target = self._palm_target(part["object_rotation"])
        offset = self._object_in_palm + np.asarray(config.bias)
        grasp_palm = part["object_position"] + self._error - se3.quat_rotate(target, offset)
        error = grasp_palm - part["palm_position"]
        beside = np.linalg.norm(error[:, :2], axis=1)
        distance = np.linalg.norm(error, axis=1)

        span = self._closed - self._open
        closed = ((hand - self._open) * span).sum(axis=1) / (span * span).sum(axis=1)
        closing = (distance < config.close_within) | ((closed > 0.15) & (distance < config.let_go_beyond))
        gripped = closing & contacts[:, 3] & contacts[:, :3].any(axis=1)
        rise = part["object_position"][:, 2] - (part["goal_position"][:, 2] - grasp.DEFAULT.goal_rise)
        lifting = gripped | (closing & (rise > 0.01))

        above = np.clip(config.funnel * (beside - config.funnel_radius), 0.0, config.hover)
        approach = error + np.stack([0 * above, 0 * above, above], axis=1)
        move = config.gain * approach
        to_goal = part["goal_position"] - part["object_position"]
        lift = np.stack(
            [0 * rise, 0 * rise, np.clip(config.gain * to_goal[:, 2], -config.lift_speed, config.lift_speed)],
            axis=1,
        )
        move = np.where(lifting[:, None], lift, np.where(closing[:, None], 0.5 * move, move))
        turn = config.gain * se3.rotvec_from_quat(se3.quat_multiply(target, se3.quat_conjugate(palm)))
        turn = np.where(closing[:, None], 0.0, turn)
        fingers = np.where(closing[:, None], self._open + self._closing * span, self._open)
        action = np.concatenate([move, turn, fingers], axis=1)
        return np.asarray(robot.DEFAULT_ACTION_SPEC.clip(action))

    def _palm_target(self, object_rotation: Array) -> Array:
        """Palm orientation for the grasp: pitched down, turned about the vertical as the object is, modulo
        90 deg."""
        heading = np.arctan2(object_rotation[:, 1], object_rotation[:, 0])
        heading = (heading + np.pi / 4) % (np.pi / 2) - np.pi / 4
        return pitched(heading, self._pitch)
