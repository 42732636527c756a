"""Configuration that every offline trainer shares."""

from __future__ import annotations

import dataclasses

from rfs_core.bounds import LARGEST, ResidualBounds
from rfs_core.config import param

MAY_CHANGE_ON_RESUME = (
    "bags",
    "checkpoint",
    "run_dir",
    "resume",
    "steps",
    "threads",
    "log_every",
    "checkpoint_every",
)
"""Fields that do not change the weights. Bags and base policy are compared by digest, not by path."""


@dataclasses.dataclass(frozen=True)
class OfflineConfig:
    """What is learned from, and where to."""

    bags: str = param("", doc="Folder of recorded episodes, or a .npz file of them")
    checkpoint: str = param("", doc="Base policy (.safetensors); of a steered one, its base policy is used")
    run_dir: str = param("", doc="Folder of this run; created")
    name: str = param("", doc="Name of the checkpoints; empty: task and method")
    seed: int = param(0, doc="Seed of initial weights, batches and noise", low=0, high=2**31 - 1)
    resume: bool = param(False, doc="Continue the run in run_dir where it stopped")
    steps: int = param(10_000, doc="Updates", low=1)
    batch_size: int = param(256, doc="Decisions in a batch", low=1, high=1_000_000)
    checkpoint_every: int = param(2000, doc="Updates between checkpoints", low=1)
    log_every: int = param(200, doc="Updates between rows of metrics", low=1)
    threads: int = param(1, doc="Threads of torch", low=1, high=64)

    @property
    def method(self) -> str:
        """Short name of what is trained, for names of checkpoints and reports."""
        return "offline"


@dataclasses.dataclass(frozen=True)
class ValueConfig(OfflineConfig):
    """What the trainers with a critic share."""

    modulation: str = param(
        "both",
        doc="What is trained on top of the base policy: residual a_r, noise a_0, or both (RFS)",
        choices=("residual", "noise", "both"),
    )
    base_a0: str = param(
        "normal", doc="a_0 where it is not steered: drawn from N(0, I), or 0", choices=("normal", "zero")
    )
    noise_clip: float = param(2.0, doc="Largest |a_0| of a steered value", low=0.01, high=10.0)
    residual_position: float = param(
        0.015,
        doc="Largest residual of the palm displacement per control step, each axis",
        unit="m",
        low=0.0,
        high=LARGEST["arm_delta_position"],
    )
    residual_rotation: float = param(
        0.05,
        doc="Largest residual of the palm rotation per control step, each component",
        unit="rad",
        low=0.0,
        high=LARGEST["arm_delta_rotation"],
    )
    residual_hand: float = param(
        0.05, doc="Largest residual of a finger target", unit="rad", low=0.0, high=LARGEST["hand_target"]
    )

    only_corrected: bool = param(
        True,
        doc="No residual of values that nobody ever corrected in the data: there a critic only guesses",
    )

    gamma: float = param(0.97, doc="Discount per decision", low=0.0, high=0.9999)
    bootstrap: bool = param(
        True,
        doc="At time limits the return goes on with the critic's value; false: it ends, the critic sees time",
    )
    success_reward: float = param(
        0.0, doc="Reward added to the last decision of a successful episode", low=0.0
    )
    tau: float = param(
        0.005, doc="Share of the new weights in the target networks per update", low=0.0, high=1.0
    )
    learning_rate: float = param(3e-4, doc="Learning rate of Adam", low=1e-7, high=1.0)
    actor_width: int = param(256, doc="Units of each of the actor's hidden layers", low=1, high=8192)
    actor_layers: int = param(2, doc="Hidden layers of the actor", low=1, high=32)
    critic_width: int = param(256, doc="Units of each of the critics' hidden layers", low=1, high=8192)
    critic_layers: int = param(2, doc="Hidden layers of the critics", low=1, high=32)
    value_clip: bool = param(True, doc="Clip the critics' targets to what the rewards make possible")
    missing_noise: str = param(
        "invert",
        doc="What to do with decisions whose a_0 does not lead to their a_b in this base policy: find it by "
        "inversion, or refuse",
        choices=("invert", "refuse"),
    )

    @property
    def method(self) -> str:
        """Short name of what is trained."""
        return {"residual": "residual", "noise": "noise", "both": "rfs"}[self.modulation] + "_offline"

    @property
    def residual_bounds(self) -> ResidualBounds:
        """Bounds of the residual by part of the action."""
        return ResidualBounds(
            arm_delta_position=self.residual_position,
            arm_delta_rotation=self.residual_rotation,
            hand_target=self.residual_hand,
        )
