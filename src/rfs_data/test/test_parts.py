"""Observations from a bag are put together as the policy node does."""

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState, PointCloud2, PointField

from rfs_control.nodes import observation_sources
from rfs_core import robot
from rfs_core.errors import CommandError
from rfs_core.specs import ObservationSpec, Part
from rfs_core.tasks import TASKS
from rfs_data import parts
from rfs_data.errors import BagError, Reason
from rfs_msgs.msg import ContactState


def joints(names):
    # In another order than the robot's, as a driver may send them.
    return JointState(name=list(names)[::-1], position=[0.1 * i for i in range(len(names))])


def pose():
    message = PoseStamped()
    message.header.frame_id = robot.BASE_FRAME
    message.pose.position.x, message.pose.position.y, message.pose.position.z = 0.1, 0.2, 0.3
    # 90 degrees about z.
    message.pose.orientation.w = message.pose.orientation.z = 0.5**0.5
    return message


MESSAGES = {
    "arm/joint_states": joints(robot.ARM_JOINT_NAMES),
    "hand/joint_states": joints(robot.HAND_JOINT_NAMES),
    "arm/current_pose": pose(),
    "perception/object_pose": pose(),
    "perception/target_pose": pose(),
    "perception/goal_pose": pose(),
    "hand/contacts": ContactState(
        name=list(robot.CONTACT_NAMES), in_contact=[True, False, False, True, False]
    ),
}


@pytest.mark.parametrize("source", observation_sources.SOURCES, ids=lambda source: source.topic)
def test_a_message_means_here_what_it_means_to_the_policy_node(source):
    ours = next(s for s in parts.SOURCES if s.topic == source.topic)
    assert ours.parts == source.parts
    message = MESSAGES[source.topic]
    here, there = ours.convert(message), source.convert(message)
    assert here.keys() == there.keys()
    for name in there:
        np.testing.assert_array_equal(np.asarray(here[name], dtype=np.float64), there[name])


def test_rotations_are_the_first_two_columns():
    found = parts.sources_of(ObservationSpec((Part("palm_rotation", (6,), "1", -1.0, 1.0),)))
    # R of 90 degrees about z: columns (0, 1, 0) and (-1, 0, 0).
    np.testing.assert_allclose(found[0].convert(pose())["palm_rotation"], [0, 1, 0, -1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_can_be_read_back(task):
    parts.sources_of(TASKS[task].OBSERVATION_SPEC)


def test_a_part_that_no_topic_carries_is_refused_by_name():
    spec = ObservationSpec((Part("smell", (1,), "1", 0.0, 1.0),))
    with pytest.raises(BagError, match="smell") as caught:
        parts.sources_of(spec)
    assert caught.value.reason is Reason.OTHER_SPEC


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda m: setattr(m, "name", ["x", *m.name[1:]]), "this robot has"),
        (lambda m: setattr(m, "name", [m.name[0], m.name[0], *m.name[2:]]), "this robot has"),
        (lambda m: setattr(m, "position", list(m.position)[:-1]), "this robot has"),
        (lambda m: setattr(m, "position", [float("nan"), *list(m.position)[1:]]), "not finite"),
    ],
    ids=["unknown", "twice", "short", "nan"],
)
def test_joints_of_another_robot_are_refused(spoil, says):
    message = joints(robot.ARM_JOINT_NAMES)
    spoil(message)
    with pytest.raises(CommandError, match=says):
        parts.SOURCES[0].convert(message)


def test_a_pose_in_another_frame_or_that_is_none_is_refused():
    for frame, w, says in (("map", 1.0, "frame is 'map'"), (robot.BASE_FRAME, 9.0, "not a pose")):
        message = pose()
        message.header.frame_id, message.pose.orientation.w = frame, w
        with pytest.raises(CommandError, match=says):
            parts.pose(message, "x")


def test_points_are_read_whatever_follows_x_y_z():
    values = np.arange(8, dtype=np.float32).reshape(2, 4)  # x, y, z, intensity
    message = PointCloud2(width=2, height=1, point_step=16, row_step=32, data=values.tobytes())
    message.fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    np.testing.assert_array_equal(parts.points(message), [[0, 1, 2], [4, 5, 6]])
    message.fields = message.fields[::-1]
    message.fields[0].datatype = 8
    with pytest.raises(CommandError, match="must begin with x, y, z"):
        parts.points(message)
