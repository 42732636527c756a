"""Somebody else publishes what only one may: nobody is followed, within a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from promises import cases
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from stopwatch import Stopwatch

from rfs_control.nodes.gate_node import GateNode
from rfs_drivers.emulated.leap_direct import DirectBus
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_driver import FrankaDriver
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_driver import LeapDriver
from rfs_drivers.nodes.franka_node import FrankaNode
from rfs_drivers.nodes.leap_node import LeapNode
from rfs_msgs.msg import PolicyAction
from rfs_ros.qos import RELIABLE

WITHIN_S = 1.0
MEASURED = "from the first message of the second one that is heard; one process, the time it was given"


class Pair:
    """A node and the one publisher it shall hear, spun by the test."""

    def __init__(self, node: Any, message_type: type, topic: str) -> None:
        self.node, self.type, self.topic = node, message_type, topic
        node.get_logger().set_level(LoggingSeverity.FATAL)
        self.side = rclpy.create_node("rightful")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.executor.add_node(self.side)
        self.intruders: list[rclpy.Context] = []
        self.rightful = self.side.create_publisher(message_type, topic, RELIABLE)

    def until(self, condition: Callable[[], bool], what: str, patience_s: float = 120.0) -> None:
        with Stopwatch() as watch:
            while not condition():
                assert watch.wall_s < patience_s, what
                self.executor.spin_once(timeout_sec=0.01)

    def count(self) -> int:
        """Publishers that the node knows of."""
        return int(self.node.count_publishers(self.node.resolve_topic_name(self.topic)))

    def intrude(self, refuses: Callable[[], bool], promise: Any) -> None:
        """One case: a second publisher comes, from a participant of its own, and goes."""
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=self.side.context.get_domain_id())
        intruder = rclpy.create_node("intruder", context=context)
        publisher = intruder.create_publisher(self.type, self.topic, RELIABLE)
        got: list[Any] = []
        ear = self.side.create_subscription(self.type, self.topic, got.append, RELIABLE)

        def heard() -> bool:
            publisher.publish(self.type())
            return bool(got) or refuses()

        # How long the transport takes until its first message is heard hurts nobody.
        self.until(heard, "a message of the intruder")
        with Stopwatch() as watch:
            self.until(refuses, "the refusal")
        promise.case(watch.seconds, self.topic)
        # Its participant stays: the next one shall not take over its port, as no new program would.
        self.intruders.append(context)
        intruder.destroy_node()
        self.side.destroy_subscription(ear)
        self.until(lambda: self.count() == 1, "the intruder to be gone")

    def close(self) -> None:
        for context in self.intruders:
            rclpy.shutdown(context=context)
        self.executor.shutdown()
        self.side.destroy_node()
        self.node.destroy_node()


@pytest.fixture
def context(ros_domain: int) -> Iterator[None]:
    rclpy.init(domain_id=ros_domain)
    yield
    rclpy.shutdown()


def test_a_second_policy_is_refused_by_the_gate_within_a_second(promised, context):
    promise = promised(
        "second publisher on policy/action",
        "the gate refuses to be armed, holds where it acts, within 1 s",
        MEASURED,
        allowed=WITHIN_S,
        unit="s",
    )
    pair = Pair(
        GateNode(parameter_overrides=[Parameter("use_sim_time", value=True)]), PolicyAction, "policy/action"
    )
    gate = pair.node.gate
    pair.until(lambda: pair.count() == 1, "the rightful publisher")
    for _ in range(cases(3, 20)):
        pair.intrude(lambda: gate._publishers[0] == 2, promise)
        pair.until(lambda: gate._publishers[0] == 1, "one publisher again")
    pair.close()
    promise.kept(3)


def test_a_second_commander_of_the_drivers_is_a_fault_of_the_gate_within_a_second(promised, context):
    promise = promised(
        "somebody else publishes on arm/target_pose beside the gate",
        "the gate sees it within 1 s: FAULT where it commands",
        MEASURED,
        allowed=WITHIN_S,
        unit="s",
    )
    node = GateNode(parameter_overrides=[Parameter("use_sim_time", value=True)])
    pair = Pair(node, PolicyAction, "policy/action")
    pair.type, pair.topic = PoseStamped, "arm/target_pose"
    pair.until(lambda: pair.count() == 1, "the gate's own publisher")
    for _ in range(cases(3, 20)):
        pair.intrude(lambda: node.gate._publishers[1] == 2, promise)
        pair.until(lambda: node.gate._publishers[1] == 1, "one publisher again")
    pair.close()
    promise.kept(3)


def test_with_a_second_gate_the_arm_s_driver_follows_nobody_within_a_second(promised, context):
    pytest.importorskip("franky", reason="needs franky-control: make setup EXTRAS=drivers")
    promise = promised(
        "second publisher on arm/target_pose: arm driver",
        "targets are refused and the arm holds within 1 s",
        MEASURED,
        allowed=WITHIN_S,
        unit="s",
    )
    driver = FrankaDriver(FrankaConfig())
    pair = Pair(FrankaNode(), PoseStamped, "arm/target_pose")
    pair.node._driver = driver
    pair.until(lambda: pair.count() == 1, "the rightful publisher")
    for _ in range(cases(3, 20)):
        pair.intrude(lambda: "2 publishers on arm/target_pose" in driver._follower.barred_for, promise)
        pair.until(lambda: driver._follower.barred_for == "", "one publisher again")
    driver._connection.close()
    pair.node._driver = None
    pair.close()
    promise.kept(3)


def test_with_a_second_gate_the_hand_s_driver_follows_nobody_within_a_second(promised, context):
    promise = promised(
        "second publisher on hand/target: hand driver",
        "targets are refused and the goals stay within 1 s",
        MEASURED,
        allowed=WITHIN_S,
        unit="s",
    )
    bus = DirectBus()
    config = LeapConfig(port="/direct")
    driver = LeapDriver(config, clock=bus.clock, sleep=bus.sleep, open_bus=lambda _: bus.open())
    driver.connect()
    pair = Pair(LeapNode(), JointState, "hand/target")
    pair.node._driver = driver
    pair.until(lambda: pair.count() == 1, "the rightful publisher")
    for _ in range(cases(3, 20)):
        pair.intrude(lambda: "2 publishers on hand/target" in driver._obstacle, promise)
        pair.until(lambda: driver._obstacle == "", "one publisher again")
    pair.close()
    promise.kept(3)
