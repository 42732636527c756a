"""Configuration of the RealSense node; every field is a ROS parameter of the same name."""

from __future__ import annotations

from dataclasses import dataclass, field

from rfs_core.cloud import CloudConfig
from rfs_core.config import param
from rfs_perception.camera_config import CameraConfig


@dataclass(frozen=True)
class RealSenseConfig(CameraConfig):
    """The camera, where it stands, and what is published of it."""

    calibration: str = param("", doc="File that says where the camera stands; needed for points.")
    max_calibration_error: float = param(
        0.01, doc="A calibration with a larger RMS error is refused.", unit="m", low=0.0, high=0.1
    )
    points: bool = param(True, doc="Publish perception/points.")
    points_count: int = param(1024, doc="Points of a cloud; always the same.", low=1, high=100_000)
    points_period: int = param(
        1,
        doc="A cloud of every so many frames. With fewer than 30 a second a policy's answers grow so old "
        "that the gate holds.",
        low=1,
        high=100,
    )
    images: bool = param(True, doc="Publish camera/color/compressed, camera/depth and camera/camera_info.")
    images_period: int = param(3, doc="Images of every so many frames.", low=1, high=100)
    jpeg_quality: int = param(90, doc="Of the colour image.", low=1, high=100)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    seed: int = param(0, doc="Of the choice among points.", low=0)
    stamps: str = param(
        "translated",
        doc="Capture times on this computer's clock, or the camera's own: recordings of a simulation.",
        choices=("translated", "camera"),
    )
    autostart: bool = param(False, doc="Configure and activate without a life cycle manager.")
