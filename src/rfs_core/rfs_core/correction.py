"""From a hand on a device to a bounded residual: the law of human corrections.

A correction never takes over: it is a residual beside the policy's, within the bounds of the paper's robot
(0.015 m and 0.05 rad per control step), that the command gate adds and clips once more. It acts where the
hand is near the table, or while a button is held; it grows and fades within 200 ms; and a device that says
nothing is a device at rest.

No ROS, no clock, no device: readings and times come in, residuals come out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rfs_core import robot
from rfs_core.bounds import ResidualBounds
from rfs_core.config import param
from rfs_core.se3 import Array
from rfs_core.specs import ActionSpec

AXES = ("x", "y", "z", "roll", "pitch", "yaw")
"""Order of a reading's deflections; x forward, y left, z up (REP 103), in the base frame."""

FLEXION = tuple(name for name in robot.HAND_JOINT_NAMES if name.endswith(("_mcp", "_pip", "_dip", "_ipl")))
"""Joints that close the hand, with positive angles; what is left spreads the fingers and turns the thumb."""


@dataclass(frozen=True)
class CorrectionConfig:
    """What a correction may do, and when."""

    dead_band: float = param(
        0.1, doc="Deflection that counts as none; what is beyond grows from zero.", low=0.0, high=0.9
    )
    position: float = param(
        0.015,
        doc="Largest residual of the palm displacement per control step, each axis.",
        unit="m",
        low=0.0,
        high=robot.ARM_DELTA_POSITION_LIMIT,
    )
    rotation: float = param(
        0.05,
        doc="Largest residual of the palm rotation per control step, each component.",
        unit="rad",
        low=0.0,
        high=robot.ARM_DELTA_ROTATION_LIMIT,
    )
    fingers: float = param(0.05, doc="Largest residual of a finger target.", unit="rad", low=0.0, high=0.3)
    rotate: bool = param(False, doc="Roll, pitch and yaw turn the palm; false: they do nothing.")
    finger_joints: str = param(
        "flexion",
        doc="Joints that the common finger delta moves: those that close the hand, or all, as in the paper.",
        choices=("flexion", "all"),
    )
    zone_height: float = param(
        0.10,
        doc="Corrections act where the fingers are this near to the table, and elsewhere by button only.",
        unit="m",
        low=0.0,
        high=2.0,
    )
    finger_reach: float = param(
        0.085,
        doc="How far the fingertips are below the palm; the palm's height less this is the hand's.",
        unit="m",
        low=0.0,
        high=0.3,
    )
    ramp_s: float = param(0.2, doc="Time from nothing to the bound, and back.", unit="s", low=0.0, high=2.0)
    stale_s: float = param(0.2, doc="Age at which a reading counts as none.", unit="s", low=0.01, high=1.0)

    def bounds(self) -> ResidualBounds:
        """Per part of the action."""
        return ResidualBounds(self.position, self.rotation, self.fingers)


@dataclass(frozen=True)
class Reading:
    """What a device says."""

    at_s: float
    """When, on the caller's clock."""
    axes: Array
    """Deflections in the order of AXES, -1 to 1. Shape: (6,)"""
    enable: bool = False
    """The button that lets a correction act anywhere."""
    lift: bool = False
    """The button that lets z move the palm instead of the fingers."""


@dataclass(frozen=True)
class Correction:
    """What goes to the command gate now."""

    residual: Array
    """Per control step, physical units, within the bounds. Shape: (A,)"""
    engaged: bool
    """A residual is there, or on its way in or out."""
    lost: bool
    """The device fell silent while the human was correcting: told once, for the record."""


class CorrectionLaw:
    """The law with its one piece of memory, the residual of the step before."""

    def __init__(self, config: CorrectionConfig, spec: ActionSpec = robot.DEFAULT_ACTION_SPEC) -> None:
        """
        Args:
            config: bounds, dead-band, zone, times.
            spec: what actions mean.
        """
        self.config, self.spec = config, spec
        self._bounds = config.bounds().vector(spec)
        self._residual = np.zeros(spec.size)
        self._before_s: float | None = None
        self._pressing = False
        chosen = FLEXION if config.finger_joints == "flexion" else robot.HAND_JOINT_NAMES
        self._closing = np.array([float(name in chosen) for name in robot.HAND_JOINT_NAMES])

    def step(self, now_s: float, reading: Reading | None, palm_height: float | None) -> Correction:
        """The correction at `now_s`.

        Args:
            now_s: on the clock of the readings; the ramp advances by what has passed since the call before.
            reading: the newest one; None when there never was one.
            palm_height: of the palm above the table, m; None: not known, so only the button enables.
        """
        silent = reading is None or not 0.0 <= now_s - reading.at_s < self.config.stale_s
        wanted = np.zeros(self.spec.size)
        if reading is not None and not silent and self.enabled(reading, palm_height):
            wanted = self.shape(reading)
        pressing = bool(wanted.any())
        lost = silent and self._pressing
        self._pressing = pressing
        passed_s = 0.0 if self._before_s is None else max(now_s - self._before_s, 0.0)
        self._before_s = now_s
        self._residual = self._ramped(wanted, passed_s)
        return Correction(self._residual.copy(), pressing or bool(self._residual.any()), lost)

    def enabled(self, reading: Reading, palm_height: float | None) -> bool:
        """Whether a correction may act: the button is held, or the fingers are near the table."""
        if reading.enable or palm_height is None:
            return reading.enable
        return palm_height - self.config.finger_reach < self.config.zone_height

    def shape(self, reading: Reading) -> Array:
        """The residual that a reading asks for, before the ramp. Shape: (A,)"""
        axes = np.asarray(reading.axes, dtype=np.float64)
        residual = np.zeros(self.spec.size)
        if axes.shape != (6,) or not np.isfinite(axes).all():
            return residual
        axes = np.clip(axes, -1.0, 1.0)
        beyond = np.maximum(np.abs(axes) - self.config.dead_band, 0.0) / (1.0 - self.config.dead_band)
        pushed = np.sign(axes) * beyond
        part = self.spec.slice
        position = np.array([pushed[0], pushed[1], pushed[2] if reading.lift else 0.0])
        residual[part("arm_delta_position")] = position
        residual[part("arm_delta_rotation")] = pushed[3:] * self.config.rotate
        # Pushing the cap down closes the hand.
        residual[part("hand_target")] = 0.0 if reading.lift else -pushed[2] * self._closing
        # Adding 0 leaves no negative zeros.
        shaped: Array = residual * self._bounds + 0.0
        return shaped

    def _ramped(self, wanted: Array, passed_s: float) -> Array:
        """The residual moved towards what is wanted, by its bound in `ramp_s`."""
        if self.config.ramp_s == 0.0:
            return wanted
        change = self._bounds * (passed_s / self.config.ramp_s)
        ramped: Array = self._residual + np.clip(wanted - self._residual, -change, change)
        ramped[np.abs(ramped) < 1e-12] = 0.0  # what is left of rounding, so that the ramp ends
        clipped: Array = np.clip(ramped, -self._bounds, self._bounds)
        return clipped
