"""Results as rows: the table beside the paper's, the diagnostics, and one line per cell as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rfs_learning.benchmark.process import read_json
from rfs_learning.benchmark.settings import METHOD_TITLES, METHODS, PAPER, in_order
from rfs_learning.statistics import wilson_interval

RELEVANT = ("base", "noise", "residual", "rfs")
"""Methods that the paper's table has as well."""

_RESULT = "result.json"
"""In the folder of a cell; published, a result has the name of its cell."""

_SWITCH_COLUMNS = ("residual_off", "noise_off", "noise_zero", "base_normal", "base_zero")


@dataclasses.dataclass(frozen=True)
class Result:
    """A cell's `result.json` and where it lies."""

    path: Path
    data: dict[str, Any]

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.data["config"]["task"])

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.data["config"]["method"])

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.data["config"]["seed"])

    @property
    def budget(self) -> int:
        """Control steps that were asked for; 0 for the base policy, which is not trained."""
        return int(self.data["config"]["budget"]) if self.method != "base" else 0

    @property
    def label(self) -> str:
        """Method, seed and budget: what tells it from the other results of its task."""
        return f"{self.method} {self.seed}" + (f", {self.budget:,}" if self.budget else "")

    @property
    def evaluation(self) -> dict[str, Any]:
        """The final evaluation."""
        return dict(self.data["evaluation"])

    @property
    def success(self) -> float:
        """Of the final evaluation."""
        return float(self.data["evaluation"]["success_rate"])

    @property
    def published_name(self) -> str:
        """Of its file among published results; one that was published keeps its name."""
        if self.path.name != _RESULT:
            return self.path.name
        return f"{self.task}-{self.method}-{self.path.parent.name}.json"

    def diagnostic(self, name: str) -> dict[str, Any] | None:
        """Figures by name; None where they were not measured."""
        found = self.data["diagnostics"].get(name)
        return None if found is None else dict(found)


def load(folder: Path) -> list[Result]:
    """All results under a folder of cells, or of published results, in the order of the table."""
    results = []
    for path in sorted(folder.rglob("*.json")):
        if path.name == _RESULT or path.parent.name == "cells":
            data = read_json(path)
            if {"config", "evaluation"} <= set(data):
                results.append(Result(path, data))
    tasks = in_order(result.task for result in results)
    methods = list(METHODS)
    return sorted(results, key=lambda r: (tasks.index(r.task), methods.index(r.method), r.budget, r.seed))


@dataclasses.dataclass(frozen=True)
class Group:
    """The seeds of one task, method and budget."""

    task: str
    method: str
    budget: int
    results: tuple[Result, ...]

    @property
    def mean(self) -> float:
        """Mean success over the seeds."""
        return sum(r.success for r in self.results) / len(self.results)

    def mean_of(self, seeds: Sequence[int]) -> float | None:
        """Mean success over some seeds; None where one of them is not there."""
        rates = [r.success for r in self.results if r.seed in seeds]
        return sum(rates) / len(rates) if len(rates) == len(seeds) else None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval over the episodes of all seeds; it says nothing of other seeds of training."""
        won = sum(int(r.evaluation["successes"]) for r in self.results)
        return wilson_interval(won, sum(int(r.evaluation["episodes"]) for r in self.results))

    @property
    def seeds(self) -> list[int]:
        """Seeds of training that are there."""
        return [r.seed for r in self.results]


def groups(results: Iterable[Result]) -> list[Group]:
    """Results of equal task, method and budget, in their order."""
    found: dict[tuple[str, str, int], list[Result]] = {}
    for r in results:
        found.setdefault((r.task, r.method, r.budget), []).append(r)
    return [Group(*key, tuple(members)) for key, members in found.items()]


def first_budget(found: Sequence[Group]) -> dict[str, int]:
    """The budget by task at which methods are compared: the smallest of RFS, else of any trained method."""
    budgets: dict[str, int] = {}
    for task in in_order(g.task for g in found):
        trained = [g for g in found if g.task == task and g.method != "base"]
        steered = [g.budget for g in trained if g.method == "rfs"]
        budgets[task] = min(
            steered or [g.budget for g in trained] or [g.budget for g in found if g.task == task]
        )
    return budgets


def at_equal_budget(found: Sequence[Group]) -> dict[tuple[str, str], Group]:
    """By task and method, what is compared; the base policy has no budget."""
    budgets = first_budget(found)
    return {(g.task, g.method): g for g in found if g.budget in (0, budgets[g.task])}


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def success_table(found: Sequence[Group]) -> list[str]:
    """Markdown: methods by tasks, ours above the paper's. The mean is over the tasks that the row has."""
    if not found:
        return []
    compared = at_equal_budget(found)
    tasks = in_order(g.task for g in found)
    methods = [m for m in METHODS if any(m == method for _, method in compared)]
    lines = [_line(["", *tasks, "mean"]), _line(["---"] * (len(tasks) + 2))]
    lines.append(_line(["control steps", *(f"{first_budget(found)[t]:,}" for t in tasks), ""]))
    for method in methods:
        cells, rates = [], []
        for task in tasks:
            group = compared.get((task, method))
            if group is None:
                cells.append("-")
                continue
            low, high = group.interval
            rates.append(group.mean)
            cells.append(f"**{group.mean:.3f}** ({low:.3f} - {high:.3f}) x {len(group.results)}")
        complete = "" if len(rates) == len(tasks) else f" of {len(rates)}"
        lines.append(_line([METHOD_TITLES[method], *cells, f"{sum(rates) / len(rates):.3f}{complete}"]))
        if method in PAPER:
            paper = [PAPER[method].get(task) for task in tasks]
            known = [value for value in paper if value is not None]
            mean = f"{sum(known) / len(known):.3f}" if known else "-"
            lines.append(_line([f"paper's {method}", *map(_rate, paper), mean]))
    return lines


def longer_table(found: Sequence[Group]) -> list[str]:
    """Markdown: what has more than the equal budget, beside the same seeds with it; [] where nothing has."""
    budgets = first_budget(found)
    longer = [g for g in found if g.budget > budgets[g.task]]
    if not longer:
        return []
    compared = at_equal_budget(found)
    lines = [
        _line(
            ["task", "method", "control steps", "success", "at equal budget", "RFS at equal budget", "seeds"]
        ),
        _line(["---"] * 7),
    ]
    for g in longer:
        low, high = g.interval
        before, steered = (compared.get((g.task, method)) for method in (g.method, "rfs"))
        lines.append(
            _line(
                [
                    g.task,
                    METHOD_TITLES[g.method],
                    f"{g.budget:,}",
                    f"{g.mean:.3f} ({low:.3f} - {high:.3f})",
                    _rate(before.mean_of(g.seeds) if before else None),
                    _rate(steered.mean_of(g.seeds) if steered else None),
                    " ".join(map(str, g.seeds)),
                ]
            )
        )
    return lines


def diagnostics_table(results: Sequence[Result]) -> list[str]:
    """Markdown: what the parts of each policy do, and what it does with them."""
    if not results:
        return []
    head = ["cell", "full", *_SWITCH_COLUMNS, "norm of a_0", "residual, share of bound", "saturated"]
    if any("infeasible_share" in r.evaluation for r in results):
        head.append("infeasible")
    lines = [_line(head), _line(["---"] * len(head))]
    for r in results:
        switched = [r.diagnostic(f"switch/{name}") for name in _SWITCH_COLUMNS]
        full = r.evaluation
        cells = [
            f"{r.task} {r.label}",
            _rate(r.success),
            *(_rate(s["success_rate"] if s else None) for s in switched),
            f"{full['a0_norm']:.2f}",
            f"{100 * full['residual_share']:.1f} %",
            f"{100 * full['residual_saturated']:.2f} %",
        ]
        if "infeasible" in head:
            cells.append(_rate(full.get("infeasible_share")))
        lines.append(_line(cells))
    return lines


def disturbance_table(results: Sequence[Result]) -> list[str]:
    """Markdown: success under growing joint disturbance; [] where nothing was measured."""
    names = sorted(
        {name for r in results for name in r.data["diagnostics"] if name.startswith("disturbance/")},
        key=lambda name: float(name.partition("/")[2]),
    )
    if not names:
        return []
    head = ["cell", *(f"x {name.partition('/')[2]}" for name in names), "x 1 (final evaluation)"]
    lines = [_line(head), _line(["---"] * len(head))]
    for r in results:
        if any(r.diagnostic(name) for name in names):
            rates = [(r.diagnostic(name) or {}).get("success_rate") for name in names]
            lines.append(_line([f"{r.task} {r.label}", *map(_rate, rates), _rate(r.success)]))
    return lines


def object_table(results: Sequence[Result]) -> list[str]:
    """Markdown: success by object, for tasks that have several; [] where none has."""
    several = [r for r in results if len(r.evaluation.get("objects", {})) > 1]
    lines: list[str] = []
    for task in in_order(r.task for r in several):
        rows = [r for r in several if r.task == task]
        names = sorted({name for r in rows for name in r.evaluation["objects"]})
        lines += ["", _line([task, *names]), _line(["---"] * (len(names) + 1))]
        for r in rows:
            rates = [r.evaluation["objects"].get(name, {}).get("success_rate") for name in names]
            lines.append(_line([r.label, *map(_rate, rates)]))
    return lines


CSV_COLUMNS = (
    "task", "method", "seed", "budget", "steps", "best_step", "success", "low", "high", "episodes",
    "physics_dt", "evaluation_seed", "paper", "cpu_s", "a0_norm", "residual_share", "residual_saturated",
    "infeasible", *_SWITCH_COLUMNS, "checkpoint", "base", "commit", "changed",
)  # fmt: skip


def to_csv(results: Iterable[Result]) -> str:
    """One line per cell, everything in numbers; empty: not measured."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for r in results:
        full, revisions = r.evaluation, r.data["revisions"]
        low, high = full["interval_95"]
        row = {
            "task": r.task,
            "method": r.method,
            "seed": r.seed,
            "budget": r.budget,
            "steps": r.data["steps"],
            "best_step": r.data["best_step"],
            "success": round(r.success, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "episodes": full["episodes"],
            "physics_dt": full["physics_dt"],
            "evaluation_seed": full["seed"],
            "paper": PAPER.get(r.method, {}).get(r.task, ""),
            "cpu_s": round(r.data["cpu_s"]),
            **{name: round(full[name], 5) for name in ("a0_norm", "residual_share", "residual_saturated")},
            "infeasible": full.get("infeasible_share", ""),
            "checkpoint": full["checkpoint"],
            "base": r.data["base"],
            "commit": " ".join(dict.fromkeys(str(part["commit"])[:12] for part in revisions)),
            "changed": " ".join(sorted({name for part in revisions for name in part["changed"]})),
        }
        for name in _SWITCH_COLUMNS:
            switched = r.diagnostic(f"switch/{name}")
            row[name] = "" if switched is None else round(switched["success_rate"], 4)
        writer.writerow(row)
    return text.getvalue()
