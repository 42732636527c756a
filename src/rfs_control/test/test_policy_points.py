"""PolicyNode with a cloud: a bad one has a named reason and no decision; memory does not grow."""

from __future__ import annotations

import array
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import PointCloud2

from rfs_control.nodes.observation_sources import sources_of
from rfs_core import robot
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import points as points_task
from rfs_msgs.msg import EpisodeState
from rfs_ros import hand_over
from rfs_ros.conversions import points_msg, stamp_ns
from rfs_ros.qos import RELIABLE

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[3] / "test"))
import test_policy_node as state
from test_policy_node import make_node, ros  # noqa: F401  fixtures

import checkpoints

COUNT = 64
T0 = 5_000_000_000
MS = state.MS
TOPIC = "perception/points"


def cloud(count=COUNT, value=0.5):
    return np.full((count, 3), value, np.float32)


class World(state.World):
    """A world at rest with a camera."""

    def __init__(self, node):
        super().__init__(node)
        self.points = self.node.create_publisher(PointCloud2, TOPIC, RELIABLE)
        by_message = any(source.topic == TOPIC for source in node._sources) and not node._inboxes
        assert self.spin_until(lambda: self.points.get_subscription_count() or not by_message)

    def show(self, stamp, cloud_message=None):
        """All parts of an observation at `stamp`, the cloud last."""
        self.publish(stamp)
        if cloud_message is not None:
            self.points.publish(cloud_message)


@pytest.fixture
def seeing(make_node, tmp_path, monkeypatch):  # noqa: F811
    """An active node whose policy sees 64 points, in an episode that began at T0, and its world."""
    path = checkpoints.write_points(tmp_path / "cloudy.safetensors", COUNT)
    node = make_node(checkpoint=str(path), observation="points", points_count=COUNT)
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS, node.refusal
    node.trigger_activate()
    wanted = {source.topic for source in node._sources}
    monkeypatch.setattr(state, "SOURCES", [s for s in state.SOURCES if s.topic in wanted])
    monkeypatch.setattr(node, "_sources", tuple(s for s in node._sources if s.topic != TOPIC))
    world = World(node)
    world.announce(EpisodeState.PHASE_RUNNING, T0, seed=1, index=0)
    assert world.spin_until(lambda: node._step.clock is not None)
    yield node, world
    world.close()


def test_a_cloud_among_the_other_parts_makes_a_decision(seeing):
    node, world = seeing
    world.show(T0, points_msg(T0, robot.BASE_FRAME, cloud()))
    assert world.spin_until(lambda: world.actions)
    assert stamp_ns(world.actions[0].observation_stamp) == T0
    assert node._last_problem == ""


def bad_messages():
    good = points_msg(T0, robot.BASE_FRAME, cloud())
    nan = cloud()
    nan[7, 1] = np.nan
    truncated = points_msg(T0, robot.BASE_FRAME, cloud())
    truncated.data = array.array("B", good.data[:100])
    return {
        "empty": (points_msg(T0, robot.BASE_FRAME, cloud(0)), "cloud of 0 points, must be 64"),
        "three": (points_msg(T0, robot.BASE_FRAME, cloud(3)), "cloud of 3 points, must be 64"),
        "two_million": (points_msg(T0, robot.BASE_FRAME, cloud(2_000_000)), "cloud of 2000000 points"),
        "nan": (points_msg(T0, robot.BASE_FRAME, nan), "1 of 64 points are not finite"),
        "truncated": (truncated, "100 bytes for 64 points"),
        "camera_frame": (points_msg(T0, "camera_color_optical_frame", cloud()), "must be 'fr3_link0'"),
    }


@pytest.mark.parametrize("name", list(bad_messages()))
def test_a_bad_cloud_is_named_and_nothing_is_decided_until_a_good_one_comes(seeing, name):
    node, world = seeing
    message, sentence = bad_messages()[name]
    world.show(T0, message)
    # The reason is what diagnostics show; a large message takes its time.
    assert world.spin_until(lambda: sentence in node._window._refused.get("points", ""))
    world.show(T0)  # the world stands and shows the rest again
    world.spin_for(0.3)
    assert not world.actions
    assert node._window.exact(T0).observation is None
    assert sentence in "; ".join(node._window.exact(T0).reasons)
    world.show(T0, points_msg(T0, robot.BASE_FRAME, cloud()))
    assert world.spin_until(lambda: world.actions)


@pytest.mark.parametrize("skew", [-350, 350], ids=["old", "future"])
def test_a_cloud_of_another_time_is_not_taken_for_this_one(seeing, skew):
    node, world = seeing
    world.show(T0, points_msg(T0 + skew * MS, robot.BASE_FRAME, cloud()))
    world.spin_for(0.5)
    assert not world.actions
    assert "points" in "; ".join(node._window.exact(T0).reasons)


def test_on_a_robot_skewed_clouds_are_stale_or_from_the_future_by_name():
    from rfs_control.observation_window import ObservationWindow, ObservationWindowConfig, Verdict

    spec = points_task.observation_spec("grasp", COUNT)
    for age_ms, verdict in ((50, Verdict.COMPLETE), (250, Verdict.STALE), (-60, Verdict.FUTURE)):
        window = ObservationWindow(spec, ObservationWindowConfig())
        for part in spec.parts:
            late = age_ms * MS if part.name == "points" else 0
            window.add(part.name, T0 - late, np.zeros(part.size, np.float32))
        assembled = window.newest(T0)
        assert assembled.verdict is verdict, age_ms
        if verdict is not Verdict.COMPLETE:
            assert "points" in assembled.reasons[0]


def test_hundreds_of_clouds_leave_the_window_as_large_as_it_was(seeing):
    node, _ = seeing
    (source,) = [s for s in sources_of(node._window.spec) if s.topic == TOPIC]
    for k in range(300):
        node._on_array(source, T0 - 10_000 * MS + k * MS, cloud())
        node._on_array(source, T0, np.full((COUNT, 3), np.nan, np.float32))
        node._on_array(source, T0, cloud(3))
    held = node._window._samples["points"]
    assert len(held) <= node.config.depth
    assert set(node._window._refused) <= set(node._window.parts)


def test_a_checkpoint_of_another_number_of_points_is_refused_naming_both(make_node, tmp_path):  # noqa: F811
    path = checkpoints.write_points(tmp_path / "cloudy.safetensors", 128)
    node = make_node(checkpoint=str(path), observation="points", points_count=COUNT)
    assert node.trigger_configure() is TransitionCallbackReturn.FAILURE
    assert "(128, 3)" in node.refusal
    assert "(64, 3)" in node.refusal


def test_a_checkpoint_of_another_frame_is_refused_naming_both(make_node, tmp_path):  # noqa: F811
    spec = points_task.observation_spec("grasp", COUNT)
    elsewhere = dataclasses.replace(spec.part("points"), frame="camera_color_optical_frame")
    spec = ObservationSpec((*spec.parts[:-1], elsewhere))
    path = checkpoints.write(tmp_path / "cloudy.safetensors", observation_spec=spec)
    node = make_node(checkpoint=str(path), observation="points", points_count=COUNT)
    assert node.trigger_configure() is TransitionCallbackReturn.FAILURE
    assert "camera_color_optical_frame" in node.refusal
    assert "fr3_link0" in node.refusal


@pytest.mark.parametrize("observation", ["state", "points"])
def test_a_checkpoint_that_sees_something_else_is_refused(make_node, tmp_path, observation):  # noqa: F811
    if observation == "state":
        path = checkpoints.write_points(tmp_path / "cloudy.safetensors", COUNT)
    else:
        path = checkpoints.write(tmp_path / "stately.safetensors")
    node = make_node(checkpoint=str(path), observation=observation, points_count=COUNT)
    assert node.trigger_configure() is TransitionCallbackReturn.FAILURE
    assert "points" in node.refusal


def test_a_cloud_of_the_same_process_is_taken_without_a_message(make_node, tmp_path, monkeypatch):  # noqa: F811
    path = checkpoints.write_points(tmp_path / "cloudy.safetensors", COUNT)
    node = make_node(checkpoint=str(path), observation="points", points_count=COUNT)
    give = hand_over.offer(node, TOPIC)
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS, node.refusal
    node.trigger_activate()
    assert not [s for s in node.subscriptions if s.topic_name.endswith(TOPIC)]
    wanted = {source.topic for source in node._sources}
    monkeypatch.setattr(state, "SOURCES", [s for s in state.SOURCES if s.topic in wanted])
    monkeypatch.setattr(node, "_sources", tuple(s for s in node._sources if s.topic != TOPIC))
    world = World(node)
    world.announce(EpisodeState.PHASE_RUNNING, T0, seed=1, index=0)
    assert world.spin_until(lambda: node._step.clock is not None)
    world.show(T0)
    give(T0, cloud())
    assert world.spin_until(lambda: world.actions)
    hand_over.withdraw(node, TOPIC)
