"""What must never reach the arm: the real gate between a bad policy and the real world.

The test plays the policy; the world and the gate run in processes of their own.
"""

from __future__ import annotations

import array
import math

import launch_pytest
import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from launch import LaunchDescription
from launch.actions import SetEnvironmentVariable
from launch_ros.actions import Node
from probe import Probe, stamp
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from rfs_core import robot
from rfs_msgs.msg import PolicyAction, SafetyState
from rfs_msgs.srv import ResetWorld
from rfs_ros.conversions import stamp_msg

MS = 1_000_000
LEASH_M = 0.06
DOWN_M = -0.002


@launch_pytest.fixture
def world_and_gate(ros_domain):
    """The world and the gate, with the parameters of a deployment."""
    sim = {"lockstep_patience_s": 2.0}
    gate = {"use_sim_time": True, "tick_source": "state"}
    return LaunchDescription(
        [
            SetEnvironmentVariable("ROS_DOMAIN_ID", str(ros_domain)),
            Node(package="rfs_sim", executable="sim_node", name="sim_node", parameters=[sim]),
            Node(package="rfs_control", executable="gate_node", name="gate_node", parameters=[gate]),
            launch_pytest.actions.ReadyToTest(),
        ]
    )


class BadPolicy:
    """Answers a few ticks well, then does what the test tells it to."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.palm = probe.listen(PoseStamped, "arm/current_pose")
        self.targets = probe.listen(PoseStamped, "arm/target_pose")
        self.fingers = probe.listen(JointState, "hand/target")
        self.safety = probe.listen(SafetyState, "safety/state")
        self.publisher = probe.publisher(PolicyAction, "policy/action")
        self.sequence = 0
        self.started = 0

    def begin(self, episode: int) -> None:
        """Reset the world and arm the gate."""
        self.probe.wait_until(lambda: self.publisher.get_subscription_count() > 0, "the gate listens")
        stopped = self.probe.call(Trigger, "safety/stop")
        assert stopped.success, stopped.message
        reset = self.probe.call(ResetWorld, "sim/reset", seed=1, episode=episode)
        assert reset.success, reset.message
        self.started = reset.stamp.sec * 1000 * MS + reset.stamp.nanosec
        self.probe.wait_until(lambda: stamp(self.palm[-1]) == self.started, "the state of the reset")
        armed = self.probe.call(Trigger, "safety/arm")
        assert armed.success, armed.message
        self.episode = episode

    def action(self, decision: int, **changes) -> PolicyAction:
        """A good action for a decision: a little down, the hand open. `changes` replace fields."""
        step = np.concatenate([[0.0, 0.0, DOWN_M], np.zeros(3), robot.HAND_OPEN])
        chunk = array.array("d", np.tile(step, 2).tobytes())
        self.sequence += 1
        fields = {
            "observation_stamp": stamp_msg(self.started + decision * 100 * MS),
            "publisher": "test",
            "sequence": self.sequence,
            "episode": self.episode,
            "checkpoint_id": "test@0",
            "horizon": 2,
            "dimension": 22,
            "step_dt": 0.05,
            "a_0": array.array("f", [0.0] * 44),
            "a_b": chunk,
            "a_r": array.array("d", [0.0] * 44),
            "a": chunk,
            **changes,
        }
        message = PolicyAction(**fields)
        message.header.stamp = fields["observation_stamp"]
        message.header.frame_id = robot.BASE_FRAME
        return message

    def answer(self, decision: int, **changes) -> None:
        """Wait for the decision's tick and publish an action for it."""
        self.wait_for_tick(self.started + decision * 100 * MS)
        self.publisher.publish(self.action(decision, **changes))

    def wait_for_tick(self, tick: int) -> None:
        """Wait until the world has come that far."""
        self.probe.wait_until(lambda: stamp(self.palm[-1]) >= tick, f"the world at {tick} ns")

    def mode(self) -> int:
        """The gate's mode, -1 before it was heard."""
        return self.safety[-1].mode if self.safety else -1


@pytest.fixture
def policy(probe):
    return BadPolicy(probe)


def spoiled(**at):
    """A chunk of a good action with some values replaced: index=value."""

    def spoil(policy, decision):
        good = policy.action(decision)
        policy.sequence -= 1
        chunk = good.a_b
        for index, value in at.items():
            chunk[int(index[1:])] = value
        return {"a_b": chunk, "a": chunk}

    return spoil


BAD = {
    "NaN in the palm": (spoiled(i2=math.nan), "not finite"),
    "Inf in a finger": (spoiled(i30=math.inf), "not finite"),
    "a jump of a metre": (spoiled(i24=1.0), "at most"),
    "a fourth of the values": (
        lambda policy, decision: {"a_b": array.array("d", [0.0] * 11)},
        "has 11 values",
    ),
    "another robot's dimension": (
        lambda policy, decision: (
            {name: array.array("d", [0.0] * 46) for name in ("a_b", "a_r", "a")} | {"dimension": 23}
        ),
        "23",
    ),
    "another publisher": (lambda policy, decision: {"publisher": "intruder"}, "second publisher"),
    "another checkpoint": (lambda policy, decision: {"checkpoint_id": "other@1"}, "checkpoint changed"),
}


def assert_only_good_targets(policy, begun):
    """Every target is finite and near the measured palm: nothing of a bad action got through."""
    measured = {stamp(m): m.pose.position for m in policy.palm}
    targets = [m for m in policy.targets if stamp(m) >= begun]
    assert targets
    for message in targets:
        p = message.pose.position
        values = [p.x, p.y, p.z, *(getattr(message.pose.orientation, k) for k in "wxyz")]
        assert all(map(math.isfinite, values))
        palm = measured[stamp(message)]
        assert math.dist((p.x, p.y, p.z), (palm.x, palm.y, palm.z)) <= LEASH_M + 1e-6
    for message in policy.fingers:
        assert all(map(math.isfinite, message.position))


@pytest.mark.launch(fixture=world_and_gate)
def test_bad_actions_never_reach_the_arm_and_the_gate_says_why(policy):
    for episode, (what, (change, sentence)) in enumerate(BAD.items()):
        policy.begin(episode)
        policy.answer(0)
        policy.answer(1)
        policy.probe.wait_until(lambda: policy.mode() == SafetyState.ACTIVE, f"{what}: ACTIVE")
        refused = policy.safety[-1].refused
        policy.answer(2, **change(policy, 2))
        policy.probe.wait_until(lambda: policy.mode() == SafetyState.HOLD, f"{what}: HOLD")
        state = policy.safety[-1]
        assert sentence in state.reason, f"{what}: {state.reason}"
        assert state.refused == refused + 1, what
        policy.answer(3)  # a good one again: does not re-arm
        policy.wait_for_tick(policy.started + 600 * MS)
        assert policy.mode() == SafetyState.HOLD, what
        assert_only_good_targets(policy, policy.started)


@pytest.mark.launch(fixture=world_and_gate)
def test_stale_and_repeated_actions_are_not_executed_and_a_second_publisher_stops_the_arm(policy):
    policy.begin(0)
    policy.answer(0)
    policy.answer(1)
    policy.probe.wait_until(lambda: policy.mode() == SafetyState.ACTIVE, "ACTIVE")
    # The observation of decision 0 again, and the sequence of decision 1 again.
    policy.answer(2, observation_stamp=stamp_msg(policy.started))
    policy.probe.wait_until(lambda: policy.safety[-1].refused == 1, "a stale observation is refused")
    assert "not newer" in policy.safety[-1].last_refusal
    policy.answer(2, sequence=policy.sequence - 1)
    policy.probe.wait_until(lambda: policy.safety[-1].refused == 2, "a repeated sequence is refused")
    assert "out of order" in policy.safety[-1].last_refusal
    assert_only_good_targets(policy, policy.started)

    policy.begin(1)
    policy.answer(0)
    policy.probe.wait_until(lambda: policy.mode() == SafetyState.ACTIVE, "ACTIVE again")
    intruder = policy.probe.publisher(PolicyAction, "policy/action")
    policy.probe.wait_until(lambda: policy.mode() == SafetyState.HOLD, "HOLD because of a second publisher")
    assert "publisher" in policy.safety[-1].reason
    policy.probe.node.destroy_publisher(intruder)
