"""Messages with NaN, Inf, 1e300, other lengths or other names in any field: nothing of them reaches a device.

Real messages go through the callbacks of the real nodes, one after the other; what would be published, or be
handed to the controller or the servos, is looked at. The wrong message would move the robot far if the rest
of it counted.
"""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
import spoil
from promises import cases
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter

from rfs_control.nodes.gate_node import GateNode
from rfs_core import robot
from rfs_core.gate import Mode
from rfs_core.kinematics import ArmKinematics
from rfs_msgs.msg import Correction, PolicyAction
from rfs_ros.conversions import joint_state_msg, pose_from_msg, pose_stamped_msg, stamp_msg

MS = 1_000_000
DT = 50 * MS
HOME = ArmKinematics().forward(robot.ARM_HOME[None])
FINGERS = (robot.HAND_LIMITS[0] + robot.HAND_LIMITS[1]) / 2
DOWN_M = -0.001
"""What good actions do."""
ASIDE_M = 0.025
"""What the rest of a wrong action would do."""
THROUGH_THE_NODE = "messages through the node's own callbacks, in one process"


class Kept:
    """In place of a publisher."""

    def __init__(self, publisher: Any) -> None:
        self.topic_name = publisher.topic_name
        self.messages: list[Any] = []
        self.publish = self.messages.append


@pytest.fixture
def context(ros_domain: int) -> Iterator[None]:
    rclpy.init(domain_id=ros_domain)
    yield
    rclpy.shutdown()


class GateUnderFire:
    """A gate node whose clock is the stamps of its messages, with a robot at rest."""

    def __init__(self) -> None:
        use_sim_time = Parameter("use_sim_time", Parameter.Type.BOOL, True)
        self.node = GateNode(parameter_overrides=[use_sim_time])
        self.node.get_logger().set_level(LoggingSeverity.FATAL)
        self.palm = self.node._arm_target = Kept(self.node._arm_target)
        self.fingers = self.node._hand_target = Kept(self.node._hand_target)
        self.at = 1000 * MS
        self.sequence = 0
        self._at_rest = (
            (self.node._on_arm, joint_state_msg(0, robot.ARM_JOINT_NAMES, robot.ARM_HOME)),
            (self.node._on_palm, pose_stamped_msg(0, robot.BASE_FRAME, HOME)),
            (self.node._on_hand, joint_state_msg(0, robot.HAND_JOINT_NAMES, FINGERS)),
        )

    def states(self) -> None:
        """The next control tick."""
        self.at += DT
        for event, message in self._at_rest:
            message.header.stamp = stamp_msg(self.at)
            event(message)

    def message(self, dx: float = 0.0, dz: float = DOWN_M) -> PolicyAction:
        """An action that is right."""
        chunk = np.tile(np.concatenate([[dx, 0.0, dz], np.zeros(3), FINGERS]), (2, 1))
        self.sequence += 1
        action = PolicyAction(
            observation_stamp=stamp_msg(self.at),
            publisher="policy",
            sequence=self.sequence,
            checkpoint_id="test@0",
            horizon=2,
            dimension=22,
            step_dt=0.05,
            a_0=array.array("f", bytes(4 * 44)),
            a_b=array.array("d", chunk.tobytes()),
            a_r=array.array("d", bytes(8 * 44)),
            a=array.array("d", chunk.tobytes()),
        )
        action.header.frame_id = robot.BASE_FRAME
        return action

    def active(self) -> None:
        """Armed anew and following, the target DOWN_M below the palm."""
        now = self.node._now()
        self.node.gate.stop(now)
        self.states()
        reply = self.node.gate.arm(now)
        assert reply.success, reply.message
        self.palm.messages.clear()
        self.fingers.messages.clear()
        self.node._on_action(self.message())
        assert self.node.gate.mode is Mode.ACTIVE, self.node.gate.status

    def sent(self) -> tuple[np.ndarray, np.ndarray]:
        """Displacements of all palm targets from the palm (N, 3), all finger targets from the fingers."""
        poses = [pose_from_msg(m.pose, "arm/target_pose").position[0] for m in self.palm.messages]
        fingers = [np.array(m.position) for m in self.fingers.messages]
        return np.array(poses) - HOME.position[0], np.array(fingers) - FINGERS


def test_nothing_of_a_wrong_action_reaches_the_drivers(promised, context):
    promise = promised(
        "NaN, Inf, 1e300, wrong length, wrong text or counter in any field of policy/action",
        "refused; the drivers get the held pose or the last good target",
        THROUGH_THE_NODE,
    )
    gate, rng = GateUnderFire(), np.random.default_rng(0)
    for _ in range(cases(2000, 40_000)):
        gate.active()
        accepted, refused = gate.node.gate.statistics.accepted, gate.node.gate.statistics.refused
        gate.states()
        wrong = gate.message(dx=ASIDE_M)
        what = spoil.action(rng, wrong)
        gate.node._on_action(wrong)
        gate.states()
        palms, fingers = gate.sent()
        promise.case()
        promise.check(gate.node.gate.statistics.accepted == accepted, f"{what}: accepted")
        promise.check(gate.node.gate.statistics.refused == refused + 1, f"{what}: not refused")
        promise.check(len(palms) >= 2, f"{what}: {len(palms)} commands")
        promise.check(bool(np.abs(palms[:, :2]).max() < 1e-9), f"{what}: sideways {palms}")
        promise.check(bool((palms[:, 2] >= 2 * DOWN_M - 1e-9).all()), f"{what}: down {palms}")
        promise.check(bool(np.abs(fingers).max() < 1e-9), f"{what}: fingers")
    gate.node.destroy_node()
    promise.kept(2000)


def test_nothing_of_a_wrong_correction_reaches_the_drivers(promised, context):
    promise = promised(
        "NaN, Inf, 1e300, wrong length or frame in correction/residual",
        "refused; the human counts as having let go",
        THROUGH_THE_NODE,
    )
    gate, rng = GateUnderFire(), np.random.default_rng(1)
    for _ in range(cases(1000, 15_000)):
        gate.active()
        gate.states()
        refused = gate.node.gate.statistics.refused_corrections
        residual = np.zeros(22)
        residual[0], residual[6:] = 0.01, 0.02
        wrong = Correction(residual=array.array("d", residual.tobytes()), engaged=True)
        wrong.header.stamp, wrong.header.frame_id = stamp_msg(gate.at), robot.BASE_FRAME
        what = spoil.correction(rng, wrong)
        gate.node._on_correction(wrong)
        gate.states()
        gate.node._on_action(gate.message())
        gate.states()
        palms, fingers = gate.sent()
        promise.case()
        promise.check(gate.node.gate.statistics.refused_corrections == refused + 1, f"{what}: not refused")
        promise.check(bool(np.abs(palms[:, :2]).max() < 1e-9), f"{what}: sideways {palms}")
        promise.check(bool(np.abs(fingers).max() < 1e-9), f"{what}: fingers")
    gate.node.destroy_node()
    promise.kept(1000)


def test_a_wrong_measured_state_makes_the_gate_hold_the_last_good_one(promised, context):
    promise = promised(
        "NaN, Inf, 1e300, wrong length or names in a measured state",
        "refused; HOLD at the last good pose",
        THROUGH_THE_NODE,
    )
    gate, rng = GateUnderFire(), np.random.default_rng(2)
    for _ in range(cases(1000, 10_000)):
        gate.active()
        gate.states()
        at = gate.at + DT
        arm = joint_state_msg(at, robot.ARM_JOINT_NAMES, robot.ARM_HOME + 0.01)
        palm = pose_stamped_msg(at, robot.BASE_FRAME, HOME)
        palm.pose.position.x += 0.01
        hand = joint_state_msg(at, robot.HAND_JOINT_NAMES, FINGERS + 0.01)
        stream = int(rng.integers(3))
        if stream == 1:
            what = spoil.pose(rng, palm)
            gate.node._on_palm(palm)
        else:
            message, event = (arm, gate.node._on_arm) if stream == 0 else (hand, gate.node._on_hand)
            what = spoil.joints(rng, message)
            event(message)
        promise.case()
        promise.check(gate.node.gate.mode is Mode.HOLD, f"{what}: {gate.node.gate.status}")
        gate.states()
        palms, fingers = gate.sent()
        promise.check(bool(np.abs(palms[-2:]).max() < 1e-9), f"{what}: held {palms[-2:]}")
        promise.check(bool(np.abs(fingers[-2:]).max() < 1e-9), f"{what}: held fingers")
    gate.node.destroy_node()
    promise.kept(1000)


def test_joints_are_found_by_name_in_whatever_order_they_come(promised, context):
    promise = promised(
        "joint names in another order",
        "every value goes to the joint of its name, exactly",
        THROUGH_THE_NODE,
    )
    gate, rng = GateUnderFire(), np.random.default_rng(3)
    for _ in range(cases(500, 5000)):
        order = rng.permutation(16)
        low, high = robot.HAND_LIMITS
        wanted = rng.uniform(low, high)
        gate.at += DT
        names = [robot.HAND_JOINT_NAMES[i] for i in order]
        gate.node._on_hand(joint_state_msg(gate.at, names, wanted[order]))
        promise.case()
        got = gate.node.gate._measured.hand.value
        promise.check(bool((got == wanted).all()), f"{order}: {got} for {wanted}")
    gate.node.destroy_node()
    promise.kept(500)
