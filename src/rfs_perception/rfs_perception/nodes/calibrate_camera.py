"""Calibrate a fixed camera to the robot's base with a ChArUco board that the hand holds.

    ros2 run rfs_perception calibrate_camera --ros-args -p print_board:=board.png      # print it, measure it
    ros2 run rfs_drivers franka_node --ros-args --params-file my_robot.yaml            # and configure it
    ros2 run rfs_perception realsense_node --ros-args -p points:=false -p autostart:=true
    ros2 run rfs_perception calibrate_camera --ros-args -p out:=camera.json -p board.square:=0.0298

Fix the board in the hand; how does not matter, but it must not slip. Move the arm by hand or with its own
tools to some fifteen poses, tilted about different axes, the board in view, and let it stand for a second at
each. Every still and new pose is kept by itself; after the last one the camera's pose is solved for, and
written with its errors. Exit code 1 where that fails, or the errors are larger than allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState

from rfs_core import robot, se3
from rfs_core.config import param
from rfs_core.errors import ConfigError, RfsError
from rfs_core.kinematics import ArmKinematics
from rfs_perception import calibration, hand_eye
from rfs_perception.arm_history import ArmHistory
from rfs_perception.calibration import Calibration
from rfs_perception.errors import CalibrationError, PerceptionError
from rfs_perception.frame import Intrinsics
from rfs_perception.look_collector import CollectConfig, LookCollector
from rfs_perception.nodes import messages
from rfs_ros import params
from rfs_ros.conversions import joint_values, stamp_ns
from rfs_ros.qos import IMAGES, RELIABLE
from rfs_ros.run import exit_with, run_node


@dataclass(frozen=True)
class CalibrateConfig(CollectConfig):
    """Where the result goes, and how good it must be."""

    out: str = param("camera.json", doc="Calibration file to write.")
    serial: str = param("", doc="Serial number of the camera; empty: what the camera node says.")
    max_error: float = param(0.01, doc="Largest RMS error that is written.", unit="m", low=0.0, high=0.1)
    print_board: str = param("", doc="Write the board's picture to this file and end.")


class CalibrateCamera(Node):
    """Collects looks, solves, writes, ends."""

    def __init__(self) -> None:
        super().__init__("calibrate_camera")
        self._config = params.declare(self, CalibrateConfig)
        self._collector = LookCollector(self._config)
        if self._config.print_board:
            if not cv2.imwrite(self._config.print_board, self._collector.board.image()):
                raise ConfigError(f"print_board: {self._config.print_board} cannot be written")
            board = self._config.board
            self.get_logger().info(
                f"{self._config.print_board}: print it, then measure a square (here {board.square} m)"
            )
            raise SystemExit(0)
        self._camera_status = f"{self.get_namespace().strip('/')}/realsense_node: camera".lstrip("/")
        self._serial = self._config.serial
        self._intrinsics: Intrinsics | None = None
        self._arm = ArmHistory()
        self._kinematics = ArmKinematics()
        self._waiting: CompressedImage | None = None
        self.create_subscription(JointState, "arm/joint_states", self._on_arm, RELIABLE)
        self.create_subscription(CameraInfo, "camera/camera_info", self._on_info, IMAGES)
        self.create_subscription(CompressedImage, "camera/color/compressed", self._on_image, IMAGES)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RELIABLE)
        self.create_timer(2.0, self._tell, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"waiting for {self._config.looks} looks at the board")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._camera_status and not self._serial:
                serial = {v.key: v.value for v in status.values}.get("serial", "none")
                self._serial = serial if serial != "none" else ""

    def _on_info(self, message: CameraInfo) -> None:
        try:
            self._intrinsics = messages.intrinsics_from_msg(message)
        except PerceptionError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _on_arm(self, message: JointState) -> None:
        names, stamp = robot.ARM_JOINT_NAMES, stamp_ns(message.header.stamp)
        try:
            position = joint_values(message.name, message.position, names, "arm/joint_states")
            velocity = joint_values(message.name, message.velocity, names, "arm/joint_states velocity")
        except RfsError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        self._arm.add(stamp, position)
        self._collector.moving(stamp, velocity)
        if self._waiting is not None and self._arm.newest_ns >= stamp_ns(self._waiting.header.stamp):
            image, self._waiting = self._waiting, None
            self._look(image)

    def _on_image(self, message: CompressedImage) -> None:
        # Looked at once the arm's state of its moment is there.
        self._waiting = message

    def _look(self, message: CompressedImage) -> None:
        if self._intrinsics is None or not self._serial:
            self._collector.reason = "no camera info" if self._intrinsics is None else "no serial number yet"
            return
        stamp = stamp_ns(message.header.stamp)
        try:
            q = self._arm.at(stamp)
            colour = messages.colour_from_msg(message)
        except PerceptionError as error:
            self._collector.reason = str(error)
            return
        pose = self._kinematics.forward(q[None])
        palm = np.eye(4)
        palm[:3, :3] = se3.matrix_from_quat(pose.quaternion)[0]
        palm[:3, 3] = pose.position[0]
        if self._collector.image(stamp, colour, self._intrinsics, palm):
            count = len(self._collector.looks)
            self.get_logger().info(f"look {count} of {self._config.looks}: move on")
            if count >= self._config.looks:
                self._finish(self._intrinsics)

    def _finish(self, intrinsics: Intrinsics) -> None:
        config, looks = self._config, self._collector.looks
        found = hand_eye.solve(looks, intrinsics)
        text = (
            f"RMS {found.rms_position_m * 1e3:.2f} mm, {np.degrees(found.rms_rotation_rad):.2f} degrees, "
            f"{found.rms_reprojection_px:.2f} px over {len(looks)} looks"
        )
        if found.rms_position_m > config.max_error:
            raise CalibrationError(
                f"{text}: more than {config.max_error * 1e3:g} mm, nothing is written. Did the board slip, "
                "or is board.square not what was printed?"
            )
        rotation = se3.quat_from_matrix(found.camera_in_base[None, :3, :3])[0]
        calibration.save(
            Path(config.out),
            Calibration(
                camera_serial=self._serial,
                position=tuple(float(x) for x in found.camera_in_base[:3, 3]),  # type: ignore[arg-type]
                quaternion_wxyz=tuple(float(x) for x in rotation),  # type: ignore[arg-type]
                method="ChArUco board in the hand, Park and Martin, refined on reprojection",
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                rms_position_m=found.rms_position_m,
                rms_rotation_rad=found.rms_rotation_rad,
                rms_reprojection_px=found.rms_reprojection_px,
                poses=len(looks),
                image_size=(intrinsics.width, intrinsics.height),
            ),
        )
        self.get_logger().info(f"{config.out}: {text}")
        raise SystemExit(0)

    def _tell(self) -> None:
        if self._collector.reason:
            self.get_logger().info(f"{len(self._collector.looks)} looks; {self._collector.reason}")


def main() -> None:
    """Entry point."""
    exit_with(run_node(CalibrateCamera))


if __name__ == "__main__":
    main()
