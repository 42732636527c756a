"""Where a camera stands: a JSON file with its pose in the robot's base, and how good it is.

It names the camera (serial) and both frames, the method, the date and the errors, and carries a hash of all
of it: a file that was edited, cut or belongs to another camera is refused, never used in part.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core import se3
from rfs_core.robot import BASE_FRAME
from rfs_perception.errors import CalibrationError

FORMAT = "rfs_camera_calibration/1"
CAMERA_FRAME = "camera_color_optical_frame"
HOW_TO = "make one with `ros2 run rfs_perception calibrate_camera`"


@dataclass(frozen=True)
class Calibration:
    """Pose of a camera's colour image in the base frame."""

    camera_serial: str
    """Serial number of the camera it is true of."""
    position: tuple[float, float, float]
    """m, of the camera in the base frame."""
    quaternion_wxyz: tuple[float, float, float, float]
    """From the camera's optical frame to the base frame."""
    method: str
    """How it was found."""
    date: str
    """When, ISO 8601 with time zone."""
    rms_position_m: float
    """Scatter of the board over the poses used, root mean square."""
    rms_rotation_rad: float
    rms_reprojection_px: float
    """Of the board's corners in the images."""
    poses: int
    """Robot poses used."""
    image_size: tuple[int, int]
    """Width and height of the images, pixels."""
    base_frame: str = BASE_FRAME
    camera_frame: str = CAMERA_FRAME

    @property
    def camera_in_base(self) -> NDArray[np.float64]:
        """Homogeneous transform from the camera's optical frame to the base. Shape: (4, 4)"""
        matrix = np.eye(4)
        matrix[:3, :3] = se3.matrix_from_quat(np.array([self.quaternion_wxyz]))[0]
        matrix[:3, 3] = self.position
        return matrix


def digest(values: dict[str, Any]) -> str:
    """SHA-256 of what a calibration says, whatever the layout of the file."""
    text = json.dumps({"format": FORMAT, **values}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: Path, calibration: Calibration) -> None:
    """Write a calibration, whole or not at all.

    Raises:
        CalibrationError: it is not one (see `load`), or the file cannot be written.
    """
    values = asdict(calibration)
    _check(calibration, str(path))
    text = json.dumps({"format": FORMAT, **values, "sha256": digest(_plain(values))}, indent=2)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise CalibrationError(f"{path} cannot be written: {error}") from error


def load(path: str | Path) -> Calibration:
    """Read a calibration.

    Raises:
        CalibrationError: missing, not readable, another format, changed since it was written, or impossible.
    """
    if not str(path):
        raise CalibrationError(
            f"no calibration file is given, so nothing can be said in the base frame: {HOW_TO}"
        )
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CalibrationError(f"calibration {path} does not exist: {HOW_TO}") from None
    except (OSError, ValueError) as error:
        raise CalibrationError(f"calibration {path} cannot be read: {error}; {HOW_TO}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        got = values.get("format") if isinstance(values, dict) else type(values).__name__
        raise CalibrationError(f"calibration {path} has format {got!r}, must be {FORMAT!r}: {HOW_TO}")
    values.pop("format")
    written = values.pop("sha256", None)
    if written != digest(values):
        raise CalibrationError(
            f"calibration {path} was changed after it was written (its hash does not match): calibrate again"
        )
    try:
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        calibration = Calibration(**values)
        _check(calibration, str(path))
    except TypeError as error:
        raise CalibrationError(f"calibration {path} is incomplete: {error}; {HOW_TO}") from error
    return calibration


def require(
    calibration: Calibration,
    path: str | Path,
    serial: str,
    image_size: tuple[int, int] | None = None,
    max_rms_position: float = math.inf,
    base_frame: str = BASE_FRAME,
    camera_frame: str = CAMERA_FRAME,
) -> None:
    """Refuse a calibration that is not of this camera, between these frames, or not good enough.

    Raises:
        CalibrationError: with what differs.
    """
    if calibration.camera_serial != serial:
        raise CalibrationError(
            f"calibration {path} is of camera {calibration.camera_serial!r}, connected is {serial!r}: "
            "connect that camera or calibrate this one"
        )
    for got, expected in (
        (calibration.base_frame, base_frame),
        (calibration.camera_frame, camera_frame),
    ):
        if got != expected:
            raise CalibrationError(f"calibration {path} is about frame {got!r}, must be about {expected!r}")
    if image_size is not None and image_size[0] * calibration.image_size[1] != (
        image_size[1] * calibration.image_size[0]
    ):
        raise CalibrationError(
            f"calibration {path} is of images of {calibration.image_size}, the camera gives {image_size}: "
            "use the same shape"
        )
    if calibration.rms_position_m > max_rms_position:
        raise CalibrationError(
            f"calibration {path} has an RMS error of {calibration.rms_position_m * 1e3:.1f} mm, allowed are "
            f"{max_rms_position * 1e3:.1f} mm: calibrate again with more and more varied poses"
        )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(values)))


def _check(calibration: Calibration, where: str) -> None:
    numbers = (
        *calibration.position,
        *calibration.quaternion_wxyz,
        calibration.rms_position_m,
        calibration.rms_rotation_rad,
        calibration.rms_reprojection_px,
    )
    if len(calibration.position) != 3 or len(calibration.quaternion_wxyz) != 4:
        raise CalibrationError(f"calibration {where}: needs 3 values of position and 4 of quaternion_wxyz")
    if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
        raise CalibrationError(f"calibration {where}: has values that are not finite numbers")
    if abs(math.hypot(*calibration.quaternion_wxyz) - 1.0) > 1e-3:
        raise CalibrationError(f"calibration {where}: quaternion_wxyz is not of length 1")
    if math.hypot(*calibration.position) > 5.0:
        raise CalibrationError(f"calibration {where}: the camera would stand more than 5 m from the robot")
    if min(calibration.rms_position_m, calibration.rms_rotation_rad, calibration.rms_reprojection_px) < 0.0:
        raise CalibrationError(f"calibration {where}: a negative error")
    try:
        date = datetime.fromisoformat(calibration.date)
    except (TypeError, ValueError):
        raise CalibrationError(f"calibration {where}: date {calibration.date!r} is not ISO 8601") from None
    if date.tzinfo is None:
        raise CalibrationError(f"calibration {where}: date {calibration.date!r} has no time zone")
