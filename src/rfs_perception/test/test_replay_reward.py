"""A recording drives camera node and reward node to a plot, from one end to the other."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyrealsense2", reason="needs pyrealsense2: make setup EXTRAS=perception")
pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

sys.path.insert(0, str(Path(__file__).parent))
from table_scene import CAMERA, INTRINSICS, scene

from rfs_core import se3
from rfs_core.kinematics import ArmKinematics
from rfs_drivers.emulated.camera_link import CameraFeed, CameraSpec
from rfs_perception import arm_file, calibration
from rfs_perception.camera import Camera, find
from rfs_perception.camera_config import CameraConfig

DOMAIN = os.environ["ROS_DOMAIN_ID"]
SERIAL, FPS, PAIRS = "55", 10, 50
Q = np.array([0.0, -0.03, 0.0, -2.75, 0.0, 3.69, 0.0])
BLOCK = (0.55, 0.0, 0.03)


def record(folder: Path) -> None:
    """Five seconds of a block on a table, as a camera would record them."""
    i = INTRINSICS
    spec = CameraSpec(SERIAL, i.width, i.height, FPS, i.fx, i.fy, i.cx, i.cy)
    with CameraFeed(folder / "cable", spec) as feed:
        config = CameraConfig(source=f"emulated:{feed.path}", record=str(folder / "look.db3"))
        camera = Camera(find(config.source), config)
        for number in range(1, PAIRS + 1):
            frame = scene(BLOCK, seed=number)
            # Noise of 1 mm: depth that never changes is a frozen camera's.
            noise = np.random.default_rng(number).normal(0.0, 1.0, frame.depth.shape)
            depth = np.where(frame.depth > 0.0, frame.depth * 1000.0 + noise, 0.0).round().astype("<u2")
            feed.send(number, number * 1000.0 / FPS, frame.colour, depth)
            camera.read(0.5)
            time.sleep(1.0 / FPS)
        camera.close()
    stamps = np.arange(0, PAIRS + 5) * (1_000_000_000 // FPS)
    arm_file.save(folder / "arm.npz", stamps, np.tile(Q, (len(stamps), 1)))
    calibration.save(
        folder / "camera.json",
        calibration.Calibration(
            camera_serial=SERIAL,
            position=tuple(CAMERA[:3, 3].tolist()),
            quaternion_wxyz=tuple(se3.quat_from_matrix(CAMERA[None, :3, :3])[0].tolist()),
            method="by construction",
            date="2026-01-01T00:00:00+00:00",
            rms_position_m=0.0,
            rms_rotation_rad=0.0,
            rms_reprojection_px=0.0,
            poses=6,
            image_size=(i.width, i.height),
        ),
    )


def replay(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rfs_perception.nodes.replay_reward"]
        + ["--recording", str(folder / "look.db3"), "--calibration", str(folder / "camera.json"), *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": DOMAIN},
        capture_output=True,
        text=True,
        timeout=280.0,
    )


def test_a_recording_becomes_rewards_and_a_plot(tmp_path: Path) -> None:
    record(tmp_path)
    plot, table = tmp_path / "reward.png", tmp_path / "reward.csv"
    done = replay(tmp_path, "--arm", str(tmp_path / "arm.npz"), "--plot", str(plot), "--csv", str(table))
    assert done.returncode == 0, done.stderr
    assert plot.stat().st_size > 1000
    rows = list(csv.DictReader(table.open()))
    # A machine that is busy looks at fewer images than were recorded, but at some.
    valid = [row for row in rows if row["valid"] == "1"]
    assert valid, rows
    palm = ArmKinematics().forward(Q[None]).position[0]
    expected = -float(np.linalg.norm(palm - BLOCK))
    for row in valid:
        assert float(row["distance_term"]) == pytest.approx(expected, abs=0.015)
        assert float(row["lift_term"]) < 0.05
        assert 0.0 < float(row["time_s"]) <= PAIRS / FPS  # the camera's own stamps


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    done = replay(tmp_path)
    assert done.returncode == 1
    assert "the reward node did not start: calibration" in done.stderr
    assert "does not exist: make one with" in done.stderr
