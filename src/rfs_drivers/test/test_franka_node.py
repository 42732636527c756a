"""The Franka node as a process, on its topics and services; the robot is emulated at the wire."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, WrenchStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32, String
from std_srvs.srv import Trigger

from rfs_core import robot as fr3
from rfs_drivers.emulated.fci_process import EmulatedFci

pytest.importorskip("franky", reason="needs franky-control: make setup EXTRAS=drivers")

from rfs_drivers.nodes.franka_node import FrankaNode
from rfs_msgs.action import MoveJoints
from rfs_ros.qos import LATCHED

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
PATIENCE_S = 60.0
DISCOVERED_S = 0.3
"""A new client knows its server before the server knows it, and the answer waits for that 0.1 s at most."""


class Desk:
    """The node under test in a process of its own, and what one sees of it on the wire."""

    def __init__(self, address: str, **parameters: object) -> None:
        self.namespace = f"/franka_{os.getpid()}_{time.monotonic_ns()}"
        values: dict[str, object] = {"address": address, "realtime": "ignore", "clock": "robot"}
        values |= {"stale_state": 0.5, "call_timeout": 3.0, "home_speed": 0.4, **parameters}
        arguments = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rfs_drivers.nodes.franka_node", "--ros-args"]
            + ["-r", f"__ns:={self.namespace}", *arguments],
            env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        self.node = rclpy.create_node("desk", namespace=self.namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.joints: list[JointState] = []
        self.poses: list[PoseStamped] = []
        self.wrenches: list[WrenchStamped] = []
        self.rates: list[Float32] = []
        self.modes: list[str] = []
        self.phases: list[str] = []
        self.messages: list[str] = [""]
        self._clients: dict[str, Any] = {}
        self.values: dict[str, str] = {}
        subscribe = self.node.create_subscription
        subscribe(JointState, "arm/joint_states", self.joints.append, 10)
        subscribe(PoseStamped, "arm/current_pose", self.poses.append, 10)
        subscribe(WrenchStamped, "arm/external_wrench", self.wrenches.append, 10)
        subscribe(Float32, "arm/control_success_rate", self.rates.append, 10)
        subscribe(String, "arm/robot_mode", lambda m: self.modes.append(m.data), LATCHED)
        subscribe(String, "arm/driver_phase", lambda m: self.phases.append(m.data), LATCHED)
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.target = self.node.create_publisher(PoseStamped, "arm/target_pose", 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self.namespace.lstrip("/")):
                self.messages.append(status.message)
                self.values = {value.key: value.value for value in status.values}

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, (
                f"waited {PATIENCE_S:.0f} s for {what}; last: {self.messages[-1:]}"
            )
            self._executor.spin_once(timeout_sec=0.02)

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
        return bool(self.call(ChangeState, "franka_node/change_state", request).success)  # type: ignore[attr-defined]

    def trigger(self, name: str) -> Trigger.Response:
        return self.call(Trigger, name, Trigger.Request())  # type: ignore[return-value]

    def start(self) -> None:
        """Configured, active, and connected to this side's publisher."""
        assert self.change(Transition.TRANSITION_CONFIGURE)
        assert self.change(Transition.TRANSITION_ACTIVATE)
        self.until(lambda: bool(self.poses) and self.target.get_subscription_count() == 1, "the first pose")

    def publish(self, dy: float = 0.0, **changes: float) -> None:
        """One target relative to the newest pose."""
        message = PoseStamped()
        message.header.frame_id = "fr3_link0"
        message.header.stamp = self.node.get_clock().now().to_msg()
        pose, newest = message.pose, self.poses[-1].pose
        pose.position.x, pose.position.y, pose.position.z = (getattr(newest.position, a) for a in "xyz")
        orientation = newest.orientation
        pose.orientation.w, pose.orientation.x = orientation.w, orientation.x
        pose.orientation.y, pose.orientation.z = orientation.y, orientation.z
        pose.position.y += dy
        for name, value in changes.items():
            setattr(pose.position, name, value)
        self.target.publish(message)

    def follow(self, seconds: float) -> None:
        """Targets at about 20 Hz for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.publish(0.002)
            due = time.monotonic() + 0.05
            while time.monotonic() < due:
                self._executor.spin_once(timeout_sec=0.01)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Exit code and what was logged."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, log

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture(scope="module")
def emulated() -> Iterator[EmulatedFci]:
    with EmulatedFci() as process:
        yield process


@pytest.fixture
def robot(emulated: EmulatedFci) -> EmulatedFci:
    emulated("reset")
    return emulated


@pytest.fixture
def desk(robot: EmulatedFci) -> Iterator[Desk]:
    under_test = Desk(robot.address)
    yield under_test
    under_test.close()


def test_states_come_with_names_frame_and_every_value_after_configure(robot: EmulatedFci, desk: Desk) -> None:
    assert desk.change(Transition.TRANSITION_CONFIGURE)
    desk.until(lambda: len(desk.joints) > 100 and bool(desk.modes) and bool(desk.wrenches), "states")
    joints = desk.joints[-1]
    assert tuple(joints.name) == fr3.ARM_JOINT_NAMES
    np.testing.assert_allclose(joints.position, robot("status")["q"], atol=1e-5)
    assert len(joints.velocity) == len(joints.effort) == 7
    assert desk.poses[-1].header.frame_id == desk.wrenches[-1].header.frame_id == "fr3_link0"
    stamps = [s.header.stamp.sec * 10**9 + s.header.stamp.nanosec for s in desk.joints]
    assert all(later > earlier for earlier, later in itertools.pairwise(stamps))
    assert desk.modes == ["Idle"]
    # Configured is not in control.
    assert robot("status")["motions"] == 0


def test_targets_are_followed_and_the_arm_holds_when_they_stop(robot: EmulatedFci, desk: Desk) -> None:
    desk.start()
    desk.until(lambda: "holding" in desk.phases, "holding")
    y = desk.poses[-1].pose.position.y
    desk.follow(2.0)
    assert "following" in desk.phases
    assert desk.poses[-1].pose.position.y > y + 0.005
    desk.until(lambda: desk.phases[-1] == "holding", "the hold")
    desk.until(lambda: "no target for" in desk.messages[-1], "its reason")
    assert int(desk.values["targets_accepted"]) > 5
    assert desk.values["faults"] == "0"
    code, log = desk.end()
    assert code == 0, log
    assert robot("status")["mode"] == "IDLE"


def test_targets_that_make_no_sense_are_refused(robot: EmulatedFci, desk: Desk) -> None:
    desk.start()
    desk.publish(x=float("nan"))
    desk.publish(z=float("inf"))
    desk.publish(dy=0.06)
    message = PoseStamped()
    message.header.frame_id = "camera"
    message.pose = desk.poses[-1].pose
    desk.target.publish(message)
    desk.until(lambda: desk.values.get("targets_refused", "0") == "1", "the refusal of the far target")
    assert desk.values["targets_accepted"] == "0"
    assert "first target is 60 mm" in desk.values["last_refusal"]
    assert desk.phases[-1] == "holding"


def test_recover_and_home_are_services(robot: EmulatedFci, desk: Desk) -> None:
    robot("place", q=[0.2, -0.7, 0.0, -2.2, 0.0, 1.6, 0.8])
    desk.start()
    robot("reflex")
    desk.until(lambda: desk.phases[-1] == "fault", "the fault")
    desk.until(lambda: "reflex (cartesian_reflex)" in desk.messages[-1], "its reason")
    assert not desk.trigger("arm/home").success
    answer = desk.trigger("arm/recover")
    assert answer.success
    assert answer.message == "recovered: holding"
    answer = desk.trigger("arm/home")
    assert answer.success
    assert answer.message in ("moving home", "at home")
    desk.until(lambda: abs(desk.joints[-1].position[0]) < 1e-3, "home")
    desk.until(lambda: desk.phases[-1] == "holding", "holding")
    assert desk.change(Transition.TRANSITION_DEACTIVATE)
    assert robot("status")["mode"] == "IDLE"
    assert desk.change(Transition.TRANSITION_CLEANUP)
    assert not desk.trigger("arm/recover").success


class Motion:
    """A goal of arm/move_joints: its answer and its progress."""

    def __init__(self, desk: Desk, *, cancel_when_moving: bool = False, **goal: object) -> None:
        self.distances: list[float] = []
        client = ActionClient(desk.node, MoveJoints, "arm/move_joints")
        try:
            desk.until(client.server_is_ready, "the action arm/move_joints")
            sent = client.send_goal_async(
                MoveJoints.Goal(**goal), lambda message: self.distances.append(message.feedback.distance)
            )
            desk.until(sent.done, "the goal's acceptance")
            answer = sent.result().get_result_async()
            if cancel_when_moving:
                desk.until(lambda: desk.phases[-1] == "moving", "the motion")
                cancelled = sent.result().cancel_goal_async()
                desk.until(cancelled.done, "the answer of cancel")
            desk.until(answer.done, "the result")
        finally:
            client.destroy()
        self.status: int = answer.result().status
        self.result: MoveJoints.Result = answer.result().result


def test_joint_motions_are_an_action_with_progress_that_can_be_cancelled(
    robot: EmulatedFci, desk: Desk
) -> None:
    early = Motion(desk)
    assert (early.status, early.result.success) == (GoalStatus.STATUS_ABORTED, False)
    assert "configure it first" in early.result.message
    desk.start()
    q = [0.9, -0.7, 0.0, -2.2, 0.0, 1.6, 0.8]
    there = Motion(desk, name=list(reversed(fr3.ARM_JOINT_NAMES)), position=q[::-1], speed=0.3)
    assert there.status == GoalStatus.STATUS_SUCCEEDED
    assert (there.result.success, there.result.message) == (True, "at the goal")
    desk.until(lambda: abs(desk.joints[-1].position[0] - 0.9) < 2e-3, "the goal")
    assert len(there.distances) > 2
    assert there.distances[0] > there.distances[-1]
    # Slow enough that there is time to change one's mind.
    stopped = Motion(desk, cancel_when_moving=True, speed=0.01)
    assert stopped.status == GoalStatus.STATUS_CANCELED
    assert "stopped" in stopped.result.message
    desk.until(lambda: desk.phases[-1] == "holding", "holding")
    assert desk.joints[-1].position[0] > 0.1
    wrong = Motion(desk, name=["fr3_joint1"], position=[0.1])
    assert wrong.status == GoalStatus.STATUS_ABORTED
    assert "fr3_joint2" in wrong.result.message
    home = Motion(desk)
    assert home.status == GoalStatus.STATUS_SUCCEEDED
    desk.until(lambda: abs(desk.joints[-1].position[0]) < 2e-3, "home")


def test_the_answer_of_recover_finds_the_phase_published(robot: EmulatedFci) -> None:
    """Whoever goes on at the answer must not be stopped by the phase of before."""
    arguments = [f"address:={robot.address}", "realtime:=ignore", "clock:=robot", "stale_state:=0.5"]
    rclpy.init(
        args=["--ros-args", "-r", "__ns:=/answers", *(w for a in arguments for w in ("-p", a))],
        domain_id=DOMAIN,
    )
    node, listener = FrankaNode(), rclpy.create_node("listener")
    phases: list[str] = []
    listener.create_subscription(String, "arm/driver_phase", lambda m: phases.append(m.data), LATCHED)

    def until(phase: str, *spun: Node) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while phases[-1:] != [phase]:
            assert time.monotonic() < deadline, f"{phases} without {phase}"
            for each in spun:
                rclpy.spin_once(each, timeout_sec=0.02)

    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        until("holding", listener)
        robot("reflex")
        until("fault", node, listener)
        # From here on no timer of the node runs.
        answer = node.recover(Trigger.Request(), Trigger.Response())
        assert answer.message == "recovered: holding"
        until("holding", listener)
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        until("ready", listener)
    finally:
        listener.destroy_node()
        node.destroy_node()
        rclpy.shutdown()


def test_a_second_publisher_is_named_and_nothing_is_followed(robot: EmulatedFci, desk: Desk) -> None:
    desk.start()
    intruder = desk.node.create_publisher(PoseStamped, "arm/target_pose", 10)
    desk.until(lambda: "2 publishers on arm/target_pose" in desk.messages[-1], "the second publisher")
    for _ in range(10):
        desk.publish(0.002)
    desk.until(lambda: int(desk.values.get("targets_refused", "0")) > 0, "refusals")
    assert desk.values["targets_accepted"] == "0"
    desk.node.destroy_publisher(intruder)
    desk.until(lambda: "publishers" not in desk.messages[-1], "one publisher")
    desk.until(lambda: desk.publish(0.002) or "following" in desk.phases, "following")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"translational_stiffness": 5000.0}, "allowed: 10.0 to 2000.0 N/m"),
        ({"home": "[0.0,0.0,0.0,0.0,0.0,1.5,0.0]"}, "fr3_joint4 is 0.000, allowed"),
    ],
)
def test_bad_parameters_are_refused_at_configure_with_what_is_allowed(
    robot: EmulatedFci, parameters: dict[str, object], expected: str
) -> None:
    desk = Desk(robot.address, **parameters)
    try:
        assert not desk.change(Transition.TRANSITION_CONFIGURE)
        desk.until(lambda: expected in desk.messages[-1], "the reason")
        assert robot("status")["clients"] == 0
        code, log = desk.end()
        assert code == 0
        assert expected in log
    finally:
        desk.close()


def test_configure_fails_with_the_reason_and_works_once_the_cause_is_gone(
    robot: EmulatedFci, desk: Desk
) -> None:
    robot("listen", on=False)
    assert not desk.change(Transition.TRANSITION_CONFIGURE)
    desk.until(lambda: "nothing answers" in desk.messages[-1], "the reason")
    robot("listen", on=True)
    desk.start()


@pytest.mark.skipif(not os.environ.get("RFS_LONG"), reason="long form: RFS_LONG=1")
def test_version_mismatch_is_explained(robot: EmulatedFci, desk: Desk) -> None:
    robot("faults", version=9)
    assert not desk.change(Transition.TRANSITION_CONFIGURE)
    desk.until(lambda: "FCI version 9" in desk.messages[-1], "the reason")


def test_autostart_finds_a_robot_that_comes_later(robot: EmulatedFci) -> None:
    robot("listen", on=False)
    desk = Desk(robot.address, autostart=True)
    try:
        desk.until(lambda: "nothing answers" in desk.messages[-1], "the failure")
        robot("listen", on=True)
        desk.until(lambda: bool(desk.phases) and desk.phases[-1] == "holding", "control")
    finally:
        desk.close()


def test_releasing_the_user_stop_does_not_start_a_node_that_starts_by_itself(robot: EmulatedFci) -> None:
    robot("user_stop", pressed=True)
    desk = Desk(robot.address, autostart=True)
    try:
        desk.until(lambda: bool(desk.phases) and desk.phases[-1] == "fault", "the fault")
        robot("user_stop", pressed=False)
        desk.until(lambda: desk.phases[-1] == "ready", "the end of the fault")
        desk.until(lambda: "does not start by itself" in desk.messages[-1], "the next attempt")
        assert "holding" not in desk.phases
        assert desk.trigger("arm/recover").success
        desk.until(lambda: desk.phases[-1] == "holding", "control")
    finally:
        desk.close()


def test_a_killed_driver_leaves_a_robot_that_stands_and_says_so(robot: EmulatedFci, desk: Desk) -> None:
    """The robot's own watchdog: without commands it stops, and the next driver finds it in reflex."""
    desk.start()
    desk.end(signal.SIGKILL)
    desk.until(lambda: robot("status")["mode"] == "REFLEX", "the robot's stop")
    successor = Desk(robot.address)
    try:
        assert successor.change(Transition.TRANSITION_CONFIGURE)
        successor.until(lambda: bool(successor.phases) and successor.phases[-1] == "fault", "the fault")
        assert not successor.change(Transition.TRANSITION_ACTIVATE)
        assert successor.trigger("arm/recover").success
        assert successor.change(Transition.TRANSITION_ACTIVATE)
    finally:
        successor.close()
