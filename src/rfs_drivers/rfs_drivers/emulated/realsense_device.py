"""An emulated camera as a librealsense software device: what is sent into its cable comes out of the vendor's
library, through the same sensors, syncer, alignment, filters and recorder as a camera's images.

Found by the camera node through the entry point group `rfs.cameras`. A software device lives in the process
that reads it; the images come from another one over `camera_link`.
"""

from __future__ import annotations

import threading
from typing import Any

from rfs_drivers.emulated.camera_link import CameraLink, CameraSpec


class SoftwareCamera:
    """Keeps a software device fed from a cable until `close`."""

    def __init__(self, address: str) -> None:
        """
        Args:
            address: Path of the feeding socket.

        Raises:
            EmulatorError: nothing feeds there: the camera is unplugged.
        """
        self._link = CameraLink(address)
        self.device, self._sensors, self._profiles = make_device(self._link.spec)
        self._unit = self._link.spec.depth_unit
        self._running = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Deliver from now on; call it once the sensors are open."""
        self._running.set()
        self._thread = threading.Thread(target=self._deliver, name="software camera", daemon=True)
        self._thread.start()

    def _deliver(self) -> None:
        link = self._link
        while self._running.is_set() and (received := link.receive()) is not None:
            number, time_ms = received
            pairs = ((link.depth, 2), (link.colour, 3))
            for sensor, profile, (image, size) in zip(self._sensors, self._profiles, pairs, strict=True):
                if self._running.is_set():
                    sensor.on_video_frame(self._frame(profile, image, size, number, time_ms))

    def _frame(self, profile: Any, image: Any, size: int, number: int, time_ms: float) -> Any:
        import pyrealsense2 as rs

        frame = rs.software_video_frame()
        frame.pixels = image  # copied by the library
        frame.stride = image.shape[1] * size
        frame.bpp = size
        frame.timestamp = time_ms
        frame.domain = rs.timestamp_domain.hardware_clock
        frame.frame_number = number
        frame.profile = profile
        if size == 2:
            frame.depth_units = self._unit
        return frame

    def close(self) -> None:
        """End the delivery; the device gives nothing more."""
        self._running.clear()
        self._link.close()
        if self._thread is not None:
            self._thread.join(timeout=5.0)


def make_device(spec: CameraSpec) -> tuple[Any, tuple[Any, Any], tuple[Any, Any]]:
    """The device, its sensors (depth, colour) and their profiles."""
    import pyrealsense2 as rs

    device = rs.software_device()
    device.register_info(rs.camera_info.serial_number, spec.serial)
    device.register_info(rs.camera_info.name, spec.name)
    depth, colour = device.add_sensor("Stereo Module"), device.add_sensor("RGB Camera")
    depth_profile = depth.add_video_stream(_stream(spec, rs.stream.depth, 0, rs.format.z16, 2))
    colour_profile = colour.add_video_stream(_stream(spec, rs.stream.color, 1, rs.format.rgb8, 3))
    depth.add_read_only_option(rs.option.depth_units, spec.depth_unit)
    same = rs.extrinsics()
    same.rotation = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    same.translation = [0.0, 0.0, 0.0]
    depth_profile.register_extrinsics_to(colour_profile, same)
    colour_profile.register_extrinsics_to(depth_profile, same)
    device.create_matcher(rs.matchers.default)
    return (
        device,
        (depth, colour),
        (depth_profile.as_video_stream_profile(), colour_profile.as_video_stream_profile()),
    )


def _stream(spec: CameraSpec, kind: Any, uid: int, pixel: Any, size: int) -> Any:
    import pyrealsense2 as rs

    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = spec.width, spec.height
    intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy = spec.fx, spec.fy, spec.cx, spec.cy
    intrinsics.model, intrinsics.coeffs = rs.distortion.none, [0.0] * 5
    stream = rs.video_stream()
    stream.type, stream.index, stream.uid = kind, 0, uid
    stream.width, stream.height, stream.fps = spec.width, spec.height, spec.fps
    stream.bpp, stream.fmt, stream.intrinsics = size, pixel, intrinsics
    return stream


def open_device(address: str) -> SoftwareCamera:
    """Entry point `emulated` of group `rfs.cameras`: what has `device`, `start()` and `close()`."""
    return SoftwareCamera(address)
