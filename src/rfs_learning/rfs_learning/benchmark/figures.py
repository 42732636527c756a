"""Curves and intervals as pictures. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rfs_learning.benchmark import table
from rfs_learning.benchmark.settings import METHOD_TITLES, METHODS, PAPER, BenchmarkError, in_order
from rfs_learning.benchmark.table import Result

COLOURS = {
    "base": "#7f7f7f",
    "noise": "#1f77b4",
    "residual": "#ff7f0e",
    "rfs": "#2ca02c",
    "noise_hand": "#9ecae1",
    "residual_hand": "#fdae6b",
    "rfs_hand": "#a1d99b",
}


def pyplot() -> Any:
    """matplotlib without a display.

    Raises:
        BenchmarkError: it is not installed.
    """
    try:
        import matplotlib
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise BenchmarkError(
            "pictures need the package matplotlib: python -m pip install matplotlib, or pass --no-figures"
        ) from error
    matplotlib.use("Agg")
    return plt


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write what there is something to draw of; returns the files."""
    plt = pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, figure in (
        ("curves.png", _curves(plt, results)),
        ("success.png", _success(plt, results)),
        ("disturbance.png", _disturbance(plt, results)),
    ):
        if figure is not None:
            path = folder / name
            # No date, no version: the same results make the same file.
            figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
            plt.close(figure)
            drawn.append(path)
    return drawn


def _axes(plt: Any, tasks: Sequence[str], title: str) -> tuple[Any, dict[str, Any]]:
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(4.2 * columns, 3.1 * rows + 0.4),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    figure.suptitle(title)
    axes = dict(zip(tasks, grid.flat, strict=False))
    for extra in list(grid.flat)[len(tasks) :]:
        extra.set_axis_off()
    for task, axis in axes.items():
        axis.set_title(task)
        axis.set_ylim(-0.02, 1.02)
        axis.grid(alpha=0.3)
    return figure, axes


def _legend(figure: Any, axes: dict[str, Any]) -> None:
    """One legend for all panels."""
    handles: dict[str, Any] = {}
    for axis in axes.values():
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)


def _curves(plt: Any, results: Sequence[Result]) -> Any:
    trained = [r for r in results if r.data["curve"]]
    if not trained:
        return None
    tasks = in_order(r.task for r in trained)
    figure, axes = _axes(plt, tasks, "Deterministic success while training (each line one seed)")
    longest: dict[tuple[str, str, int], Result] = {}
    for r in trained:
        key = (r.task, r.method, r.seed)
        if key not in longest or r.budget > longest[key].budget:
            longest[key] = r
    for (task, method, _), r in longest.items():
        steps = [point["step"] / 1e6 for point in r.data["curve"]]
        rates = [point["evaluation/success"] for point in r.data["curve"]]
        axes[task].plot(steps, rates, color=COLOURS[method], marker=".", label=METHOD_TITLES[method])
    for axis in axes.values():
        axis.set_xlabel("control steps, millions")
    _legend(figure, axes)
    return figure


def _success(plt: Any, results: Sequence[Result]) -> Any:
    compared = table.at_equal_budget(table.groups(results))
    if not compared:
        return None
    tasks = in_order(task for task, _ in compared)
    methods = [m for m in METHODS if any(m == method for _, method in compared)]
    figure, axis = plt.subplots(figsize=(2.0 + 1.7 * len(tasks), 3.8), layout="constrained")
    width = 0.8 / len(methods)
    for i, method in enumerate(methods):
        places = [t + (i - (len(methods) - 1) / 2) * width for t in range(len(tasks))]
        here = [(x, compared.get((task, method))) for x, task in zip(places, tasks, strict=True)]
        for x, group in here:
            if group is None:
                continue
            low, high = group.interval
            axis.bar(x, group.mean, 0.92 * width, color=COLOURS[method], label=METHOD_TITLES[method])
            axis.errorbar(
                x,
                group.mean,
                [[max(0.0, group.mean - low)], [max(0.0, high - group.mean)]],
                color="black",
                capsize=2,
                linewidth=1,
            )
            for r in group.results if len(group.results) > 1 else ():
                axis.plot(x, r.success, ".", color="black", markersize=4)
        paper = [(x, PAPER.get(method, {}).get(task)) for x, task in zip(places, tasks, strict=True)]
        known = [(x, value) for x, value in paper if value is not None]
        if known:
            axis.plot(
                *zip(*known, strict=True), "D", color="white", markeredgecolor="black", label="the paper's"
            )
    axis.set_xticks(range(len(tasks)), tasks)
    axis.set_ylim(0, 1.05)
    axis.set_ylabel("success")
    axis.set_title("Success at equal budget, 95 % intervals of the episodes, points: seeds")
    axis.grid(axis="y", alpha=0.3)
    handles = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _disturbance(plt: Any, results: Sequence[Result]) -> Any:
    measured = [r for r in results if any(name.startswith("disturbance/") for name in r.data["diagnostics"])]
    if not measured:
        return None
    tasks = in_order(r.task for r in measured)
    figure, axes = _axes(plt, tasks, "Success under growing joint disturbance, 95 % intervals")
    for r in measured:
        points = {1.0: r.evaluation}
        for name, figures in r.data["diagnostics"].items():
            kind, _, factor = name.partition("/")
            if kind == "disturbance":
                points[float(factor)] = figures
        factors = sorted(points)
        rates = [points[f]["success_rate"] for f in factors]
        spread = [
            [max(0.0, rate - points[f]["interval_95"][0]) for f, rate in zip(factors, rates, strict=True)],
            [max(0.0, points[f]["interval_95"][1] - rate) for f, rate in zip(factors, rates, strict=True)],
        ]
        axes[r.task].errorbar(
            factors,
            rates,
            spread,
            color=COLOURS[r.method],
            marker=".",
            capsize=2,
            label=METHOD_TITLES[r.method],
        )
    for axis in axes.values():
        axis.set_xlabel("times the task's disturbance")
    _legend(figure, axes)
    return figure
