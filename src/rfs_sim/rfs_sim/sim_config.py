"""Configuration of the simulation node; every field is a ROS parameter of the same name."""

from __future__ import annotations

from dataclasses import dataclass, field

from rfs_core.cloud import CloudConfig
from rfs_core.config import param
from rfs_core.errors import ConfigError
from rfs_sim.gap import OBJECTS, WORLDS
from rfs_sim.point_camera import PointCameraConfig

STATE_PERIOD_NS = 10_000_000
"""Robot time between two arm states (ns): 100 Hz, as a Franka driver publishes them."""


@dataclass(frozen=True)
class WorldConfig:
    """A world, its sensors and what is written of it, whoever moves the robot in it."""

    task: str = param("grasp", doc="Task whose world is simulated.")
    world: str = param(
        "training", doc="World of the task: training, or gap, which differs as a robot does.", choices=WORLDS
    )
    objects: str = param(
        "seen", doc="Objects of the gap world: the task's own, or five unseen ones.", choices=OBJECTS
    )
    seed: int = param(0, doc="Seed of the world that is shown before the first reset.", low=0)
    run_dir: str = param("", doc="Folder for episodes/*.npz and the video; empty: nothing is written.")

    camera: bool = param(False, doc="Publish camera/color, camera/depth and camera/camera_info.")
    camera_name: str = param("table_camera", doc="Camera of the model for images.")
    camera_width: int = param(320, doc="Width of the images.", unit="px", low=16, high=1280)
    camera_height: int = param(240, doc="Height of the images.", unit="px", low=16, high=960)
    camera_period: int = param(2, doc="Publish images at every so many control ticks.", low=1, high=100)
    camera_encoding: str = param("jpeg", doc="Compression of the colour image.", choices=("jpeg", "png"))
    depth_encoding: str = param(
        "16UC1", doc="Depth in millimetres (16UC1) or metres (32FC1).", choices=("16UC1", "32FC1")
    )

    points: bool = param(False, doc="Publish perception/points.")
    points_period: int = param(2, doc="Publish points at every so many control ticks.", low=1, high=100)
    points_camera: PointCameraConfig = field(default_factory=PointCameraConfig)
    """Where the camera of the points stands, how wrong its calibration is, its noise, and N."""
    cloud: CloudConfig = field(default_factory=CloudConfig)
    """How its depth image becomes points."""

    record_video: bool = param(False, doc="Write a video of the episodes to run_dir.")
    video_name: str = param("episodes.mp4", doc="File name of the video in run_dir: .mp4 or .gif.")
    video_width: int = param(480, doc="Width of the video; even.", unit="px", low=64, high=1280)
    video_height: int = param(360, doc="Height of the video; even.", unit="px", low=64, high=960)
    video_episodes: int = param(
        12, doc="Episodes in the video; later ones are not recorded. 0: all.", low=0, high=100_000
    )

    video_backlog: int = param(
        30, doc="Pictures that may still be unpainted when an episode begins; it waits a moment.", low=0
    )

    def __post_init__(self) -> None:
        if self.record_video and not self.run_dir:
            raise ConfigError("record_video is true but run_dir is empty: name a folder for the video")
        if self.video_width % 2 or self.video_height % 2:
            raise ConfigError(f"video of {self.video_width} x {self.video_height} px: MP4 needs even numbers")


@dataclass(frozen=True)
class SimConfig(WorldConfig):
    """The simulated robot, its sensors, its pace and what it writes."""

    physics_dt: float = param(
        0.01,
        doc="Time step of the physics; a divisor of 10 ms. Finer steps make harder contacts.",
        unit="s",
        low=0.0005,
        high=0.01,
    )
    real_time_factor: float = param(
        0.0,
        doc="Robot seconds per wall second in an episode; 0: as fast as the policy answers.",
        low=0.0,
        high=100.0,
    )
    lockstep_patience_s: float = param(
        2.0,
        doc="Wall time to wait for the targets of a control tick when real_time_factor is 0.",
        unit="s",
        low=0.001,
        high=3600.0,
    )
    command_deadline_s: float = param(
        0.15,
        doc="Robot time after the last arm target at which the arm holds its measured pose.",
        unit="s",
        low=0.05,
        high=10.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        step_ns = round(self.physics_dt * 1e9)
        if STATE_PERIOD_NS % step_ns:
            raise ConfigError(
                f"physics_dt is {self.physics_dt} s, must divide 10 ms, the period of the arm's states: "
                "0.01, 0.005, 0.0025, 0.002 or 0.001"
            )
