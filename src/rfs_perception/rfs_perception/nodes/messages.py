"""Images, camera info and clouds as messages, both ways."""

from __future__ import annotations

import array

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField

from rfs_core.robot import BASE_FRAME
from rfs_perception.calibration import CAMERA_FRAME
from rfs_perception.errors import PerceptionError
from rfs_perception.frame import Intrinsics
from rfs_ros.conversions import stamp_msg


def colour_msg(stamp_ns: int, colour: NDArray[np.uint8], quality: int) -> CompressedImage:
    """RGB image as JPEG."""
    message = CompressedImage(format="jpeg")
    message.header.stamp, message.header.frame_id = stamp_msg(stamp_ns), CAMERA_FRAME
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(colour, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality)
    )
    message.data = array.array("B", data.tobytes())
    return message


def colour_from_msg(message: CompressedImage) -> NDArray[np.uint8]:
    """RGB image of a JPEG or PNG. Shape: (height, width, 3)

    Raises:
        PerceptionError: it is none.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise PerceptionError(
            f"a colour image of {data.size} bytes, format {message.format!r}, cannot be read"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def depth_msg(stamp_ns: int, depth: NDArray[np.float32]) -> Image:
    """Depth (m; 0 or NaN: none) in millimetres, 16UC1, by REP 118."""
    height, width = depth.shape
    message = Image(height=height, width=width, encoding="16UC1", step=2 * width)
    message.header.stamp, message.header.frame_id = stamp_msg(stamp_ns), CAMERA_FRAME
    millimetres = np.nan_to_num(depth * np.float32(1000.0) + np.float32(0.5)).astype("<u2")
    message.data = array.array("B", millimetres.tobytes())
    return message


def depth_from_msg(message: Image) -> NDArray[np.float32]:
    """Depth in m, 0 where none was measured, of 16UC1 (mm) or 32FC1 (m). Shape: (height, width)

    Raises:
        PerceptionError: another encoding, or not as many bytes as pixels.
    """
    kinds = {"16UC1": "u2", "32FC1": "f4"}
    if message.encoding not in kinds:
        raise PerceptionError(f"depth has encoding {message.encoding!r}, must be 16UC1 or 32FC1")
    kind = np.dtype((">" if message.is_bigendian else "<") + kinds[message.encoding])
    data = np.frombuffer(message.data, dtype=np.uint8)
    if message.step < message.width * kind.itemsize or data.size != message.step * message.height:
        raise PerceptionError(
            f"depth of {message.width} x {message.height} has {data.size} bytes in rows of {message.step}"
        )
    rows = data.reshape(message.height, message.step)[:, : message.width * kind.itemsize]
    values = np.ascontiguousarray(rows).view(kind).astype(np.float32)
    if message.encoding == "16UC1":
        values *= np.float32(0.001)
    values[~np.isfinite(values)] = 0.0
    return values


def labels_from_msg(message: Image) -> NDArray[np.uint8]:
    """A simulator's labels. Shape: (height, width)

    Raises:
        PerceptionError: not mono8, or not as many bytes as pixels.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    if message.encoding != "mono8" or data.size != message.height * message.width:
        raise PerceptionError(
            f"labels are {message.encoding!r} with {data.size} bytes, must be mono8 with "
            f"{message.height * message.width}"
        )
    return data.reshape(message.height, message.width)


def mask_msg(stamp_ns: int, mask: NDArray[np.bool_]) -> CompressedImage:
    """A mask as PNG, 255 where it holds."""
    message = CompressedImage(format="png")
    message.header.stamp, message.header.frame_id = stamp_msg(stamp_ns), CAMERA_FRAME
    _, data = cv2.imencode(".png", mask.astype(np.uint8) * np.uint8(255))
    message.data = array.array("B", data.tobytes())
    return message


def info_msg(stamp_ns: int, intrinsics: Intrinsics) -> CameraInfo:
    """Size and pinhole of the images."""
    i = intrinsics
    message = CameraInfo(
        width=i.width,
        height=i.height,
        distortion_model="plumb_bob",
        d=list(i.distortion),
        k=[i.fx, 0.0, i.cx, 0.0, i.fy, i.cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[i.fx, 0.0, i.cx, 0.0, 0.0, i.fy, i.cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
    message.header.stamp, message.header.frame_id = stamp_msg(stamp_ns), CAMERA_FRAME
    return message


def intrinsics_from_msg(message: CameraInfo) -> Intrinsics:
    """Size and pinhole.

    Raises:
        PerceptionError: no focal length.
    """
    k = [float(value) for value in message.k]
    if not (k[0] > 0.0 and k[4] > 0.0 and np.isfinite(k).all()):
        raise PerceptionError(f"camera info has no focal length: k is {k}")
    return Intrinsics(message.width, message.height, k[0], k[4], k[2], k[5], tuple(message.d))


def cloud_msg(stamp_ns: int, points: NDArray[np.float32]) -> PointCloud2:
    """Points in the base frame. Shape: (N, 3)"""
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
    )
    message.header.stamp, message.header.frame_id = stamp_msg(stamp_ns), BASE_FRAME
    message.data = array.array("B", np.ascontiguousarray(points, dtype="<f4").tobytes())
    return message
