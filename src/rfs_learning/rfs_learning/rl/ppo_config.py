"""Configuration of `rfs_learning.rl.ppo_runner`."""

from __future__ import annotations

import dataclasses

from rfs_core.bounds import LARGEST, ResidualBounds
from rfs_core.config import param
from rfs_core.errors import ConfigError
from rfs_learning.modulation import A0_MODES
from rfs_learning.steering import MODULATIONS, OVER

MAY_CHANGE_ON_RESUME = (
    "run_dir", "base_checkpoint", "name", "resume", "budget", "threads", "final_episodes", "device"
)  # fmt: skip
"""Fields that do not change the weights, rounding aside. The base checkpoint is compared by its id, not its
path."""


@dataclasses.dataclass(frozen=True)
class PpoTrainerConfig:
    """What is trained, where, and how."""

    task: str = param("grasp", doc="Task to train on")
    base_checkpoint: str = param("", doc="Base policy (.safetensors) that is steered; it stays frozen")
    modulation: str = param("both", doc="What is trained on top of it", choices=MODULATIONS)
    over: str = param(
        "hand_and_arm", doc="What the flow moves; hand: the arm is learned directly instead", choices=OVER
    )
    base_a0: str = param(
        "normal", doc="a_0 where it is not steered: drawn from N(0, I), or 0", choices=A0_MODES
    )
    budget: int = param(2_000_000, doc="Control steps to train for", low=1)
    seed: int = param(0, doc="Seed of weights, exploration and episodes", low=0, high=2**31 - 1)
    run_dir: str = param("", doc="Folder of this run; created")
    name: str = param("", doc="Name of the checkpoints; empty: task and modulation")
    resume: bool = param(False, doc="Continue the run in run_dir where it stopped")

    engine: str = param("mujoco", doc="Engine, an entry point of rfs.engines")
    num_envs: int = param(256, doc="Environments side by side", low=1, high=65536)
    physics_dt: float = param(0.01, doc="Step of the physics", unit="s", low=0.0005, high=0.05)
    disturbance: float = param(1.0, doc="Strength of the disturbances; 1: the task's", low=0.0, high=100.0)
    device: str = param(
        "cpu", doc="Where networks and rollouts are: cpu, cuda, cuda:0 ..., or engine: where its arrays are"
    )
    threads: int = param(1, doc="Threads of torch and of the physics", low=1, high=64)

    noise_clip: float = param(2.5, doc="Largest |a_0| of a steered value", low=0.01, high=10.0)
    residual_position: float = param(
        0.01,
        doc="Largest residual of the palm displacement per control step, each axis",
        unit="m",
        low=0.0,
        high=LARGEST["arm_delta_position"],
    )
    residual_rotation: float = param(
        0.033,
        doc="Largest residual of the palm rotation per control step, each component",
        unit="rad",
        low=0.0,
        high=LARGEST["arm_delta_rotation"],
    )
    residual_hand: float = param(
        0.15,
        doc="Largest residual of a finger target",
        unit="rad",
        low=0.0,
        high=LARGEST["hand_target"],
    )
    residual_penalty: float = param(
        0.0002, doc="Reward lost per decision for each residual at its bound", low=0.0, high=1.0
    )

    noise_std: float = param(0.5, doc="Initial exploration of a_0", low=0.001, high=3.0)
    noise_std_range: tuple[float, float] = param(
        (0.05, 1.0), doc="Bounds of the exploration of a_0", low=0.001
    )
    residual_std: float = param(
        0.12, doc="Initial exploration of residuals and direct values, as a share of their bounds", low=0.001
    )
    residual_std_range: tuple[float, float] = param((0.02, 0.3), doc="Bounds of that exploration", low=0.001)
    actor_width: int = param(256, doc="Units of each of the actor's hidden layers", low=1, high=8192)
    actor_layers: int = param(2, doc="Hidden layers of the actor", low=1, high=32)
    critic_width: int = param(256, doc="Units of each of the critic's hidden layers", low=1, high=8192)
    critic_layers: int = param(2, doc="Hidden layers of the critic", low=1, high=32)

    gamma: float = param(0.985, doc="Discount per decision", low=0.0, high=1.0)
    bootstrap: bool = param(
        False,
        doc="At time limits the return goes on with the critic's value; false: it ends, the critic sees time",
    )
    lam: float = param(0.95, doc="Lambda of the generalised advantage estimate", low=0.0, high=1.0)
    clip: float = param(0.2, doc="Clip of the probability ratio", low=0.001, high=1.0)
    epochs: int = param(5, doc="Passes over the data of an iteration", low=1, high=100)
    minibatch: int = param(2048, doc="Decisions in a minibatch", low=1)
    learning_rate: float = param(3e-4, doc="Initial learning rate of Adam", low=1e-7, high=1.0)
    learning_rate_range: tuple[float, float] = param(
        (3e-5, 1e-3), doc="Bounds of the learning rate", low=1e-8
    )
    kl_band: tuple[float, float] = param(
        (0.02, 0.05), doc="KL of an update below which the rate rises, and above which it falls", low=0.0
    )
    entropy: float = param(0.0, doc="Weight of the entropy bonus", low=0.0, high=1.0)
    value_loss: float = param(1.0, doc="Weight of the value loss", low=0.0, high=100.0)
    gradient_clip: float = param(1.0, doc="Largest norm of actor's and of critic's gradient", low=0.0)
    normalizer_steps: int = param(
        300_000, doc="Control steps from which the observation normalisers learn; frozen afterwards", low=0
    )

    evaluate_every: int = param(200_000, doc="Control steps between deterministic evaluations", low=1)
    evaluation_episodes: int = param(256, doc="Episodes of such an evaluation", low=1)
    final_episodes: int = param(
        1024, doc="Episodes that the best checkpoint plays at the end; 0: none", low=0
    )

    def __post_init__(self) -> None:
        for field in ("noise_std_range", "residual_std_range", "learning_rate_range", "kl_band"):
            low, high = getattr(self, field)
            if low > high:
                raise ConfigError(f"{field} is ({low}, {high}); its first value must not exceed its second")
        for field in ("noise_std", "residual_std", "learning_rate"):
            value, (low, high) = getattr(self, field), getattr(self, f"{field}_range")
            if not low <= value <= high:
                raise ConfigError(f"{field} is {value}, must lie in {field}_range, {low} to {high}")

    @property
    def checkpoint_name(self) -> str:
        """`name`, or task and method."""
        method = {"none": "direct", "residual": "residual", "noise": "noise", "both": "rfs"}[self.modulation]
        return self.name or f"{self.task}_{method}" + ("_hand" if self.over == "hand" else "")

    @property
    def residual_bounds(self) -> ResidualBounds:
        """Bounds of the residual by part of the action."""
        return ResidualBounds(
            arm_delta_position=self.residual_position,
            arm_delta_rotation=self.residual_rotation,
            hand_target=self.residual_hand,
        )
