"""The calibration command from topics to file: an arm that moves and stops, a board in its hand, a camera."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import rclpy

pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

sys.path.insert(0, str(Path(__file__).parent))
from rendered_board import INTRINSICS, pose, render

from rfs_core import robot, se3
from rfs_core.kinematics import ArmKinematics
from rfs_perception import calibration
from rfs_perception.charuco import Board, BoardConfig
from rfs_perception.errors import CalibrationError
from rfs_perception.look_collector import CollectConfig, LookCollector
from rfs_perception.nodes import messages
from rfs_perception.nodes.calibrate_camera import CalibrateCamera
from rfs_ros.conversions import joint_state_msg

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
Q = np.array([0.0, -0.5, 0.0, -2.2, 0.0, 1.9, 0.6])
BOARD_IN_PALM = pose(0.05, -0.03, 0.06, (0.2, 0.1, 1.0))
MS = 1_000_000


def palm(q: np.ndarray) -> np.ndarray:
    found = ArmKinematics().forward(q[None])
    matrix = np.eye(4)
    matrix[:3, :3] = se3.matrix_from_quat(found.quaternion)[0]
    matrix[:3, 3] = found.position[0]
    return matrix


# The camera stands where it sees the board half a metre away with the arm at Q.
CAMERA_IN_BASE = palm(Q) @ BOARD_IN_PALM @ np.linalg.inv(pose(-0.1, -0.07, 0.55, (0.1, -0.2, 0.1)))


def run(tmp_path: Path, slip: float = 0.0) -> Path:
    """Show the command eight stops of the arm; the file it was to write."""
    out = tmp_path / "camera.json"
    given = {"out": out, "serial": "'77'", "looks": 8}
    arguments = [part for name, value in given.items() for part in ("-p", f"{name}:={value}")]
    board, rng, stamp = Board(BoardConfig()), np.random.default_rng(0), 0
    rclpy.init(args=["--ros-args", "-r", "__ns:=/calibrate", *arguments], domain_id=DOMAIN)
    node = CalibrateCamera()
    try:
        # The callbacks, in the order in which messages come.
        node._on_info(messages.info_msg(0, INTRINSICS))
        for stop in range(40):
            q = Q + rng.uniform(-1.0, 1.0, 7) * (0.02, 0.02, 0.02, 0.05, 0.3, 0.3, 0.3)
            moving = joint_state_msg(stamp, robot.ARM_JOINT_NAMES, q, np.full(7, 0.3))
            node._on_arm(moving)
            held = BOARD_IN_PALM.copy()
            held[0, 3] += slip * (stop % 2)
            image = render(board, np.linalg.inv(CAMERA_IN_BASE) @ palm(q) @ held)
            for _ in range(13):  # 0.65 s standing still
                stamp += 50 * MS
                node._on_image(messages.colour_msg(stamp, image, 95))
                node._on_arm(joint_state_msg(stamp, robot.ARM_JOINT_NAMES, q, np.zeros(7)))
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    raise AssertionError(f"{len(node._collector.looks)} looks; {node._collector.reason}")


def test_it_writes_the_cameras_pose_and_ends(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        run(tmp_path)
    assert end.value.code == 0
    found = calibration.load(tmp_path / "camera.json")
    calibration.require(found, "f", "77", (640, 480), max_rms_position=0.002)
    apart = np.subtract(found.position, CAMERA_IN_BASE[:3, 3])
    assert float(np.linalg.norm(apart)) < 4e-3
    turned = CAMERA_IN_BASE[:3, :3].T @ found.camera_in_base[:3, :3]
    assert np.degrees(np.arccos(np.clip((np.trace(turned) - 1.0) / 2.0, -1.0, 1.0))) < 0.4
    assert found.poses == 8
    assert found.method.startswith("ChArUco")


def test_it_writes_nothing_where_the_board_slipped(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"nothing is written. Did the board slip"):
        run(tmp_path, slip=0.06)
    assert not (tmp_path / "camera.json").exists()


def test_it_prints_the_board(tmp_path: Path) -> None:
    path = tmp_path / "board.png"
    rclpy.init(args=["--ros-args", "-p", f"print_board:={path}"], domain_id=DOMAIN)
    try:
        with pytest.raises(SystemExit) as end:
            CalibrateCamera()
    finally:
        rclpy.try_shutdown()
    assert end.value.code == 0
    assert path.stat().st_size > 1000


def test_what_must_be_started_is_said_while_nothing_comes() -> None:
    collector = LookCollector(CollectConfig())
    assert "nothing comes on arm/joint_states: start the arm's driver and configure it" in collector.reason
    collector.moving(0, np.zeros(7))
    assert "no image comes on camera/color/compressed: start realsense_node" in collector.reason
