"""One cell of the matrix: a task, a method, a seed. Its folder holds everything about it.

cell.json            what was asked for
revisions.json       the code that each part was made with
train/               the trainer's folder: configuration, curve, checkpoints, what it resumes from
evaluation.json      the final evaluation, with every episode
diagnostics.json     the same policy with parts switched off, and under growing disturbance
videos/              a few successes and failures of the final evaluation
result.json          all of it in small: what tables and reports are made of
log.txt              what was printed

A cell is made stage by stage; a stage that is complete is not done again, one that was interrupted goes on
from what is on disk. Run by `rfs_learning.benchmark.executor` as a process of its own:

    python -m rfs_learning.benchmark.cell FOLDER STAGE
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rfs_core.config import from_mapping, param, to_mapping
from rfs_core.errors import RfsError
from rfs_learning import checkpoint
from rfs_learning.benchmark import measure
from rfs_learning.benchmark.process import end_with_parent, finish, locked, read_json, write_json
from rfs_learning.benchmark.revision import revision
from rfs_learning.benchmark.settings import METHODS, BenchmarkError
from rfs_learning.policy import Policy
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.rl.ppo_runner import PpoRunner
from rfs_learning.run_folder import RunFolder
from rfs_learning.steering import SteeringLayout
from rfs_learning.vec_env import VecEnv, make_env

STAGES = ("run", "diagnose", "film")
"""run: training and the final evaluation."""

EVALUATION_SEED = 3_000_003
"""Added to the cell's seed: episodes that neither trained nor chose a checkpoint."""

CURVE = ("step", "evaluation/success", "train/success", "cpu_s")
"""Columns of a result's curve."""

FILM_GROUP = "rfs.films"
"""Entry points that film episodes, by engine: film(checkpoint, task, seed, episode, out, physics_dt=...)."""


@dataclasses.dataclass(frozen=True)
class CellConfig:
    """What a cell is."""

    task: str = param("grasp", doc="Task")
    method: str = param("rfs", doc="What is trained", choices=tuple(METHODS))
    seed: int = param(0, doc="Seed of the training; the evaluation's is derived from it", low=0, high=2**30)
    base_checkpoint: str = param("", doc="Base policy")
    base_id: str = param("", doc="Its id")
    budget: int = param(600_000, doc="Control steps to train for", low=1)
    noise_std: float = param(0.8, doc="Initial exploration of a_0", low=0.001, high=3.0)
    residual_std: float = param(0.15, doc="Initial exploration of the residual", low=0.001)
    evaluate_every: int = param(100_000, doc="Control steps between evaluations while training", low=1)
    choosing_episodes: int = param(256, doc="Episodes of such an evaluation", low=1)
    num_envs: int = param(256, doc="Environments side by side", low=1, high=65536)
    engine: str = param("mujoco", doc="Engine, an entry point of rfs.engines")
    train_dt: float = param(0.01, doc="Step of the physics while training", unit="s", low=0.0005, high=0.05)
    evaluate_dt: float = param(0.005, doc="Step of the physics afterwards", unit="s", low=0.0005, high=0.05)
    episodes: int = param(1024, doc="Episodes of the final evaluation", low=1)
    diagnostic_episodes: int = param(256, doc="Episodes of every diagnostic", low=1)
    disturbances: tuple[float, ...] = param(
        (0.0, 2.0, 4.0, 8.0),
        doc="Disturbances, as multiples of the task's, that the policy must bear",
        low=0.0,
    )
    films: int = param(2, doc="Successes, and failures, that are filmed", low=0, high=16)

    @property
    def modulation(self) -> str:
        """ "base", or what is trained."""
        return str(METHODS[self.method].get("modulation", "base"))


MAY_CHANGE = ("budget", "episodes", "diagnostic_episodes", "disturbances", "films", "base_checkpoint")
"""What a later call may ask for differently, though not less budget."""


class Cell:
    """The folder of a cell and what is done in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, config: CellConfig) -> Cell:
        """Write down what is asked for; a cell keeps what it has, one in which nothing was made is replaced.

        Raises:
            ConfigError: a value out of range; nothing is written.
            BenchmarkError: the folder holds a cell that was made in another way.
        """
        from_mapping(CellConfig, to_mapping(config))
        cell = cls(path)
        file = path / "cell.json"
        if file.exists() and not cell.begun and read_json(file) != to_mapping(config):
            # Somebody may be about to make it as it was asked for before.
            with locked(path / "lock"):
                pass
        if file.exists() and cell.begun:
            old, new = to_mapping(cell.config), to_mapping(config)
            other = [
                key
                for key in new
                if old[key] != new[key] and key not in MAY_CHANGE and (key, old[key]) != ("base_id", "")
            ]
            if other:
                told = ", ".join(f"{key} {old[key]}, asked for is {new[key]}" for key in other)
                raise BenchmarkError(f"{path} was made with {told}: name another --out, or remove the cell")
            if new["budget"] < old["budget"] and (path / "train").exists():
                raise BenchmarkError(
                    f"{path} trains for {old['budget']} control steps, asked for are {new['budget']}, "
                    f"which is less: name another --out, or remove the cell"
                )
        write_json(file, to_mapping(config))
        return cell

    @property
    def config(self) -> CellConfig:
        """What was asked for."""
        return from_mapping(CellConfig, read_json(self.path / "cell.json"))

    @property
    def checkpoint_path(self) -> Path:
        """The policy that is measured."""
        if self.config.method == "base":
            return Path(self.config.base_checkpoint)
        return self.path / "train" / "checkpoints" / "best.safetensors"

    @property
    def begun(self) -> bool:
        """Whether there is something that was made as `cell.json` says."""
        return (self.path / "train").exists() or (self.path / "evaluation.json").exists()

    def done(self, stage: str) -> bool:
        """Whether a stage has nothing left to do."""
        config = self.config
        evaluation = read_json(self.path / "evaluation.json")
        evaluated = (evaluation.get("budget"), evaluation.get("episodes")) == (config.budget, config.episodes)
        if stage == "run" or not evaluated:
            return evaluated
        made = read_json(self.path / ("diagnostics.json" if stage == "diagnose" else "films.json"))
        if made.get("checkpoint") != evaluation["checkpoint"]:
            return False
        return stage == "film" or not self._missing_diagnostics(made.get("figures", {}))

    def make(self, stage: str) -> None:
        """Do what is left of a stage.

        Raises:
            RfsError: it cannot be done; what was done before stays.
        """
        if stage not in STAGES:
            raise BenchmarkError(f"stage is {stage!r}, known are {', '.join(STAGES)}")
        with locked(self.path / "lock"):
            if self.done(stage):
                return
            {"run": self._run, "diagnose": self._diagnose, "film": self._film}[stage]()
            write_json(self.path / "result.json", self.result())

    # --- stages ---

    def _run(self) -> None:
        config = self.config
        if config.method != "base":
            self._train()
        self._note_revision("evaluate")
        policy, layout, env = self._prepare()
        started = time.process_time()
        figures, played = finish(measure.measure(policy, layout, env, self._seed, config.episodes))
        write_json(
            self.path / "evaluation.json",
            {
                "checkpoint": policy.checkpoint_id,
                "budget": config.budget,
                "seed": self._seed,
                "physics_dt": config.evaluate_dt,
                "cpu_s": round(time.process_time() - started, 1),
                **figures,
                "per_episode": [dataclasses.asdict(episode) for episode in played],
            },
        )

    def _train(self) -> None:
        config = self.config
        folder = RunFolder(self.path / "train")
        trained = folder.metrics()
        if trained and trained[-1]["step"] >= config.budget and (folder.path / "report.md").exists():
            return
        self._note_revision("train")
        if not folder.state_path.exists():
            # Killed before there was a state to resume from: from the start.
            shutil.rmtree(folder.path, ignore_errors=True)
        runner = PpoRunner(
            PpoTrainerConfig(
                task=config.task,
                base_checkpoint=config.base_checkpoint,
                budget=config.budget,
                seed=config.seed,
                run_dir=str(folder.path),
                resume=folder.state_path.exists(),
                engine=config.engine,
                num_envs=config.num_envs,
                physics_dt=config.train_dt,
                noise_std=config.noise_std,
                residual_std=config.residual_std,
                evaluate_every=config.evaluate_every,
                evaluation_episodes=config.choosing_episodes,
                final_episodes=0,
                **METHODS[config.method],
            ),
            f"ros2 run rfs_learning benchmark --tasks {config.task} --methods {config.method} "
            f"--seeds {config.seed} --budget {config.budget}",
        )
        try:
            while not runner.done:
                end_with_parent()
                runner.advance()
        finally:
            runner.close()

    def _diagnose(self) -> None:
        config = self.config
        policy, layout, env = self._prepare()
        self._note_revision("diagnose")
        file = self.path / "diagnostics.json"
        made = read_json(file)
        if made.get("checkpoint") != policy.checkpoint_id:
            made = {"checkpoint": policy.checkpoint_id, "figures": {}}
        for name in self._missing_diagnostics(made["figures"]):
            kind, _, what = name.partition("/")
            if kind == "disturbance":
                disturbed = self._make_env(disturbance=float(what))
                figures, _ = finish(
                    measure.measure(policy, layout, disturbed, self._seed, config.diagnostic_episodes)
                )
            else:
                figures = finish(
                    measure.measure_switch(what, policy, layout, env, self._seed, config.diagnostic_episodes)
                )
            made["figures"][name] = figures
            write_json(file, made)

    def _missing_diagnostics(self, figures: dict[str, Any]) -> list[str]:
        """Names of those that are not there, or are over another number of episodes."""
        config = self.config
        wanted = [f"switch/{name}" for name in measure.SWITCHES[config.modulation]] + [
            f"disturbance/{factor:g}" for factor in config.disturbances
        ]
        return [
            name
            for name in wanted
            if name not in figures or figures[name].get("episodes") != config.diagnostic_episodes
        ]

    def _film(self) -> None:
        config = self.config
        evaluation = read_json(self.path / "evaluation.json")
        found = {entry.name: entry for entry in entry_points(group=FILM_GROUP)}
        films: list[dict[str, Any]] = []
        if config.engine in found:
            film: Callable[..., tuple[Path, str]] = found[config.engine].load()
            chosen = _to_film(evaluation["per_episode"], config.films)
            shutil.rmtree(self.path / "videos", ignore_errors=True)
            for episode in chosen:
                end_with_parent()
                out = self.path / "videos" / f"episode_{episode['episode']}.mp4"
                made, verdict = film(
                    self.checkpoint_path,
                    config.task,
                    evaluation["seed"],
                    episode["episode"],
                    out,
                    physics_dt=config.evaluate_dt,
                )
                films.append({**episode, "file": f"videos/{made.name}", "filmed": verdict})
        write_json(self.path / "films.json", {"checkpoint": evaluation["checkpoint"], "films": films})

    # --- what it is made of ---

    def result(self) -> dict[str, Any]:
        """Everything about the cell but checkpoints, single episodes and videos."""
        config = self.config
        evaluation = read_json(self.path / "evaluation.json")
        evaluation.pop("per_episode", None)
        curve = RunFolder(self.path / "train").metrics() if config.method != "base" else []
        header = checkpoint.load(self.checkpoint_path).header
        diagnostics = read_json(self.path / "diagnostics.json")
        current = diagnostics.get("checkpoint") == evaluation.get("checkpoint")
        return {
            "config": {**to_mapping(config), "base_checkpoint": Path(config.base_checkpoint).name},
            "base": checkpoint.load(config.base_checkpoint).id,
            "revisions": read_json(self.path / "revisions.json").get("revisions", []),
            "steps": int(curve[-1]["step"]) if curve else 0,
            "best_step": int(header.config.get("step", 0)) if curve else 0,
            "cpu_s": curve[-1]["cpu_s"] if curve else 0.0,
            "curve": [
                {name: None if math.isnan(row[name]) else row[name] for name in CURVE}
                for row in curve
                if not math.isnan(row["evaluation/success"])
            ],
            "evaluation": evaluation,
            "diagnostics": diagnostics.get("figures", {}) if current else {},
        }

    @property
    def _seed(self) -> int:
        return EVALUATION_SEED + self.config.seed

    def _prepare(self) -> tuple[Policy, SteeringLayout, VecEnv]:
        env = self._make_env()
        loaded = checkpoint.load(self.checkpoint_path)
        if loaded.header.task != self.config.task:
            raise BenchmarkError(
                f"{self.checkpoint_path}: was trained on task {loaded.header.task!r}, the cell is of "
                f"{self.config.task!r}: choose a checkpoint of {self.config.task!r}"
            )
        policy = Policy.load(self.checkpoint_path, env.action_spec, env.observation_spec)
        steering = loaded.header.architecture.get("steering")
        layout = (
            SteeringLayout.from_dict(steering) if steering else SteeringLayout.of(env.action_spec, "none")
        )
        return policy, layout, env

    def _make_env(self, **options: Any) -> VecEnv:
        config = self.config
        count = min(config.num_envs, max(config.episodes, config.diagnostic_episodes))
        return make_env(
            config.engine, config.task, count, physics_dt=config.evaluate_dt, autoreset=False, **options
        )

    def _note_revision(self, part: str) -> None:
        file = self.path / "revisions.json"
        noted = read_json(file).get("revisions", [])
        now = {"part": part, **revision()}
        if not noted or noted[-1] != now:
            write_json(file, {"revisions": [*noted, now]})


def _to_film(episodes: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The first successes, and failures that ended in different ways as far as there are."""
    won = [episode for episode in episodes if episode["success"]]
    lost = [episode for episode in episodes if not episode["success"]]
    first_of = {episode["outcome"]: episode for episode in reversed(lost)}
    kinds = sorted(first_of.values(), key=lambda episode: int(episode["episode"]))
    others = [episode for episode in lost if episode not in kinds]
    return won[:count] + (kinds + others)[:count]


def main() -> None:
    """Entry point of the process that makes one stage of one cell."""
    folder, stage = Path(sys.argv[1]), sys.argv[2]
    try:
        Cell(folder).make(stage)
    except RfsError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
