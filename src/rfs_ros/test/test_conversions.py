"""Joints go by name, quaternions change their order once, and bad messages do not pass."""

from __future__ import annotations

import array
import math

import numpy as np
import pytest
from geometry_msgs.msg import Pose as PoseMsg

from rfs_core.se3 import Pose
from rfs_msgs.msg import ContactState, PolicyAction
from rfs_ros import conversions as convert


def test_stamps_survive_the_way_there_and_back() -> None:
    for nanoseconds in (0, 1, 50_000_000, 1_000_000_000, 12_345_678_901_234):
        assert convert.stamp_ns(convert.stamp_msg(nanoseconds)) == nanoseconds


def test_joints_are_mapped_by_name_not_by_position() -> None:
    values = convert.joint_values(["b", "a"], [2.0, 1.0], ["a", "b"], "test")
    np.testing.assert_array_equal(values, [1.0, 2.0])


@pytest.mark.parametrize(
    ("names", "values", "text"),
    [
        (["a"], [1.0], "missing ['b']"),
        (["a", "c"], [1.0, 2.0], "unknown ['c']"),
        (["a", "a"], [1.0, 2.0], "missing ['b']"),
        (["a", "b", "b"], [1.0, 2.0, 3.0], "joint names do not match"),
        (["a", "b"], [1.0], "2 names but 1 values"),
        (["a", "b"], [1.0, math.nan], "not finite at ['b']"),
        (["b", "a"], [math.inf, 1.0], "not finite at ['b']"),
    ],
)
def test_joints_that_are_not_this_robots_are_refused(
    names: list[str], values: list[float], text: str
) -> None:
    with pytest.raises(convert.MessageError) as error:
        convert.joint_values(names, values, ["a", "b"], "test")
    assert text in str(error.value)


def test_quaternions_are_xyzw_in_messages_and_wxyz_in_arrays() -> None:
    half = math.sqrt(0.5)
    pose = Pose(np.array([[1.0, 2.0, 3.0]]), np.array([[half, 0.0, 0.0, half]]))
    message = convert.pose_msg(pose)
    assert (message.orientation.w, message.orientation.z, message.orientation.x) == (half, half, 0.0)
    back = convert.pose_from_msg(message, "test")
    np.testing.assert_allclose(back.quaternion, pose.quaternion)
    np.testing.assert_allclose(back.position, pose.position)


def test_a_pose_over_the_wire_keeps_its_bits() -> None:
    """Contact turns a difference in the last bit into centimetres within an episode."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        quaternion = rng.standard_normal((1, 4))
        pose = Pose(rng.standard_normal((1, 3)), quaternion / np.linalg.norm(quaternion))
        back = convert.pose_from_msg(convert.pose_msg(pose), "test")
        np.testing.assert_array_equal(back.position, pose.position)
        np.testing.assert_array_equal(back.quaternion, pose.quaternion)


def test_a_pose_that_is_none_is_refused() -> None:
    message = PoseMsg()
    message.orientation.w = 0.5
    with pytest.raises(convert.MessageError, match=r"norm 0\.5"):
        convert.pose_from_msg(message, "test")
    message.orientation.w = 1.0
    message.position.y = math.nan
    with pytest.raises(convert.MessageError, match="not finite"):
        convert.pose_from_msg(message, "test")


def test_a_foreign_frame_is_refused() -> None:
    convert.require_frame("fr3_link0", "fr3_link0", "target")
    with pytest.raises(convert.MessageError, match=r"'world'.*'fr3_link0'"):
        convert.require_frame("world", "fr3_link0", "target")


def test_contacts_are_mapped_by_name() -> None:
    message = ContactState(name=["palm", "if_tip"], in_contact=[True, False])
    assert convert.contacts_from_msg(message, ["if_tip", "palm"]).tolist() == [False, True]


def test_a_chunk_is_row_major_and_its_length_is_checked() -> None:
    message = PolicyAction(horizon=2, dimension=3, a=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    np.testing.assert_array_equal(convert.chunk_from_msg(message, "a"), [[0, 1, 2], [3, 4, 5]])
    message.a = [0.0] * 5
    with pytest.raises(convert.MessageError, match=r"5 values, must have horizon 2 \* dimension 3"):
        convert.chunk_from_msg(message, "a")


def some_cloud(count=5):
    return np.arange(3 * count, dtype=np.float32).reshape(count, 3) / 10


def test_points_come_back_as_they_were():
    message = convert.points_msg(1_500_000_000, "fr3_link0", some_cloud())
    assert (message.width, message.height, message.point_step, message.row_step) == (5, 1, 12, 60)
    assert (message.header.frame_id, message.header.stamp.nanosec) == ("fr3_link0", 500_000_000)
    np.testing.assert_array_equal(convert.points_from_msg(message, 5, "points"), some_cloud())


def test_points_with_more_fields_are_read_by_their_offsets():
    message = convert.points_msg(0, "fr3_link0", some_cloud())
    wide = np.zeros((5, 4), np.float32)
    wide[:, :3], wide[:, 3] = some_cloud(), 99.0
    message.point_step, message.data = 16, array.array("B", wide.tobytes())
    np.testing.assert_array_equal(convert.points_from_msg(message, 5, "points"), some_cloud())


def spoiled_cloud(**changes):
    message = convert.points_msg(0, "fr3_link0", some_cloud())
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 0, "data": array.array("B")}, "cloud of 0 points, must be 5"),
        ({"width": 3}, "cloud of 3 points, must be 5"),
        ({"width": 2_000_000}, "cloud of 2000000 points, must be 5"),
        ({"data": array.array("B", bytes(59))}, "59 bytes for 5 points"),
        ({"point_step": 0}, "points of 0 bytes"),
        ({"is_bigendian": True}, "little-endian"),
        ({"fields": []}, "must be x, y, z"),
        (
            {"data": array.array("B", np.full(15, np.nan, np.float32).tobytes())},
            "5 of 5 points are not finite",
        ),
    ],
    ids=["empty", "three", "two_million", "short", "no_step", "big_endian", "no_fields", "nan"],
)
def test_a_cloud_that_is_none_is_refused_by_name(changes, sentence):
    with pytest.raises(convert.MessageError, match=sentence):
        convert.points_from_msg(spoiled_cloud(**changes), 5, "points")
