"""The emulated robot without sockets."""

from __future__ import annotations

import numpy as np
import pytest

from rfs_core import robot as fr3
from rfs_drivers.emulated.fci_protocol import (
    COLLISION_DTYPE,
    COMMAND_DTYPE,
    ERROR_NAMES,
    STATE_DTYPE,
    MoveController,
    MoveGenerator,
    MoveStatus,
    RecoveryStatus,
    RobotMode,
    SetterStatus,
    StateController,
    StateGenerator,
    column_major,
)
from rfs_drivers.emulated.fci_robot import FciRobot


def command(**values: object) -> np.void:
    record = np.zeros(1, dtype=COMMAND_DTYPE)
    for name, value in values.items():
        record[name][0] = value
    return record[0]


def state_of(robot: FciRobot) -> np.void:
    return np.frombuffer(robot.state_bytes(), dtype=STATE_DTYPE)[0]


def begin(robot: FciRobot, generator: MoveGenerator, controller: MoveController) -> None:
    assert robot.move(3, controller, generator) is MoveStatus.MOTION_STARTED


def in_torque_control(robot: FciRobot) -> FciRobot:
    begin(robot, MoveGenerator.NONE, MoveController.EXTERNAL)
    robot.step(command())
    return robot


def test_every_state_advances_robot_time_by_one_millisecond() -> None:
    robot = FciRobot()
    for expected in range(1, 50):
        robot.step(None)
        assert state_of(robot)["message_id"] == expected


def test_state_shows_the_modes_of_a_motion_in_the_states_own_numbering() -> None:
    robot = in_torque_control(FciRobot())
    state = state_of(robot)
    assert state["motion_generator_mode"] == StateGenerator.NONE == 5
    assert state["controller_mode"] == StateController.EXTERNAL == 2
    assert state["robot_mode"] == RobotMode.MOVE
    robot.stop()
    robot.step(None)
    state = state_of(robot)
    assert (state["motion_generator_mode"], state["controller_mode"]) == (0, 3)
    assert state["robot_mode"] == RobotMode.IDLE


def test_joint_position_commands_are_followed_and_echoed() -> None:
    robot = FciRobot()
    begin(robot, MoveGenerator.JOINT_POSITION, MoveController.JOINT_IMPEDANCE)
    target = fr3.ARM_HOME.copy()
    for _ in range(400):
        target = target + [5e-4, 0, 0, 0, 0, 0, 0]
        robot.step(command(q_c=target))
    state = state_of(robot)
    np.testing.assert_allclose(state["q_d"], target, atol=1e-6)
    assert state["dq_d"][0] == pytest.approx(0.5, abs=1e-3)
    # A steady 0.5 rad/s is followed 2 / 125 s behind at most: 8 mrad.
    assert abs(state["q"][0] - target[0]) < 0.008
    end = robot.step(command(q_c=target, motion_generation_finished=1))
    assert end is not None
    assert end.status is MoveStatus.SUCCESS
    assert end.motion_id == 3
    assert robot.mode is RobotMode.IDLE


def test_a_lost_position_command_is_extrapolated() -> None:
    robot = FciRobot()
    begin(robot, MoveGenerator.JOINT_VELOCITY, MoveController.JOINT_IMPEDANCE)
    robot.step(command(dq_c=[0.2, 0, 0, 0, 0, 0, 0]))
    for _ in range(10):
        robot.step(None)
    state = state_of(robot)
    assert state["q_d"][0] == pytest.approx(11 * 0.2e-3, abs=1e-6)
    assert state["dq_d"][0] == pytest.approx(0.2, abs=1e-6)


def test_cartesian_velocity_moves_the_end_effector_as_asked() -> None:
    robot = FciRobot()
    robot.step(None)
    before = state_of(robot)["O_T_EE"].reshape(4, 4).T[:3, 3].copy()
    begin(robot, MoveGenerator.CARTESIAN_VELOCITY, MoveController.JOINT_IMPEDANCE)
    for k in range(1000):
        speed = 0.05 * min(k / 100, 1.0, (999 - k) / 100)
        robot.step(command(O_dP_EE_c=[0, 0, speed, 0, 0, 0]))
    after = state_of(robot)["O_T_EE"].reshape(4, 4).T[:3, 3]
    # A trapezoid of 1 s with ramps of 0.1 s: 0.05 * 0.9 m.
    np.testing.assert_allclose(after - before, [0, 0, 0.045], atol=0.001)


def test_a_reflex_knows_the_joint_and_by_how_much_it_was_asked_too_much() -> None:
    robot = in_torque_control(FciRobot())
    end = robot.step(command(tau_J_d=[0, 0, 0, 0, 0, -13.0, 0]))
    assert end is not None
    assert end.status is MoveStatus.REFLEX_ABORTED
    assert robot.why == "tau_j_range_violation: joint 6: -13.0 Nm asked, allowed 12.0"


def test_twenty_lost_commands_in_a_row_end_a_motion_and_nineteen_do_not() -> None:
    robot = in_torque_control(FciRobot())
    for _ in range(19):
        assert robot.step(None) is None
    robot.step(command())
    ends = [robot.step(None) for _ in range(20)]
    assert ends[:19] == [None] * 19
    assert ends[19] is not None
    assert ends[19].status is MoveStatus.REFLEX_ABORTED
    state = state_of(robot)
    assert state["robot_mode"] == RobotMode.REFLEX
    assert state["errors"][25]
    assert state["errors"].sum() == 1


def test_a_lenient_robot_waits_for_commands() -> None:
    robot = in_torque_control(FciRobot(strict=False))
    assert all(robot.step(None) is None for _ in range(200))


def test_success_rate_is_the_share_of_the_last_hundred_commands() -> None:
    robot = in_torque_control(FciRobot(strict=False))
    for k in range(200):
        robot.step(None if k % 4 == 0 else command())
    assert state_of(robot)["control_command_success_rate"] == pytest.approx(0.75)


def test_a_force_above_the_threshold_is_a_reflex_and_below_it_is_not() -> None:
    robot = in_torque_control(FciRobot())
    assert robot.force_threshold == 30.0
    # Near the start the arm has barely moved: what acts is what was pushed with.
    robot.body.push(np.array([0.0, 29.0, 0.0, 0.0, 0.0, 0.0]))
    assert robot.step(command()) is None
    robot.body.push(np.array([0.0, 31.0, 0.0, 0.0, 0.0, 0.0]))
    end = robot.step(command())
    assert end is not None
    assert end.status is MoveStatus.REFLEX_ABORTED
    state = state_of(robot)
    assert [ERROR_NAMES[i] for i in np.flatnonzero(state["errors"])] == ["cartesian_reflex"]
    # By the robot on its surroundings: the other way round.
    assert state["O_F_ext_hat_K"][1] == pytest.approx(-31.0, abs=0.1)


def test_the_moment_of_an_external_force_is_about_the_stiffness_frame() -> None:
    """At the start the flange points down, and the nominal end effector's x is the base's.

    K stands 0.1034 + 0.2 + 0.1 m below the flange, turned by 90 degrees about z, so that its x axis is the
    base's -y and its y axis the base's -x. 20 N along the base's x at the flange have about K the moment
    (0, 0, 0.4034) x (20, 0, 0) = (0, 8.068, 0) Nm. A state tells that of the robot on its surroundings.
    """
    robot = FciRobot()
    ee, stiffness = np.eye(4), np.eye(4)
    ee[2, 3], stiffness[2, 3] = 0.2, 0.1
    stiffness[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]
    robot.set_end_effector(column_major(ee).tobytes())
    robot.set_stiffness_frame(column_major(stiffness).tobytes())
    robot.body.push(np.array([20.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    robot.step(None)
    state = state_of(robot)
    np.testing.assert_allclose(state["O_F_ext_hat_K"], [-20, 0, 0, 0, -8.068, 0], atol=0.02)
    np.testing.assert_allclose(state["K_F_ext_hat_K"], [0, 20, 0, 8.068, 0, 0], atol=0.02)


def test_reflex_keeps_its_reason_after_recovery() -> None:
    robot = in_torque_control(FciRobot())
    robot.reflex("joint_reflex")
    assert robot.move(4, 2, 4) is MoveStatus.NOT_POSSIBLE
    assert robot.recover() is RecoveryStatus.SUCCESS
    robot.step(None)
    state = state_of(robot)
    assert not state["errors"].any()
    assert state["reflex_reason"][6]
    assert robot.move(5, 2, 4) is MoveStatus.MOTION_STARTED


def test_user_stop_refuses_recovery_until_it_is_released() -> None:
    robot = in_torque_control(FciRobot())
    end = robot.user_stop(True)
    assert end is not None
    assert end.status is MoveStatus.EMERGENCY_ABORTED
    assert robot.recover() is RecoveryStatus.NOT_POSSIBLE
    robot.step(None)
    assert not state_of(robot)["errors"].any()
    robot.user_stop(False)
    assert robot.recover() is RecoveryStatus.SUCCESS
    assert robot.mode is RobotMode.IDLE


def test_a_reflex_does_not_lift_a_user_stop_that_is_pressed() -> None:
    robot = FciRobot()
    robot.user_stop(True)
    robot.reflex("joint_reflex")
    assert robot.mode is RobotMode.USER_STOPPED
    assert robot.recover() is RecoveryStatus.NOT_POSSIBLE
    # The reflex is still there after the release, and recovered as any other.
    robot.user_stop(False)
    assert robot.mode is RobotMode.REFLEX
    assert robot.recover() is RecoveryStatus.SUCCESS
    assert robot.mode is RobotMode.IDLE


def test_a_user_stop_does_not_clear_the_reflex_that_was_before_it() -> None:
    robot = FciRobot()
    robot.reflex("joint_reflex")
    robot.user_stop(True)
    assert robot.mode is RobotMode.USER_STOPPED
    robot.user_stop(False)
    assert robot.mode is RobotMode.REFLEX
    robot.step(None)
    assert state_of(robot)["errors"].sum() == 1


@pytest.mark.parametrize(
    ("generator", "values"),
    [
        (MoveGenerator.CARTESIAN_POSITION, {"O_T_EE_c": [np.nan] * 16}),
        (MoveGenerator.CARTESIAN_VELOCITY, {"O_dP_EE_c": [0, 0, np.inf, 0, 0, 0]}),
        (
            MoveGenerator.CARTESIAN_VELOCITY,
            {"O_dP_EE_c": [0.0] * 6, "valid_elbow": True, "elbow_c": [np.nan, 1]},
        ),
    ],
)
def test_cartesian_commands_that_are_not_finite_end_the_motion_without_moving_the_arm(
    generator: MoveGenerator, values: dict[str, object]
) -> None:
    robot = FciRobot()
    before = robot.body.q.copy()
    begin(robot, generator, MoveController.JOINT_IMPEDANCE)
    end = robot.step(command(**values))
    assert end is not None
    assert end.status is MoveStatus.INPUT_ERROR_ABORTED
    robot.step(None)
    np.testing.assert_allclose(robot.body.q, before, atol=1e-9)


@pytest.mark.parametrize("row", [(0, 3), (3, 0), (3, 3)])
@pytest.mark.parametrize("value", [np.nan, 5.0])
def test_a_matrix_that_is_no_transform_is_refused(row: tuple[int, int], value: float) -> None:
    """A translation of 5 m is one; a bottom row other than 0 0 0 1 is none."""
    matrix = np.eye(4)
    matrix[row] = value
    good = row == (0, 3) and value == 5.0
    expected = SetterStatus.SUCCESS if good else SetterStatus.INVALID_ARGUMENT
    robot = FciRobot()
    assert robot.set_end_effector(column_major(matrix).tobytes()) is expected
    assert robot.set_stiffness_frame(column_major(matrix).tobytes()) is expected


@pytest.mark.parametrize("torque", [np.nan, np.inf, -np.inf])
def test_torques_that_are_not_finite_end_the_motion_without_moving_the_arm(torque: float) -> None:
    robot = in_torque_control(FciRobot())
    before = robot.body.q.copy()
    end = robot.step(command(tau_J_d=[torque] * 7))
    assert end is not None
    assert end.status is MoveStatus.INPUT_ERROR_ABORTED
    np.testing.assert_allclose(robot.body.q, before, atol=1e-9)


def test_torques_beyond_the_joints_range_are_a_reflex() -> None:
    robot = in_torque_control(FciRobot())
    robot.step(command(tau_J_d=[0, 0, 0, 0, 0, 0, 12.1]))
    assert [ERROR_NAMES[i] for i in np.flatnonzero(state_of(robot)["errors"])] == ["tau_j_range_violation"]


def test_the_arm_comes_to_rest_after_every_end_of_torque_control() -> None:
    robot = in_torque_control(FciRobot())
    for _ in range(100):
        robot.step(command(tau_J_d=[5.0, 0, 0, 0, 0, 0, 0]))
    assert abs(robot.body.dq[0]) > 0.1
    robot.stop()
    for _ in range(300):
        robot.step(None)
    assert np.abs(robot.body.dq).max() < 1e-3


def test_collision_thresholds_that_make_no_sense_are_refused() -> None:
    robot = FciRobot()
    values = np.zeros(1, dtype=COLLISION_DTYPE)
    values["force_upper_nom"][0, 2] = -1.0
    assert robot.set_collision_behavior(values.tobytes()) is SetterStatus.INVALID_ARGUMENT
    assert robot.force_threshold == 30.0


def test_the_end_effector_set_by_the_client_is_in_the_state() -> None:
    robot = FciRobot()
    frame = np.eye(4)
    frame[:3, 3] = [0.01, 0.02, 0.03]
    assert robot.set_end_effector(column_major(frame).tobytes()) is SetterStatus.SUCCESS
    robot.step(None)
    state = state_of(robot)
    nominal = state["F_T_NE"].reshape(4, 4).T
    np.testing.assert_allclose(state["F_T_EE"].reshape(4, 4).T, nominal @ frame, atol=1e-6)
    assert robot.set_end_effector(column_major(2.0 * np.eye(4)).tobytes()) is SetterStatus.INVALID_ARGUMENT
