"""When is which channel needed? Success over offset of the demonstrations and width of their finger modes.

    ros2 run rfs_learning benchmark_map --workers 2
    ros2 run rfs_learning benchmark_map --offsets 0 0.015 0.03 --mode-widths 0 0.5 --report-only

For every point of the grid demonstrations of stack are made with that offset (m, constant, diagonal) and with
fingers that in 6 of 10 episodes stop so far before they are open (rad, the widest joint); a base policy is
trained on them, then the methods on top of it, by the matrix of `benchmark`. Everything is under
OUT/o<mm>_w<mrad>; what is complete is not made again, whatever ended the last call: the same command goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rfs_core.errors import RfsError
from rfs_learning.benchmark import table
from rfs_learning.benchmark.executor import Job, LocalExecutor
from rfs_learning.benchmark.figures import pyplot
from rfs_learning.benchmark.process import end_with_parent, locked
from rfs_learning.benchmark.settings import (
    DEFAULT_METHODS,
    METHOD_TITLES,
    BenchmarkError,
    check_methods,
    settings_of,
)
from rfs_learning.container import write_atomic

TASK = "stack"
_FULL_WIDTH = 0.728
"""rad: how far the widest finger joint of the demonstrator moves between closed and open."""
_BASE_STEPS = 8000


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of the map."""

    offset: float
    """m: how far beside the goal the demonstrations set the brick down."""
    mode_width: float
    """rad: by how much the widest finger joint stays before open, in 6 of 10 episodes."""

    def __post_init__(self) -> None:
        if not (0.0 <= self.offset <= 0.1 and math.isfinite(self.offset)):
            raise BenchmarkError(f"offset is {self.offset} m, allowed are 0 to 0.1")
        if not 0.0 <= self.mode_width <= _FULL_WIDTH:
            raise BenchmarkError(f"mode width is {self.mode_width} rad, allowed are 0 to {_FULL_WIDTH}")

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"o{1000 * self.offset:g}_w{1000 * self.mode_width:g}"

    @property
    def defects(self) -> list[str]:
        """Options of collect_demonstrations."""
        side = self.offset / math.sqrt(2.0)
        # fmt: off
        return [
            "--bias", f"{side:.6f}", f"{-side:.6f}", "--bias-growth", "0",
            "--partial-opening", f"{1.0 - self.mode_width / _FULL_WIDTH:.6f}",
        ]
        # fmt: on


def steps_of(point: Point, folder: Path, options: argparse.Namespace) -> list[tuple[Path | None, list[str]]]:
    """What is to be done for a point: the file that says that it is done, and the command; None where the
    command itself knows."""
    demos, base = folder / "demos.npz", folder / "base"
    last = base / "checkpoints" / f"step_{options.base_steps:06d}.safetensors"
    resume = str((base / "training_state.safetensors").exists()).lower()
    # fmt: off
    return [
        (demos, [
            "ros2", "run", "rfs_sim", "collect_demonstrations", "--task", TASK, "--seed", "0",
            "--episodes", str(options.demonstrations), *point.defects, "--out", str(demos),
        ]),
        (base / "report.md", [
            "ros2", "run", "rfs_learning", "base_trainer", "--ros-args", "-p", f"name:={TASK}_base",
            "-p", f"demonstrations:={demos}", "-p", f"run_dir:={base}", "-p", f"steps:={options.base_steps}",
            "-p", "seed:=0", "-p", f"resume:={resume}",
        ]),
        (None, [
            "ros2", "run", "rfs_learning", "benchmark", "--tasks", TASK, "--methods", *options.methods,
            "--seeds", "0", "--base", f"{TASK}={last}", "--budget", str(options.budget), "--stages", "run",
            "--workers", "1", "--no-figures", "--episodes", str(options.episodes),
            "--out", str(folder / "cells"),
        ]),
    ]
    # fmt: on


def make_point(point: Point, folder: Path, options: argparse.Namespace) -> None:
    """Do what is left of a point.

    Raises:
        BenchmarkError: one of its commands failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        for index in range(len(steps_of(point, folder, options))):
            done, command = steps_of(point, folder, options)[index]
            if done is None or not done.exists():
                _run(command)


def _run(command: list[str]) -> None:
    """Run a command, as long as there is somebody to run it for."""
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            end_with_parent()
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise BenchmarkError(f"{' '.join(command[:4])} ended with {process.returncode}")


@dataclasses.dataclass(frozen=True)
class PointJob(Job):
    """A point as a process of its own."""

    given: tuple[str, ...] = ()
    """Its command line."""

    @property
    def command(self) -> list[str]:
        """See `Job`."""
        return [sys.executable, "-m", "rfs_learning.benchmark.map", *self.given]


def rows(out: Path, points: Sequence[Point], methods: Sequence[str]) -> list[dict[str, Any]]:
    """Offset, mode width and the success of every method, None where it is not there yet."""
    made: list[dict[str, Any]] = []
    for point in points:
        found = {r.method: r.success for r in table.load(out / point.name / "cells")}
        rates: dict[str, float | None] = {method: found.get(method) for method in methods}
        made.append({"offset": point.offset, "mode_width": point.mode_width, **rates})
    return made


def to_csv(made: Sequence[dict[str, Any]], methods: Sequence[str]) -> str:
    """One line per point."""
    lines = [",".join(["offset_m", "mode_width_rad", *methods])]
    for row in made:
        rates = ["" if row[m] is None else f"{row[m]:.4f}" for m in methods]
        lines.append(",".join([f"{row['offset']:g}", f"{row['mode_width']:g}", *rates]))
    return "\n".join([*lines, ""])


def draw(made: Sequence[dict[str, Any]], methods: Sequence[str], path: Path) -> None:
    """One panel per method, success as colour and number."""
    plt = pyplot()
    offsets = sorted({row["offset"] for row in made})
    widths = sorted({row["mode_width"] for row in made})
    figure, axes = plt.subplots(
        1, len(methods), figsize=(3.4 * len(methods), 3.4), squeeze=False, layout="constrained"
    )
    for axis, method in zip(axes[0], methods, strict=True):
        rates = {(row["offset"], row["mode_width"]): row[method] for row in made}
        grid = [[_number(rates.get((o, w))) for o in offsets] for w in widths]
        axis.imshow(grid, origin="lower", vmin=0.0, vmax=1.0, cmap="viridis", aspect="auto")
        for j, values in enumerate(grid):
            for i, value in enumerate(values):
                text = "-" if math.isnan(value) else f"{value:.2f}"
                axis.text(i, j, text, ha="center", va="center", color="white" if not value > 0.6 else "black")
        axis.set_title(METHOD_TITLES[method], fontsize=10)
        axis.set_xticks(range(len(offsets)), [f"{100 * o:g}" for o in offsets])
        axis.set_yticks(range(len(widths)), [f"{w:g}" for w in widths])
        axis.set_xlabel("offset, cm")
    axes[0][0].set_ylabel("mode width, rad")
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="benchmark_map", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--offsets", nargs="+", type=float, default=[0.0, 0.01, 0.02, 0.03], help="m")
    made.add_argument("--mode-widths", nargs="+", type=float, default=[0.0, 0.2, 0.4, 0.6], help="rad")
    made.add_argument("--methods", nargs="+", default=list(DEFAULT_METHODS), help="as for benchmark")
    made.add_argument("--budget", type=int, default=settings_of(TASK).budget, help="control steps of a cell")
    made.add_argument("--episodes", type=int, default=512, help="episodes of the final evaluation")
    made.add_argument("--demonstrations", type=int, default=400, help="episodes of demonstrations")
    made.add_argument("--base-steps", type=int, default=_BASE_STEPS, help="updates of the base policy")
    made.add_argument("--out", type=Path, default=Path("runs/benchmark_map"), help="folder of the points")
    made.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="points at once")
    made.add_argument("--report-only", action="store_true", help="make no point, write what there is")
    made.add_argument("--publish", type=Path, metavar="FOLDER", help="copy figure and CSV there")
    made.add_argument("--point", action="store_true", help=argparse.SUPPRESS)
    return made


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Make the points and the figure; returns the exit code.

    Raises:
        RfsError: a value out of range, or an unknown method.
    """
    check_methods(options.methods)
    points = [Point(o, w) for o in options.offsets for w in options.mode_widths]
    if options.point:
        make_point(points[0], options.out / points[0].name, options)
        return 0
    failed = 0
    if not options.report_only:
        jobs = []
        for point in points:
            folder = options.out / point.name
            folder.mkdir(parents=True, exist_ok=True)
            own = ("--offsets", f"{point.offset!r}", "--mode-widths", f"{point.mode_width!r}", "--point")
            jobs.append(PointJob(folder, "point", (*given, *own)))
        for outcome in LocalExecutor(max(1, options.workers)).run(jobs):
            failed += bool(outcome.error)
            print(f"{outcome.job.folder.name}: {outcome.error or 'done'}", flush=True)
    made = rows(options.out, points, options.methods)
    write_atomic(options.out / "map.csv", to_csv(made, options.methods).encode())
    draw(made, options.methods, options.out / "map.png")
    for name in ("map.csv", "map.png"):
        if options.publish is not None:
            write_atomic(options.publish / name, (options.out / name).read_bytes())
    print(f"map: {options.out / 'map.png'}, {options.out / 'map.csv'}")
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning benchmark_map`."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        sys.exit(run(parser().parse_args(given), given))
    except RfsError as error:
        print(f"benchmark_map: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("benchmark_map: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
