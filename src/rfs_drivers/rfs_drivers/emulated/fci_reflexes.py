"""When the emulated robot answers with a reflex: forces from outside, speeds, joint limits, torques.

Guessed, and so unverified on hardware: that thresholds apply at once, without the filtering of a real robot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rfs_core import robot
from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_model import Array
from rfs_drivers.emulated.fci_plant import Body
from rfs_drivers.emulated.fci_protocol import COLLISION_DTYPE, SetterStatus

_THRESHOLDS: tuple[str, ...] = COLLISION_DTYPE.names or ()


class Reflex(NamedTuple):
    """Why the robot stops by itself."""

    error: str
    """The flag that it raises, of ERROR_NAMES."""
    why: str
    """With numbers; a real robot does not tell."""


class Reflexes:
    """The rules, with the thresholds that the client set."""

    def __init__(self) -> None:
        self.thresholds = np.zeros(1, dtype=COLLISION_DTYPE)[0]
        """Of contact (lower) and collision (upper), Nm and N."""
        for name in _THRESHOLDS:
            self.thresholds[name] = 20.0 if name.startswith("tau") else 30.0

    def set_collision_behavior(self, payload: bytes) -> SetterStatus:
        """SetCollisionBehavior: thresholds of contact and collision."""
        values = np.frombuffer(payload, dtype=COLLISION_DTYPE)[0]
        if any(not np.all(np.isfinite(values[name])) or np.any(values[name] < 0) for name in _THRESHOLDS):
            return SetterStatus.INVALID_ARGUMENT
        self.thresholds = values.copy()
        return SetterStatus.SUCCESS

    @property
    def force_threshold(self) -> float:
        """N: the smallest nominal threshold along the axes."""
        return float(self.thresholds["force_upper_nom"][:3].min())

    def to_body(self, body: Body, wrench: Array) -> Reflex | None:
        """The answer to what happens to the arm.

        Args:
            body: the arm.
            wrench: of the environment at the stiffness frame, N and Nm. Shape: (6,).
        """
        if np.any(np.abs(wrench) > self.thresholds["force_upper_nom"]):
            largest = self.thresholds["force_upper_nom"]
            return Reflex("cartesian_reflex", _worst("N, Nm from outside", wrench, largest, "component"))
        tau = body.tau_ext
        if np.any(np.abs(tau) > self.thresholds["tau_upper_nom"]):
            largest = self.thresholds["tau_upper_nom"]
            return Reflex("joint_reflex", _worst("Nm from outside", tau, largest))
        if np.any(np.abs(body.dq) > 1.1 * robot.ARM_VELOCITY_LIMITS):
            why = _worst("rad/s", body.dq, robot.ARM_VELOCITY_LIMITS)
            return Reflex("joint_velocity_violation", why)
        low, high = robot.ARM_LIMITS
        if np.any(body.q <= low) or np.any(body.q >= high):
            why = _worst("rad from the middle", body.q - (low + high) / 2, (high - low) / 2)
            return Reflex("joint_position_limits_violation", why)
        return None

    @staticmethod
    def to_torque(torque: Array) -> Reflex | None:
        """The answer to torques that the client asks for, Nm. Shape: (7,)."""
        if np.any(np.abs(torque) > fci_model.TORQUE_LIMITS):
            return Reflex("tau_j_range_violation", _worst("Nm asked", torque, fci_model.TORQUE_LIMITS))
        return None


def _worst(unit: str, values: Array, largest: Array, kind: str = "joint") -> str:
    """The value that exceeds its limit most."""
    index = int(np.argmax(np.abs(values) / np.maximum(largest, 1e-9)))
    return f"{kind} {index + 1}: {values[index]:.1f} {unit}, allowed {largest[index]:.1f}"
