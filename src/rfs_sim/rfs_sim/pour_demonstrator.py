"""A scripted demonstrator of pour: carries the cup beside the bowl, tips it over the edge, and keeps it.

State feedback at low gain, a function of the observation and of the episode's mode, without a clock:
whether to carry or to tip is read from where the cup's mouth is and how far the cup is tipped. It pours
towards the base frame's y, between the fingers, by rolling the palm about its fingers' direction while it
levels the fingers: rolled with the fingers pitched down, the thumb is in the balls' way, and lower than
`Config.pour_height` the forearm comes down on the table. The balls fly on, so it aims the mouth before the
bowl's middle (`lead`).

The benchmark is constructed, and this is where, as in `set_down_demonstrator`:
- a systematic offset, along x and along y, which grows with where the bowl stands. It pours beside.
- a mode of the fingers: in a share of the episodes they open in part while the cup is tipped (`loose_share`),
  by more than a bounded residual reaches, and the cup slips out of the hand.
Execution noise is not recorded (see `scripted`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_core.config import param
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import pour
from rfs_sim.demonstrator import DEFAULT_POSTURE
from rfs_sim.scripted import ScriptedDemonstrator, axes, growing, quaternion

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PourDemonstratorConfig:
    """How the demonstrator moves and what is wrong with it."""

    gain: float = param(
        0.20, doc="Share of the remaining distance taken per control step.", low=0.0, high=1.0
    )
    speed: float = param(0.015, doc="Largest move of the mouth per control step and axis.", unit="m", low=0.0)
    turn_speed: float = param(0.045, doc="Largest turn per control step.", unit="rad", low=0.0)
    pitch: float = param(-0.2, doc="Fingers below the level when the cup is tipped.", unit="rad")
    roll: float = param(1.8, doc="Roll of the palm when the cup is tipped.", unit="rad", low=0.0)
    tilt_within: float = param(
        0.025, doc="Mouth beside where it aims by less than this: tip.", unit="m", low=0.0
    )
    tilting_from: float = param(0.3, doc="Tipped by more than this it goes on.", unit="rad", low=0.0)
    lead: tuple[float, float] = param(
        (-0.01, 0.02), doc="It aims this much before the bowl's middle, base frame x, y.", unit="m"
    )

    bias: tuple[float, float] = param(
        (0.036, 0.036), doc="Where it aims beside that, base frame x, y.", unit="m"
    )
    bias_growth: float = param(
        8.0, doc="Relative growth of the bias per metre that the bowl stands farther in y.", unit="1/m"
    )
    bias_centre: float = param(0.04, doc="Bowl's y at which the bias is `bias`.", unit="m")
    spread: float = param(0.003, doc="Standard deviation of where it aims, per episode.", unit="m", low=0.0)
    loose_share: float = param(0.65, doc="Share of the episodes with loose fingers.", low=0.0, high=1.0)
    loosening: float = param(0.4, doc="How far towards open they then are.", low=0.0, high=1.0)
    noise_position: float = param(0.002, doc="Execution noise on the palm, per step.", unit="m", low=0.0)
    noise_rotation: float = param(0.005, doc="Execution noise on the palm, per step.", unit="rad", low=0.0)
    noise_hand: float = param(0.01, doc="Execution noise on the finger targets.", unit="rad", low=0.0)


MAIN = PourDemonstratorConfig()
FLAWLESS = replace(
    MAIN,
    bias=(0.0, 0.0),
    spread=0.0,
    loose_share=0.0,
    noise_position=0.0,
    noise_rotation=0.0,
    noise_hand=0.0,
)
"""Nothing wrong with it."""

VARIANTS: Mapping[str, PourDemonstratorConfig] = {
    "main": MAIN,
    "constant": replace(MAIN, bias_growth=0.0),
    "unbiased": replace(MAIN, bias=(0.0, 0.0)),
    "broad": replace(MAIN, spread=0.02),
    "no_modes": replace(MAIN, loose_share=0.0),
    "loose": replace(MAIN, bias=(0.0, 0.0), loose_share=1.0),
    "good": replace(MAIN, bias=(0.0, 0.0), loose_share=0.0),
    "flawless": FLAWLESS,
}
"""The published variants of the demonstrations: `good` has the noise only, `loose` only the bad mode."""


class PourDemonstrator(ScriptedDemonstrator):
    """Demonstrates pour to N environments."""

    def __init__(
        self,
        num_envs: int,
        config: PourDemonstratorConfig | None = None,
        observation_spec: ObservationSpec = pour.OBSERVATION_SPEC,
    ) -> None:
        """
        Args:
            num_envs: N.
            config: how it moves and what is wrong with it; None: FLAWLESS.
            observation_spec: of the observations it will be given.
        """
        super().__init__(num_envs, config or FLAWLESS, observation_spec)
        posture = DEFAULT_POSTURE
        self._closed = posture.hand(posture.finger_closed, posture.thumb_closed)
        opened = posture.hand(posture.finger_open, posture.thumb_open)
        self._loose = self._closed + self.config.loosening * (opened - self._closed)
        self._aim = np.zeros((num_envs, 2))
        self._lets_go = np.zeros(num_envs, dtype=np.bool_)

    def _draw(self, env: int, rng: np.random.Generator) -> None:
        config = self.config
        self._aim[env] = config.spread * rng.standard_normal(2)
        self._lets_go[env] = rng.random() < config.loose_share

    def aim(self, bowl: Array) -> Array:
        """Systematic offset of where it aims, m. Shape: (N, 3) -> (N, 2)"""
        config = self.config
        return growing(config.bias, config.bias_growth, bowl[:, 1] - config.bias_centre)

    def policy(self, observation: NDArray[np.float32]) -> Array:
        config = self.config
        part = self._parts(observation)
        cup, goal = part["object_position"], part["goal_position"]
        _, _, up = axes(part["object_rotation"])
        error = goal - (cup + pour.TOP * up)
        error[:, :2] += self.aim(part["target_position"]) + self._aim - np.asarray(config.lead)

        tilting = (np.linalg.norm(error[:, :2], axis=1) < config.tilt_within) | (
            up[:, 2] < np.cos(config.tilting_from)
        )
        upright = np.stack([up[:, 1], -up[:, 0], 0.0 * up[:, 0]], axis=1)
        palm = quaternion(part["palm_rotation"])
        pitch = np.array([[np.cos(config.pitch / 2), 0.0, np.sin(config.pitch / 2), 0.0]])
        roll = np.array([[np.cos(config.roll / 2), -np.sin(config.roll / 2), 0.0, 0.0]])
        tipped = se3.quat_multiply(pitch, roll)
        tip = se3.rotvec_from_quat(se3.quat_multiply(tipped, se3.quat_conjugate(palm)))
        turn = config.gain * np.where(tilting[:, None], tip, upright)
        turn *= np.minimum(1.0, config.turn_speed / np.maximum(np.linalg.norm(turn, axis=1), 1e-9))[:, None]
        move = np.clip(config.gain * error, -config.speed, config.speed)
        # The cup turns about its centre, not about the palm.
        move -= np.cross(turn, cup - part["palm_position"])
        fingers = np.where((tilting & self._lets_go)[:, None], self._loose, self._closed)
        return np.asarray(robot.DEFAULT_ACTION_SPEC.clip(np.concatenate([move, turn, fingers], axis=1)))
