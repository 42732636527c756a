"""The correction node on real topics."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Joy
from std_srvs.srv import SetBool

from rfs_control.nodes.correction_node import CorrectionNode
from rfs_core import robot
from rfs_core.errors import ConfigError, RfsError
from rfs_core.se3 import Pose
from rfs_msgs.msg import Correction, EpisodeMark, EpisodeState
from rfs_ros.conversions import pose_stamped_msg, stamp_msg
from rfs_ros.qos import LATCHED, RELIABLE

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
NS = 1_000_000_000
UPRIGHT = np.array([[1.0, 0.0, 0.0, 0.0]])


class Bench:
    """A correction node with a robot, a device and an episode manager around it; one thread."""

    def __init__(self, **parameters):
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.human = CorrectionNode(parameter_overrides=overrides)
        self.node = rclpy.create_node("bench")
        self.executor = SingleThreadedExecutor()
        for node in (self.human, self.node):
            self.executor.add_node(node)
        create = self.node.create_publisher
        self.palm = create(PoseStamped, "arm/current_pose", RELIABLE)
        self.object = create(PoseStamped, "sim/object_pose", RELIABLE)
        self.goal = create(PoseStamped, "sim/goal_pose", RELIABLE)
        self.joy = create(Joy, "spacemouse/joy", RELIABLE)
        self.episode = create(EpisodeState, "episode/state", LATCHED)
        self.corrections: list[Correction] = []
        self.marks: list[EpisodeMark] = []
        self.node.create_subscription(Correction, "correction/residual", self.corrections.append, RELIABLE)
        self.node.create_subscription(EpisodeMark, "episode/mark", self.marks.append, RELIABLE)
        scripted = parameters.get("device") == "scripted"
        heard = (self.palm, self.episode, *((self.object, self.goal) if scripted else (self.joy,)))
        self.spin_until(lambda: all(p.get_subscription_count() for p in heard), "the node listens")
        self.spin_until(lambda: self.human._mark.get_subscription_count(), "its marks are heard")

    def spin_until(self, condition, what, seconds=60.0, meanwhile=lambda: None):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            meanwhile()
            self.executor.spin_once(timeout_sec=0.005)
        pytest.fail(f"not within {seconds} s: {what}")

    def place(self, publisher, at_ns, *position):
        pose = Pose(np.array([position]), UPRIGHT)
        publisher.publish(pose_stamped_msg(at_ns, robot.BASE_FRAME, pose))

    def run_episode(self, started_ns=0, name="e0"):
        message = EpisodeState(
            id=name, phase=EpisodeState.PHASE_RUNNING, started=stamp_msg(started_ns), task="grasp"
        )
        self.episode.publish(message)
        self.spin_until(lambda: self.human.record.running == name, "the episode runs")

    def close(self):
        for node in (self.human, self.node):
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()


@pytest.fixture
def bench():
    rclpy.init(domain_id=DOMAIN)
    made = []

    def make(**parameters):
        made.append(Bench(keys=False, **parameters))
        return made[-1]

    yield make
    for each in made:
        each.close()
    rclpy.try_shutdown()


def test_a_pushed_spacemouse_becomes_a_bounded_engaged_residual(bench):
    b = bench(device="spacemouse")

    def push():
        b.place(b.palm, NS, 0.5, 0.0, 0.10)
        b.joy.publish(Joy(axes=[1.0, 0.0, 0.0, 0.0, 0.0, 0.0], buttons=[0, 0]))

    b.spin_until(
        lambda: b.corrections and b.corrections[-1].residual[0] == pytest.approx(0.015),
        "full",
        meanwhile=push,
    )
    last = b.corrections[-1]
    assert (last.engaged, last.device, last.header.frame_id) == (True, "spacemouse", robot.BASE_FRAME)
    assert not any(last.residual[1:])


def test_a_spacemouse_that_goes_while_it_is_pushed_fades_and_marks_the_episode(bench):
    b = bench(device="spacemouse")
    b.run_episode()

    def push():
        b.place(b.palm, NS, 0.5, 0.0, 0.10)
        b.joy.publish(Joy(axes=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], buttons=[0, 0]))

    b.spin_until(
        lambda: b.corrections and b.corrections[-1].residual[1] == pytest.approx(0.015),
        "full",
        meanwhile=push,
    )
    # The driver publishes nothing more.
    b.spin_until(lambda: not b.corrections[-1].engaged, "faded")
    assert not any(b.corrections[-1].residual)
    b.spin_until(lambda: b.marks, "the mark")
    # A machine that stalls while the cap is pushed adds a loss of its own.
    assert {(mark.episode, mark.mark) for mark in b.marks} == {("e0", EpisodeMark.DEVICE_LOST)}
    assert "fell silent" in b.marks[0].reason


def test_the_scripted_human_corrects_every_step_once_all_of_it_is_seen(bench):
    """The object lies 3 cm beside where the palm would grasp it; the human reacts after 150 ms."""
    b = bench(device="scripted")
    b.run_episode(started_ns=NS)
    for i in range(10):
        at_ns, before = NS + i * 50_000_000, len(b.corrections)
        b.place(b.object, at_ns, 0.5385, 0.0208, 0.05)
        b.place(b.goal, at_ns, 0.5385, 0.0208, 0.3)
        assert len(b.corrections) == before  # nothing before the palm has been seen at this time, too
        b.place(b.palm, at_ns, 0.5, 0.0, 0.1212)
        b.spin_until(lambda before=before: len(b.corrections) > before, "its correction")
    stamps = [message.header.stamp.sec * NS + message.header.stamp.nanosec for message in b.corrections]
    assert stamps == [NS + i * 50_000_000 for i in range(10)]
    assert not any(b.corrections[3].residual)
    assert b.corrections[-1].engaged
    assert b.corrections[-1].residual[1] > 0.001
    assert abs(b.corrections[-1].residual[0]) < 0.0015


def test_the_scripted_human_takes_the_nearest_palm_of_a_driver_that_has_its_own_times(bench):
    """At 100 Hz, 3 ms beside the control steps; it moves 1 cm to the left per control step."""
    b = bench(device="scripted", **{"scripted.noise": 0.0})
    seen = []
    b.run_episode(started_ns=NS)
    look = b.human._human.look
    b.human._human.look = lambda sight: (seen.append((sight.at_s, sight.palm.position[0, 1])), look(sight))[1]
    for step in range(6):
        at_ns, before = NS + step * 50_000_000, len(b.corrections)
        for publisher in (b.object, b.goal):
            b.place(publisher, at_ns, 0.5385, 0.0208, 0.05)
        for part in range(5):
            stamp = at_ns - 37_000_000 + part * 10_000_000  # the last one 3 ms after the step
            b.place(b.palm, stamp, 0.5, 0.01 * (stamp - NS) / 50e6, 0.1212)
        b.spin_until(lambda before=before: len(b.corrections) > before, "its correction")
    assert len(seen) == len(b.corrections) == 6
    expected = [(1.0 + 0.05 * step, 0.01 * step + 0.0006) for step in range(6)]
    np.testing.assert_allclose(seen, expected, atol=1e-9)


def test_a_scripted_human_does_nothing_while_corrections_are_off(bench):
    b = bench(device="scripted")
    client = b.node.create_client(SetBool, "correction/enable")
    b.spin_until(client.service_is_ready, "the service")
    answer = client.call_async(SetBool.Request(data=False))
    b.spin_until(answer.done, "the answer")
    b.run_episode(started_ns=NS)
    for i in range(8):
        at_ns, before = NS + i * 50_000_000, len(b.corrections)
        for publisher in (b.object, b.goal):
            b.place(publisher, at_ns, 0.54, 0.05, 0.05)
        b.place(b.palm, at_ns, 0.5, 0.0, 0.12)
        b.spin_until(lambda before=before: len(b.corrections) > before, "its correction")
    assert not any(message.engaged for message in b.corrections)
    assert not b.marks


def test_a_keyboard_needs_a_terminal(bench):
    with pytest.raises(RfsError, match="no terminal to take keys from"):
        bench(device="keyboard", terminal="/no/terminal")


def test_a_scripted_human_refuses_a_task_that_it_does_not_know(bench):
    with pytest.raises(RfsError, match="no scripted corrections for task 'pour'"):
        bench(device="scripted", task="pour")


def test_an_unknown_device_is_refused_with_the_known_ones(bench):
    with pytest.raises(ConfigError, match="spacemouse"):
        bench(device="spacemoose")
