"""Which cells are to be made, in which order: first every cell once, then what they are worth in detail."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rfs_learning import checkpoint
from rfs_learning.benchmark.cell import STAGES, Cell, CellConfig
from rfs_learning.benchmark.executor import Executor, Job, Outcome
from rfs_learning.benchmark.process import read_json
from rfs_learning.benchmark.settings import BenchmarkError, settings_of


@dataclasses.dataclass(frozen=True)
class Matrix:
    """What is asked for."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    """Folder of the cells."""
    bases: dict[str, Path]
    """Base policy by task."""
    budget: int | None = None
    """Control steps; None: the task's."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Other values of `CellConfig`."""

    def config(self, task: str, method: str, seed: int, factor: int = 1) -> CellConfig:
        """What a cell is; `factor`: times the budget."""
        settings = settings_of(task)
        training = dataclasses.asdict(settings) | {"budget": (self.budget or settings.budget) * factor}
        return CellConfig(
            task=task,
            method=method,
            seed=seed,
            base_checkpoint=str(self.bases[task]),
            base_id=_loaded(self.bases[task]).id,
            **(training | self.options),
        )

    def folder(self, task: str, method: str, seed: int, factor: int = 1) -> Path:
        """Where a cell lies."""
        return self.out / task / method / (f"seed_{seed}" + (f"_x{factor}" if factor > 1 else ""))

    def cells(self) -> list[Cell]:
        """All cells, made where they do not exist: all tasks with the first seed, then with the second.

        Raises:
            BenchmarkError: a base policy is missing or of another task, or a folder holds a cell that was
                made in another way.
        """
        for task in self.tasks:
            base = self.bases[task]
            if not base.exists():
                raise BenchmarkError(
                    f"{base}: there is no base policy of {task}; name one with --base {task}=PATH"
                )
            if (trained_on := _loaded(base).header.task) != task:
                raise BenchmarkError(
                    f"{base}: was trained on task {trained_on!r}, not on {task!r}; name one of {task} with "
                    f"--base {task}=PATH"
                )
        return [
            Cell.create(self.folder(task, method, seed), self.config(task, method, seed))
            for seed in self.seeds
            for task in self.tasks
            for method in self.methods
        ]

    def losers(self, factor: int) -> list[Cell]:
        """Cells with `factor` times the budget, of every method that RFS beats; see `longer`."""
        cells = []
        for task in self.tasks:
            best = self._success(task, "rfs")
            for method in self.methods:
                mean = self._success(task, method)
                if method not in ("base", "rfs") and best is not None and mean is not None and mean < best:
                    cells += self._further(task, method, factor)
        return cells

    def longer(self, factor: int) -> list[Cell]:
        """Cells with `factor` times the budget for every method that is trained, RFS too."""
        trained = [method for method in self.methods if method != "base"]
        return [
            cell for task in self.tasks for method in trained for cell in self._further(task, method, factor)
        ]

    def _further(self, task: str, method: str, factor: int) -> list[Cell]:
        """Cells that go on from a copy of the first ones, of the seeds for which those are complete."""
        cells = []
        for seed in self.seeds:
            first = Cell(self.folder(task, method, seed))
            if not (first.path / "cell.json").exists() or not first.done("run"):
                continue
            folder = self.folder(task, method, seed, factor)
            if not (folder / "train").exists():
                partial = folder / "train.partial"
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(first.path / "train", partial)
                partial.rename(folder / "train")
            cells.append(Cell.create(folder, self.config(task, method, seed, factor)))
        return cells

    def _success(self, task: str, method: str) -> float | None:
        """Mean over the seeds that are there."""
        rates = [
            float(figures["success_rate"])
            for seed in self.seeds
            if (figures := read_json(self.folder(task, method, seed) / "evaluation.json"))
        ]
        return sum(rates) / len(rates) if rates else None


@functools.cache
def _loaded(path: Path) -> checkpoint.Checkpoint:
    """A base policy; its digests are checked once."""
    return checkpoint.load(path)


def make(
    cells: Sequence[Cell],
    executor: Executor,
    stages: Iterable[str] = STAGES,
    report: Callable[[Outcome | None, int], None] = lambda outcome, left: None,
) -> list[Outcome]:
    """Make what is not done, stage after stage; returns what failed.

    Args:
        report: told of each outcome, and first of how many jobs of a stage there are, with outcome None.
    """
    failed: list[Outcome] = []
    for stage in sorted(stages, key=STAGES.index):
        broken = {outcome.job.folder for outcome in failed}
        jobs = [Job(cell.path, stage) for cell in cells if cell.path not in broken and not cell.done(stage)]
        report(None, len(jobs))
        for left, outcome in zip(range(len(jobs) - 1, -1, -1), executor.run(jobs), strict=True):
            if outcome.error:
                failed.append(outcome)
            report(outcome, left)
    return failed
