"""A scripted demonstrator of stack and place: state feedback, low gain, wrong in a way that can be chosen.

The benchmark is constructed, and this is where. What a policy that imitates this script can and cannot do is
decided by two defects:
- a systematic offset. It sets the brick down beside the goal, always on the same side and by an amount that
  grows with where the target stands (`bias`, `bias_growth`). All demonstrations agree on it, so the base
  policy's noise does not reach across it; a small residual held against a low gain does.
- modes of the fingers, drawn anew in every episode: they open fully, or only in part and then drag the brick
  along (`partial_share`), or too early and drop it (`early_share`). The modes lie farther apart than a
  bounded residual reaches; the noise chooses between them.
`variants` has the controls: without the offset noise alone suffices, without the modes a residual alone does.

Its action is a function of the observation and of the episode's mode; it has no clock. Execution noise is not
recorded (see `scripted`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot
from rfs_core.config import param
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import set_down
from rfs_sim.demonstrator import DEFAULT_POSTURE
from rfs_sim.scripted import ScriptedDemonstrator, growing

Array = NDArray[np.float64]


OPEN = DEFAULT_POSTURE.hand(DEFAULT_POSTURE.finger_open, DEFAULT_POSTURE.thumb_open)
CLOSED = DEFAULT_POSTURE.hand(DEFAULT_POSTURE.finger_closed, DEFAULT_POSTURE.thumb_closed)
"""rad: the fingers as grasp's demonstrator opens and closes them. Shape: (16,)"""

OPENED = 0.2
"""Share of the way from closed to open beyond which the fingers do not hold the brick any more; holding it
they are at 0.06 to 0.08."""


def opening(hand: Array) -> Array:
    """How far fingers are on the way from closed to open. Shape: (N, 16) -> (N,)"""
    span = OPEN - CLOSED
    return np.asarray((hand - CLOSED) @ span / (span @ span))


@dataclass(frozen=True)
class SetDownDemonstratorConfig:
    """How the demonstrator moves and what is wrong with it."""

    gain: float = param(
        0.25, doc="Share of the remaining distance taken per control step.", low=0.0, high=1.0
    )
    hover: float = param(0.05, doc="Height above the goal at which it carries.", unit="m", low=0.0)
    down_within: float = param(
        0.012, doc="Beside where it aims by less than this: go down.", unit="m", low=0.0
    )
    down_speed: float = param(0.015, doc="Largest descent per control step.", unit="m", low=0.0)
    open_below: float = param(0.010, doc="Brick this low above the goal: open.", unit="m", low=0.0)
    retreat_speed: float = param(0.025, doc="Rise of the palm per control step, once open.", unit="m")
    retreat: float = param(0.22, doc="Height of the palm above the goal at which it stops.", unit="m")

    bias: tuple[float, float] = param(
        (0.0165, -0.0165), doc="Where it aims beside the goal, base frame x, y.", unit="m"
    )
    bias_growth: float = param(
        9.0, doc="Relative growth of the bias per metre that the target stands farther in y.", unit="1/m"
    )
    bias_centre: float = param(0.02, doc="Target's y at which the bias is `bias`.", unit="m")
    spread: float = param(0.0015, doc="Standard deviation of where it aims, per episode.", unit="m", low=0.0)
    partial_share: float = param(0.6, doc="Share of the episodes with partial opening.", low=0.0, high=1.0)
    partial_opening: float = param(0.3, doc="How far the fingers then open.", low=0.0, high=1.0)
    early_share: float = param(0.0, doc="Share of the episodes that open early.", low=0.0, high=1.0)
    early_height: tuple[float, float] = param(
        (0.055, 0.085), doc="How high above the goal they do.", unit="m", low=0.0
    )
    noise_position: float = param(0.002, doc="Execution noise on the palm, per step.", unit="m", low=0.0)
    noise_rotation: float = param(0.005, doc="Execution noise on the palm, per step.", unit="rad", low=0.0)
    noise_hand: float = param(0.01, doc="Execution noise on the finger targets.", unit="rad", low=0.0)


STACK = SetDownDemonstratorConfig(gain=0.24)
PLACE = replace(STACK, bias=(0.013, -0.013), partial_share=0.4)

FLAWLESS = replace(
    STACK,
    bias=(0.0, 0.0),
    spread=0.0,
    partial_share=0.0,
    early_share=0.0,
    noise_position=0.0,
    noise_rotation=0.0,
    noise_hand=0.0,
)
"""Nothing wrong with it."""


def variants(main: SetDownDemonstratorConfig) -> Mapping[str, SetDownDemonstratorConfig]:
    """The published variants of a task's demonstrations, by name."""
    return {
        "main": main,
        "constant": replace(main, bias_growth=0.0),
        "unbiased": replace(main, bias=(0.0, 0.0)),
        "broad": replace(main, spread=0.012),
        "early": replace(main, early_share=0.2),
        "no_modes": replace(main, partial_share=0.0, early_share=0.0),
        "flawless": FLAWLESS,
    }


class SetDownDemonstrator(ScriptedDemonstrator):
    """Demonstrates stack or place to N environments."""

    def __init__(
        self,
        num_envs: int,
        config: SetDownDemonstratorConfig | None = None,
        observation_spec: ObservationSpec = set_down.OBSERVATION_SPEC,
    ) -> None:
        """
        Args:
            num_envs: N.
            config: how it moves and what is wrong with it; None: FLAWLESS.
            observation_spec: of the observations it will be given.
        """
        super().__init__(num_envs, config or FLAWLESS, observation_spec)
        self._open, self._closed = OPEN, CLOSED
        self._aim = np.zeros((num_envs, 2))
        self._opening = np.ones(num_envs)
        self._open_below = np.zeros(num_envs)

    def _draw(self, env: int, rng: np.random.Generator) -> None:
        config = self.config
        self._aim[env] = config.spread * rng.standard_normal(2)
        which, early = rng.random(), rng.uniform(*config.early_height)
        partial = which < config.partial_share
        drops = not partial and which < config.partial_share + config.early_share
        self._opening[env] = config.partial_opening if partial else 1.0
        self._open_below[env] = early if drops else config.open_below

    def aim(self, target_position: Array) -> Array:
        """Offset of where it aims from the goal, m, without the episode's spread. Shape: (N, 3) -> (N, 2)"""
        config = self.config
        return growing(config.bias, config.bias_growth, target_position[:, 1] - config.bias_centre)

    def policy(self, observation: NDArray[np.float32]) -> Array:
        config = self.config
        part = self._parts(observation)
        hand, thing, goal = part["hand_position"], part["object_position"], part["goal_position"]
        error = goal - thing
        error[:, :2] += self.aim(part["target_position"]) + self._aim
        beside = np.linalg.norm(error[:, :2], axis=1)

        opened = opening(hand)
        low = (beside < config.down_within) & (-error[:, 2] < self._open_below)
        lets_go = low | (opened > OPENED)
        free = opened > 0.6 * self._opening

        down = np.clip(config.gain * error[:, 2], -config.down_speed, config.down_speed)
        down = np.where(-error[:, 2] < 0.04, np.minimum(down, -0.005), down)
        carry = np.clip(config.gain * (error[:, 2] + config.hover), -config.down_speed, config.down_speed)
        move = np.concatenate(
            [config.gain * error[:, :2], np.where(beside < config.down_within, down, carry)[:, None]], axis=1
        )
        rise = np.clip(config.retreat - (part["palm_position"][:, 2] - goal[:, 2]), 0.0, config.retreat_speed)
        leave = np.stack([0 * rise, 0 * rise, np.where(free, rise, 0.0)], axis=1)
        move = np.where(lets_go[:, None], leave, move)
        fingers = np.where(
            lets_go[:, None],
            self._closed + self._opening[:, None] * (self._open - self._closed),
            self._closed,
        )
        action = np.concatenate([move, np.zeros_like(move), fingers], axis=1)
        return np.asarray(robot.DEFAULT_ACTION_SPEC.clip(action))
