"""The gate node on real topics: what reaches arm/target_pose and hand/target, and what never does."""

from __future__ import annotations

import array
import os
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from rfs_control.nodes.gate_node import GateNode
from rfs_core import robot
from rfs_core.errors import ConfigError
from rfs_core.gate import Mode
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose
from rfs_msgs.msg import Correction, PolicyAction, SafetyState
from rfs_ros.conversions import joint_state_msg, pose_stamped_msg, stamp_msg, stamp_ns
from rfs_ros.qos import LATCHED, RELIABLE

MS = 1_000_000
DT = 50 * MS
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
HOME = ArmKinematics().forward(robot.ARM_HOME[None])
HOME_X = HOME.position[0, 0]


class Robot:
    """A robot at rest, a policy and an operator around a gate node; one process, one thread."""

    def __init__(self, gate: GateNode) -> None:
        self.gate = gate
        self.node = rclpy.create_node("robot")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(gate)
        self.executor.add_node(self.node)
        self.at = 1000 * MS
        self.sequence = 0
        create = self.node.create_publisher
        self.arm = create(JointState, "arm/joint_states", RELIABLE)
        self.palm = create(PoseStamped, "arm/current_pose", RELIABLE)
        self.hand = create(JointState, "hand/joint_states", RELIABLE)
        self.policy = create(PolicyAction, "policy/action", RELIABLE)
        self.human = create(Correction, "correction/residual", RELIABLE)
        self.targets: list[PoseStamped] = []
        self.fingers: list[JointState] = []
        self.safety: list[SafetyState] = []
        self.diagnostics: list[DiagnosticArray] = []
        listen = self.node.create_subscription
        self.targets_listener = listen(PoseStamped, "arm/target_pose", self.targets.append, RELIABLE)
        listen(JointState, "hand/target", self.fingers.append, RELIABLE)
        listen(SafetyState, "safety/state", self.safety.append, LATCHED)
        listen(DiagnosticArray, "/diagnostics", self.diagnostics.append, RELIABLE)
        self.clients = {
            name: self.node.create_client(Trigger, f"safety/{name}") for name in ("arm", "stop", "recover")
        }
        publishers = (self.arm, self.palm, self.hand, self.policy, self.human)
        self.spin_until(lambda: all(p.get_subscription_count() for p in publishers), "the gate listens")
        self.spin_until(lambda: self.clients["stop"].service_is_ready(), "its services")
        self.spin_until(lambda: self.safety, "its first state")
        self.spin_until(lambda: gate.count_publishers("policy/action") == 1, "the graph")
        heard = lambda p: p.get_subscription_count() > 0  # noqa: E731
        self.spin_until(
            lambda: heard(gate._arm_target) and heard(gate._hand_target), "both targets are heard"
        )

    def spin_until(self, condition, what, seconds=60.0):
        """Generous: a busy machine is no failure."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            self.executor.spin_once(timeout_sec=0.005)
        pytest.fail(f"not within {seconds} s: {what}; the gate says {self.gate.gate.status}")

    def call(self, name):
        self.spin_until(self.clients[name].service_is_ready, f"safety/{name}")
        future = self.clients[name].call_async(Trigger.Request())
        self.spin_until(future.done, f"answer of safety/{name}")
        return future.result()

    def states(self, ns=DT):
        """The next control tick of a robot at rest, processed by the gate."""
        self.at += ns
        ticks = self.gate.gate.statistics.ticks
        self.arm.publish(joint_state_msg(self.at, robot.ARM_JOINT_NAMES, robot.ARM_HOME))
        self.palm.publish(pose_stamped_msg(self.at, robot.BASE_FRAME, HOME))
        self.hand.publish(joint_state_msg(self.at, robot.HAND_JOINT_NAMES, robot.HAND_OPEN))
        self.spin_until(lambda: self.gate.gate.statistics.ticks > ticks, "the control tick")

    def message(self, dx=0.0, **changes):
        row = np.concatenate([[dx, 0, 0, 0, 0, 0], robot.HAND_OPEN])
        chunk = array.array("d", np.tile(row, 2).tobytes())
        self.sequence += 1
        fields = {
            "observation_stamp": stamp_msg(self.at),
            "publisher": "policy-1",
            "sequence": self.sequence,
            "checkpoint_id": "base@0",
            "horizon": 2,
            "dimension": 22,
            "step_dt": 0.05,
            "a_0": array.array("f", [0.0] * 44),
            "a_b": chunk,
            "a_r": array.array("d", [0.0] * 44),
            "a": chunk,
        }
        message = PolicyAction(**{**fields, **changes})
        message.header.frame_id = robot.BASE_FRAME
        return message

    def act(self, dx=0.0, **changes):
        """Publish an action and wait until the gate has seen it."""
        counts = self.gate.gate.statistics
        before = counts.accepted + counts.refused + counts.ignored
        self.policy.publish(self.message(dx, **changes))
        self.spin_until(lambda: counts.accepted + counts.refused + counts.ignored > before, "the action")

    def wait_for(self, mode):
        self.spin_until(
            lambda: self.safety and self.safety[-1].mode == int(mode), f"safety/state {mode.name}"
        )
        return self.safety[-1]

    def active(self):
        self.states()
        answer = self.call("arm")
        assert answer.success, answer.message
        self.act()
        self.wait_for(Mode.ACTIVE)
        self.spin_until(lambda: self.targets, "the first target")
        return self

    def settle(self):
        """Whatever is on its way arrives."""
        for _ in range(40):
            self.executor.spin_once(timeout_sec=0.005)


@pytest.fixture
def make(monkeypatch):
    rclpy.init(domain_id=DOMAIN)
    made = []

    def make_robot(**parameters):
        # A clock that does not tick stands in for a simulation's: stamps alone drive the gate.
        given = {"use_sim_time": True, "tick_source": "state", **parameters}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        gate = GateNode(parameter_overrides=overrides)
        made.append(gate)
        robot_ = Robot(gate)
        made.append(robot_.node)
        return robot_

    yield make_robot
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown()


def test_a_good_action_becomes_both_targets_with_the_stamp_of_its_observation(make):
    r = make()
    r.states()
    assert r.call("arm").success
    assert r.wait_for(Mode.ARMED)
    r.act(dx=0.02)
    r.spin_until(lambda: r.targets and r.fingers, "targets")
    target, fingers = r.targets[-1], r.fingers[-1]
    assert stamp_ns(target.header.stamp) == stamp_ns(fingers.header.stamp) == r.at
    assert target.header.frame_id == "fr3_link0"
    assert target.pose.position.x == pytest.approx(HOME_X + 0.02)
    w, x, y, z = HOME.quaternion[0]
    got = target.pose.orientation
    np.testing.assert_allclose([got.w, got.x, got.y, got.z], [w, x, y, z], atol=1e-9)
    assert tuple(fingers.name) == robot.HAND_JOINT_NAMES
    r.states()
    r.spin_until(lambda: len(r.targets) == 2, "the second step")
    assert r.targets[-1].pose.position.x == pytest.approx(HOME_X + 0.04)


def test_nothing_is_published_before_arming_and_after_stopping(make):
    r = make()
    for _ in range(3):
        r.states()
        r.act(dx=0.03)
    r.settle()
    assert r.targets == []
    r.active()
    assert r.call("stop").success
    r.wait_for(Mode.IDLE)
    sent = len(r.targets)
    r.states()
    r.act(dx=0.03)
    r.settle()
    assert len(r.targets) == sent


def test_arming_is_offered_once_the_robot_has_been_heard(make):
    r = make()
    r.settle()
    assert not r.clients["arm"].service_is_ready()
    r.states()
    r.spin_until(r.clients["arm"].service_is_ready, "safety/arm")
    assert r.call("arm").success


def test_arming_is_refused_with_a_sentence_when_the_robot_is_silent(make):
    r = make(use_sim_time=False, tick_source="timer")
    stamp = r.node.get_clock().now().nanoseconds
    r.arm.publish(joint_state_msg(stamp, robot.ARM_JOINT_NAMES, robot.ARM_HOME))
    r.palm.publish(pose_stamped_msg(stamp, robot.BASE_FRAME, HOME))
    r.hand.publish(joint_state_msg(stamp, robot.HAND_JOINT_NAMES, robot.HAND_OPEN))
    r.spin_until(r.clients["arm"].service_is_ready, "safety/arm")
    r.settle()
    r.spin_until(lambda: r.node.get_clock().now().nanoseconds - stamp > 200 * MS, "200 ms")
    answer = r.call("arm")
    assert not answer.success
    assert "measured state on arm/joint_states is" in answer.message


def chunk_with(index, value):
    values = np.tile(np.concatenate([np.zeros(6), robot.HAND_OPEN]), 2)
    values[index] = value
    return array.array("d", values.tobytes())


BAD_ACTIONS = {
    "nan": ({"a_b": chunk_with(3, np.nan)}, "a_b is not finite"),
    "inf": ({"a_r": chunk_with(30, np.inf)}, "a_r is not finite"),
    "length": ({"a_b": array.array("d", [0.0] * 43)}, "a_b has 43 values, needs 2 x 22"),
    "dimension": ({"dimension": 23}, "dimension 23"),
    "jump": ({"a_b": chunk_with(0, 0.5)}, "a_b of arm_delta_position[0] at step 0 is 0.5 m"),
    "second publisher": ({"publisher": "intruder"}, "second publisher 'intruder'"),
}


def only_home(r):
    """Every target sent is the measured palm and the open hand: nothing of a bad action got through."""
    r.settle()
    assert r.targets
    for target in r.targets:
        p = target.pose.position
        np.testing.assert_allclose([p.x, p.y, p.z], HOME.position[0], atol=1e-9)
    for fingers in r.fingers:
        np.testing.assert_allclose(fingers.position, robot.HAND_OPEN, atol=1e-9)


@pytest.mark.parametrize("case", BAD_ACTIONS)
def test_a_bad_action_never_reaches_the_targets_and_the_gate_holds_and_says_why(make, case):
    changes, sentence = BAD_ACTIONS[case]
    r = make().active()
    r.states()
    r.states()
    r.act(**changes)
    state = r.wait_for(Mode.HOLD)
    assert sentence in state.reason
    assert sentence in state.last_refusal
    assert (state.holds, state.refused) == (1, 1)
    r.act(dx=0.03)  # a good one does not re-arm
    r.states()
    assert r.gate.gate.mode is Mode.HOLD
    only_home(r)


@pytest.mark.parametrize("case", ["stale", "future", "repeated"])
def test_a_stale_future_or_repeated_action_is_not_executed(make, case):
    r = make().active()
    r.states()
    r.states()
    changes = {
        "stale": {"observation_stamp": stamp_msg(r.at - 200 * MS)},
        "future": {"observation_stamp": stamp_msg(r.at + 101 * MS)},
        "repeated": {"sequence": 1},
    }[case]
    r.act(dx=0.03, **changes)
    r.spin_until(lambda: r.safety[-1].refused == 1, "the refusal is published")
    assert r.safety[-1].last_refusal
    only_home(r)


def test_an_action_in_another_frame_is_refused(make):
    r = make().active()
    message = r.message(dx=0.03)
    message.header.frame_id = "tool"
    r.policy.publish(message)
    assert "frame is 'tool', must be 'fr3_link0'" in r.wait_for(Mode.HOLD).reason
    only_home(r)


def wrong_names(r, stamp):
    names = [name.replace("fr3", "panda") for name in robot.ARM_JOINT_NAMES]
    r.arm.publish(joint_state_msg(stamp, names, robot.ARM_HOME))


def nan_palm(r, stamp):
    r.palm.publish(pose_stamped_msg(stamp, robot.BASE_FRAME, Pose(HOME.position * np.nan, HOME.quaternion)))


def jumping_palm(r, stamp):
    r.palm.publish(pose_stamped_msg(stamp, robot.BASE_FRAME, Pose(HOME.position + 0.3, HOME.quaternion)))


def palm_in_another_frame(r, stamp):
    r.palm.publish(pose_stamped_msg(stamp, "world", HOME))


def short_hand(r, stamp):
    r.hand.publish(joint_state_msg(stamp, robot.HAND_JOINT_NAMES[:15], robot.HAND_OPEN[:15]))


@pytest.mark.parametrize(
    ("send", "sentence"),
    [
        (wrong_names, "joint names do not match"),
        (nan_palm, "not finite"),
        (jumping_palm, "jumped"),
        (palm_in_another_frame, "frame is 'world'"),
        (short_hand, "missing ['th_ipl']"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_measured_state_makes_the_gate_hold_the_last_good_pose(make, send, sentence):
    r = make().active()
    send(r, r.at + 10 * MS)
    assert sentence in r.wait_for(Mode.HOLD).reason
    only_home(r)


def test_a_second_policy_on_the_topic_makes_the_gate_hold_and_prevents_arming(make):
    r = make().active()
    intruder = r.node.create_publisher(PolicyAction, "policy/action", RELIABLE)
    assert "2 publishers on policy/action" in r.wait_for(Mode.HOLD).reason
    assert "2 publishers on policy/action" in r.call("arm").message
    r.node.destroy_publisher(intruder)
    r.spin_until(lambda: r.gate.count_publishers("policy/action") == 1, "the graph")
    assert r.call("arm").success
    only_home(r)


def test_somebody_else_commanding_the_arm_is_a_fault_that_only_recover_ends(make):
    r = make().active()
    intruder = r.node.create_publisher(JointState, "hand/target", RELIABLE)
    assert "2 publishers on arm/target_pose or hand/target" in r.wait_for(Mode.FAULT).reason
    assert not r.call("arm").success
    r.node.destroy_publisher(intruder)
    r.spin_until(lambda: r.gate.count_publishers("hand/target") == 1, "the graph")
    assert r.call("stop").success
    assert r.gate.gate.mode is Mode.FAULT
    assert r.call("recover").success
    r.wait_for(Mode.IDLE)


def test_the_human_residual_is_added_within_its_bounds(make):
    r = make()
    r.states()
    assert r.call("arm").success
    residual = np.zeros(22)
    residual[0] = 0.08
    message = Correction(residual=array.array("d", residual.tobytes()), engaged=True)
    message.header.stamp = stamp_msg(r.at)
    message.header.frame_id = robot.BASE_FRAME
    r.human.publish(message)
    r.spin_until(lambda: r.gate.gate._human.heard, "the correction")
    r.act(dx=0.01)
    r.spin_until(lambda: r.targets, "the target")
    assert r.targets[-1].pose.position.x == pytest.approx(HOME_X + 0.01 + 0.015)


@pytest.mark.parametrize("bad", ["frame", "nan", "length"])
def test_a_bad_human_residual_is_refused_and_the_policy_goes_on(make, bad):
    r = make()
    r.states()
    assert r.call("arm").success
    values = {"nan": [np.nan] * 22, "length": [0.01] * 21}.get(bad, [0.01] * 22)
    message = Correction(residual=array.array("d", values), engaged=True)
    message.header.stamp = stamp_msg(r.at)
    message.header.frame_id = "tool" if bad == "frame" else robot.BASE_FRAME
    r.human.publish(message)
    r.spin_until(lambda: r.gate.gate.statistics.refused_corrections == 1, "the refusal")
    r.act()
    r.wait_for(Mode.ACTIVE)
    only_home(r)


def test_safety_state_is_latched_for_whoever_comes_late(make):
    r = make().active()
    late = []
    r.node.create_subscription(SafetyState, "safety/state", late.append, LATCHED)
    r.spin_until(lambda: late, "the latched state")
    assert late[0].mode == SafetyState.ACTIVE
    assert late[0].reason == "the policy's checked actions reach the drivers"


def test_diagnostics_tell_mode_counts_and_ages(make):
    r = make().active()
    r.act(a_b=chunk_with(3, np.nan))
    r.spin_until(
        lambda: r.diagnostics and r.diagnostics[-1].status[0].message.startswith("HOLD"), "diagnostics"
    )
    status = r.diagnostics[-1].status[0]
    values = {pair.key: pair.value for pair in status.values}
    assert status.name == "gate_node: command gate"
    assert status.level == b"\x01"
    assert (values["mode"], values["holds"], values["refused"], values["accepted"]) == ("HOLD", "1", "1", "1")
    assert "not finite" in values["last_refusal"]


def test_with_a_timer_the_gate_commands_at_its_own_rate_and_holds_when_the_policy_stops(make):
    r = make(use_sim_time=False, tick_source="timer")

    def publish():
        r.at = r.node.get_clock().now().nanoseconds
        r.arm.publish(joint_state_msg(r.at, robot.ARM_JOINT_NAMES, robot.ARM_HOME))
        r.palm.publish(pose_stamped_msg(r.at, robot.BASE_FRAME, HOME))
        r.hand.publish(joint_state_msg(r.at, robot.HAND_JOINT_NAMES, robot.HAND_OPEN))

    r.node.create_timer(0.01, publish)
    r.settle()
    answer = r.call("arm")
    assert answer.success, answer.message
    observed = stamp_ns(r.message().observation_stamp)
    r.act(dx=0.01)
    state = r.wait_for(Mode.HOLD)
    assert "no new action of the policy" in state.reason
    r.settle()
    # Two steps of the chunk, then kept, then held: the target never moved further than the chunk.
    xs = [target.pose.position.x - HOME_X for target in r.targets]
    assert max(xs) == pytest.approx(0.02)
    assert xs[-1] == pytest.approx(0.0, abs=1e-9)
    stamps = [stamp_ns(target.header.stamp) for target in r.targets]
    assert stamps == sorted(stamps)
    assert stamp_ns(state.since) - observed >= 150 * MS


def test_after_a_pause_all_waiting_states_are_read_before_their_age_is_judged(make):
    # Simulated time, so that a pause of this process lasts as long as the test says.
    r = make(use_sim_time=True, tick_source="timer")
    clock = r.node.create_publisher(ClockMessage, "/clock", 1)
    heard = []
    observer = rclpy.create_node("observer")
    observer.create_subscription(JointState, "hand/joint_states", heard.append, RELIABLE)
    r.spin_until(lambda: r.hand.get_subscription_count() == 2, "the observer listens")
    r.spin_until(lambda: clock.get_subscription_count(), "the clock is heard")

    def publish(ns=10 * MS):
        r.at += ns
        r.arm.publish(joint_state_msg(r.at, robot.ARM_JOINT_NAMES, robot.ARM_HOME))
        r.palm.publish(pose_stamped_msg(r.at, robot.BASE_FRAME, HOME))
        r.hand.publish(joint_state_msg(r.at, robot.HAND_JOINT_NAMES, robot.HAND_OPEN))
        clock.publish(ClockMessage(clock=stamp_msg(r.at)))

    while not r.gate.gate.statistics.ticks or r.gate._arm is None:
        publish()
        r.settle()
    r.spin_until(r.clients["arm"].service_is_ready, "safety/arm")
    answer = r.call("arm")
    assert answer.success, answer.message
    # While the gate is kept waiting, 250 ms pass. 10 states of each kind wait, the oldest 225 ms old
    # (allowed: 150), the newest 0 ms.
    heard.clear()
    for _ in range(10):
        publish(25 * MS)
    aside = SingleThreadedExecutor()
    aside.add_node(observer)
    deadline = time.monotonic() + 60.0
    while (not heard or stamp_ns(heard[-1].header.stamp) < r.at) and time.monotonic() < deadline:
        aside.spin_once(timeout_sec=0.05)
    aside.remove_node(observer)
    observer.destroy_node()
    r.act(dx=0.01)
    r.settle()
    assert r.gate.gate.status.mode is Mode.ACTIVE, r.gate.gate.status
    assert r.gate.gate.statistics.holds == 0


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"stale_observatoin_s": 0.3}, "did you mean 'stale_observation_s'"),
        ({"residual_position": 0.031}, "residual_position of GateConfig is 0.031 m, allowed: 0.0 to 0.03 m"),
        ({"tick_source": "clock"}, "tick_source of GateConfig is the text 'clock'"),
    ],
)
def test_a_wrong_parameter_is_refused_with_a_sentence(make, parameters, sentence):
    with pytest.raises(ConfigError) as error:
        make(**parameters)
    assert sentence in str(error.value)


def test_parameters_reach_the_gate(make):
    r = make(residual_position=0.01, leash_position=0.05)
    assert r.gate.gate.config.residual_position == 0.01
    assert r.gate.get_parameter("leash_position").value == 0.05
