"""Constants of the robot: orders, and the agreement of what is written in two places."""

import numpy as np
import pytest

from rfs_core import robot


def test_hand_joints_are_in_the_order_of_the_motor_ids():
    # IDs 0-3 index, 4-7 middle, 8-11 ring, 12-15 thumb; in a finger: side, forward, PIP, DIP.
    assert robot.HAND_JOINT_NAMES[:4] == ("if_rot", "if_mcp", "if_pip", "if_dip")
    assert robot.HAND_JOINT_NAMES[4] == "mf_rot"
    assert robot.HAND_JOINT_NAMES[8] == "rf_rot"
    assert robot.HAND_JOINT_NAMES[12:] == ("th_cmc", "th_axl", "th_mcp", "th_ipl")
    assert len(set(robot.HAND_JOINT_NAMES)) == 16


def test_limits_fit_the_names_and_contain_home_and_open_hand():
    assert robot.ARM_LIMITS.shape == (2, len(robot.ARM_JOINT_NAMES))
    assert robot.HAND_LIMITS.shape == (2, len(robot.HAND_JOINT_NAMES))
    assert (robot.ARM_LIMITS[0] < robot.ARM_HOME).all()
    assert (robot.ARM_LIMITS[1] > robot.ARM_HOME).all()
    assert (robot.HAND_LIMITS[0] <= robot.HAND_OPEN).all()
    assert (robot.HAND_LIMITS[1] >= robot.HAND_OPEN).all()


def test_thumb_limits_are_what_urdf_and_menagerie_both_allow():
    low, high = robot.HAND_LIMITS
    # th_axl: URDF [-0.47, 2.443], Menagerie [-0.349, 2.094].
    # th_mcp: URDF [-1.20, 1.90], Menagerie [-0.47, 2.443].
    assert (low[13], high[13]) == (-0.349, 2.094)
    assert (low[14], high[14]) == (-0.47, 1.90)


def test_action_spec_is_six_deltas_and_sixteen_fingers():
    spec = robot.DEFAULT_ACTION_SPEC
    assert spec.size == 22
    assert (spec.control_dt, spec.horizon) == (0.05, 2)
    np.testing.assert_array_equal(spec.high[:6], [0.03] * 3 + [0.1] * 3)
    np.testing.assert_array_equal(spec.low[6:], robot.HAND_LIMITS[0])


def test_constants_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        robot.ARM_HOME[0] = 1.0
