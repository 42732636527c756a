"""Between our arrays and ROS messages. The only place where quaternions change their order.

In our arrays quaternions are wxyz; in messages they are xyzw. Joints are mapped by name, never by position.
"""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose as PoseMsg
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState, PointCloud2, PointField

from rfs_core.errors import RfsError
from rfs_core.se3 import Pose
from rfs_msgs.msg import ContactState, PolicyAction

FloatArray = NDArray[np.float64]

NS_PER_S = 1_000_000_000


class MessageError(RfsError):
    """A message that cannot mean what its topic promises: wrong names, lengths, frame or values."""


def stamp_ns(stamp: Time) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def stamp_msg(nanoseconds: int) -> Time:
    """builtin_interfaces/Time of nanoseconds (>= 0)."""
    return Time(sec=nanoseconds // NS_PER_S, nanosec=nanoseconds % NS_PER_S)


def seconds(nanoseconds: int) -> float:
    """Seconds as a float, for reading only; stamps are compared as whole nanoseconds."""
    return nanoseconds / NS_PER_S


def joint_values(
    message_names: Sequence[str], values: Sequence[float], names: Sequence[str], what: str
) -> FloatArray:
    """Values in the order of `names`. Shape: (len(names),).

    Raises:
        MessageError: names missing, unknown or repeated, wrong length, or a value that is not finite.
    """
    if len(values) != len(message_names):
        raise MessageError(f"{what}: {len(message_names)} names but {len(values)} values")
    if list(message_names) == list(names):
        ordered = np.array(values, dtype=np.float64)
    else:
        index = {name: i for i, name in enumerate(message_names)}
        missing = [name for name in names if name not in index]
        unknown = [name for name in message_names if name not in names]
        if missing or unknown or len(index) != len(message_names):
            raise MessageError(
                f"{what}: joint names do not match this robot: missing {missing}, unknown {unknown}, "
                f"got {list(message_names)}, expected {list(names)}"
            )
        ordered = np.array([values[index[name]] for name in names], dtype=np.float64)
    if not np.isfinite(ordered).all():
        bad = [name for name, value in zip(names, ordered, strict=True) if not np.isfinite(value)]
        raise MessageError(f"{what}: not finite at {bad}")
    return ordered


def joint_state_msg(
    nanoseconds: int, names: Sequence[str], position: FloatArray, velocity: FloatArray | None = None
) -> JointState:
    """JointState of positions (rad) and, when known, velocities (rad/s)."""
    message = JointState()
    message.header.stamp = stamp_msg(nanoseconds)
    message.name = list(names)
    message.position = np.asarray(position, dtype=np.float64).tolist()
    if velocity is not None:
        message.velocity = np.asarray(velocity, dtype=np.float64).tolist()
    return message


def pose_from_msg(message: PoseMsg, what: str) -> Pose:
    """Pose with arrays of shape (1, 3) and (1, 4) (wxyz, normalised).

    Raises:
        MessageError: a value that is not finite, or a quaternion whose norm is not 1 within 1e-3.
    """
    position = np.array([[message.position.x, message.position.y, message.position.z]])
    orientation = message.orientation
    quaternion = np.array([[orientation.w, orientation.x, orientation.y, orientation.z]])
    if not (np.isfinite(position).all() and np.isfinite(quaternion).all()):
        raise MessageError(f"{what}: pose is not finite: position {position[0]}, wxyz {quaternion[0]}")
    norm = float(np.linalg.norm(quaternion))
    if abs(norm - 1.0) > 1e-3:
        raise MessageError(f"{what}: quaternion has norm {norm:.6f}, must be 1 within 0.001")
    if abs(norm - 1.0) > 1e-9:
        quaternion = quaternion / norm
    # A unit quaternion keeps its bits: a pose from the wire moves the robot exactly as one that was not sent.
    return Pose(position, quaternion)


def pose_msg(pose: Pose) -> PoseMsg:
    """Pose message of the first pose of a batch."""
    message = PoseMsg()
    position, quaternion = pose.position.reshape(-1, 3)[0], pose.quaternion.reshape(-1, 4)[0]
    message.position.x, message.position.y, message.position.z = (float(v) for v in position)
    orientation = message.orientation
    orientation.w, orientation.x, orientation.y, orientation.z = (float(v) for v in quaternion)
    return message


def pose_stamped_msg(nanoseconds: int, frame: str, pose: Pose) -> PoseStamped:
    """PoseStamped of the first pose of a batch."""
    message = PoseStamped()
    message.header.stamp = stamp_msg(nanoseconds)
    message.header.frame_id = frame
    message.pose = pose_msg(pose)
    return message


def require_frame(got: str, expected: str, what: str) -> None:
    """Raise MessageError where a message is in another frame than the one its topic promises."""
    if got.lstrip("/") != expected:
        raise MessageError(f"{what}: frame is {got!r}, must be {expected!r}")


def contacts_from_msg(message: ContactState, names: Sequence[str]) -> NDArray[np.bool_]:
    """Contact flags in the order of `names`. Shape: (len(names),)."""
    values = [float(flag) for flag in message.in_contact]
    return joint_values(message.name, values, names, "contacts") > 0.5


def points_from_msg(message: PointCloud2, count: int, what: str) -> NDArray[np.float32]:
    """The points of a cloud. Shape: (count, 3), m.

    Sizes are compared before anything is read: a cloud of millions of points costs nothing.

    Raises:
        MessageError: another number of points, other fields than x, y, z as 32-bit floats, too little data,
            or values that are not finite.
    """
    got = message.width * message.height
    if got != count:
        raise MessageError(f"{what}: cloud of {got} points, must be {count}")
    layout = {field.name: (field.offset, field.datatype, field.count) for field in message.fields}
    wanted = {axis: (4 * i, PointField.FLOAT32, 1) for i, axis in enumerate("xyz")}
    if any(layout.get(axis) != wanted[axis] for axis in wanted) or message.is_bigendian:
        raise MessageError(f"{what}: fields {layout}, must be x, y, z as little-endian 32-bit floats")
    step = message.point_step
    if step < 12 or step % 4 or len(message.data) < count * step:
        raise MessageError(f"{what}: {len(message.data)} bytes for {count} points of {step} bytes each")
    values = np.frombuffer(message.data, "<f4", count=count * step // 4).reshape(count, step // 4)[:, :3]
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise MessageError(f"{what}: {bad} of {count} points are not finite")
    points: NDArray[np.float32] = values.astype(np.float32)
    return points


def points_msg(nanoseconds: int, frame: str, points: NDArray[np.float32]) -> PointCloud2:
    """A cloud as a message. Shape: (N, 3), m."""
    message = PointCloud2(
        height=1,
        width=len(points),
        fields=[
            PointField(name=axis, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, axis in enumerate("xyz")
        ],
        point_step=12,
        row_step=12 * len(points),
        is_dense=True,
        data=array.array("B", np.ascontiguousarray(points, "<f4").tobytes()),
    )
    message.header.stamp, message.header.frame_id = stamp_msg(nanoseconds), frame
    return message


def chunk_from_msg(message: PolicyAction, field: str) -> FloatArray:
    """One of a_0, a_b, a_r, a as an array of shape (horizon, dimension).

    Raises:
        MessageError: the length is not horizon * dimension.
    """
    values = np.asarray(getattr(message, field), dtype=np.float64)
    if values.size != message.horizon * message.dimension:
        raise MessageError(
            f"policy action {message.sequence}: {field} has {values.size} values, "
            f"must have horizon {message.horizon} * dimension {message.dimension}"
        )
    return values.reshape(message.horizon, message.dimension)
