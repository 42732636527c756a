"""Rotations and poses: axioms as properties, and values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfs_core import se3
from rfs_core.se3 import Pose

finite = st.floats(-10.0, 10.0)
vectors = st.tuples(finite, finite, finite).map(lambda v: np.array([v]))
unit_quaternions = (
    st.tuples(finite, finite, finite, finite)
    .map(lambda v: np.array([v]))
    .filter(lambda q: np.linalg.norm(q) > 1e-3)
    .map(se3.quat_normalize)
)
poses = st.builds(Pose, vectors, unit_quaternions)
HALF = math.sqrt(0.5)


def same_rotation(a, b, tolerance=1e-9):
    return se3.quat_angle(se3.quat_multiply(a, se3.quat_conjugate(b))).max() < tolerance


def test_quarter_turn_about_z_takes_x_to_y():
    q = se3.quat_from_rotvec(np.array([[0.0, 0.0, math.pi / 2]]))
    np.testing.assert_allclose(q, [[HALF, 0, 0, HALF]], atol=1e-15)
    np.testing.assert_allclose(se3.quat_rotate(q, np.array([[1.0, 0, 0]])), [[0, 1, 0]], atol=1e-15)
    np.testing.assert_allclose(se3.matrix_from_quat(q), [[[0, -1, 0], [1, 0, 0], [0, 0, 1]]], atol=1e-15)


def test_product_rotates_by_the_right_factor_first():
    z, x = np.array([[HALF, 0, 0, HALF]]), np.array([[HALF, HALF, 0, 0]])
    # x-turn takes y to z; the z-turn leaves z alone.
    np.testing.assert_allclose(
        se3.quat_rotate(se3.quat_multiply(z, x), np.array([[0.0, 1, 0]])), [[0, 0, 1]], atol=1e-15
    )


def test_rotation_6d_is_the_first_column_then_the_second():
    q = np.array([[HALF, 0, 0, HALF]])  # columns of the matrix: y, -x, z
    np.testing.assert_allclose(se3.rotation_6d(q), [[0, 1, 0, -1, 0, 0]], atol=1e-15)


def test_pose_error_is_displacement_and_rotation_in_the_base_frame():
    current = Pose(np.array([[1.0, 2.0, 3.0]]), np.array([[HALF, HALF, 0.0, 0.0]]))
    turn = np.array([[0.0, 0.2, 0.0]])
    target = Pose(
        np.array([[1.5, 2.0, 3.0]]), se3.quat_multiply(se3.quat_from_rotvec(turn), current.quaternion)
    )
    np.testing.assert_allclose(se3.pose_error(target, current), [[0.5, 0, 0, 0, 0.2, 0]], atol=1e-12)


@given(unit_quaternions)
def test_logarithm_undoes_exponential(q):
    assert same_rotation(se3.quat_from_rotvec(se3.rotvec_from_quat(q)), q)
    assert np.linalg.norm(se3.rotvec_from_quat(q)) <= math.pi + 1e-9


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-14, 1e-9, 1e-4, 1.0, math.pi - 1e-9])
def test_exponential_and_logarithm_are_exact_for_small_and_large_angles(angle):
    rotvec = angle * np.array([[2.0, -1.0, 2.0]]) / 3.0
    np.testing.assert_allclose(se3.rotvec_from_quat(se3.quat_from_rotvec(rotvec)), rotvec, rtol=1e-7, atol=0)


@given(unit_quaternions)
def test_matrix_and_quaternion_say_the_same(q):
    matrix = se3.matrix_from_quat(q)
    np.testing.assert_allclose(matrix[0] @ matrix[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[0]) == pytest.approx(1.0)
    back = se3.quat_from_matrix(matrix)
    assert same_rotation(back, q)
    assert back[0, 0] >= 0.0
    np.testing.assert_allclose(se3.rotation_6d(q)[0], matrix[0][:, :2].T.ravel(), atol=1e-12)


@pytest.mark.parametrize("axis", np.eye(3).tolist() + [[HALF, HALF, 0], [0, HALF, -HALF]])
def test_half_turns_survive_the_way_through_a_matrix(axis):
    q = np.array([[0.0, *axis]])
    assert same_rotation(se3.quat_from_matrix(se3.matrix_from_quat(q)), q)


@given(poses, poses, vectors)
def test_composition_is_applying_one_after_the_other(a, b, v):
    ab = se3.compose(a, b)
    one = ab.position + se3.quat_rotate(ab.quaternion, v)
    two = a.position + se3.quat_rotate(a.quaternion, b.position + se3.quat_rotate(b.quaternion, v))
    np.testing.assert_allclose(one, two, atol=1e-9)


@given(poses)
def test_a_pose_composed_with_its_inverse_is_the_identity(a):
    identity = se3.compose(a, se3.inverse(a))
    np.testing.assert_allclose(identity.position, 0.0, atol=1e-9)
    assert se3.quat_angle(identity.quaternion).max() < 1e-7


@given(unit_quaternions)
def test_a_quaternion_and_its_negative_are_one_rotation(q):
    np.testing.assert_allclose(se3.quat_angle(q), se3.quat_angle(-q))
    if abs(q[0, 0]) > 1e-6:
        np.testing.assert_allclose(se3.rotvec_from_quat(q), se3.rotvec_from_quat(-q), atol=1e-9)
