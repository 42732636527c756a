"""The emulated arm's body."""

from __future__ import annotations

import numpy as np

from rfs_core import robot
from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_plant import ArmBody
from rfs_drivers.emulated.fci_robot import FciRobot


def test_arm_without_torque_stays_where_it_is() -> None:
    body = ArmBody()
    for _ in range(1000):
        body.step(np.zeros(7), 1e-3)
    np.testing.assert_array_equal(body.q, robot.ARM_HOME)


def test_a_turning_joint_settles_where_friction_balances_torque() -> None:
    """tau = D dq: 0.1 Nm on joint 7 against 0.2 Nm s/rad ends at 0.5 rad/s; 3 s are over 5 time constants."""
    q = robot.ARM_HOME.copy()
    q[6] = robot.ARM_LIMITS[0, 6]
    body = ArmBody(q)
    torque = np.zeros(7)
    torque[6] = 0.1
    # Hold the others stiffly.
    for _ in range(3000):
        torque[:6] = 2000.0 * (q - body.q)[:6] - 100.0 * body.dq[:6]
        body.step(torque, 1e-3)
    assert abs(body.dq[6] - 0.1 / fci_model.FRICTION[6]) < 0.02


def test_a_push_appears_as_the_torques_it_exerts() -> None:
    body = ArmBody()
    push = np.array([10.0, -5.0, 3.0, 0.5, 0.2, -0.1])
    body.push(push)
    body.step(np.zeros(7), 1e-3)
    at = fci_model.chain(robot.ARM_HOME)
    np.testing.assert_allclose(body.tau_ext, fci_model.jacobian(at, at.flange[:3, 3]).T @ push)
    assert body.dq[1] != 0.0


def test_joints_stop_at_their_limits() -> None:
    body = ArmBody()
    for _ in range(3000):
        body.step(np.array([0.0, 0.0, 0.0, 20.0, 0.0, 0.0, 0.0]), 1e-3)
    assert body.q[3] == robot.ARM_LIMITS[1, 3]
    assert body.dq[3] == 0.0


def test_a_surface_pushes_back_with_its_stiffness() -> None:
    height = float(fci_model.forward(robot.ARM_HOME)[2, 3]) + 0.001
    body = ArmBody(wall_height=height)
    body.step(np.zeros(7), 1e-3)
    at = fci_model.chain(robot.ARM_HOME)
    # 1 mm deep at 3000 N/m: 3 N upwards.
    np.testing.assert_allclose(
        body.tau_ext, fci_model.jacobian(at, at.flange[:3, 3]).T @ [0, 0, 3.0, 0, 0, 0], atol=1e-9
    )


class RecordingBody(ArmBody):
    """Stands for an arm in a physics world: what the robot asks of it."""

    def __init__(self) -> None:
        super().__init__()
        self.torques: list[np.ndarray] = []

    def step(self, torque: np.ndarray, dt: float) -> None:
        self.torques.append(np.array(torque))
        super().step(torque, dt)


def test_a_physics_world_can_carry_the_arm() -> None:
    body = RecordingBody()
    robot_arm = FciRobot(body)
    for _ in range(10):
        robot_arm.step(None)
    assert len(body.torques) == 10
    # Idle: the robot's own controller holds it there, and gravity is not the body's business.
    np.testing.assert_allclose(body.torques[-1], 0.0, atol=1e-9)
