"""Kinematics of the FR3 with a hand on its flange: forward, Jacobian, damped least squares, inverse.

Vectorised over a batch of numpy arrays or torch tensors: inside, vectors are kept as (3, N) so that every
operation runs over contiguous rows. Constants from `rfs_core.robot`. Damped least squares: Buss,
"Introduction to inverse kinematics with Jacobian transpose, pseudoinverse and damped least squares methods"
(2004), Eq. 11.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rfs_core import robot, se3
from rfs_core.arrays import Array, contiguous, empty, like, namespace, norm, zeros
from rfs_core.errors import KinematicsError
from rfs_core.se3 import Pose

N_JOINTS = 7


class InverseResult(NamedTuple):
    """Result of `ArmKinematics.inverse`."""

    q: Array
    """Joint positions within the limits, rad. Shape: (N, 7)."""
    converged: Array
    """Whether the pose was reached within the tolerances. Shape: (N,)."""


class ArmKinematics:
    """Forward kinematics and its derivatives for the palm frame in the arm's base frame."""

    def __init__(self, palm_in_flange: Pose = robot.PALM_IN_FLANGE) -> None:
        """
        Args:
            palm_in_flange: where the palm frame is mounted, N = 1.
        """
        rotation = se3.matrix_from_quat(np.asarray(palm_in_flange.quaternion).reshape(4))
        position = np.asarray(palm_in_flange.position).reshape(3)
        self._palm_rotation = rotation
        # Palm position in the frame of joint 7, of which the flange is a translation.
        offset = position + np.array([0.0, 0.0, robot.FR3_FLANGE_Z])
        self._palm_position = tuple(float(v) for v in offset)
        self._origins: list[tuple[tuple[float, float, float], int]] = []
        for xyz, roll in robot.FR3_JOINT_ORIGINS:
            quarter_turns = round(roll / (math.pi / 2))
            if not math.isclose(roll, quarter_turns * math.pi / 2) or abs(quarter_turns) > 1:
                raise KinematicsError(f"joint roll {roll} rad: only 0 and +-pi/2 are written out here")
            self._origins.append((xyz, quarter_turns))

    def forward(self, q: Array) -> Pose:
        """Palm pose in the base frame.

        Args:
            q: joint positions, rad. Shape: (N, 7).
        """
        rotation, position, _, _ = self._chain(q)
        return Pose(contiguous(position.T), se3.quat_from_matrix(rotation))

    def jacobian(self, q: Array) -> Array:
        """Palm twist in the base frame per joint speed: linear (m) then angular (rad). Shape: (N, 6, 7)."""
        _, position, origins, axes = self._chain(q)
        return _jacobian(position, origins, axes)

    def forward_and_jacobian(self, q: Array) -> tuple[Pose, Array]:
        """Both, at the cost of one."""
        rotation, position, origins, axes = self._chain(q)
        pose = Pose(contiguous(position.T), se3.quat_from_matrix(rotation))
        return pose, _jacobian(position, origins, axes)

    @staticmethod
    def dls(jacobian: Array, error: Array, damping: float) -> Array:
        """Joint step J^T (J J^T + damping^2 I)^-1 error.

        Args:
            jacobian: Shape: (N, 6, 7).
            error: wanted palm displacement, m and rad. Shape: (N, 6).
            damping: lambda, > 0; larger is slower and calmer near singularities.

        Returns:
            rad. Shape: (N, 7).
        """
        xp = namespace(jacobian)
        transposed = xp.permute_dims(jacobian, (0, 2, 1))
        gram = jacobian @ transposed
        gram.reshape((-1, 36))[:, ::7] += damping**2  # the diagonal
        return (transposed @ xp.linalg.solve(gram, error[:, :, None]))[:, :, 0]

    def inverse(
        self,
        target: Pose,
        q0: Array,
        iterations: int = 100,
        *,
        damping: float = 0.05,
        position_tolerance: float = 1e-4,
        rotation_tolerance: float = 1e-3,
    ) -> InverseResult:
        """Joint positions within the limits that put the palm at `target`, by iterated damped least squares.

        Args:
            target: palm poses in the base frame.
            q0: where to start; the solution is one near it. Shape: (N, 7).
            iterations: most steps to take, each of at most 0.25 rad per joint.
            damping: lambda of `dls`.
            position_tolerance: m. rotation_tolerance: rad.

        Returns:
            The last joint positions, and for each whether it reached the target. Check the flag.
        """
        limits = like(robot.ARM_LIMITS, q0)
        q = q0.clip(limits[0], limits[1])
        for _ in range(iterations):
            pose, jacobian = self.forward_and_jacobian(q)
            error = se3.pose_error(target, pose)
            if bool(_reached(error, position_tolerance, rotation_tolerance).all()):
                break
            step = self.dls(jacobian, error, damping).clip(-0.25, 0.25)
            q = (q + step).clip(limits[0], limits[1])
        error = se3.pose_error(target, self.forward(q))
        return InverseResult(q, _reached(error, position_tolerance, rotation_tolerance))

    def _chain(self, q: Array) -> tuple[Array, Array, Array, Array]:
        """Palm rotation (N, 3, 3), palm position (3, N), joint origins and joint axes (7, 3, N)."""
        if q.ndim != 2 or q.shape[1] != N_JOINTS:
            raise KinematicsError(f"q has shape {q.shape}, needs (N, {N_JOINTS})")
        xp, n = namespace(q), q.shape[0]
        cosines, sines = xp.cos(q.T), xp.sin(q.T)
        # Columns of the current frame's rotation, and its origin.
        x, y, z = zeros((3, n), q), zeros((3, n), q), zeros((3, n), q)
        x[0], y[1], z[2] = 1.0, 1.0, 1.0
        p = zeros((3, n), q)
        origins, axes = empty((N_JOINTS, 3, n), q), empty((N_JOINTS, 3, n), q)
        for i, ((dx, dy, dz), quarter_turns) in enumerate(self._origins):
            for column, distance in ((x, dx), (y, dy), (z, dz)):
                if distance:
                    p = p + distance * column
            if quarter_turns > 0:
                y, z = z, -y
            elif quarter_turns < 0:
                y, z = -z, y
            c, s = cosines[i], sines[i]
            x, y = c * x + s * y, c * y - s * x
            origins[i], axes[i] = p, z
        offset = self._palm_position
        position = p + offset[0] * x + offset[1] * y + offset[2] * z
        frame = xp.stack([x, y, z], axis=1)  # (3 components, 3 columns, N)
        rotation = xp.moveaxis(frame, -1, 0) @ like(self._palm_rotation, q)
        return rotation, position, origins, axes


def _jacobian(position: Array, origins: Array, axes: Array) -> Array:
    arm = position[None] - origins
    jacobian = empty((position.shape[1], 6, N_JOINTS), position)
    ax, ay, az = axes[:, 0], axes[:, 1], axes[:, 2]
    rx, ry, rz = arm[:, 0], arm[:, 1], arm[:, 2]
    jacobian[:, 0] = (ay * rz - az * ry).T
    jacobian[:, 1] = (az * rx - ax * rz).T
    jacobian[:, 2] = (ax * ry - ay * rx).T
    jacobian[:, 3:] = namespace(axes).permute_dims(axes, (2, 1, 0))
    return jacobian


def _reached(error: Array, position_tolerance: float, rotation_tolerance: float) -> Array:
    return (norm(error[:, :3]) <= position_tolerance) & (norm(error[:, 3:]) <= rotation_tolerance)
