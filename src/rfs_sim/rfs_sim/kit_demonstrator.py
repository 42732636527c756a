"""A scripted demonstrator of kit: that of stack and place, which also turns the brick as the tray is turned.

It turns the brick upright, too, about the brick's centre, so that the hand's turning does not carry it away:
a brick that is tilted by 0.1 rad in the hand would meet the rim 4 mm beside where its centre is.

Its defects are those of `set_down_demonstrator`. The offset grows with the target's y from nothing to 2 cm
along x and along y; a brick slides in from up to 9 mm beside. Opened in part, the fingers lift the brick
out again. `turn_bias` can be added: an angle by which it sets the brick down turned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot
from rfs_core.config import param
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import kit
from rfs_sim.scripted import axes
from rfs_sim.set_down_demonstrator import SetDownDemonstrator, SetDownDemonstratorConfig

Array = NDArray[np.float64]


@dataclass(frozen=True)
class KitDemonstratorConfig(SetDownDemonstratorConfig):
    """How the demonstrator moves and what is wrong with it, where it is not as in set-down."""

    down_within: float = param(
        0.005, doc="Beside where it aims by less than this: go down.", unit="m", low=0.0
    )
    open_below: float = param(
        0.017, doc="Brick this low above the goal: open; just above the rim.", unit="m", low=0.0
    )
    turn_within: float = param(
        0.06, doc="Turned from where it aims by less than this: go down.", unit="rad", low=0.0
    )
    turn_speed: float = param(0.06, doc="Largest turn per control step and axis.", unit="rad", low=0.0)
    bias: tuple[float, float] = param(
        (0.0075, -0.0075), doc="Where it aims beside the goal, base frame x, y.", unit="m"
    )
    bias_growth: float = param(
        25.0, doc="Relative growth of the bias per metre that the target stands farther in y.", unit="1/m"
    )
    spread: float = param(0.001, doc="Standard deviation of where it aims, per episode.", unit="m", low=0.0)
    turn_bias: float = param(0.0, doc="Where it aims, turned from the tray.", unit="rad")
    partial_share: float = param(0.4, doc="Share of the episodes with partial opening.", low=0.0, high=1.0)
    early_share: float = param(0.0, doc="Share of the episodes that open early.", low=0.0, high=1.0)


MAIN = KitDemonstratorConfig()
FLAWLESS = replace(
    MAIN,
    bias=(0.0, 0.0),
    spread=0.0,
    partial_share=0.0,
    noise_position=0.0,
    noise_rotation=0.0,
    noise_hand=0.0,
)
"""Nothing wrong with it."""

VARIANTS: Mapping[str, KitDemonstratorConfig] = {
    "main": MAIN,
    "constant": replace(MAIN, bias_growth=0.0),
    "unbiased": replace(MAIN, bias=(0.0, 0.0)),
    "broad": replace(MAIN, spread=0.012),
    "no_modes": replace(MAIN, partial_share=0.0),
    "turned": replace(MAIN, turn_bias=0.15),
    "good": replace(MAIN, bias=(0.0, 0.0), partial_share=0.0),
    "flawless": FLAWLESS,
}
"""The published variants of the demonstrations: `good` has the noise only."""


class KitDemonstrator(SetDownDemonstrator):
    """Demonstrates kit to N environments."""

    config: KitDemonstratorConfig

    def __init__(
        self,
        num_envs: int,
        config: KitDemonstratorConfig | None = None,
        observation_spec: ObservationSpec = kit.OBSERVATION_SPEC,
    ) -> None:
        """
        Args:
            num_envs: N.
            config: how it moves and what is wrong with it; None: FLAWLESS.
            observation_spec: of the observations it will be given.
        """
        super().__init__(num_envs, config or FLAWLESS, observation_spec)

    def policy(self, observation: NDArray[np.float32]) -> Array:
        config = self.config
        action = super().policy(observation)
        part = self._parts(observation)
        palm, brick, goal = part["palm_position"], part["object_position"], part["goal_position"]
        holding = (action[:, 6:] == self._closed).all(axis=1)

        error = self._turn_error(part["object_rotation"], part["target_rotation"])
        turn = np.clip(config.gain * error, -config.turn_speed, config.turn_speed)
        action[:, 3:6] = np.where(holding[:, None], turn, 0.0)
        action[:, :3] -= np.cross(action[:, 3:6], brick - palm)  # the brick's centre stays

        above = brick[:, 2] - goal[:, 2]
        carry = np.clip(config.gain * (config.hover - above), -config.down_speed, config.down_speed)
        wait = holding & (np.linalg.norm(error, axis=1) > config.turn_within) & (above > kit.RIM + 0.005)
        # Between the walls fingers may not open all the way: without a touch they leave, too.
        rise = np.clip(config.retreat - (palm[:, 2] - goal[:, 2]), 0.0, config.retreat_speed)
        leave = ~holding & ~(part["contacts"] > 0.5).any(axis=1)
        action[:, 2] = np.where(wait, carry, np.where(leave, rise, action[:, 2]))
        return np.asarray(robot.DEFAULT_ACTION_SPEC.clip(action))

    def _turn_error(self, brick: Array, tray: Array) -> Array:
        """Rotation that makes the brick upright and turned as it aims, base frame, rad, for small tilts.

        Shapes: (N, 6), (N, 6), the first two columns of rotation matrices -> (N, 3)
        """
        angle = np.arctan2(tray[:, 1], tray[:, 0]) - np.arctan2(brick[:, 1], brick[:, 0])
        angle = (angle + np.pi / 4) % (np.pi / 2) - np.pi / 4 + self.config.turn_bias
        _, _, up = axes(brick)
        return np.stack([up[:, 1], -up[:, 0], angle], axis=1)
