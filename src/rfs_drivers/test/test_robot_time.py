"""States keep their distance in time when ROS time is heard late."""

from __future__ import annotations

from rfs_drivers.robot_time import RobotTime

MS = 1_000_000


def test_states_read_while_no_time_is_heard_keep_their_distance() -> None:
    time = RobotTime()
    # The robot began 2 s before /clock. On time once; then /clock stays at 10.000 s for 90 ms of the robot.
    assert time.to_ros(12.000, 10_000 * MS) == 10_000 * MS
    assert time.to_ros(12.010, 10_000 * MS) == 10_010 * MS
    assert time.to_ros(12.090, 10_000 * MS) == 10_090 * MS
    assert time.to_ros(12.100, 10_100 * MS) == 10_100 * MS


def test_a_first_state_whose_time_was_heard_late_is_mended_by_the_next() -> None:
    time = RobotTime()
    assert time.to_ros(5.000, 4_980 * MS) == 4_980 * MS
    assert time.to_ros(5.010, 5_010 * MS) == 5_010 * MS
    assert time.to_ros(5.020, 5_000 * MS) == 5_020 * MS


def test_a_robot_that_was_restarted_begins_anew() -> None:
    time = RobotTime()
    time.to_ros(100.0, 100_000 * MS)
    # Its clock begins at 0 again while ROS time goes on.
    assert time.to_ros(0.5, 100_600 * MS) == 100_600 * MS
    assert time.to_ros(0.6, 100_600 * MS) == 100_700 * MS


def test_ros_time_that_was_set_back_is_followed() -> None:
    time = RobotTime()
    time.to_ros(100.0, 100_000 * MS)
    assert time.to_ros(100.1, 7_000 * MS) == 7_000 * MS


def test_an_offset_is_forgotten_after_300_states() -> None:
    time = RobotTime()
    time.to_ros(1.0, 1_050 * MS)  # 50 ms too late, for whatever reason
    for i in range(1, 300):
        assert time.to_ros(1.0 + 0.01 * i, (1_000 + 10 * i) * MS) == (1_050 + 10 * i) * MS
    assert time.to_ros(4.0, 4_000 * MS) == 4_000 * MS
