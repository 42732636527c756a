"""The improvement loop's arithmetic: which commands it runs, and what it says at the end.

One round: episodes with corrections, training on all bags so far, the new checkpoint loaded between episodes,
success measured without corrections, on other episodes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from rfs_core.config import param
from rfs_core.errors import RfsError

HELD_OUT_SEED = 1_000_003
"""Added to the seed for episodes that success is measured on: no correction was collected in one of them."""


@dataclass(frozen=True)
class ImproveConfig:
    """What is improved, for how long, and with which trainer."""

    task: str = param("grasp", doc="Name of the task.")
    checkpoint: str = param("", doc="Policy that the first round corrects, and that trainers start from.")
    run_dir: str = param("", doc="Folder of the bags, the trainings and the result.")
    rounds: int = param(2, doc="How often to collect, train and load.", low=1, high=1000)
    episodes: int = param(50, doc="Episodes with corrections per round.", low=1, high=100_000)
    seed: int = param(0, doc="Decides everything random in the episodes, and the trainers' seed.", low=0)
    trainer: str = param("td3bc_trainer", doc="Executable of rfs_learning that trains on the bags.")
    trainer_parameters: tuple[str, ...] = param(
        (), doc="Further parameters of the trainer, such as steps:=2000."
    )
    evaluation_episodes: int = param(
        128, doc="Episodes without corrections that success is measured on.", low=1, high=100_000
    )
    world: str = param("gap", doc="World in which it is measured.")
    objects: str = param("seen", doc="Objects it is measured on.")
    service_timeout_s: float = param(
        120.0, doc="How long to wait for an answer or for an episode's end.", unit="s", low=1.0, high=3600.0
    )

    def __post_init__(self) -> None:
        for name in ("checkpoint", "run_dir"):
            if not getattr(self, name):
                raise RfsError(f"improve needs {name}: improve.launch.py gives it")
        for text in self.trainer_parameters:
            if ":=" not in text:
                raise RfsError(f"trainer_parameters has {text!r}, needs name:=value")


@dataclass
class Round:
    """What became of one round; round 0 is the policy before any."""

    number: int
    checkpoint: str
    """Id of the policy measured."""
    success: float
    """Without corrections."""
    collected: int = 0
    """Episodes with corrections that the policy was trained on."""
    collected_successes: int = 0
    """Of those of this round."""


def refuse_used_folder(config: ImproveConfig) -> None:
    """A trainer refuses the folder of another training, which it would do after all episodes of a round.

    Raises:
        RfsError: run_dir is that of another improvement.
    """
    for path in (training_dir(config, 1), figures_file(config)):
        if path.exists():
            raise RfsError(
                f"run_dir {config.run_dir} has {path.name} of another improvement: choose another run_dir, "
                "or move it away"
            )


def training_command(config: ImproveConfig, number: int) -> list[str]:
    """The trainer of one round, on all bags so far."""
    given = {
        "bags": str(Path(config.run_dir) / "bags"),
        "checkpoint": config.checkpoint,
        "run_dir": str(training_dir(config, number)),
        "seed": str(config.seed),
    }
    given |= dict(text.split(":=", 1) for text in config.trainer_parameters)
    parameters = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    return ["ros2", "run", "rfs_learning", config.trainer, "--ros-args", *parameters]


def training_dir(config: ImproveConfig, number: int) -> Path:
    """Folder of a round's training."""
    return Path(config.run_dir) / f"round_{number}"


def trained_checkpoint(config: ImproveConfig, number: int) -> Path:
    """What a round's training leaves.

    Raises:
        RfsError: it left nothing.
    """
    path = training_dir(config, number) / "checkpoints" / "policy.safetensors"
    if not path.is_file():
        raise RfsError(
            f"{config.trainer} left no {path}; its output is in {log_file(config, f'train_{number}')}"
        )
    return path


def evaluation_command(config: ImproveConfig, checkpoint: Path, number: int) -> list[str]:
    """The measurement of one policy."""
    return [
        "ros2", "run", "rfs_learning", "evaluate",
        "--checkpoint", str(checkpoint),
        "--task", config.task,
        "--world", config.world,
        "--objects", config.objects,
        "--episodes", str(config.evaluation_episodes),
        "--seed", str(config.seed + HELD_OUT_SEED),
        "--json", str(evaluation_file(config, number)),
    ]  # fmt: skip


def evaluation_file(config: ImproveConfig, number: int) -> Path:
    """Figures of one measurement."""
    return Path(config.run_dir) / f"evaluation_{number}.json"


def read_evaluation(path: Path) -> tuple[str, float]:
    """Checkpoint id and success rate of a measurement."""
    figures = json.loads(path.read_text(encoding="utf-8"))
    return str(figures["checkpoint"]), float(figures["success_rate"])


def figures_file(config: ImproveConfig) -> Path:
    """What became of the rounds so far."""
    return Path(config.run_dir) / "improvement.json"


def write_figures(config: ImproveConfig, rounds: list[Round]) -> Path:
    """Write what became of the rounds so far; where it stands."""
    path = figures_file(config)
    figures = {"config": asdict(config), "rounds": [asdict(each) for each in rounds]}
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return path


def log_file(config: ImproveConfig, name: str) -> Path:
    """What a command printed."""
    return Path(config.run_dir) / f"{name}.log"


def table(config: ImproveConfig, rounds: list[Round]) -> Table:
    """Success per round."""
    made = Table(
        title=f"{config.task}, {config.world} world, {config.objects} objects, {config.trainer}",
        title_justify="left",
    )
    for name in ("round", "success", "episodes it learned from", "successes while corrected", "checkpoint"):
        made.add_column(name, justify="right" if name != "checkpoint" else "left")
    for each in rounds:
        corrected = f"{each.collected_successes} of {config.episodes}" if each.number else ""
        made.add_row(str(each.number), f"{each.success:.3f}", str(each.collected), corrected, each.checkpoint)
    return made
