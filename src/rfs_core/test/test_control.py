"""The control law: every limit, and no other effect."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfs_core import control, robot, se3
from rfs_core.control import StepLimits, TrackConfig
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose

ORIGIN = Pose(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]))
small = st.floats(-0.3, 0.3)


def pose(x=0.0, y=0.0, z=0.0, rotvec=(0.0, 0.0, 0.0)):
    return Pose(np.array([[x, y, z]]), se3.quat_from_rotvec(np.array([rotvec])))


def test_target_moves_by_the_delta_in_the_base_frame():
    start = pose(0.1, rotvec=(0, 0, np.pi / 2))
    moved = control.step_target(start, np.array([[0.03, 0, 0, 0.1, 0, 0]]), start)
    np.testing.assert_allclose(moved.position, [[0.13, 0, 0]], atol=1e-12)
    # R' R^T = exp(dr): the turn is about the base's x although the palm's x points along y.
    np.testing.assert_allclose(se3.pose_error(moved, start)[0, 3:], [0.1, 0, 0], atol=1e-12)


def test_target_is_pulled_to_the_leash_of_the_measured_palm():
    # Wanted 0.10 m away along (3, 4) / 5 and turned by 0.5 rad; allowed 0.06 m and 0.25 rad.
    moved = control.step_target(pose(0.06, 0.08, rotvec=(0, 0, 0.5)), np.zeros((1, 6)), ORIGIN)
    np.testing.assert_allclose(moved.position, [[0.036, 0.048, 0]], atol=1e-12)
    np.testing.assert_allclose(se3.rotvec_from_quat(moved.quaternion), [[0, 0, 0.25]], atol=1e-12)


def test_target_within_the_leash_is_not_changed():
    target = pose(0.05, rotvec=(0.1, 0.1, 0.0))
    moved = control.step_target(target, np.zeros((1, 6)), ORIGIN)
    np.testing.assert_allclose(moved.position, target.position, atol=1e-15)
    np.testing.assert_allclose(moved.quaternion, target.quaternion, atol=1e-15)


@given(st.lists(small, min_size=6, max_size=6), st.lists(small, min_size=6, max_size=6))
def test_target_never_leaves_the_leash(delta, start):
    limits = StepLimits(leash_position=0.04, leash_rotation=0.2)
    target = pose(*start[:3], rotvec=start[3:])
    moved = control.step_target(target, np.array([delta]), ORIGIN, limits)
    error = se3.pose_error(moved, ORIGIN)[0]
    assert np.linalg.norm(error[:3]) <= 0.04 + 1e-9
    assert np.linalg.norm(error[3:]) <= 0.2 + 1e-9
    assert np.linalg.norm(moved.quaternion) == pytest.approx(1.0, abs=1e-12)


def test_fingers_move_by_at_most_the_rate_and_stay_in_their_limits():
    previous = np.zeros((1, 16))
    previous[0, 2] = 1.8
    wanted = np.zeros((1, 16))
    wanted[0, :4] = [1.0, -0.2, 5.0, -1.0]
    # side: +0.3 of 1.0; forward: -0.2 reached; pip: 1.8 + 0.3 = 2.1, limit 1.885; dip: -0.3, limit -0.366.
    expected = np.zeros((1, 16))
    expected[0, :4] = [0.3, -0.2, 1.885, -0.3]
    np.testing.assert_allclose(control.limit_rate(previous, wanted, 0.3), expected, atol=1e-15)
    again = control.limit_rate(control.limit_rate(previous, wanted, 0.3), wanted, 0.3)
    assert again[0, 3] == -0.366


def test_repeated_tracking_reaches_a_target_within_reach():
    kinematics = ArmKinematics()
    q = robot.ARM_HOME[None].copy()
    start = kinematics.forward(q)
    target = Pose(start.position + [0.03, -0.02, 0.01], start.quaternion)
    q_cmd = q
    for _ in range(30):
        q_cmd = control.track(kinematics, q_cmd, q_cmd, target)
    np.testing.assert_allclose(kinematics.forward(q_cmd).position, target.position, atol=1e-4)


def test_joint_targets_do_not_run_away_from_a_blocked_arm():
    kinematics, q = ArmKinematics(), robot.ARM_HOME[None].copy()
    start = kinematics.forward(q)
    target = Pose(start.position + [0.5, 0.5, -0.3], start.quaternion)
    q_cmd = q
    for _ in range(50):
        q_cmd = control.track(kinematics, q_cmd, q, target)
    assert np.abs(q_cmd - q).max() == pytest.approx(0.15)


def test_joint_targets_stay_in_the_joint_limits():
    kinematics = ArmKinematics()
    q = np.repeat(robot.ARM_LIMITS[1][None] - 0.01, 3, axis=0)
    far = Pose(np.array([[1.0, 1, 1], [-1, 1, 0], [0, -1, 2]]), np.tile([[1.0, 0, 0, 0]], (3, 1)))
    q_cmd = q
    for _ in range(20):
        q_cmd = control.track(kinematics, q_cmd, q_cmd, far)
        assert (q_cmd <= robot.ARM_LIMITS[1]).all()
        assert (q_cmd >= robot.ARM_LIMITS[0]).all()


def test_one_step_of_a_joint_target_is_limited():
    kinematics, q = ArmKinematics(), robot.ARM_HOME[None].copy()
    far = Pose(np.array([[-0.5, 0.5, 1.0]]), np.array([[0.0, 1, 0, 0]]))
    config = TrackConfig(max_step=0.02, max_lead=10.0)
    step = control.track(kinematics, q, q, far, config) - q
    assert np.abs(step).max() == pytest.approx(0.02)


def test_a_steady_load_does_not_make_the_arm_creep():
    kinematics, q_cmd = ArmKinematics(), robot.ARM_HOME[None].copy()
    target = kinematics.forward(q_cmd)
    sagging = q_cmd + 0.02
    for _ in range(20):
        q_cmd = control.track(kinematics, q_cmd, sagging, target)
    np.testing.assert_allclose(q_cmd, robot.ARM_HOME[None], atol=1e-9)
