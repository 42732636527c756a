"""Poses of the palm and of the robot's end effector, whichever Desk knows, as homogeneous transforms."""

from __future__ import annotations

import numpy as np

from rfs_core import robot, se3
from rfs_core.se3 import Array, Pose


def pose_matrix(pose: Pose) -> Array:
    """Homogeneous transform of the first pose of a batch. Shape: (4, 4)."""
    matrix = np.eye(4)
    matrix[:3, :3] = se3.matrix_from_quat(pose.quaternion.reshape(-1, 4)[0])
    matrix[:3, 3] = pose.position.reshape(-1, 3)[0]
    return matrix


def matrix_pose(matrix: Array) -> Pose:
    """Pose (N = 1) of a homogeneous transform."""
    return Pose(matrix[None, :3, 3].copy(), se3.quat_from_matrix(matrix[None, :3, :3]))


def inverse_matrix(matrix: Array) -> Array:
    """Inverse of a homogeneous transform."""
    rotation = matrix[:3, :3].T
    inverse = np.eye(4)
    inverse[:3, :3] = rotation
    inverse[:3, 3] = -rotation @ matrix[:3, 3]
    return inverse


def moved(pose: Pose, displacement: Array) -> Pose:
    """A pose displaced by m and rad of the base frame. Shape: (6,)"""
    turn = se3.quat_from_rotvec(displacement[None, 3:])
    return Pose(pose.position + displacement[:3], se3.quat_multiply(turn, pose.quaternion))


PALM_IN_FLANGE = pose_matrix(robot.PALM_IN_FLANGE)


def palm_of(end_effector: Array, flange_to_end_effector: Array) -> Array:
    """Palm in the base frame, from the robot's end effector, whichever Desk knows. Shape: (4, 4)."""
    palm: Array = end_effector @ inverse_matrix(flange_to_end_effector) @ PALM_IN_FLANGE
    return palm


def end_effector_of(palm: Array, flange_to_end_effector: Array) -> Array:
    """End effector in the base frame, from the palm. Shape: (4, 4)."""
    pose: Array = palm @ inverse_matrix(PALM_IN_FLANGE) @ flange_to_end_effector
    return pose
