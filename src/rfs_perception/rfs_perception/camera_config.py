"""Configuration of the camera; every field is a ROS parameter of the same name."""

from __future__ import annotations

from dataclasses import dataclass, field

from rfs_core.config import param


@dataclass(frozen=True)
class FilterConfig:
    """librealsense's own filters, in the order that its makers recommend."""

    decimation: int = param(1, doc="Depth pixels merged in each direction; 1: none.", low=1, high=8)
    threshold_min: float = param(0.15, doc="Nearer depths are dropped.", unit="m", low=0.0, high=16.0)
    threshold_max: float = param(3.0, doc="Farther depths are dropped.", unit="m", low=0.0, high=16.0)
    disparity: bool = param(False, doc="Smooth in disparity, where a stereo camera's noise is even.")
    spatial: bool = param(False, doc="Edge-preserving smoothing within an image; 3 ms at 640 x 480.")
    temporal: bool = param(False, doc="Smoothing over time; smears what moves.")
    hole_filling: str = param(
        "none",
        doc="Invent depth where none was measured; not for clouds.",
        choices=("none", "left", "farthest", "nearest"),
    )


@dataclass(frozen=True)
class CameraConfig:
    """Which camera, how it is read, and when it counts as lost."""

    source: str = param(
        "",
        doc="Empty: the only camera connected; serial:NUMBER; file:RECORDING.db3; emulated:SOCKET.",
    )
    width: int = param(
        640, doc="Columns, of a camera (a recording has its own).", unit="px", low=16, high=3840
    )
    height: int = param(480, doc="Rows, of a camera.", unit="px", low=16, high=2160)
    fps: int = param(30, doc="Pairs of images per second, of a camera.", unit="Hz", low=1, high=90)
    align: bool = param(True, doc="Depth in the pixels of the colour image.")
    filters: FilterConfig = field(default_factory=FilterConfig)
    record: str = param("", doc="File (.db3) that everything is recorded to, 1.5 MB a pair; empty: none.")
    record_compression: bool = param(
        False, doc="Compress what is recorded: smaller, and about twice as dear to write and to play."
    )
    repeat: bool = param(False, doc="Begin a recording anew at its end.")
    real_time: bool = param(True, doc="Play a recording at its own pace; false: as fast as it is read.")
    lost_after: float = param(
        1.0, doc="A camera silent for so long is closed and looked for.", unit="s", low=0.1, high=60.0
    )
    reopen_every: float = param(1.0, doc="Time between two looks for it.", unit="s", low=0.05, high=60.0)
    frozen_after: float = param(
        0.5, doc="Images unchanged for so long are refused; 0: never.", unit="s", low=0.0, high=60.0
    )
