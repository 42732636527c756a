"""Measure a policy that sees points by where the camera stands, by calibration error and by noise.

    ros2 run rfs_learning evaluate_cameras --checkpoint checkpoints/grasp_points.safetensors --episodes 256

One row for every setting of `CELLS`: the viewpoints of training and one that training never had, each with an
exact calibration and with one that is off; then, at the table, more noise and more error. Every row plays the
same episodes, 0 to N - 1 of the seed. Figures go to results/cameras/TASK.json, row by row; the same command
goes on where it was interrupted. `--from FILE` prints the table of such a file.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rfs_core.errors import RfsError
from rfs_core.tasks import points as points_task
from rfs_learning import checkpoint, evaluate
from rfs_learning.container import write_atomic

TRAINED = ("table", "left", "right", "high")
"""Viewpoints of the distillation."""
NEW = ("low",)
"""Viewpoints that no policy was trained with."""


@dataclass(frozen=True)
class Cell:
    """A camera and what is wrong with it."""

    viewpoint: str = "table"
    camera_position_error: float = 0.0
    """m"""
    camera_rotation_error: float = 0.0
    """degrees"""
    point_noise: float = 0.0
    """m"""

    def options(self) -> list[str]:
        """As `evaluate` takes them."""
        given = {f"--{name.replace('_', '-')}": value for name, value in asdict(self).items()}
        return [str(each) for pair in given.items() for each in pair]


def _off(viewpoint: str) -> Cell:
    return Cell(viewpoint, 0.01, 1.0, 0.003)


CELLS = (
    *(cell for name in (*TRAINED, *NEW) for cell in (Cell(name), _off(name))),
    *(Cell(point_noise=noise) for noise in (0.003, 0.006, 0.01)),
    *(Cell("table", error, 100.0 * error) for error in (0.01, 0.02, 0.03)),
)
"""What is measured: viewpoints, then noise alone, then error of the calibration alone (a degree for every
centimetre)."""


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Rows of the results file as a table for documents, with 95 % Wilson intervals."""
    lines = [
        "| camera at | calibration off by | noise | success | interval | most failures |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cell = Cell(**row["cell"])
        name = cell.viewpoint + (" (not in training)" if cell.viewpoint in NEW else "")
        low, high = row["interval_95"]
        lost = [(count, words) for words, count in row["outcomes"].items() if words != "success"]
        off = f"{100 * cell.camera_position_error:g} cm, {cell.camera_rotation_error:g}°"
        lines.append(
            f"| {name} | {off if cell.camera_position_error else 'nothing'} "
            f"| {1000 * cell.point_noise:g} mm | {_short(row['success_rate'])} "
            f"| {_short(low)} - {_short(high)} | {'{} {}'.format(*max(lost)) if lost else ''} |"
        )
    return "\n".join(lines)


def _short(rate: float) -> str:
    """A share as documents write it: .937"""
    return f"{rate:.3f}".removeprefix("0")


class Results:
    """The results file: settings that all rows share, and rows."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Begin it, or go on with the one of the same settings.

        Raises:
            RfsError: the file is none, or of another checkpoint, seed or number of episodes.
        """
        self.path, self.settings = path, settings
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            stored = read(path)
            were = {name: stored[name] for name in settings}
            if were != settings:
                raise RfsError(f"{path}: was measured with {were}, asked for is {settings}: move it away")
            self.rows = stored["rows"]

    def row_of(self, cell: Cell) -> dict[str, Any] | None:
        """What was measured there, if it was."""
        return next((row for row in self.rows if row["cell"] == asdict(cell)), None)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, on disk too, in the order of `CELLS`."""
        order = [asdict(cell) for cell in CELLS]
        self.rows = sorted([*self.rows, row], key=lambda each: order.index(each["cell"]))
        text = json.dumps({**self.settings, "rows": self.rows}, indent=1, allow_nan=False)
        write_atomic(self.path, (text + "\n").encode())


def read(path: Path) -> dict[str, Any]:
    """A results file.

    Raises:
        RfsError: the file cannot be read or is something else.
    """
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not {"checkpoint", "task", "seed", "episodes", "physics_dt", "rows"} <= set(stored):
            raise ValueError("rows or settings are missing")
        for row in stored["rows"]:
            Cell(**row["cell"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RfsError(f"{path}: is no file that evaluate_cameras wrote ({error})") from error
    return stored


def measure(source: Path, cell: Cell, arguments: argparse.Namespace) -> dict[str, Any]:
    """One row: `evaluate` with this camera."""
    options = [
        "--checkpoint", str(source), "--episodes", str(arguments.episodes), "--seed", str(arguments.seed),
        "--physics-dt", str(arguments.physics_dt), "--batch", str(arguments.batch), *cell.options(),
    ]  # fmt: skip
    command = shlex.join(["ros2", "run", "rfs_learning", "evaluate", *options])
    figures = evaluate.run(evaluate.parser().parse_args(options), command)
    kept = ("command", "success_rate", "successes", "interval_95", "outcomes")
    return {"cell": asdict(cell), **{name: figures[name] for name in kept}}


def run(arguments: argparse.Namespace) -> str:
    """Measure what is missing; returns the table.

    Raises:
        RfsError: the checkpoint cannot be used or sees no points, or the file is of something else.
    """
    made = checkpoint.load(arguments.checkpoint)
    if not points_task.count_of(made.header.observation_spec):
        raise RfsError(
            f"{arguments.checkpoint}: sees no points; use evaluate for policies that see the state"
        )
    out = arguments.out or Path("results/cameras") / f"{made.header.task}.json"
    settings = {
        "checkpoint": made.id,
        "task": made.header.task,
        "seed": arguments.seed,
        "episodes": arguments.episodes,
        "physics_dt": arguments.physics_dt,
    }
    results = Results(out, settings)
    for cell in CELLS:
        if results.row_of(cell) is None:
            results.add(measure(arguments.checkpoint, cell, arguments))
    print(f"written: {out}")
    return table(results.rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate_cameras", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--checkpoint", type=Path, help="checkpoint that sees points")
    what.add_argument("--from", dest="source", type=Path, help="print the table of this results file")
    parser.add_argument("--episodes", type=evaluate.positive, default=256, help="of every row")
    parser.add_argument("--seed", type=evaluate.not_negative, default=0, help="seed of episodes and noise")
    parser.add_argument("--physics-dt", type=float, default=0.01, help="s, step of the physics")
    parser.add_argument("--batch", type=evaluate.positive, default=64, help="environments side by side")
    parser.add_argument("--out", type=Path, help="results file; default: results/cameras/TASK.json")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning evaluate_cameras`."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.source is not None:
            print(table(read(arguments.source)["rows"]))
        else:
            print(run(arguments))
    except RfsError as error:
        print(f"evaluate_cameras: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("evaluate_cameras: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
