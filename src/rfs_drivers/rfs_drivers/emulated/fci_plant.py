"""The arm's body: torques in, motion out. What carries the arm may be exchanged for a physics world.

The robot's own electronics compensate gravity, so torques here come without it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rfs_core import robot
from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_model import Array


class Body(Protocol):
    """An arm that moves under torques: the emulator's own, or an arm in a physics world.

    q, dq: joint positions (rad) and velocities (rad/s). Shape: (7,).
    tau_ext: torques of the environment on the joints in the last step, Nm. Shape: (7,).
    """

    q: Array
    dq: Array
    tau_ext: Array

    def step(self, torque: Array, dt: float) -> None:
        """Advance by `dt` (s) under joint torques (Nm, beyond gravity compensation). Shape: (7,)."""

    def push(self, wrench: Array) -> None:
        """Apply a wrench (N, Nm; base frame, at the flange) from now on. Shape: (6,)."""

    def place(self, q: Array) -> None:
        """Put the arm at rest at joint positions. Shape: (7,)."""


class ArmBody:
    """Rigid links with rotor inertia and viscous friction; no Coriolis terms.

    M(q) ddq = torque + J^T F - D dq. M is renewed every few milliseconds: at the speeds an arm is driven at
    by a policy it changes slowly. Friction is taken implicitly, so that one step cannot overshoot.
    """

    REFRESH_S = 0.01

    def __init__(self, q: Array = robot.ARM_HOME, wall_height: float | None = None) -> None:
        """
        Args:
            q: joint positions at the start.
            wall_height: height (m, base frame) of a horizontal surface under the flange; None: none.
        """
        self.wall_height = wall_height
        self._wrench = np.zeros(6)
        self.place(np.asarray(q, dtype=np.float64))

    WALL_STIFFNESS = 3000.0
    """N/m."""

    def place(self, q: Array) -> None:
        """Put the arm at rest at joint positions."""
        self.q = np.clip(q, robot.ARM_LIMITS[0], robot.ARM_LIMITS[1])
        self.dq = np.zeros(7)
        self.tau_ext = np.zeros(7)
        self._since_refresh = np.inf

    def push(self, wrench: Array) -> None:
        """Apply a wrench at the flange from now on."""
        self._wrench = np.asarray(wrench, dtype=np.float64)

    def step(self, torque: Array, dt: float) -> None:
        """Advance by dt."""
        if self._since_refresh >= self.REFRESH_S:
            at = fci_model.chain(self.q)
            inertia = fci_model.mass_matrix(at) + np.diag(fci_model.ARMATURE + dt * fci_model.FRICTION)
            self._inverse = np.linalg.inv(inertia)
            self._jacobian = fci_model.jacobian(at, at.flange[:3, 3])
            self._since_refresh = 0.0
        self._since_refresh += dt
        wrench = self._wrench
        if self.wall_height is not None:
            depth = self.wall_height - float(fci_model.forward(self.q)[2, 3])
            if depth > 0.0:
                wrench = wrench + np.array([0.0, 0.0, self.WALL_STIFFNESS * depth, 0.0, 0.0, 0.0])
        self.tau_ext = self._jacobian.T @ wrench
        acceleration = self._inverse @ (torque + self.tau_ext - fci_model.FRICTION * self.dq)
        self.dq = self.dq + dt * acceleration
        q = self.q + dt * self.dq
        low, high = robot.ARM_LIMITS
        outside = (q < low) | (q > high)
        if outside.any():
            self.dq = np.where(outside, 0.0, self.dq)
            q = np.clip(q, low, high)
        self.q = q
