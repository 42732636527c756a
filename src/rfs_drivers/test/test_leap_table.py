"""The table of the hand's joints agrees with the project's robot and with the simulated model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rfs_core import robot
from rfs_drivers import leap_table


def test_joints_are_those_of_the_robot_in_motor_order() -> None:
    names, motors = leap_table.NAMES, leap_table.MOTORS
    assert names == robot.HAND_JOINT_NAMES
    assert motors == tuple(range(16))


def test_limits_are_those_of_the_robot() -> None:
    np.testing.assert_array_equal(np.array([leap_table.LOW, leap_table.HIGH]), robot.HAND_LIMITS)


def test_no_joint_goes_where_one_of_the_sources_forbids_it() -> None:
    # The two sources disagree on th_axl and th_mcp only.
    differ = [joint.name for joint in leap_table.JOINTS if joint.urdf != joint.menagerie]
    assert differ == ["th_axl", "th_mcp"]
    axl, mcp = leap_table.JOINTS[13], leap_table.JOINTS[14]
    assert (axl.low, axl.high) == (-0.349, 2.094)  # within -0.47 to 2.443
    assert (mcp.low, mcp.high) == (-0.47, 1.90)  # -1.20 to 1.90 and -0.47 to 2.443


def test_simulated_joints_and_actuators_have_the_ranges_of_the_table() -> None:
    mujoco = pytest.importorskip("mujoco")
    mjcf = pytest.importorskip("rfs_sim.mjcf")
    model = mujoco.MjModel.from_xml_string(mjcf.write(mjcf.SceneConfig()))
    for joint in leap_table.JOINTS:
        assert tuple(model.joint(joint.name).range) == pytest.approx((joint.low, joint.high), abs=1e-6)
        assert tuple(model.actuator(joint.name).ctrlrange) == pytest.approx((joint.low, joint.high), abs=1e-6)


def test_a_joint_at_zero_is_half_a_turn_of_its_motor() -> None:
    assert leap_table.ticks(np.zeros(16)) == [2048] * 16
    # A quarter turn is 1024 of 4096 ticks, in the joint's direction.
    assert leap_table.ticks(np.full(16, math.pi / 2)) == [3072] * 16
    assert leap_table.ticks(np.full(16, -math.pi / 2)) == [1024] * 16


def test_ticks_and_radians_undo_each_other_within_half_a_tick() -> None:
    position = np.linspace(leap_table.LOW, leap_table.HIGH, 50)
    for row in position:
        back = leap_table.radians(np.array(leap_table.ticks(row)))
        assert np.abs(back - row).max() <= 0.5 * 2 * math.pi / 4096 + 1e-12


def test_every_joint_s_range_lies_within_one_turn_of_its_encoder() -> None:
    low, high = leap_table.ticks(leap_table.LOW), leap_table.ticks(leap_table.HIGH)
    assert min(low) >= 0
    assert max(high) < 4096


def test_units_are_those_of_the_servo() -> None:
    # 0.229 rpm = 0.229 * 6.283185 / 60 rad/s
    velocity, current = leap_table.VELOCITY_UNIT, leap_table.CURRENT_UNIT
    assert velocity == pytest.approx(0.0239809, rel=1e-5)
    assert current == 0.001
