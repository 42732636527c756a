"""The camera node: images and a cloud of every look, from a camera, a recording or an emulated camera.

    ros2 run rfs_perception realsense_node --ros-args -p calibration:=camera.json -p autostart:=true
    ros2 run rfs_perception realsense_node --ros-args -p source:=file:look.db3 -p calibration:=camera.json
    ros2 run rfs_perception realsense_node --ros-args -p source:=emulated:/tmp/camera -p points:=false

configure reads the calibration and opens the camera; a calibration that is missing, was changed, or is of
another camera is refused, and nothing is published. activate begins to read, in a thread of its own.
A camera that is unplugged is looked for until it is back. When there is no usable image, nothing is published
and /diagnostics says why.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from rfs_core import cloud
from rfs_core.errors import ConfigError, RfsError
from rfs_perception import calibration
from rfs_perception.calibration import Calibration
from rfs_perception.camera import Camera, find
from rfs_perception.capture import CaptureLoop, OpenCamera
from rfs_perception.frame import Frame
from rfs_perception.nodes import messages
from rfs_perception.realsense_config import RealSenseConfig
from rfs_perception.stamps import StampMap
from rfs_ros import hand_over, params
from rfs_ros.lifecycle import LifecycleNode
from rfs_ros.qos import IMAGES, RELIABLE
from rfs_ros.run import exit_with, run_node

_AUTOSTART_S = 1.0
_JOIN_S = 10.0


class RealSenseNode(LifecycleNode):
    """Wires CaptureLoop and the cloud pipeline to topics."""

    def __init__(self, **options: Any) -> None:
        """Args: options: of rclpy's Node, such as context."""
        super().__init__("realsense_node", **options)
        self._give = hand_over.offer(self, "perception/points")
        self._config: RealSenseConfig | None = None
        self._refusal = ""
        """Why this node cannot be configured."""
        try:
            self._config = params.declare(self, RealSenseConfig)
        except ConfigError as error:
            self._refusal = str(error)
        self._calibration: Calibration | None = None
        self._capture: CaptureLoop | None = None
        self._thread: threading.Thread | None = None
        self._running = threading.Event()
        self._recordings = 0
        """Times the camera was opened."""
        self._problem = ""
        """Why the newest frame gave no cloud."""
        self._clouds = self._clouds_failed = 0
        self._busy_s: deque[float] = deque(maxlen=300)
        self._measured = (time.monotonic(), time.process_time(), 0)
        self._said = ""

        large = IMAGES
        self._points = self.create_publisher(PointCloud2, "perception/points", large)
        self._publish_colour = self.create_publisher(
            CompressedImage, "camera/color/compressed", large
        ).publish
        self._publish_depth = self.create_publisher(Image, "camera/depth", large).publish
        self._publish_info = self.create_publisher(CameraInfo, "camera/camera_info", large).publish
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        self._autostart = None
        if self._config is not None and self._config.autostart:
            self._autostart = self.create_timer(_AUTOSTART_S, self._start_by_itself, clock=steady)

    # Life cycle ------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the calibration and open the camera."""
        try:
            if self._config is None:
                raise ConfigError(self._refusal)
            config = self._config
            self._calibration = calibration.load(config.calibration) if config.points else None
            capture = CaptureLoop(
                self._open, config.lost_after, config.reopen_every, config.frozen_after, config.repeat
            )
            capture.open(time.monotonic())
        except RfsError as error:
            self._refusal = str(error)
            self.get_logger().error(f"not configured: {error}")
            self._publish_diagnostics()
            return TransitionCallbackReturn.FAILURE
        self._capture, self._refusal = capture, ""
        self.get_logger().info(f"camera {capture.camera.serial} is open" if capture.camera else "no camera")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to read and to publish."""
        assert self._capture is not None
        self._capture.resume(time.monotonic())
        self._running.set()
        self._thread = threading.Thread(target=self._read_on, name="camera", daemon=True)
        self._thread.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop reading."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the camera go."""
        self._close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The end."""
        self._close()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """The camera before the publishers: a recording is finished."""
        self._close()
        hand_over.withdraw(self, "perception/points")
        super().destroy_node()

    def _stop(self) -> None:
        self._running.clear()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_JOIN_S)

    def _close(self) -> None:
        self._stop()
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close()

    def _start_by_itself(self) -> None:
        assert self._autostart is not None
        if self._config is None:
            self._autostart.cancel()
            return
        if self._capture is None:
            self.trigger_configure()
        if self._capture is not None and not self._running.is_set():
            self.trigger_activate()
        if self._running.is_set():
            self._autostart.cancel()

    # Reading, in the camera's thread ---------------------------------------------------------------------

    def _open(self) -> OpenCamera:
        assert self._config is not None
        config = self._config
        if config.record and self._recordings:
            # A camera that was lost and found goes on in a file of its own.
            file = Path(config.record)
            record = str(file.with_name(f"{file.stem}_{self._recordings + 1}{file.suffix}"))
            config = replace(config, record=record)
        camera = Camera(find(config.source, config.real_time), config)
        self._recordings += 1
        if self._calibration is not None:
            try:
                calibration.require(
                    self._calibration,
                    config.calibration,
                    camera.serial,
                    max_rms_position=config.max_calibration_error,
                )
            except RfsError:
                camera.close()
                raise
        self._stamp_map = StampMap()
        return camera

    def _read_on(self) -> None:
        assert self._capture is not None
        capture = self._capture
        count = 0
        while self._running.is_set():
            try:
                count += self._read(capture, count)
            # A defect: said here, and the camera opened anew. Without this thread nobody looks for it.
            except Exception as error:  # noqa: BLE001
                self.get_logger().error(f"a defect, please report it:\n{traceback.format_exc()}")
                capture.lose(f"the camera was let go after a defect: {error!r}; looking for it")
            if capture.camera is None:
                time.sleep(0.05)

    def _read(self, capture: CaptureLoop, count: int) -> bool:
        """One step; whether there was a frame."""
        assert self._config is not None
        config = self._config
        frame = capture.step(time.monotonic())
        if frame is None:
            self._say(capture.reason)
            return False
        began = time.perf_counter()
        stamp_ns = frame.stamp_ns
        if config.stamps == "translated":
            stamp_ns = self._stamp_map.to_ros(stamp_ns, self.get_clock().now().nanoseconds)
        if config.points and count % config.points_period == 0:
            self._make_cloud(stamp_ns, frame)
        if config.images and count % config.images_period == 0:
            self._publish_info(messages.info_msg(stamp_ns, frame.intrinsics))
            self._publish_depth(messages.depth_msg(stamp_ns, frame.depth))
            self._publish_colour(messages.colour_msg(stamp_ns, frame.colour, config.jpeg_quality))
        self._say(self._problem)
        self._busy_s.append(time.perf_counter() - began)
        return True

    def _make_cloud(self, stamp_ns: int, frame: Frame) -> None:
        assert self._config is not None
        assert self._calibration is not None
        config = self._config
        # A generator of its own for every stamp: a recording gives the same clouds each time it is played.
        rng = np.random.default_rng((config.seed, frame.stamp_ns))
        try:
            points = cloud.process(
                frame.depth,
                frame.intrinsics.matrix,
                self._calibration.camera_in_base,
                config.cloud,
                rng,
                config.points_count,
            )
        except RfsError as error:
            self._problem = str(error)
            self._clouds_failed += 1
            return
        self._problem = ""
        self._clouds += 1
        self._give(stamp_ns, points)
        if self._points.get_subscription_count():
            self._points.publish(messages.cloud_msg(stamp_ns, points))

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            if reason:
                self.get_logger().warning(f"no points: {reason}")
            else:
                self.get_logger().info("images come again")

    # Diagnostics -----------------------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        self._diagnostics.publish(self.diagnostics())

    def diagnostics(self) -> DiagnosticArray:
        """How the camera is, and why."""
        status = DiagnosticStatus(name=f"{self.get_fully_qualified_name().lstrip('/')}: camera")
        values: dict[str, str] = {}
        capture = self._capture
        if self._refusal or capture is None:
            status.level = DiagnosticStatus.ERROR if self._refusal else DiagnosticStatus.WARN
            status.message = self._refusal or "not configured"
        else:
            reason = capture.reason or self._problem
            status.level = DiagnosticStatus.ERROR if reason else DiagnosticStatus.OK
            if capture.ended:
                status.level = DiagnosticStatus.WARN
            status.message = reason or ("reading" if self._running.is_set() else "open")
            counts = capture.counts
            now, cpu = time.monotonic(), time.process_time()
            then, cpu_then, frames_then = self._measured
            if now > then + 0.5:
                values["rate_hz"] = f"{(counts.frames - frames_then) / (now - then):.1f}"
                values["cpu_share_of_node"] = f"{(cpu - cpu_then) / (now - then):.3f}"
                self._measured = (now, cpu, counts.frames)
            busy = sorted(self._busy_s)
            values |= {
                "serial": capture.camera.serial if capture.camera is not None else "none",
                "frames": str(counts.frames),
                "dropped": str(counts.dropped),
                "unpaired": str(counts.unpaired),
                "frozen": str(counts.frozen),
                "opened": str(counts.opened),
                "lost": str(counts.lost),
                "ended": str(capture.ended).lower(),
                "clouds": str(self._clouds),
                "clouds_refused": str(self._clouds_failed),
                "work_ms_p50": f"{busy[len(busy) // 2] * 1e3:.1f}" if busy else "none",
                "work_ms_p99": f"{busy[int(0.99 * (len(busy) - 1))] * 1e3:.1f}" if busy else "none",
            }
            if self._calibration is not None:
                values["calibration_date"] = self._calibration.date
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        return message


def main() -> None:
    """Entry point."""
    exit_with(run_node(RealSenseNode))


if __name__ == "__main__":
    main()
