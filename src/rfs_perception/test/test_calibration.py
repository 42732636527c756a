"""A calibration is believed whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rfs_perception import calibration
from rfs_perception.calibration import Calibration
from rfs_perception.errors import CalibrationError

GOOD = Calibration(
    camera_serial="123",
    position=(1.0, 0.5, 0.25),
    # A quarter turn about z: the camera's x is the base's y.
    quaternion_wxyz=(0.5**0.5, 0.0, 0.0, 0.5**0.5),
    method="by hand",
    date="2026-01-02T03:04:05+00:00",
    rms_position_m=0.002,
    rms_rotation_rad=0.003,
    rms_reprojection_px=0.4,
    poses=12,
    image_size=(640, 480),
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "camera.json"
    calibration.save(path, GOOD)
    assert calibration.load(path) == GOOD
    assert json.loads(path.read_text())["sha256"]


def test_the_transform_takes_the_cameras_x_to_the_bases_y() -> None:
    point = GOOD.camera_in_base @ (1.0, 0.0, 0.0, 1.0)
    np.testing.assert_allclose(point, (1.0, 1.5, 0.25, 1.0), atol=1e-12)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"does not exist: make one with .*calibrate_camera"):
        calibration.load(tmp_path / "none.json")
    with pytest.raises(CalibrationError, match="no calibration file is given"):
        calibration.load("")


@pytest.mark.parametrize(
    ("key", "value"), [("position", [1.0, 0.5, 0.26]), ("date", "2027-01-02T03:04:05+00:00"), ("poses", 99)]
)
def test_an_edited_file_is_refused(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "camera.json"
    calibration.save(path, GOOD)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, key: value}))
    with pytest.raises(CalibrationError, match="changed after it was written"):
        calibration.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other/1"}', "\x00\xff"])
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(CalibrationError, match="calibrate_camera"):
        calibration.load(path)


def test_a_file_cut_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    calibration.save(path, GOOD)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(CalibrationError, match="cannot be read"):
        calibration.load(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quaternion_wxyz": (1.0, 0.1, 0.0, 0.0)}, "not of length 1"),
        ({"position": (float("nan"), 0.0, 0.0)}, "not finite"),
        ({"position": (9.0, 0.0, 0.0)}, "more than 5 m"),
        ({"date": "yesterday"}, "not ISO 8601"),
        ({"date": "2026-01-02T03:04:05"}, "no time zone"),
        ({"rms_position_m": -1.0}, "negative"),
    ],
)
def test_an_impossible_calibration_is_not_written(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(CalibrationError, match=reason):
        calibration.save(tmp_path / "camera.json", replace(GOOD, **changes))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_another_camera_frame_shape_or_too_large_an_error_is_refused() -> None:
    calibration.require(GOOD, "f", "123", (1280, 960), max_rms_position=0.002)
    with pytest.raises(CalibrationError, match=r"is of camera '123', connected is '124'"):
        calibration.require(GOOD, "f", "124")
    with pytest.raises(CalibrationError, match=r"about frame 'fr3_link0', must be about 'panda_link0'"):
        calibration.require(GOOD, "f", "123", base_frame="panda_link0")
    with pytest.raises(CalibrationError, match="same shape"):
        calibration.require(GOOD, "f", "123", (1280, 720))
    with pytest.raises(CalibrationError, match=r"2.0 mm, allowed are 1.9 mm"):
        calibration.require(GOOD, "f", "123", max_rms_position=0.0019)
