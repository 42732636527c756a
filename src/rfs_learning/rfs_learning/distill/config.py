"""Configuration of the distillation; every field is a ROS parameter of the same name."""

from __future__ import annotations

import dataclasses

from rfs_core.config import param
from rfs_learning.integrator import KNOWN


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """Who teaches, what the student sees, how it learns."""

    teacher: str = param("", doc="Checkpoint of the policy that is distilled, usually kind rfs")
    run_dir: str = param("", doc="Folder of this run; created")
    data_dir: str = param("", doc="Folder of the teacher's rows; empty: `rows` in run_dir")
    name: str = param("student", doc="Name of the checkpoints")
    seed: int = param(100, doc="Seed of episodes, initial weights, batches and noise", low=0, high=2**31 - 1)
    resume: bool = param(False, doc="Continue the run in run_dir where it stopped")
    engine: str = param("mujoco", doc="Engine, an entry point of rfs.engines")
    physics_dt: float = param(0.01, doc="Step of the physics", unit="s", low=1e-4, high=0.05)
    envs: int = param(64, doc="Environments side by side", low=1, high=4096)

    observation: str = param(
        "points", doc="What the student sees: a cloud and itself, or the state", choices=("points", "state")
    )
    points: int = param(1024, doc="Points of a cloud", low=16, high=65536)
    viewpoints: tuple[str, ...] = param(
        ("table", "table", "left", "right", "high"),
        doc="Where cameras stand; one is drawn for every episode, twice as often where it is named twice",
    )
    camera_spread: float = param(
        0.05, doc="A camera stands this far from its viewpoint at most; it is known where", unit="m", low=0.0
    )
    camera_position_error: float = param(
        0.015, doc="Calibration is wrong by any distance up to this", unit="m", low=0.0
    )
    camera_rotation_error: float = param(
        1.5, doc="Calibration is wrong by any angle up to this", unit="deg", low=0.0
    )
    point_noise: float = param(
        0.002, doc="Standard deviation of noise on points while collecting", unit="m", low=0.0
    )

    episodes: int = param(1800, doc="Successful episodes of the teacher", low=1)
    action_noise: float = param(
        0.06,
        doc="Noise on what the teacher executes, as a share of half an action's range for the palm, and of a "
        "fifth of that for the fingers",
        low=0.0,
        high=1.0,
    )
    rounds: int = param(
        0, doc="Rounds in which the student acts and the teacher says what it would do", low=0
    )
    round_episodes: int = param(384, doc="Episodes of each round", low=1)

    steps: int = param(6000, doc="Gradient steps after the teacher's episodes", low=1)
    round_steps: int = param(2000, doc="Gradient steps after each round", low=1)
    batch_size: int = param(128, doc="Rows in a batch", low=1)
    draws: int = param(
        4, doc="Noises and flow times drawn for every row of a batch: the encoder is what costs", low=1
    )
    training_points: int = param(
        128,
        doc="Points of a cloud that training looks at, another choice each time: dropout; in a part of the "
        "batches twice or four times as many",
        low=8,
    )
    jitter: float = param(0.002, doc="Standard deviation of noise on points in training", unit="m", low=0.0)
    shift: float = param(
        0.005, doc="Standard deviation of a shift of the whole cloud in training", unit="m", low=0.0
    )
    crop_share: float = param(
        0.3, doc="Share of rows whose cloud loses a ball of points in training", low=0.0, high=1.0
    )
    crop_radius: float = param(0.05, doc="Radius of that ball", unit="m", low=0.0)
    own_noise: float = param(
        0.02, doc="Noise on the robot's own values in training, in standard deviations", low=0.0
    )
    state_weight: float = param(
        0.5,
        doc="Weight of a loss that asks the encoder for the teacher's state, in simulation known; 0: none",
        low=0.0,
    )
    learning_rate: float = param(1e-3, doc="Peak learning rate of AdamW; falls along a cosine", low=0.0)
    warmup_steps: int = param(200, doc="Steps of linear increase of the learning rate", low=0)
    weight_decay: float = param(1e-4, doc="Weight decay of AdamW", low=0.0)
    gradient_clip: float = param(1.0, doc="Largest norm of the gradient", low=0.0)
    ema_decay: float = param(0.998, doc="Decay per step of the averaged weights", low=0.0, high=1.0)
    validation_share: float = param(0.03, doc="Share of episodes held out", low=0.0, high=0.5)

    point_width: int = param(192, doc="Channels of a point before the maximum", low=4, high=2048)
    point_features: int = param(128, doc="Features of a cloud", low=1, high=4096)
    hidden_width: int = param(384, doc="Units of the velocity field's hidden layers", low=1, high=8192)
    hidden_layers: int = param(3, doc="Hidden layers of the velocity field", low=1, high=32)
    time_features: int = param(32, doc="Length of the embedding of flow time; even", low=2, high=1024)
    integrator: str = param("euler", doc="Rule that Push integrates by", choices=KNOWN)
    integrator_steps: int = param(10, doc="Steps of the integration", low=1, high=1000)
    observation_clip: int = param(5, doc="Bound of normalised observations", low=1, high=1000)
    action_std_floor: float = param(
        0.05, doc="Least standard deviation of an action as a share of half its range", low=0.0, high=1.0
    )
    checkpoint_every: int = param(1000, doc="Steps between checkpoints", low=1)
    log_every: int = param(100, doc="Steps between rows of metrics", low=1)
    threads: int = param(1, doc="Threads of torch", low=1, high=64)
