"""Run the matrix of tasks, methods and seeds, and write the table beside the paper's.

    ros2 run rfs_learning benchmark --tasks stack place --methods base noise residual rfs --seeds 0 1 2
    ros2 run rfs_learning benchmark --tasks stack --losers-budget 3
    ros2 run rfs_learning benchmark --report-only

Every cell has a folder, OUT/TASK/METHOD/seed_N. A cell that is complete is not made again; one that was
interrupted goes on where it stopped, whatever ended it: give the same command again. The report is written to
OUT/report after every cell. How to read it: docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rfs_core import tasks as known_tasks
from rfs_core.errors import RfsError
from rfs_learning.benchmark import figures, table
from rfs_learning.benchmark.cell import STAGES
from rfs_learning.benchmark.executor import Executor, LocalExecutor, Outcome, RayExecutor
from rfs_learning.benchmark.html_report import html_report
from rfs_learning.benchmark.markdown import markdown
from rfs_learning.benchmark.matrix import Matrix, make
from rfs_learning.benchmark.settings import (
    DEFAULT_METHODS,
    METHODS,
    PAPER_TASKS,
    BenchmarkError,
    check_methods,
    check_tasks,
    in_order,
)
from rfs_learning.container import write_atomic


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    there = in_order(set(known_tasks.TASKS) & set(PAPER_TASKS))
    made.add_argument(
        "--tasks", nargs="+", default=there, help=f"known: {', '.join(in_order(known_tasks.TASKS))}"
    )
    made.add_argument(
        "--methods", nargs="+", default=list(DEFAULT_METHODS), help=f"known: {', '.join(METHODS)}"
    )
    made.add_argument("--seeds", nargs="+", type=_whole, default=[0], help="seeds of the training")
    made.add_argument("--budget", type=_whole, help="control steps of every cell; default: each task's own")
    made.add_argument(
        "--losers-budget",
        type=_whole,
        metavar="N",
        help="then train what RFS beats on, to N times the budget, in cells of their own",
    )
    made.add_argument(
        "--longer-budget",
        type=_whole,
        metavar="N",
        help="the same for every method that is trained, RFS too",
    )
    made.add_argument("--out", type=Path, default=Path("runs/benchmark"), help="folder of the cells")
    made.add_argument(
        "--base",
        nargs="+",
        default=[],
        metavar="TASK=PATH",
        help="base policies; default: checkpoints/TASK_base",
    )
    made.add_argument(
        "--stages", nargs="+", choices=STAGES, default=list(STAGES), help="what is made of each cell"
    )
    made.add_argument(
        "--workers", type=_whole, default=os.cpu_count() or 1, help="cells at once on this machine"
    )
    made.add_argument("--ray-address", help="run the cells on this Ray cluster instead; OUT must be shared")
    made.add_argument(
        "--num-envs", type=_whole, help="environments side by side in a cell; default: each task's"
    )
    made.add_argument("--episodes", type=_whole, default=1024, help="episodes of the final evaluation")
    made.add_argument("--diagnostic-episodes", type=_whole, default=256, help="episodes of each diagnostic")
    made.add_argument("--train-dt", type=float, help="s, physics step while training; default: each task's")
    made.add_argument("--engine", default="mujoco", help="engine, an entry point of rfs.engines")
    made.add_argument("--no-figures", action="store_true", help="write no pictures")
    made.add_argument(
        "--report-only", action="store_true", help="make no cell, write the report of what there is"
    )
    made.add_argument(
        "--publish", type=Path, metavar="FOLDER", help="copy the small results and the report there"
    )
    return made


def _whole(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is {text!r}, must be a whole number >= 0") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"is {value}, must be >= 0")
    return value


def matrix_of(arguments: argparse.Namespace) -> Matrix:
    """What the arguments ask for.

    Raises:
        BenchmarkError: an unknown task or method, or a --base that is not TASK=PATH.
    """
    check_tasks(arguments.tasks)
    check_methods(arguments.methods)
    bases = {task: Path("checkpoints") / f"{task}_base.safetensors" for task in arguments.tasks}
    for given in arguments.base:
        task, equals, path = given.partition("=")
        if not equals or task not in bases:
            raise BenchmarkError(f"--base {given}: must be TASK=PATH, TASK one of {', '.join(bases)}")
        bases[task] = Path(path)
    for name in ("budget", "num_envs", "episodes", "diagnostic_episodes", "workers"):
        if getattr(arguments, name) == 0:
            raise BenchmarkError(f"--{name.replace('_', '-')} is 0, must be at least 1")
    return Matrix(
        tuple(dict.fromkeys(arguments.tasks)),
        tuple(dict.fromkeys(arguments.methods)),
        tuple(dict.fromkeys(arguments.seeds)),
        arguments.out,
        bases,
        arguments.budget,
        {
            "episodes": arguments.episodes,
            "diagnostic_episodes": arguments.diagnostic_episodes,
            "engine": arguments.engine,
        }
        | {
            name: value
            for name in ("train_dt", "num_envs")
            if (value := getattr(arguments, name)) is not None
        },
    )


def write_report(cells: Path, folder: Path, pictures: bool) -> list[table.Result]:
    """Table, CSV, pictures and the HTML file of all cells that have a result."""
    results = table.load(cells)
    if not results:
        return []
    drawn = figures.draw(results, folder) if pictures else []
    text = markdown(results, [path.name for path in drawn])
    write_atomic(folder / "benchmark.md", text.encode())
    write_atomic(folder / "benchmark.csv", table.to_csv(results).encode())
    write_atomic(folder / "benchmark.html", html_report(text, drawn, results).encode())
    return results


def publish(results: Sequence[table.Result], report: Path, folder: Path) -> None:
    """Copy what is small: each cell's result and the report without videos.

    What was published there before and is not among the results is removed, once all of them are written: the
    results may lie in that very folder.

    Raises:
        BenchmarkError: two results would have the same name there.
    """
    cells: dict[str, bytes] = {}
    read_from: dict[str, Path] = {}
    for r in results:
        if r.published_name in cells:
            raise BenchmarkError(
                f"{read_from[r.published_name]} and {r.path} would both be published as {r.published_name}: "
                "name an --out that has only one of them"
            )
        cells[r.published_name], read_from[r.published_name] = r.path.read_bytes(), r.path
    for name, content in cells.items():
        write_atomic(folder / "cells" / name, content)
    for path in (folder / "cells").glob("*.json"):
        if path.name not in cells:
            path.unlink()
    for path in sorted(report.iterdir()):
        if path.suffix in (".md", ".csv", ".png"):
            write_atomic(folder / path.name, path.read_bytes())
    print(f"published: {folder}")


def run(arguments: argparse.Namespace) -> int:
    """Make the cells and the report; returns the exit code.

    Raises:
        RfsError: it cannot be started.
    """
    if not arguments.no_figures:
        figures.pyplot()
    report = arguments.out / "report"
    failed: list[Outcome] = []
    if not arguments.report_only:
        matrix = matrix_of(arguments)
        cells = matrix.cells()
        executor: Executor = (
            RayExecutor(arguments.ray_address) if arguments.ray_address else LocalExecutor(arguments.workers)
        )

        def tell(outcome: Outcome | None, left: int) -> None:
            if outcome is None:
                if left:
                    print(f"{left} to do, {arguments.workers} at once")
                return
            name = outcome.job.folder.relative_to(arguments.out)
            success = ""
            for r in table.load(outcome.job.folder):
                success = f", success {r.success:.3f}"
            print(f"{name} {outcome.job.stage}: {outcome.error or 'done'}{success}; {left} left", flush=True)
            if not outcome.error:
                write_report(arguments.out, report, not arguments.no_figures)

        failed = make(cells, executor, arguments.stages, tell)
        for factor, further in (
            (arguments.losers_budget, matrix.losers),
            (arguments.longer_budget, matrix.longer),
        ):
            if factor and factor > 1:
                failed += make(further(factor), executor, arguments.stages, tell)
    results = write_report(arguments.out, report, not arguments.no_figures)
    for outcome in failed:
        print(
            f"benchmark: {outcome.job.folder} failed: {outcome.error}; see {outcome.job.log}", file=sys.stderr
        )
    if not results:
        raise BenchmarkError(f"{arguments.out}: no cell has a result yet")
    print("\n".join(table.success_table(table.groups(results))))
    print(f"report: {report / 'benchmark.html'}, {report / 'benchmark.md'}, {report / 'benchmark.csv'}")
    if arguments.publish is not None:
        publish(results, report, arguments.publish)
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning benchmark`."""
    arguments = parser().parse_args(argv)
    try:
        sys.exit(run(arguments))
    except (RfsError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("benchmark: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
