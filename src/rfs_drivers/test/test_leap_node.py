"""The LEAP node as a process, on its topics and services; the hand is emulated at the wire."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rfs_core import robot
from rfs_drivers.emulated.leap_bus_process import EmulatedLeapBus
from rfs_drivers.nodes.leap_node import LeapNode
from rfs_ros.qos import LATCHED

pytest.importorskip("dynamixel_sdk", reason="needs dynamixel-sdk: make setup EXTRAS=drivers")

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
PATIENCE_S = 60.0
DISCOVERED_S = 0.3
"""A new client knows its server before the server knows it, and the answer waits for that 0.1 s at most."""
NAMES = list(robot.HAND_JOINT_NAMES)
_numbers = itertools.count()


class Desk:
    """The node under test in a process of its own, and what one sees of it on the wire."""

    def __init__(self, port: str, **parameters: object) -> None:
        self.namespace = f"/leap_{os.getpid()}_{next(_numbers)}"
        # Patience for a machine that is busy with other things.
        values = {"port": port, "reply_timeout": 0.1, "bus_watchdog": 2.5, "soft_start": 0.2, **parameters}
        arguments = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rfs_drivers.nodes.leap_node", "--ros-args"]
            + ["-r", f"__ns:={self.namespace}", *arguments],
            env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
        )
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        self.node = rclpy.create_node("desk", namespace=self.namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.joints: list[JointState] = []
        self.phases: list[str] = [""]
        self.messages: list[str] = [""]
        self._clients: dict[str, Any] = {}
        self.values: dict[str, str] = {}
        self.node.create_subscription(JointState, "hand/joint_states", self.joints.append, 10)
        self.node.create_subscription(
            String, "hand/driver_phase", lambda m: self.phases.append(m.data), LATCHED
        )
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.target = self.node.create_publisher(JointState, "hand/target", 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self.namespace.lstrip("/")):
                self.messages.append(status.message)
                self.values = {value.key: value.value for value in status.values}

    def publish(self, position: Sequence[float], names: Sequence[str] = NAMES) -> None:
        self.target.publish(JointState(name=list(names), position=[float(q) for q in position]))

    def until(self, condition: Callable[[], bool], what: str, target: float | None = None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited for {what}; {self.messages[-1]}; {self.values}"
            if target is not None:
                self.publish([target] * 16)
            self._executor.spin_once(timeout_sec=0.03)

    def at(self, target: float) -> Callable[[], bool]:
        return lambda: bool(self.joints) and max(abs(q - target) for q in self.joints[-1].position) < 0.02

    def call(self, kind: type, name: str, request: object) -> object:
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.node.create_client(kind, name)
            self.until(client.service_is_ready, f"service {name}")
            time.sleep(DISCOVERED_S)
        future = client.call_async(request)
        self.until(future.done, f"the answer of {name}")
        return future.result()

    def change(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, "leap_node/change_state", request).success)  # type: ignore[attr-defined]

    def recover(self) -> Trigger.Response:
        return self.call(Trigger, "hand/recover", Trigger.Request())  # type: ignore[return-value]

    def start(self) -> None:
        """Configured, active, and connected to this side's publisher."""
        assert self.change(Transition.TRANSITION_CONFIGURE)
        assert self.change(Transition.TRANSITION_ACTIVATE)
        self.until(lambda: bool(self.joints) and self.target.get_subscription_count() == 1, "the first state")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture(scope="module")
def shared_hand() -> Iterator[EmulatedLeapBus]:
    with EmulatedLeapBus() as hand:
        yield hand


@pytest.fixture(scope="module")
def shared_desk(shared_hand: EmulatedLeapBus) -> Iterator[Desk]:
    desk = Desk(shared_hand.port)
    try:
        desk.start()
        yield desk
    finally:
        desk.close()


@pytest.fixture
def hand(shared_hand: EmulatedLeapBus) -> Iterator[EmulatedLeapBus]:
    yield shared_hand
    shared_hand("clear")


@pytest.fixture
def desk(shared_desk: Desk, hand: EmulatedLeapBus) -> Iterator[Desk]:
    yield shared_desk
    hand("clear")
    if shared_desk.phases[-1] == "fault":
        shared_desk.until(lambda: bool(shared_desk.recover().success), "recovery")
    shared_desk.until(lambda: shared_desk.phases[-1] in ("holding", "following"), "control")


def test_states_carry_all_joints_by_name_and_targets_are_followed(desk: Desk) -> None:
    desk.until(desk.at(0.4), "the target", 0.4)
    state = desk.joints[-1]
    assert list(state.name) == NAMES
    assert len(state.velocity) == len(state.effort) == 16
    stamps = [s.header.stamp.sec * 10**9 + s.header.stamp.nanosec for s in desk.joints]
    assert all(later > earlier for earlier, later in itertools.pairwise(stamps))


def test_targets_are_mapped_by_name_whatever_their_order(desk: Desk) -> None:
    wanted = {name: 0.2 + 0.02 * i for i, name in enumerate(NAMES)}
    names = NAMES[::-1]

    def there() -> bool:
        desk.publish([wanted[name] for name in names], names)
        return max(abs(q - wanted[n]) for n, q in zip(NAMES, desk.joints[-1].position, strict=True)) < 0.02

    desk.until(there, "the targets by name")


def test_the_hand_holds_by_itself_when_targets_stop_and_follows_when_they_come_again(desk: Desk) -> None:
    desk.until(lambda: desk.phases[-1] == "following", "following", 0.4)
    desk.until(lambda: desk.phases[-1] == "holding", "holding")
    desk.until(lambda: "no target for 150 ms" in desk.messages[-1], "the reason")
    desk.until(lambda: desk.phases[-1] == "following", "following again", 0.4)


@pytest.mark.parametrize(
    ("names", "position"),
    [
        (NAMES, [float("nan")] + [0.0] * 15),
        (NAMES, [float("inf")] + [0.0] * 15),
        (NAMES, [1e300] + [0.0] * 15),
        (NAMES[:15], [0.0] * 15),
        (NAMES, [0.0] * 15),
        ([*NAMES[:15], "if_rot"], [0.0] * 16),
        ([*NAMES[:15], "fr3_joint1"], [0.0] * 16),
        ([], [0.0] * 16),
    ],
)
def test_what_is_no_target_moves_nothing(
    desk: Desk, hand: EmulatedLeapBus, names: list[str], position: list[float]
) -> None:
    desk.until(desk.at(0.4), "the target", 0.4)
    desk.until(lambda: desk.phases[-1] == "holding", "holding")
    goal, seen, phases = hand("status")["goal"], len(desk.joints), len(desk.phases)

    def enough() -> bool:
        desk.publish(position, names)
        return len(desk.joints) > seen + 15

    desk.until(enough, "states")
    assert hand("status")["goal"] == goal
    assert "following" not in desk.phases[phases:]


def test_targets_beyond_the_limits_end_at_the_limits(desk: Desk, hand: EmulatedLeapBus) -> None:
    high = robot.HAND_LIMITS[1]

    def there() -> bool:
        desk.publish(high + 0.05)
        return bool(np.abs(np.array(hand("status")["goal"]) - high).max() < 1e-3)

    desk.until(there, "the limits")
    # One tick is 0.0015 rad: the nearest to the limit may lie half a tick beyond.
    assert (np.array(hand("status")["goal"]) <= high + 8e-4).all()


def test_with_a_second_publisher_nobody_is_followed(desk: Desk) -> None:
    second = desk.node.create_publisher(JointState, "hand/target", 10)
    try:
        desk.until(lambda: "2 publishers on hand/target" in desk.messages[-1], "the second publisher", 0.4)
        assert desk.phases[-1] == "holding"
    finally:
        desk.node.destroy_publisher(second)
    desk.until(lambda: desk.phases[-1] == "following", "following again", 0.4)


def test_an_overload_is_read_in_diagnostics_and_ended_by_hand_recover(
    desk: Desk, hand: EmulatedLeapBus
) -> None:
    hand("overload", motor=2)
    desk.until(lambda: "if_pip (motor 2) reports overload" in desk.messages[-1], "the overload", 0.4)
    assert desk.phases[-1] == "fault"
    refused = desk.recover()
    assert not refused.success
    assert "again after a restart" in refused.message
    hand("overload", motor=2, on=False)
    done = desk.recover()
    assert done.success, done.message
    desk.until(desk.at(0.5), "the target", 0.5)


def test_its_phase_is_published_before_it_answers(hand: EmulatedLeapBus) -> None:
    """Whoever goes on at the answer must not be stopped by the phase of before."""
    with EmulatedLeapBus() as other:
        arguments = [f"port:={other.port}", "reply_timeout:=0.1", "bus_watchdog:=2.5"]
        rclpy.init(
            args=["--ros-args", "-r", "__ns:=/leap_answers", *(w for a in arguments for w in ("-p", a))],
            domain_id=DOMAIN,
        )
        node, listener = LeapNode(), rclpy.create_node("listener")
        phases: list[str] = []
        listener.create_subscription(
            String, "/leap_answers/hand/driver_phase", lambda m: phases.append(m.data), LATCHED
        )

        def until(phase: str, *spun: Node) -> None:
            deadline = time.monotonic() + PATIENCE_S
            while phases[-1:] != [phase]:
                assert time.monotonic() < deadline, f"{phases} without {phase}"
                for each in spun:
                    rclpy.spin_once(each, timeout_sec=0.02)

        try:
            # Only the listener is spun, except where the fault must be found: no timer of the node runs.
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
            until("holding", listener)
            other("overload", motor=2)
            until("fault", node, listener)
            other("overload", motor=2, on=False)
            answer = node.recover(Trigger.Request(), Trigger.Response())
            assert answer.success, answer.message
            until("holding", listener)
            assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
            until("ready", listener)
        finally:
            listener.destroy_node()
            node.destroy_node()
            rclpy.shutdown()


def test_after_unplugging_and_plugging_again_recovery_brings_the_hand_back(
    desk: Desk, hand: EmulatedLeapBus
) -> None:
    hand("unplug")
    desk.until(lambda: "is the hand's USB cable in" in desk.messages[-1], "the cable", 0.4)
    seen = len(desk.joints)
    assert not desk.recover().success
    hand("plug")
    # A state from before the cable was pulled may still be on its way.
    desk.until(lambda: "the hand is back" in desk.messages[-1] and len(desk.joints) > seen, "the hand", 0.4)
    assert desk.phases[-1] == "fault"
    assert desk.recover().success
    desk.until(desk.at(0.3), "the target", 0.3)


def test_without_a_port_configuring_fails_with_the_udev_rule_and_works_once_it_is_there(
    hand: EmulatedLeapBus,
) -> None:
    with EmulatedLeapBus() as other:
        other("unplug")
        desk = Desk(other.port)
        try:
            assert not desk.change(Transition.TRANSITION_CONFIGURE)
            desk.until(lambda: "99-leap-hand.rules" in desk.messages[-1], "the udev rule")
            other("plug")
            desk.start()
            assert other("status")["torque"] == [1] * 16
            desk.process.send_signal(signal.SIGINT)
            assert desk.process.wait(30.0) == 0
            assert other("status")["torque"] == [0] * 16, "torque goes off with the node"
        finally:
            desk.close()


def test_a_configuration_out_of_range_is_refused_and_named(hand: EmulatedLeapBus) -> None:
    rclpy.init(args=["--ros-args", "-p", f"port:={hand.port}", "-p", "current:=0.9"], domain_id=DOMAIN)
    node = LeapNode()
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert "0.9 A, allowed: 0.05 to 0.55 A" in node.diagnostics().status[0].message
    finally:
        node.destroy_node()
        rclpy.shutdown()
