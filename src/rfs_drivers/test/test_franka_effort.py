"""How much of a setpoint the joints can bear, worked out by hand for a wrist with one lever."""

from __future__ import annotations

import numpy as np
import pytest

from rfs_core import robot
from rfs_core.kinematics import ArmKinematics
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_effort import Impedance, bearable_share, posture_torque

STILL = np.zeros(6)
CONFIG = FrankaConfig(
    address="127.0.0.2",
    translational_stiffness=1000.0,
    rotational_stiffness=25.0,
    translational_error_clip=0.03,
    rotational_error_clip=0.2,
    damping_ratio=1.0,
    rotational_damping_ratio=0.5,
    torque_share=0.5,
)
IMPEDANCE = Impedance.of(CONFIG)


def lever(metres: float) -> np.ndarray:
    """Joint 6 moves the palm along z with a lever; no other joint does anything. Shape: (6, 7)."""
    jacobian = np.zeros((6, 7))
    jacobian[2, 5] = metres
    return jacobian


def along_z(value: float) -> np.ndarray:
    return np.array([0.0, 0.0, value, 0.0, 0.0, 0.0])


def test_the_law_is_the_configurations() -> None:
    assert IMPEDANCE.stiffness.tolist() == [1000.0] * 3 + [25.0] * 3
    # 2 sqrt(1000) = 63.2; 0.5 * 2 sqrt(25) = 5.
    np.testing.assert_allclose(IMPEDANCE.damping, [63.2456] * 3 + [5.0] * 3, rtol=1e-5)
    assert IMPEDANCE.clip.tolist() == [0.03] * 3 + [0.2] * 3
    assert IMPEDANCE.torque.tolist() == [43.5] * 4 + [6.0] * 3


def test_what_the_joints_can_bear_is_handed_on_whole() -> None:
    # 1000 N/m * 0.03 m * 0.19 m = 5.7 Nm of 6.
    assert bearable_share(along_z(0.03), STILL, STILL, lever(0.19), IMPEDANCE) == 1.0


def test_of_what_would_overload_the_wrist_only_a_part_is_handed_on() -> None:
    # 30 N * 0.4 m = 12 Nm, half of that may be asked for; in either direction.
    assert bearable_share(along_z(0.03), STILL, STILL, lever(0.4), IMPEDANCE) == pytest.approx(0.5)
    assert bearable_share(along_z(-0.03), STILL, STILL, lever(0.4), IMPEDANCE) == pytest.approx(0.5)


def test_a_setpoint_that_moves_counts_as_if_the_arm_were_stopped_by_something() -> None:
    # 63.2456 * 0.5 m/s = 31.62 N, with 0.4 m 12.65 Nm: free motion resists as much, a table does not.
    share = bearable_share(STILL, along_z(0.5), along_z(0.5), lever(0.4), IMPEDANCE)
    assert share == pytest.approx(6.0 / 12.649, rel=1e-3)


def test_an_arm_thrown_back_is_not_pulled_harder() -> None:
    # Damping already asks for 63.2456 * 0.1 * 0.4 = 2.53 Nm upwards, so 3.47 of the 12 Nm are left.
    share = bearable_share(along_z(0.03), STILL, along_z(-0.1), lever(0.4), IMPEDANCE)
    assert share == pytest.approx((6.0 - 2.530) / 12.0, rel=1e-3)


def test_an_arm_thrown_back_faster_than_the_wrist_can_damp_is_not_pulled_at_all() -> None:
    assert bearable_share(along_z(0.03), STILL, along_z(-1.0), lever(0.4), IMPEDANCE) == 0.0


def test_what_the_posture_asks_for_is_taken_off() -> None:
    other = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 2.4, 0.0])
    # 3.6 of 12 Nm are left upwards, 8.4 downwards.
    assert bearable_share(along_z(0.03), STILL, STILL, lever(0.4), IMPEDANCE, other) == pytest.approx(0.3)
    assert bearable_share(along_z(-0.03), STILL, STILL, lever(0.4), IMPEDANCE, other) == pytest.approx(0.7)


def test_a_posture_moves_no_palm_and_damps_what_does_not_move_it() -> None:
    jacobian = ArmKinematics().jacobian(robot.ARM_HOME[None])[0]
    _, _, directions = np.linalg.svd(jacobian)
    still = directions[6]  # of the joints' speeds, the one that leaves the palm where it is
    torque = posture_torque(20.0, robot.ARM_HOME + 0.3 * still, robot.ARM_HOME, np.zeros(7), jacobian)
    # All of 20 Nm/rad * 0.3 rad, as nothing of it is lost to the projection.
    np.testing.assert_allclose(torque, 6.0 * still, atol=1e-4)
    moving = posture_torque(20.0, robot.ARM_HOME, robot.ARM_HOME, 0.1 * still, jacobian)
    np.testing.assert_allclose(moving, -2.0 * np.sqrt(20.0) * 0.1 * still, atol=1e-4)
    felt = np.linalg.solve(jacobian @ jacobian.T, jacobian @ torque)
    np.testing.assert_allclose(felt, 0.0, atol=1e-3)


def test_no_static_setpoint_asks_more_of_a_joint_than_its_share() -> None:
    """Any pose, any error within the clips: the torques of what is handed on stay within the share."""
    rng = np.random.default_rng(0)
    low, high = robot.ARM_LIMITS
    limited = 0
    for jacobian in ArmKinematics().jacobian(rng.uniform(low, high, (500, 7))):
        error = rng.uniform(-1.0, 1.0, 6) * IMPEDANCE.clip
        share = bearable_share(error, STILL, STILL, jacobian, IMPEDANCE)
        torque = jacobian.T @ (IMPEDANCE.stiffness * share * error)
        assert np.all(np.abs(torque) <= IMPEDANCE.torque + 1e-9)
        limited += share < 1.0
    assert 0 < limited < 500
