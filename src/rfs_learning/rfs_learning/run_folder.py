"""The folder of one training run: configuration, curves, checkpoints, the state to resume from, a report.

config.json                  what was asked for, and the command line
metrics.csv                  one row per logged step
events.out.tfevents.*        the same curves for TensorBoard
checkpoints/step_001000.safetensors, ...
training_state.safetensors   everything a resumed run needs
report.md                    written at the end
"""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from rfs_core.errors import RfsError
from rfs_learning.container import write_atomic

_CONFIG, _METRICS, _STATE, _REPORT = "config.json", "metrics.csv", "training_state.safetensors", "report.md"


class RunFolder:
    """Paths and writers of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []
        self._board: SummaryWriter | None = None

    @classmethod
    def create(cls, path: Path, config: dict[str, Any], command: str) -> RunFolder:
        """Start a new run.

        What a run left that ended before it wrote anything but its configuration is written over.

        Raises:
            RfsError: the folder already holds a run.
        """
        folder = cls(path)
        if folder.state_path.exists() or ((path / _CONFIG).exists() and folder._has_more()):
            raise RfsError(
                f"run_dir {path}: holds a run already; pass resume:=true to continue it, or name another"
            )
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        stored = {"command": command, "config": config}
        write_atomic(path / _CONFIG, (json.dumps(stored, indent=2) + "\n").encode())
        folder._open_board(purge_from=None)
        return folder

    @classmethod
    def resume(cls, path: Path, step: int) -> RunFolder:
        """Continue a run at `step`: what was logged after it is dropped, it will be logged again."""
        folder = cls(path)
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        metrics = path / _METRICS
        if metrics.exists():
            with metrics.open(newline="") as file:
                reader = csv.DictReader(file)
                # A row cut by a crash has no valid step, or misses values.
                rows = [
                    row
                    for row in reader
                    if (row["step"] or "").isdigit() and int(row["step"]) <= step and None not in row.values()
                ]
                folder._columns = list(reader.fieldnames or ())
            text = io.StringIO()
            writer = csv.DictWriter(text, folder._columns)
            writer.writeheader()
            writer.writerows(rows)
            write_atomic(metrics, text.getvalue().encode())
        folder._open_board(purge_from=step + 1)
        return folder

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def state_path(self) -> Path:
        """What a resumed run continues from."""
        return self.path / _STATE

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of `step` goes."""
        return self.checkpoints / f"step_{step:06d}.safetensors"

    def log(self, step: int, values: dict[str, float]) -> None:
        """Append a row of metrics. The first row names them all; a later one may lack what it did not
        measure."""
        row = {"step": step, **values}
        new = not self._columns
        self._columns = self._columns or list(row)
        with (self.path / _METRICS).open("a", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self._board is not None:
            for name, value in values.items():
                if math.isfinite(value):  # nan: not measured at this step
                    self._board.add_scalar(name, value, step)

    def metrics(self) -> list[dict[str, float]]:
        """All rows logged so far; nan: not measured at this step."""
        path = self.path / _METRICS
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return [
                {name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)
            ]

    def report(self, markdown: str) -> None:
        """Write the report of the finished run."""
        write_atomic(self.path / _REPORT, markdown.encode())

    def close(self) -> None:
        """Flush what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def _has_more(self) -> bool:
        """Whether a run left more than its configuration, empty curves and an empty folder."""
        made = [file for file in self.path.iterdir() if file.name not in (_CONFIG, self.checkpoints.name)]
        curves = all(file.name.startswith("events.out.tfevents.") for file in made)
        return not curves or any(self.checkpoints.glob("*"))

    def _open_board(self, purge_from: int | None) -> None:
        # purge_step: TensorBoard hides the events of an interrupted run that came after it.
        self._board = SummaryWriter(str(self.path), purge_step=purge_from)  # type: ignore[no-untyped-call]
