"""PolicyNode: which checkpoints it refuses, when it decides, and what it publishes. One process, no world."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from rfs_control.nodes.observation_sources import SOURCES, sources_of
from rfs_control.nodes.policy_node import PolicyNode
from rfs_core import robot
from rfs_core.errors import SpecError
from rfs_core.se3 import Pose
from rfs_core.specs import ObservationSpec, Part
from rfs_core.staleness import Now
from rfs_core.tasks import grasp, stack
from rfs_msgs.msg import ContactState, EpisodeState, PolicyAction
from rfs_msgs.srv import LoadCheckpoint
from rfs_ros.conversions import joint_state_msg, pose_stamped_msg, stamp_msg, stamp_ns
from rfs_ros.qos import LATCHED, RELIABLE

sys.path.insert(0, str(Path(__file__).parents[3] / "test"))
import checkpoints

MS = 1_000_000
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])


@pytest.fixture
def ros():
    rclpy.init(domain_id=DOMAIN)
    yield
    rclpy.try_shutdown()


@pytest.fixture
def make_node(ros):
    nodes = []

    def make(**parameters):
        given = {"tick_source": "state", **parameters}
        node = PolicyNode(parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()


@pytest.fixture
def make_world(ros):
    """Worlds end with their test: the next one must not hear the last word of an episode."""
    worlds = []

    def make(node):
        worlds.append(World(node))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def messages_at(stamp):
    """What a world at rest shows at a time: every source with its message."""
    pose = Pose(np.array([[0.5, 0.0, 0.3]]), np.array([[1.0, 0.0, 0.0, 0.0]]))
    arm = joint_state_msg(stamp, robot.ARM_JOINT_NAMES, np.asarray(robot.ARM_HOME))
    hand = joint_state_msg(stamp, robot.HAND_JOINT_NAMES, np.asarray(robot.HAND_OPEN))
    contacts = ContactState(name=list(robot.CONTACT_NAMES), in_contact=[False] * 5)
    contacts.header.stamp = stamp_msg(stamp)
    messages = {"arm/joint_states": arm, "hand/joint_states": hand, "hand/contacts": contacts}
    return [
        (source, messages.get(source.topic) or pose_stamped_msg(stamp, robot.BASE_FRAME, pose))
        for source in SOURCES
    ]


class World:
    """Publishes what a world at rest would, and hears the policy."""

    def __init__(self, node):
        self.policy = node
        self.node = rclpy.create_node("world")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(node)
        self.publishers = {
            source.topic: self.node.create_publisher(source.message_type, source.topic, RELIABLE)
            for source in SOURCES
        }
        self.episode = self.node.create_publisher(EpisodeState, "episode/state", LATCHED)
        self.actions = []
        self.node.create_subscription(PolicyAction, "policy/action", self.actions.append, RELIABLE)
        heard = [self.episode, *(self.publishers[source.topic] for source in node._sources)]
        assert self.spin_until(lambda: all(p.get_subscription_count() for p in heard))

    def spin_until(self, condition, seconds=60.0):
        """Generous: a busy machine is no failure."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not condition():
            self.executor.spin_once(timeout_sec=0.01)
        return condition()

    def spin_for(self, seconds):
        self.spin_until(lambda: False, seconds)

    def publish(self, stamp, skip=()):
        for source, message in messages_at(stamp):
            if source.topic not in skip:
                self.publishers[source.topic].publish(message)

    def decided_at(self, stamp):
        """Publish what is seen at a time, once more; how many decisions were heard so far."""
        self.publish(stamp)
        return len({action.sequence for action in self.actions})

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()

    def announce(self, phase, started=0, **fields):
        fields = {"id": "e0", "max_steps": 64, **fields}
        message = EpisodeState(phase=phase, started=stamp_msg(started), **fields)
        self.episode.publish(message)
        assert self.spin_until(lambda: self.policy._episode_state == message)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (checkpoints.missing, "no such file"),
        (checkpoints.truncated, "truncated or damaged"),
        (checkpoints.bit_flipped, "its header says"),
        (checkpoints.pickled, "never loaded"),
        (checkpoints.foreign_action, r"size (23,), other (22,)"),
        (checkpoints.foreign_observation, r"size (44,), other (49,)"),
        (checkpoints.foreign_task, "trained for task 'juggle', this node does 'grasp'"),
        (checkpoints.two_step_integrator, "integrates with 'euler 2', this node asks for 'euler 10'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_configure_refuses_a_checkpoint_that_cannot_be_used_and_says_why(make_node, tmp_path, make, sentence):
    node = make_node(checkpoint=str(make(tmp_path)), integrator="euler 10")
    assert node.trigger_configure() is TransitionCallbackReturn.FAILURE
    assert sentence in node.refusal
    assert not (tmp_path / "trap_sprung").exists()


def test_without_a_checkpoint_configure_says_how_to_name_one(make_node):
    node = make_node()
    assert node.trigger_configure() is TransitionCallbackReturn.FAILURE
    assert "-p checkpoint:=FILE" in node.refusal


def test_a_device_that_torch_does_not_have_is_refused(make_node, tmp_path):
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")), device="toaster")
    assert node.trigger_configure() is TransitionCallbackReturn.FAILURE
    assert "device is 'toaster', which torch cannot use here" in node.refusal
    assert "use cpu" in node.refusal


def test_decisions_are_counted_on_when_it_is_configured_anew(make_node, make_world, tmp_path):
    """The gate knows the publisher: a lower number would be an action of before."""
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")))
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    world = make_world(node)
    for index in (0, 1):
        start = (1000 + 500 * index) * MS
        assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
        world.announce(EpisodeState.PHASE_RUNNING, start, id=f"e{index}")
        assert world.spin_until(lambda start=start, index=index: world.decided_at(start) > index)
        world.announce(EpisodeState.PHASE_FINISHED, start, id=f"e{index}")
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    assert sorted({action.sequence for action in world.actions}) == [1, 2]


def test_an_observation_part_on_no_topic_is_refused_with_the_known_parts():
    spec = ObservationSpec((*grasp.OBSERVATION_SPEC.parts, Part("smell", (1,), "1", 0.0, 1.0)))
    with pytest.raises(
        SpecError, match=r"parts smell are on no topic; known parts are arm_position, contacts"
    ):
        sources_of(spec)


def test_the_targets_topic_is_listened_to_where_the_observation_needs_it():
    with_target = {source.topic for source in sources_of(stack.OBSERVATION_SPEC)}
    assert with_target == {source.topic for source in SOURCES}
    assert with_target - {source.topic for source in sources_of(grasp.OBSERVATION_SPEC)} == {
        "perception/target_pose"
    }


def test_it_decides_once_for_every_tick_whose_observation_is_complete(make_node, make_world, tmp_path):
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")))
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
    world = make_world(node)
    world.publish(1000 * MS)
    world.spin_for(0.1)
    assert world.actions == []  # no episode

    world.announce(EpisodeState.PHASE_RUNNING, started=1000 * MS, seed=4, index=2)
    assert world.spin_until(lambda: len(world.actions) == 1)
    world.publish(1050 * MS)  # a control tick, not a decision tick
    world.publish(1100 * MS, skip=("hand/contacts",))
    world.spin_for(0.2)
    assert len(world.actions) == 1

    world.publish(1100 * MS)
    assert world.spin_until(lambda: len(world.actions) == 2)
    first, second = world.actions
    assert [stamp_ns(a.observation_stamp) // MS for a in (first, second)] == [1000, 1100]
    assert [a.sequence for a in (first, second)] == [1, 2]
    assert (first.episode, first.horizon, first.dimension, first.step_dt) == (2, 2, 22, 0.05)
    assert first.publisher == second.publisher
    assert first.checkpoint_id.startswith("gentle@")
    assert len(first.a) == len(first.a_0) == 44

    world.announce(EpisodeState.PHASE_FINISHED, started=1000 * MS)
    world.publish(1200 * MS)
    world.spin_for(0.2)
    assert len(world.actions) == 2


def test_the_first_action_is_repeated_while_the_world_repeats_its_first_state(
    make_node, make_world, tmp_path
):
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")))
    node.trigger_configure()
    node.trigger_activate()
    world = make_world(node)
    world.announce(EpisodeState.PHASE_RUNNING, started=1000 * MS)
    for count in (1, 2, 3):
        world.publish(1000 * MS)
        assert world.spin_until(lambda count=count: len(world.actions) == count)
    assert world.actions[0] == world.actions[1] == world.actions[2]
    world.publish(1050 * MS)
    world.publish(1100 * MS)
    assert world.spin_until(lambda: len(world.actions) == 4)
    world.publish(1100 * MS)  # later states are never shown again by a world that runs
    world.spin_for(0.2)
    assert [a.sequence for a in world.actions] == [1, 1, 1, 2]


@pytest.mark.parametrize("step_s", [5, -5, 3600, -3600])
def test_with_a_timer_decisions_go_on_when_somebody_sets_the_clock(make_node, tmp_path, monkeypatch, step_s):
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")), tick_source="timer")
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
    node._timer.cancel()
    clock = {"steady": 1000 * MS, "ahead": 7_000_000 * MS}
    monkeypatch.setattr(node, "_now", lambda: Now(clock["steady"], clock["steady"] + clock["ahead"]))
    actions = []
    monkeypatch.setattr(node, "_action", SimpleNamespace(publish=actions.append))

    def see(stamped_ns):
        for source, message in messages_at(stamped_ns):
            node._on_part(source, message)

    started = clock["steady"] + clock["ahead"]
    node._on_episode(
        EpisodeState(phase=EpisodeState.PHASE_RUNNING, started=stamp_msg(started), id="e0", max_steps=64)
    )
    for decision in range(8):
        stamped = clock["steady"] + clock["ahead"]
        clock["steady"] += 10 * MS
        if decision == 3:  # between the stamps and their receipt
            clock["ahead"] += step_s * 1000 * MS
        see(stamped)
        node._on_timer()
        assert len(actions) == decision + 1, node._last_problem
        # The observation is 10 ms old on the clock as it is now.
        seen_ns = clock["steady"] + clock["ahead"] - 10 * MS
        assert stamp_ns(actions[-1].observation_stamp) == seen_ns
        assert {stamp_ns(stamp) for stamp in actions[-1].observed_stamps} == {seen_ns}
        clock["steady"] += 90 * MS


def test_with_a_timer_an_observation_is_answered_once_and_a_newer_one_in_the_same_period(
    make_node, tmp_path, monkeypatch
):
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")), tick_source="timer")
    node.trigger_configure()
    node.trigger_activate()
    node._timer.cancel()
    steady = [1000 * MS]
    monkeypatch.setattr(node, "_now", lambda: Now(steady[0], steady[0]))
    actions = []
    monkeypatch.setattr(node, "_action", SimpleNamespace(publish=actions.append))

    def look(at_ms, seen_ms=None):
        steady[0] = at_ms * MS
        for source, message in messages_at(seen_ms * MS) if seen_ms is not None else ():
            node._on_part(source, message)
        node._on_timer()
        return [stamp_ns(action.observation_stamp) // MS for action in actions]

    node._on_episode(
        EpisodeState(phase=EpisodeState.PHASE_RUNNING, started=stamp_msg(1000 * MS), id="e0", max_steps=64)
    )
    assert look(1010, seen_ms=1000) == [1000]
    assert look(1100) == [1000]  # the second decision is due, but nothing new was seen
    assert look(1110) == [1000]
    assert look(1120, seen_ms=1115) == [1000, 1115]
    assert look(1130, seen_ms=1125) == [1000, 1115]  # the third is not due yet
    assert node.statistics.missed == 0


def test_with_a_timer_a_decision_says_which_message_of_every_topic_it_has_seen(
    make_node, tmp_path, monkeypatch
):
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")), tick_source="timer")
    node.trigger_configure()
    node.trigger_activate()
    node._timer.cancel()
    monkeypatch.setattr(node, "_now", lambda: Now(1050 * MS, 7_001_050 * MS))
    actions = []
    monkeypatch.setattr(node, "_action", SimpleNamespace(publish=actions.append))
    expected = {}
    for age_ms in (40, 3):  # the older ones of every topic are not what is seen
        for i, (source, message) in enumerate(messages_at((7_001_050 - age_ms) * MS)):
            stamp = (7_001_050 - age_ms - i) * MS
            message.header.stamp = stamp_msg(stamp)
            node._on_part(source, message)
            expected[source.topic] = stamp
    started = stamp_msg(7_001_000 * MS)
    node._on_episode(EpisodeState(phase=EpisodeState.PHASE_RUNNING, started=started, id="e0", max_steps=64))
    node._on_timer()
    (action,) = actions
    seen = dict(zip(action.observed_topics, map(stamp_ns, action.observed_stamps), strict=True))
    assert seen == {source.topic: expected[source.topic] for source in node._sources}
    assert stamp_ns(action.observation_stamp) == min(seen.values())


def test_a_tick_that_was_passed_over_is_counted_as_missed(make_node, make_world, tmp_path):
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")))
    node.trigger_configure()
    node.trigger_activate()
    world = make_world(node)
    world.announce(EpisodeState.PHASE_RUNNING, started=1000 * MS)
    world.publish(1000 * MS)
    assert world.spin_until(lambda: len(world.actions) == 1)
    world.publish(1300 * MS)  # 1100 and 1200 never came
    assert world.spin_until(lambda: len(world.actions) == 2)
    assert node.statistics.missed == 2


def test_a_zero_a_0_is_zero_and_a_drawn_one_is_not(make_node, make_world, tmp_path):
    path = str(checkpoints.write(tmp_path / "c.safetensors"))
    a_0 = {}
    for mode in ("zero", "normal"):
        node = make_node(checkpoint=path, a0=mode)
        node.trigger_configure()
        node.trigger_activate()
        world = make_world(node)
        world.announce(EpisodeState.PHASE_RUNNING, started=1000 * MS)
        world.publish(1000 * MS)
        assert world.spin_until(lambda world=world: len(world.actions) == 1)
        a_0[mode] = np.array(world.actions[0].a_0)
        node.trigger_deactivate()
        world.close()
        node.destroy_node()
    np.testing.assert_array_equal(a_0["zero"], 0.0)
    assert np.abs(a_0["normal"]).max() > 0.5


def test_a_checkpoint_is_swapped_between_episodes_only_and_a_bad_one_never(make_node, make_world, tmp_path):
    node = make_node(checkpoint=str(checkpoints.write(tmp_path / "c.safetensors")))
    node.trigger_configure()
    node.trigger_activate()
    world = make_world(node)
    client = world.node.create_client(LoadCheckpoint, "policy/load_checkpoint")
    assert world.spin_until(client.service_is_ready)

    def load(path):
        future = client.call_async(LoadCheckpoint.Request(path=str(path)))
        assert world.spin_until(future.done)
        return future.result()

    before = load(checkpoints.truncated(tmp_path))
    assert not before.success
    assert "truncated or damaged" in before.message
    other = checkpoints.write(tmp_path / "other.safetensors", seed=1, name="other")
    swapped = load(other)
    assert swapped.success, swapped.message
    assert swapped.checkpoint_id.startswith("other@")
    assert before.checkpoint_id.startswith("gentle@")

    world.announce(EpisodeState.PHASE_RUNNING, started=1000 * MS)
    refused = load(tmp_path / "c.safetensors")
    assert not refused.success
    assert "swapped between episodes only" in refused.message
    assert refused.checkpoint_id == swapped.checkpoint_id
