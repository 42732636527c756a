"""Which topic carries which parts of an observation, and how a message becomes these parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState, PointCloud2

from rfs_core import robot, se3
from rfs_core.errors import SpecError
from rfs_core.specs import ObservationSpec
from rfs_core.tasks.parts import measured_spec
from rfs_core.tasks.points import POINTS, count_of
from rfs_msgs.msg import ContactState
from rfs_ros import conversions

Parts = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Source:
    """A topic and what of it goes into an observation."""

    topic: str
    message_type: type[Any]
    parts: tuple[str, ...]
    convert: Callable[[Any], Parts]
    """Message to the value of every part. Raises MessageError where a message cannot mean what it should."""
    is_array: bool = False
    """Its one part is an array that a node of the same process may hand over without a message."""


def _arm(message: JointState) -> Parts:
    names = robot.ARM_JOINT_NAMES
    return {
        "arm_position": conversions.joint_values(message.name, message.position, names, "arm/joint_states")
    }


def _hand(message: JointState) -> Parts:
    names = robot.HAND_JOINT_NAMES
    return {
        "hand_position": conversions.joint_values(message.name, message.position, names, "hand/joint_states")
    }


def _pose(what: str, position: str, rotation: str | None) -> Callable[[PoseStamped], Parts]:
    def convert(message: PoseStamped) -> Parts:
        conversions.require_frame(message.header.frame_id, robot.BASE_FRAME, what)
        pose = conversions.pose_from_msg(message.pose, what)
        parts: Parts = {position: pose.position[0]}
        if rotation is not None:
            parts[rotation] = se3.rotation_6d(pose.quaternion)[0]
        return parts

    return convert


def _contacts(message: ContactState) -> Parts:
    return {"contacts": conversions.contacts_from_msg(message, robot.CONTACT_NAMES).astype(np.float32)}


SOURCES = (
    Source("arm/joint_states", JointState, ("arm_position",), _arm),
    Source("hand/joint_states", JointState, ("hand_position",), _hand),
    Source(
        "arm/current_pose",
        PoseStamped,
        ("palm_position", "palm_rotation"),
        _pose("arm/current_pose", "palm_position", "palm_rotation"),
    ),
    Source(
        "perception/object_pose",
        PoseStamped,
        ("object_position", "object_rotation"),
        _pose("perception/object_pose", "object_position", "object_rotation"),
    ),
    Source(
        "perception/target_pose",
        PoseStamped,
        ("target_position", "target_rotation"),
        _pose("perception/target_pose", "target_position", "target_rotation"),
    ),
    Source(
        "perception/goal_pose",
        PoseStamped,
        ("goal_position",),
        _pose("perception/goal_pose", "goal_position", None),
    ),
    Source("hand/contacts", ContactState, ("contacts",), _contacts),
)


def sources_of(spec: ObservationSpec) -> tuple[Source, ...]:
    """The topics that an observation needs.

    Raises:
        SpecError: a part that no topic carries.
    """
    sources = (*SOURCES, *_clouds(spec))
    carried = {part for source in sources for part in source.parts}
    spec = measured_spec(spec)
    unknown = [part.name for part in spec.parts if part.name not in carried]
    if unknown:
        raise SpecError(
            f"observation parts {', '.join(unknown)} are on no topic; known parts are "
            f"{', '.join(sorted(carried))}: choose another checkpoint, or add a source for them"
        )
    wanted = {part.name for part in spec.parts}
    return tuple(source for source in sources if wanted.intersection(source.parts))


def _clouds(spec: ObservationSpec) -> tuple[Source, ...]:
    """The topic of the cloud that an observation wants, if any: as many points, in that frame."""
    if POINTS not in spec.names:
        return ()
    count, frame = count_of(spec), spec.part(POINTS).frame
    topic = "perception/points"

    def convert(message: PointCloud2) -> Parts:
        conversions.require_frame(message.header.frame_id, frame, topic)
        return {POINTS: conversions.points_from_msg(message, count, topic)}

    return (Source(topic, PointCloud2, (POINTS,), convert, is_array=True),)
