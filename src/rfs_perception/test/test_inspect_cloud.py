"""What inspect_cloud says of a calibration that is right, wrong, or of nothing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open3d")
sys.path.insert(0, str(Path(__file__).parent))
import table_scene

from rfs_core import se3
from rfs_perception import inspect_cloud
from rfs_perception.calibration import Calibration
from rfs_perception.errors import CameraError, PerceptionError


def calibrated(lifted: float = 0.0, turned: float = 0.0) -> Calibration:
    """The scene's camera, believed to stand higher and to be turned about the base's x (rad)."""
    pose = table_scene.CAMERA.copy()
    wrong = se3.matrix_from_quat(se3.quat_from_rotvec(np.array([[turned, 0.0, 0.0]])))[0]
    pose[:3, :3] = wrong @ pose[:3, :3]
    x, y, z = pose[:3, 3] + (0.0, 0.0, lifted)
    i = table_scene.INTRINSICS
    return Calibration(
        camera_serial="SCENE",
        position=(x, y, z),
        quaternion_wxyz=tuple(se3.quat_from_matrix(pose[None, :3, :3])[0].tolist()),
        method="by construction",
        date="2026-01-01T00:00:00+00:00",
        rms_position_m=0.0,
        rms_rotation_rad=0.0,
        rms_reprojection_px=0.0,
        poses=6,
        image_size=(i.width, i.height),
    )


def test_a_right_calibration_has_the_table_at_zero_and_level() -> None:
    table = inspect_cloud.find_table(inspect_cloud.in_base(table_scene.scene(), calibrated())[0])
    assert abs(table.height) < 1e-4
    assert table.tilt < 1e-3
    assert table.scatter < 1e-4


def test_what_a_calibration_is_wrong_by_is_told() -> None:
    frame = table_scene.scene()
    table = inspect_cloud.find_table(inspect_cloud.in_base(frame, calibrated(lifted=0.008))[0])
    assert table.height == pytest.approx(0.008, abs=3e-4)
    table = inspect_cloud.find_table(inspect_cloud.in_base(frame, calibrated(turned=0.02))[0])
    assert table.tilt == pytest.approx(0.02, abs=2e-3)
    lines, chosen = inspect_cloud.report(frame, calibrated(lifted=0.02), 128)
    assert "CALIBRATE ANEW" in lines[1]
    assert chosen.shape == (128, 3)
    assert "CALIBRATE" not in inspect_cloud.report(frame, calibrated(), 128)[0][1]


def test_noise_of_the_camera_is_told_as_scatter() -> None:
    frame = table_scene.scene()
    noise = np.random.default_rng(0).normal(0.0, 0.002, frame.depth.shape).astype(np.float32)
    noisy = replace(frame, depth=frame.depth + noise)
    table = inspect_cloud.find_table(inspect_cloud.in_base(noisy, calibrated())[0])
    # 2 mm along rays that meet the table at about 40 degrees: 2 mm x sin 40.
    assert 0.0008 < table.scatter < 0.002


def test_where_nothing_is_seen_it_says_so_and_gives_no_points() -> None:
    frame = table_scene.scene()
    blind = replace(frame, depth=np.zeros_like(frame.depth))
    with pytest.raises(PerceptionError, match="0 points within 5 cm of z = 0"):
        inspect_cloud.find_table(inspect_cloud.in_base(blind, calibrated())[0])
    lines, chosen = inspect_cloud.report(blind, calibrated(), 128)
    assert "no depth" in lines[-1]
    assert len(chosen) == 0


def test_a_look_before_the_first_one_is_refused_before_a_camera_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a camera was looked for")

    monkeypatch.setattr(inspect_cloud, "find", opened)
    with pytest.raises(CameraError, match="look 0: pairs of images are counted from 1"):
        inspect_cloud.look("", 0)


def test_all_points_and_the_policys_in_red_are_written(tmp_path: Path) -> None:
    frame, found = table_scene.scene(), calibrated()
    _, chosen = inspect_cloud.report(frame, found, 64)
    o3d = inspect_cloud.open3d()
    path = tmp_path / "look.ply"
    assert o3d.io.write_point_cloud(str(path), inspect_cloud.geometry(frame, found, chosen))
    read = o3d.io.read_point_cloud(str(path))
    red = (np.asarray(read.colors) == (1.0, 0.0, 0.0)).all(axis=1)
    assert red.sum() == 64
    assert len(read.points) == np.count_nonzero(frame.depth) + 64
