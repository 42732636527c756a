"""Configuration of the recorder; every field is a ROS parameter of the same name."""

from __future__ import annotations

from dataclasses import dataclass

from rfs_core.config import param


@dataclass(frozen=True)
class RecorderConfig:
    """What is recorded, where to, and when it must stop."""

    folder: str = param(
        "bags", doc="Folder of the bags; one folder per episode is made in it, named by its id."
    )
    checkpoint: str = param(
        "", doc="Checkpoint file in use; its header is kept with every episode. Empty: only its id is."
    )
    calibration: str = param(
        "", doc="Calibration file that is kept with every episode, word by word. Empty: none."
    )
    parameters_of: tuple[str, ...] = param(
        ("policy_node", "gate_node", "sim_node", "episode_manager"),
        doc="Nodes whose parameters are kept with every episode.",
    )
    warn_free_gb: float = param(
        5.0, doc="Free space on the disk below which is warned.", unit="GB", low=0.0, high=10_000.0
    )
    stop_free_gb: float = param(
        1.0,
        doc="Free space below which recording stops; the robot goes on.",
        unit="GB",
        low=0.0,
        high=10_000.0,
    )
    chunk_s: float = param(
        0.25,
        doc="Longest time that messages wait in memory; about what a killed recorder loses.",
        unit="s",
        low=0.02,
        high=1.0,
    )
    linger_s: float = param(
        0.3,
        doc="How long after the end of an episode its last messages are waited for.",
        unit="s",
        low=0.0,
        high=5.0,
    )
    queue_mb: float = param(
        256.0,
        doc="Messages that wait for the disk. Beyond half of it images are dropped, beyond it everything.",
        unit="MB",
        low=1.0,
        high=16_000.0,
    )
    compression: str = param("lz4", doc="Compression of chunks.", choices=("none", "lz4"))
