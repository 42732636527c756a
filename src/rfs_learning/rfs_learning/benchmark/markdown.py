"""The report as Markdown: what was measured, by which code, with which seeds, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rfs_learning.benchmark import table
from rfs_learning.benchmark.settings import (
    GRASP_TYPE_METHODS,
    GRASP_TYPES,
    METHODS,
    PAPER_TASKS,
    in_order,
)
from rfs_learning.benchmark.table import Result

CONSTRUCTED = (
    "This benchmark is constructed: the demonstrations are made so that their base policy has an offset "
    "that noise does not reach and finger modes that a residual does not bridge. It shows what each "
    "channel can do, not how often a real task needs both."
)

_SWITCHED = (
    "full: the final evaluation; residual_off: a_r = 0; noise_off: its residual with a_0 ~ N(0, I); "
    "noise_zero: its residual with a_0 = 0; base_normal, base_zero: the base policy with a_0 ~ N(0, I) and "
    "a_0 = 0. The norm of a_0 is over a chunk, N(0, I) has 6.6."
)


def missing(results: Sequence[Result], seeds: Iterable[int] = (0, 1, 2)) -> list[str]:
    """Cells of the paper's tasks and methods that are not there at equal budget; of its two grasps, and of
    other tasks, where there is any."""
    compared = table.at_equal_budget(table.groups(results))
    lines = []
    for task in in_order({*PAPER_TASKS, *(r.task for r in results)}):
        for method in GRASP_TYPE_METHODS if task in GRASP_TYPES else table.RELEVANT:
            group = compared.get((task, method))
            left = [str(seed) for seed in seeds if group is None or seed not in group.seeds]
            if left:
                lines.append(f"{task} {method}: seed {', '.join(left)}")
    return lines


def markdown(results: Sequence[Result], figures: Sequence[str] = ()) -> str:
    """The report.

    Args:
        figures: names of picture files beside it.
    """
    found = table.groups(results)
    episodes = sorted({r.evaluation["episodes"] for r in results})
    steps = sorted({r.evaluation["physics_dt"] for r in results})
    left = missing(results)
    lines = ["# Benchmark: results", "", CONSTRUCTED, ""]
    if left:
        lines += [f"**Partial: {len(left)} rows of seeds are missing**, listed at the end.", ""]
    lines += [
        f"Success over {' or '.join(map(str, episodes))} episodes of seeds that neither trained nor chose a "
        f"checkpoint, physics step {' or '.join(f'{1000 * dt:g} ms' for dt in steps)}, mean over `x N` seeds "
        "of training; in brackets the 95 % Wilson interval over all their episodes, which says nothing of "
        "other seeds of training.",
        "",
        *table.success_table([g for g in found if g.task not in GRASP_TYPES]),
    ]
    sections = (
        (
            "Two types of grasp, over the hand",
            "The flow makes the fingers, the arm is learned directly; one residual for both steps. "
            "The paper's rows: hand, DSRL and RFS-Chunk.",
            table.success_table([g for g in found if g.task in GRASP_TYPES]),
        ),
        ("More than the equal budget", "", table.longer_table(found)),
        ("What the parts do", _SWITCHED + _over(results), table.diagnostics_table(results)),
        (
            "Disturbance",
            "Success with the task's torque pulses on every joint multiplied." + _over(results),
            table.disturbance_table(results),
        ),
        ("Success by object", "", table.object_table(results)),
    )
    for title, text, body in sections:
        if body:
            lines += ["", f"## {title}", "", *([text, ""] if text else []), *body]
    for name in figures:
        lines += ["", f"![{name.rsplit('.', 1)[0]}]({name})"]
    lines += ["", "## Made by", ""]
    for task in in_order(r.task for r in results):
        for method in METHODS:
            for r in results:
                if (r.task, r.method) == (task, method):
                    lines.append(f"- {_origin(r)}")
    if left:
        lines += ["", "## Missing", "", *(f"- {line}" for line in left)]
    return "\n".join([*lines, ""])


def _over(results: Sequence[Result]) -> str:
    """How many episodes the diagnostics are over."""
    counts = sorted({figures["episodes"] for r in results for figures in r.data["diagnostics"].values()})
    return (
        f" {' or '.join(map(str, counts))} episodes each, of the final evaluation's seed." if counts else ""
    )


def _origin(r: Result) -> str:
    parts: dict[str, None] = {}
    for part in r.data["revisions"]:
        changed = f" with changes in {', '.join(part['changed'])}" if part["changed"] else ""
        parts[f"{part['part']} {str(part['commit'])[:12]}{changed}"] = None
    trained = (
        f"{r.data['steps']:,} control steps, {r.data['cpu_s']:.0f} CPU-s, " if r.method != "base" else ""
    )
    return (
        f"{r.task} {r.method} seed {r.seed}: {trained}`{r.evaluation['checkpoint']}` on `{r.data['base']}`, "
        f"evaluation seed {r.evaluation['seed']}; {'; '.join(parts)}"
    )
