"""Frames of the palm and of the end effector that Desk knows, without the client library."""

from __future__ import annotations

import numpy as np

from rfs_core import robot, se3
from rfs_drivers import franka_connection as connection


def random_transform(rng: np.random.Generator) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = se3.matrix_from_quat(se3.quat_normalize(rng.normal(size=4)))
    matrix[:3, 3] = rng.normal(size=3)
    return matrix


def test_palm_and_end_effector_are_each_others_inverse_whatever_desk_knows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        palm, tool = random_transform(rng), random_transform(rng)
        end_effector = connection.end_effector_of(palm, tool)
        np.testing.assert_allclose(connection.palm_of(end_effector, tool), palm, atol=1e-12)


def test_palm_of_a_bare_flange_is_the_projects_mount() -> None:
    palm = connection.palm_of(np.eye(4), np.eye(4))
    np.testing.assert_allclose(palm[:3, 3], robot.PALM_IN_FLANGE.position[0])
    np.testing.assert_allclose(palm[:3, :3], se3.matrix_from_quat(robot.PALM_IN_FLANGE.quaternion)[0])


def test_pose_and_matrix_are_each_others_inverse() -> None:
    matrix = random_transform(np.random.default_rng(1))
    np.testing.assert_allclose(connection.pose_matrix(connection.matrix_pose(matrix)), matrix, atol=1e-12)
    np.testing.assert_allclose(connection.inverse_matrix(matrix) @ matrix, np.eye(4), atol=1e-12)
