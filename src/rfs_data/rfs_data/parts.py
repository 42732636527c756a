"""Which recorded topic carries which parts of an observation, and how a message becomes these parts.

As the policy node has it, for messages that come from a bag instead of the wire; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_core.errors import CommandError, SpecError
from rfs_core.se3 import Pose
from rfs_core.specs import ObservationSpec
from rfs_core.tasks.parts import measured_spec
from rfs_data.errors import BagError, Reason

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """A topic and what of it goes into an observation."""

    topic: str
    parts: tuple[str, ...]
    convert: Callable[[Any], Mapping[str, NDArray[Any]]]
    """Message to the value of every part. Raises CommandError where a message cannot mean what it should."""
    exact: bool = True
    """In simulation there is a sample at every control tick; of others the newest one counts."""


def by_name(found: Sequence[str], values: Sequence[float], names: Sequence[str], what: str) -> FloatArray:
    """Values in the order of `names`. Shape: (len(names),). Raises CommandError."""
    index = {name: i for i, name in enumerate(found)}
    if len(values) != len(found) or set(index) != set(names) or len(index) != len(found):
        raise CommandError(
            f"{what}: {len(values)} values of {', '.join(found)}; this robot has {', '.join(names)}"
        )
    ordered = np.array([values[index[name]] for name in names], dtype=np.float64)
    if not np.isfinite(ordered).all():
        raise CommandError(f"{what}: not finite")
    return ordered


def pose(message: Any, what: str) -> Pose:
    """Pose of a PoseStamped in the base frame, N = 1. Raises CommandError."""
    if message.header.frame_id.lstrip("/") != robot.BASE_FRAME:
        raise CommandError(f"{what}: frame is {message.header.frame_id!r}, must be {robot.BASE_FRAME!r}")
    p, q = message.pose.position, message.pose.orientation
    position, quaternion = np.array([[p.x, p.y, p.z]]), np.array([[q.w, q.x, q.y, q.z]])
    norm = float(np.linalg.norm(quaternion))
    if not (np.isfinite(position).all() and abs(norm - 1.0) <= 1e-3):
        raise CommandError(f"{what}: not a pose: position {position[0]}, wxyz {quaternion[0]}")
    return Pose(position, quaternion / norm if abs(norm - 1.0) > 1e-9 else quaternion)


def _joints(topic: str, part: str, names: Sequence[str]) -> Source:
    return Source(topic, (part,), lambda m: {part: by_name(m.name, m.position, names, topic)})


def _pose(topic: str, position: str, rotation: str | None) -> Source:
    def convert(message: Any) -> dict[str, NDArray[Any]]:
        value = pose(message, topic)
        parts: dict[str, NDArray[Any]] = {position: value.position[0]}
        if rotation is not None:
            parts[rotation] = se3.rotation_6d(value.quaternion)[0]
        return parts

    return Source(topic, (position, rotation) if rotation is not None else (position,), convert)


def _contacts(message: Any) -> dict[str, NDArray[Any]]:
    flags = [float(flag) for flag in message.in_contact]
    return {"contacts": by_name(message.name, flags, robot.CONTACT_NAMES, "hand/contacts") > 0.5}


def points(message: Any) -> NDArray[np.float32]:
    """Points of a PointCloud2 that begins with x, y, z as float32. Shape: (N, 3). Raises CommandError."""
    fields = {field.name: (field.offset, field.datatype) for field in message.fields}
    if [fields.get(axis, (None, None)) for axis in "xyz"] != [(0, 7), (4, 7), (8, 7)]:
        raise CommandError(f"perception/points: fields are {fields}, must begin with x, y, z as float32")
    raw = np.asarray(message.data, dtype=np.uint8).reshape(-1, message.point_step)
    return np.ascontiguousarray(raw[:, :12]).view(np.float32)


SOURCES = (
    _joints("arm/joint_states", "arm_position", robot.ARM_JOINT_NAMES),
    _joints("hand/joint_states", "hand_position", robot.HAND_JOINT_NAMES),
    _pose("arm/current_pose", "palm_position", "palm_rotation"),
    _pose("perception/object_pose", "object_position", "object_rotation"),
    _pose("perception/target_pose", "target_position", "target_rotation"),
    _pose("perception/goal_pose", "goal_position", None),
    Source("hand/contacts", ("contacts",), _contacts),
    Source("perception/points", ("points",), lambda m: {"points": points(m)}, exact=False),
)


def sources_of(spec: ObservationSpec) -> tuple[Source, ...]:
    """The topics that an observation needs. Raises BagError for a part that no topic carries."""
    carried = {part for source in SOURCES for part in source.parts}
    try:
        spec = measured_spec(spec)
    except SpecError as error:
        raise BagError(Reason.OTHER_SPEC, str(error)) from error
    unknown = [name for name in spec.names if name not in carried]
    if unknown:
        raise BagError(
            Reason.OTHER_SPEC,
            f"observation parts {', '.join(unknown)} are on no recorded topic; known: {sorted(carried)}",
        )
    return tuple(source for source in SOURCES if set(spec.names) & set(source.parts))
