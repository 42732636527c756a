"""Images and clouds keep what they say on the wire; what cannot be an image is refused."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from rfs_perception.errors import PerceptionError
from rfs_perception.frame import Intrinsics
from rfs_perception.nodes import messages


def test_depth_is_in_whole_millimetres_and_zero_where_none_was_measured() -> None:
    depth = np.array([[0.5, 1.2344, np.nan], [0.0, 2.9996, 0.0006]], np.float32)
    back = messages.depth_from_msg(messages.depth_msg(5, depth))
    np.testing.assert_allclose(back, [[0.5, 1.234, 0.0], [0.0, 3.0, 0.001]], atol=1e-6)


def test_depth_in_metres_with_nan_and_padded_rows_is_read() -> None:
    rows = np.array([[1.5, np.nan, 9.0], [0.25, np.inf, 9.0]], "<f4")  # the third column is padding
    message = Image(height=2, width=2, encoding="32FC1", step=12, data=rows.tobytes())
    np.testing.assert_array_equal(messages.depth_from_msg(message), [[1.5, 0.0], [0.25, 0.0]])


def test_colours_keep_their_channels() -> None:
    colour = np.zeros((32, 32, 3), np.uint8)
    colour[..., 0] = 200
    back = messages.colour_from_msg(messages.colour_msg(0, colour, 95))
    assert abs(int(back[10, 10, 0]) - 200) < 6
    assert int(back[10, 10, 2]) < 6


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Image(height=2, width=2, encoding="rgb8", step=6, data=bytes(12)), "must be 16UC1 or 32FC1"),
        (Image(height=2, width=2, encoding="16UC1", step=4, data=bytes(7)), "has 7 bytes"),
        (Image(height=2, width=2, encoding="16UC1", step=2, data=bytes(4)), "in rows of 2"),
    ],
)
def test_what_is_no_depth_is_refused(message: Image, reason: str) -> None:
    with pytest.raises(PerceptionError, match=reason):
        messages.depth_from_msg(message)


@pytest.mark.parametrize("data", [b"", b"not an image"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(PerceptionError, match="cannot be read"):
        messages.colour_from_msg(CompressedImage(format="jpeg", data=data))


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(PerceptionError, match="must be mono8 with 4"):
        messages.labels_from_msg(Image(height=2, width=2, encoding="mono8", step=2, data=bytes(3)))


def test_intrinsics_come_back_and_none_without_a_focal_length() -> None:
    intrinsics = Intrinsics(640, 480, 600.0, 601.0, 319.0, 239.0, (0.1, 0.0, 0.0, 0.0, 0.0))
    assert messages.intrinsics_from_msg(messages.info_msg(0, intrinsics)) == intrinsics
    with pytest.raises(PerceptionError, match="no focal length"):
        messages.intrinsics_from_msg(CameraInfo(width=640, height=480))


def test_a_cloud_is_xyz_in_the_base_frame() -> None:
    points = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    message = messages.cloud_msg(1_500_000_000, points)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
    assert (message.header.frame_id, message.width, message.point_step) == ("fr3_link0", 2, 12)
    np.testing.assert_array_equal(np.frombuffer(message.data, "<f4").reshape(-1, 3), points)
