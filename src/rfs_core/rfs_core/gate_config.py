"""Configuration of the command gate."""

from __future__ import annotations

from dataclasses import dataclass

from rfs_core import robot
from rfs_core.bounds import ResidualBounds
from rfs_core.config import param
from rfs_core.control import StepLimits

TICK_SOURCES = ("state", "timer")


@dataclass(frozen=True)
class GateConfig:
    """Every limit of the gate. The ends of the ranges are hard: a parameter file cannot pass them."""

    tick_source: str = param(
        "state",
        doc="What drives control ticks: stamps of arm/joint_states (simulation) or a steady timer (robot).",
        choices=TICK_SOURCES,
    )
    stale_observation_s: float = param(
        0.2,
        doc="Age at which the observation behind an action is stale: the action is refused, and the gate "
        "holds when the newest accepted one gets as old.",
        unit="s",
        low=0.01,
        high=1.0,
    )
    stale_state_s: float = param(
        0.15, doc="Age at which a measured state is stale and the gate holds.", unit="s", low=0.01, high=0.5
    )
    future_tolerance_s: float = param(
        0.1, doc="How far a stamp may lie ahead of the gate's time.", unit="s", low=0.0, high=0.5
    )
    stale_correction_s: float = param(
        0.2, doc="Age at which a human correction counts as released.", unit="s", low=0.01, high=1.0
    )
    correction_ramp_s: float = param(
        0.2,
        doc="Time in which a released correction fades from its bound to zero.",
        unit="s",
        low=0.0,
        high=2.0,
    )
    residual_position: float = param(
        0.015,
        doc="Largest residual of the palm displacement per control step, each axis, of policy and of human.",
        unit="m",
        low=0.0,
        high=robot.ARM_DELTA_POSITION_LIMIT,
    )
    residual_rotation: float = param(
        0.05,
        doc="Largest residual of the palm rotation per control step, each component, of each.",
        unit="rad",
        low=0.0,
        high=robot.ARM_DELTA_ROTATION_LIMIT,
    )
    residual_hand: float = param(
        0.05, doc="Largest residual of a finger target, of each.", unit="rad", low=0.0, high=0.3
    )
    leash_position: float = param(
        0.06, doc="Largest distance of the palm target from the measured palm.", unit="m", low=0.001, high=0.1
    )
    leash_rotation: float = param(
        0.25, doc="Largest angle between palm target and measured palm.", unit="rad", low=0.01, high=0.5
    )
    hand_rate: float = param(
        0.3, doc="Largest change of a finger target per control step.", unit="rad", low=0.01, high=0.5
    )
    base_tolerance: float = param(
        1.0,
        doc="How far a base action may lie outside its bounds, as a fraction of their range: up to there "
        "it is clipped, beyond it is refused.",
        low=0.0,
        high=2.0,
    )
    max_palm_speed: float = param(
        3.0,
        doc="Speed of the measured palm above which its pose jumps; the arm itself cannot exceed 3.0.",
        unit="m/s",
        low=0.1,
        high=10.0,
    )
    max_palm_turn: float = param(
        12.0,
        doc="Turning speed of the measured palm above which its pose jumps.",
        unit="rad/s",
        low=0.5,
        high=50.0,
    )
    max_hand_speed: float = param(
        30.0,
        doc="Speed of a measured finger joint above which it jumps; unloaded fingers are fast.",
        unit="rad/s",
        low=1.0,
        high=100.0,
    )
    jump_slack: float = param(
        0.05,
        doc="What a measured value may change at any speed: noise of stamps.",
        unit="m, rad",
        low=0.0,
        high=0.5,
    )
    fault_after_jumps: int = param(
        5, doc="Jumping states in a row, while commanding, after which it is a fault.", low=1, high=100
    )
    hold_drift_position: float = param(
        0.15,
        doc="Distance of the measured palm from the held pose that is a fault.",
        unit="m",
        low=0.01,
        high=0.5,
    )
    hold_drift_rotation: float = param(
        0.6,
        doc="Angle of the measured palm to the held pose that is a fault.",
        unit="rad",
        low=0.05,
        high=1.5,
    )
    mismatch_position: float = param(
        0.03,
        doc="Largest distance, when arming, between the measured palm and the one computed from the joints: "
        "more means another mount of the hand.",
        unit="m",
        low=0.001,
        high=10.0,
    )
    mismatch_rotation: float = param(
        0.15, doc="Largest angle between the two, when arming.", unit="rad", low=0.01, high=3.15
    )

    def residual_bounds(self) -> ResidualBounds:
        """The residual bounds as the bounds module has them."""
        return ResidualBounds(self.residual_position, self.residual_rotation, self.residual_hand)

    def step_limits(self) -> StepLimits:
        """The step limits as the control law has them."""
        return StepLimits(self.leash_position, self.leash_rotation, self.hand_rate)
