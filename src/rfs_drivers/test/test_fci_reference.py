"""Where the client's commands want the emulated arm."""

from __future__ import annotations

import numpy as np
import pytest

from rfs_core import robot
from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_protocol import COMMAND_DTYPE, StateGenerator, column_major
from rfs_drivers.emulated.fci_reference import Reference, elbow

NO_TOOL = np.eye(4)
HOME_POSE = fci_model.forward(robot.ARM_HOME)


def command(**values: object) -> np.void:
    record = np.zeros(1, dtype=COMMAND_DTYPE)
    for name, value in values.items():
        record[name][0] = value
    return record[0]


@pytest.fixture
def reference() -> Reference:
    return Reference(robot.ARM_HOME.copy(), HOME_POSE)


def joints(**changes: float) -> np.ndarray:
    """At home, with changes by joint: j0=0.1."""
    q = robot.ARM_HOME.copy()
    for name, value in changes.items():
        q[int(name[1:])] += value
    return q


def test_a_joint_position_is_taken_with_the_speed_and_acceleration_that_it_means(
    reference: Reference,
) -> None:
    q = joints(j0=0.001)
    assert reference.follow(command(q_c=q), StateGenerator.JOINT_POSITION, NO_TOOL) == ""
    np.testing.assert_array_equal(reference.q, q)
    # 1 mrad in 1 ms from rest: 1 rad/s, and so 1000 rad/s2.
    assert reference.dq[0] == pytest.approx(1.0)
    assert reference.ddq[0] == pytest.approx(1000.0)


def test_a_joint_velocity_is_integrated_and_goes_on_when_a_command_is_lost(reference: Reference) -> None:
    speeds = [0.2, 0, 0, 0, 0, 0, 0]
    assert reference.follow(command(dq_c=speeds), StateGenerator.JOINT_VELOCITY, NO_TOOL) == ""
    for _ in range(9):
        reference.extrapolate(StateGenerator.JOINT_VELOCITY, NO_TOOL)
    # 10 ms at 0.2 rad/s.
    assert reference.q[0] - robot.ARM_HOME[0] == pytest.approx(0.002)
    assert reference.dq[0] == pytest.approx(0.2)
    assert reference.ddq[0] == 0.0


def test_a_joint_beyond_its_limit_is_an_error_and_not_followed(reference: Reference) -> None:
    q = robot.ARM_LIMITS[1] + [0.01, 0, 0, 0, 0, 0, 0]
    error = reference.follow(command(q_c=q), StateGenerator.JOINT_POSITION, NO_TOOL)
    assert error == "joint_motion_generator_position_limits_violation"
    np.testing.assert_array_equal(reference.q, robot.ARM_HOME)


def test_a_joint_that_would_be_too_fast_is_an_error(reference: Reference) -> None:
    # 2.62 rad/s are allowed, and a twentieth more before it is an error: 2.751.
    fast, too_fast = [2.7, 0, 0, 0, 0, 0, 0], [2.8, 0, 0, 0, 0, 0, 0]
    assert reference.follow(command(dq_c=fast), StateGenerator.JOINT_VELOCITY, NO_TOOL) == ""
    error = reference.follow(command(dq_c=too_fast), StateGenerator.JOINT_VELOCITY, NO_TOOL)
    assert error == "joint_motion_generator_velocity_limits_violation"


def test_only_the_values_that_count_must_be_finite() -> None:
    q_is_nan = command(q_c=[np.nan] * 7)
    assert not Reference.is_finite(q_is_nan, StateGenerator.JOINT_POSITION)
    assert Reference.is_finite(q_is_nan, StateGenerator.JOINT_VELOCITY)
    assert Reference.is_finite(q_is_nan, StateGenerator.CARTESIAN_VELOCITY)
    assert not Reference.is_finite(command(dq_c=[np.inf] * 7), StateGenerator.JOINT_VELOCITY)


def test_a_twist_moves_the_tool_as_asked(reference: Reference) -> None:
    tool = np.eye(4)
    tool[2, 3] = 0.1
    upwards = command(O_dP_EE_c=[0, 0, 0.1, 0, 0, 0])
    for _ in range(100):
        assert reference.follow(upwards, StateGenerator.CARTESIAN_VELOCITY, tool) == ""
    before, after = HOME_POSE @ tool, fci_model.forward(reference.q) @ tool
    # 100 ms at 0.1 m/s.
    np.testing.assert_allclose(after[:3, 3] - before[:3, 3], [0, 0, 0.01], atol=1e-4)
    np.testing.assert_allclose(after[:3, :3], before[:3, :3], atol=1e-3)
    np.testing.assert_array_equal(reference.twist, [0, 0, 0.1, 0, 0, 0])


def test_a_pose_is_reached_by_the_joints_and_echoed_with_its_twist(reference: Reference) -> None:
    wanted = HOME_POSE.copy()
    wanted[0, 3] += 1e-4
    pose = command(O_T_EE_c=column_major(wanted))
    assert reference.follow(pose, StateGenerator.CARTESIAN_POSITION, NO_TOOL) == ""
    np.testing.assert_array_equal(reference.pose, wanted)
    # 0.1 mm in 1 ms.
    np.testing.assert_allclose(reference.twist, [0.1, 0, 0, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(fci_model.forward(reference.q)[:3, 3], wanted[:3, 3], atol=1e-6)


def test_without_a_cartesian_command_the_tool_is_wanted_where_it_is(reference: Reference) -> None:
    pose = fci_model.forward(joints(j0=0.2))
    reference.mirror(pose, np.arange(6.0))
    assert reference.pose is pose
    assert reference.twist.tolist() == [0, 1, 2, 3, 4, 5]
    assert not reference.twist_rate.any()
    # The fourth joint is bent at home: -2.356 rad.
    assert reference.elbow.tolist() == elbow(robot.ARM_HOME).tolist() == [0.0, -1.0]


def test_at_rest_nothing_moves(reference: Reference) -> None:
    reference.follow(command(dq_c=[1.0] * 7), StateGenerator.JOINT_VELOCITY, NO_TOOL)
    reference.rest(joints(j1=0.1))
    np.testing.assert_array_equal(reference.q, joints(j1=0.1))
    assert not reference.dq.any()
    assert not reference.ddq.any()
