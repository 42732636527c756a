"""Joints go by name, quaternions change their order once, and bad messages do not pass."""

from __future__ import annotations

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
