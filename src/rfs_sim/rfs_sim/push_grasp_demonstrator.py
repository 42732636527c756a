"""A scripted demonstrator of push-grasp: push the flat box to the kerb, tip it up, pinch it, lift it.

State feedback without clock or memory: what to do next is read from where box, thumb, palm and kerb are.
- far: the thumb's tip goes behind the box's near face, the stretched fingers stay above the box;
- behind it: the thumb pushes the box to the kerb;
- at the kerb: the thumb follows the near edge up its circle about the far edge, pushing a little;
- box upright: the palm goes to where fingers and thumb are on both sides of it, and the hand closes;
- gripped: lift.

Wrong on purpose, and where the benchmark is constructed (see `set_down_demonstrator`): the hand closes beside
the place where it should, too high, always on the same side and by an amount that grows with where the box
lies (`bias`, `bias_growth`); and in a share of the episodes fingers and thumb close in part and let the box
slip (`partial_share`). Execution noise is not recorded (see `scripted`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_core.config import param
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import push_grasp
from rfs_sim.hand_kinematics import HandKinematics
from rfs_sim.scripted import ScriptedDemonstrator, axes, growing, pitched, quaternion

Array = NDArray[np.float64]

_THUMB = 3
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class PushGraspPosture:
    """How the box is pushed, tipped up, pinched. Found by `python -m rfs_sim.push_grasp_search --seed 0`
    (0.77 success over 256 other episodes at dt 5 ms), rounded."""

    pitch: float = 0.165
    """rad, palm x below the horizontal, while it pushes and tips up"""
    fingers_away: tuple[float, float, float] = (0.04, 0.047, 0.102)
    """rad: mcp, pip, dip of the three fingers meanwhile: stretched, out of the way"""
    thumb_open: tuple[float, float, float, float] = (1.345, 1.491, 0.145, -0.058)
    """rad: cmc, axl, mcp, ipl, until it closes"""
    behind: float = 0.0063
    """m, thumb tip's centre behind the box's near face while it tips it up; less than the tip's radius: it
    pushes"""
    height: float = 0.0165
    """m, above the box's lower face"""
    push_speed: float = 0.0138
    """m per control step"""
    at_kerb: float = 0.008
    """m, from the box to the kerb: tip it up"""
    lead: float = 0.017
    """rad, by which the thumb's motion is ahead of the circle's tangent"""
    tip_speed: float = 0.0172
    """m per control step, along the circle"""
    squeeze: float = 0.0049
    """m per control step, towards the kerb"""
    upright: float = 1.241
    """rad, tilt from which the box stands"""
    pitch_pinch: float = 0.347
    """rad, palm x below the horizontal, for the pinch"""
    palm_from_edge: tuple[float, float, float] = (0.0096, -0.0063, 0.0545)
    """m, palm from the middle of the box's upper edge: away from the robot, sideways, up"""
    close_within: float = 0.0153
    """m, palm this near to that place: close"""
    fingers_open: tuple[float, float, float] = (0.368, 0.463, 0.424)
    """rad: mcp, pip, dip before the pinch"""
    fingers_closed: tuple[float, float, float] = (0.934, 1.089, 1.234)
    """rad: closed beyond the box; the difference to where it stops them is the grip"""
    thumb_closed: tuple[float, float, float, float] = (1.277, 0.53, 0.934, 0.355)
    """rad"""
    gripped: float = 0.352
    """Share of the way to closed from which contacts count as a grip."""

    def hand(self, fingers: tuple[float, ...], thumb: tuple[float, ...]) -> Array:
        """All 16 joints, the fingers' side joints at 0."""
        return np.array([0.0, *fingers] * 3 + list(thumb))


@dataclass(frozen=True)
class PushGraspDemonstratorConfig:
    """How the demonstrator moves and what is wrong with it."""

    gain: float = param(
        0.30, doc="Share of the remaining distance taken per control step.", low=0.0, high=1.0
    )
    grasp_gain: float = param(0.24, doc="The same on the way to the pinch.", low=0.0, high=1.0)
    hover: float = param(0.07, doc="Height from which the thumb descends.", unit="m", low=0.0)
    lift_speed: float = param(0.02, doc="Largest rise per control step.", unit="m", low=0.0)
    bias: tuple[float, float] = param(
        (0.0, 0.012), doc="Where it pinches beside the right place: away from the robot, up.", unit="m"
    )
    bias_growth: float = param(
        6.0, doc="Relative growth of the bias per metre that the kerb's middle lies farther in y.", unit="1/m"
    )
    spread: float = param(0.0015, doc="Standard deviation of where it pinches.", unit="m", low=0.0)
    partial_share: float = param(0.35, doc="Share of the episodes with partial closing.", low=0.0, high=1.0)
    partial_closing: float = param(0.4, doc="How far the hand then closes.", low=0.0, high=1.0)
    noise_position: float = param(0.002, doc="Execution noise on the palm, per step.", unit="m", low=0.0)
    noise_rotation: float = param(0.005, doc="Execution noise on the palm, per step.", unit="rad", low=0.0)
    noise_hand: float = param(0.01, doc="Execution noise on the finger targets.", unit="rad", low=0.0)


MAIN = PushGraspDemonstratorConfig()
_GOOD = replace(MAIN, bias=(0.0, 0.0), partial_share=0.0)
FLAWLESS = replace(_GOOD, spread=0.0, noise_position=0.0, noise_rotation=0.0, noise_hand=0.0)
"""Nothing wrong with it."""

VARIANTS: Mapping[str, PushGraspDemonstratorConfig] = {
    "main": MAIN,
    "constant": replace(MAIN, bias_growth=0.0),
    "unbiased": replace(MAIN, bias=(0.0, 0.0)),
    "broad": replace(MAIN, spread=0.012),
    "no_modes": replace(MAIN, partial_share=0.0),
    "partial": replace(MAIN, bias=(0.0, 0.0), partial_share=1.0),
    "good": _GOOD,
    "flawless": FLAWLESS,
}
"""The published variants of the demonstrations: `good` has the noise only, `partial` only the bad mode."""

DEFAULT_POSTURE = PushGraspPosture()


class PushGraspDemonstrator(ScriptedDemonstrator):
    """Demonstrates push-grasp to N environments."""

    def __init__(
        self,
        num_envs: int,
        config: PushGraspDemonstratorConfig | None = None,
        posture: PushGraspPosture | Sequence[PushGraspPosture] = DEFAULT_POSTURE,
        observation_spec: ObservationSpec = push_grasp.OBSERVATION_SPEC,
    ) -> None:
        """
        Args:
            num_envs: N.
            config: how it moves and what is wrong with it; None: FLAWLESS.
            posture: how it pushes and pinches; one for all environments, or one for each.
            observation_spec: of the observations it will be given.
        """
        super().__init__(num_envs, config or FLAWLESS, observation_spec)
        self._hand = HandKinematics()
        p = [posture] * num_envs if isinstance(posture, PushGraspPosture) else posture
        self._away = np.array([x.hand(x.fingers_away, x.thumb_open) for x in p])
        self._open = np.array([x.hand(x.fingers_open, x.thumb_open) for x in p])
        self._closed = np.array([x.hand(x.fingers_closed, x.thumb_closed) for x in p])
        self._number = {
            name: np.array([getattr(x, name) for x in p])
            for name, value in vars(DEFAULT_POSTURE).items()
            if isinstance(value, float)
        }
        self._palm_from_edge = np.array([x.palm_from_edge for x in p])
        self._aim = np.zeros((num_envs, 2))
        self._closing = np.ones((num_envs, 1))

    def _draw(self, env: int, rng: np.random.Generator) -> None:
        config = self.config
        self._aim[env] = config.spread * rng.standard_normal(2)
        self._closing[env] = config.partial_closing if rng.random() < config.partial_share else 1.0

    def aim(self, kerb: Array) -> Array:
        """Offset of where it pinches, away from the robot and up, m. Shape: (N, 3) -> (N, 2)"""
        return growing(self.config.bias, self.config.bias_growth, kerb[:, 1])

    def policy(self, observation: NDArray[np.float32]) -> Array:
        config, number = self.config, self._number
        part = self._parts(observation)
        hand, palm, kerb = part["hand_position"], part["palm_position"], part["target_position"]
        x, y, z = axes(part["object_rotation"])
        have = quaternion(part["palm_rotation"])
        tip = self._hand.fingertips(se3.Pose(palm, have), hand)[:, _THUMB]
        length, _, thickness = push_grasp.BOX.size
        near = part["object_position"] - length * x  # middle of the near face, which stands on top later
        tilt = np.arctan2(z[:, 0], z[:, 2])
        heading = np.arctan2(-y[:, 0], y[:, 1])
        forward = np.stack([np.cos(heading), np.sin(heading), 0.0 * heading], axis=1)

        thumb = near - thickness * z - number["behind"][:, None] * x + number["height"][:, None] * z
        error = thumb - tip
        beyond = -(error * x).sum(axis=1)  # of the thumb over or along the box
        flat = tilt < 0.08
        beside = np.maximum(np.abs(error[:, 1]) - 0.01, np.maximum(beyond + 0.01, 0.0))
        above = np.clip(4.0 * beside, 0.0, config.hover)
        approach = config.gain * (error - 0.02 * forward + above[:, None] * _UP)
        ready = (np.abs(error[:, 1]) < 0.02) & (np.abs(error[:, 2]) < 0.015) & (beyond < 0.03)
        ready = (ready & (beyond > -0.05)) | (~flat & (beyond > -0.06))

        far = (part["object_position"] + length * x - thickness * z)[:, 0]
        at_kerb = (kerb[:, 0] - push_grasp.KERB_HALF_DEPTH - far < number["at_kerb"]) | ~flat
        push = np.stack([number["push_speed"], *(config.gain * error[:, 1:]).T], axis=1)
        ahead = tilt + number["lead"]
        circle = number["tip_speed"][:, None] * np.stack([np.sin(ahead), 0.0 * ahead, np.cos(ahead)], axis=1)
        circle[:, 0] += number["squeeze"]
        circle[:, 1] = config.gain * error[:, 1]

        standing = (tilt > number["upright"]) | ((tilt > 0.9) & (beyond > 0.02))
        aim = self.aim(kerb) + self._aim
        place = near + self._palm_from_edge[:, 2:] * _UP + self._palm_from_edge[:, :1] * forward
        place[:, 1] += self._palm_from_edge[:, 1]
        place += aim[:, :1] * forward + aim[:, 1:] * _UP
        to_pinch = place - palm
        distance = np.linalg.norm(to_pinch, axis=1)

        span = self._closed - self._open
        closed = ((hand - self._open) * span).sum(axis=1) / (span * span).sum(axis=1)
        rise = part["object_position"][:, 2] - thickness
        lifted = rise > length + 0.015  # higher than a box that stands
        closing = (distance < number["close_within"]) | ((closed > 0.25) & (distance < 0.06))
        closing = lifted | (standing & closing)
        contacts = part["contacts"] > 0.5
        grip = contacts[:, 3] & contacts[:, :3].any(axis=1) & (closed > number["gripped"])
        lifting = lifted | (closing & grip)

        pitch = np.where(standing | lifted, number["pitch_pinch"], number["pitch"])
        turn = config.gain * se3.rotvec_from_quat(
            se3.quat_multiply(pitched(heading, pitch), se3.quat_conjugate(have))
        )
        to_goal = part["goal_position"][:, 2] - part["object_position"][:, 2]
        lift = np.clip(config.gain * to_goal, -config.lift_speed, config.lift_speed)[:, None] * _UP
        move = np.where(ready[:, None], np.where(at_kerb[:, None], circle, push), approach)
        move = np.where(standing[:, None], np.clip(config.grasp_gain * to_pinch, -0.02, 0.02), move)
        move = np.where(closing[:, None], 0.5 * config.grasp_gain * to_pinch, move)
        move = np.where(lifting[:, None], lift, move)
        turn = np.where(closing[:, None], 0.0, turn)
        fingers = np.where(standing[:, None], self._open, self._away)
        fingers = np.where(closing[:, None], self._open + self._closing * span, fingers)
        return np.asarray(robot.DEFAULT_ACTION_SPEC.clip(np.concatenate([move, turn, fingers], axis=1)))
