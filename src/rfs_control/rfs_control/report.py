"""The report of a batch of episodes: a table for a person, report.json for a program.

`BatchReport` is what is known at the end; `as_dict` is the content of report.json; `print_table` shows it.
Numbers that were not measured are None in JSON and "not measured" in the table, never a made-up zero.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rfs_control.episode import EpisodeRecord, Outcome
from rfs_learning.statistics import wilson_interval

FORMAT_VERSION = 1
FILE_NAME = "report.json"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class EpisodeRow:
    """One episode: its record and what the other nodes counted meanwhile."""

    record: EpisodeRecord
    gate_holds: int = 0
    gate_refused: int = 0


@dataclass
class BatchReport:
    """What happened, as far as it is known at the end."""

    task: str
    seed: int
    control_dt: float
    """s; time between two control steps."""
    episodes_asked: int
    rows: list[EpisodeRow] = field(default_factory=list)
    stopped: str = ""
    """Why the batch ended before all its episodes ran."""
    interrupted: bool = False
    """A person ended it with Ctrl-C."""
    hold_reasons: list[str] = field(default_factory=list)
    """Why the gate held, one entry per HOLD."""
    last_refusal: str = ""
    """Why the gate refused an action the last time."""
    policy: dict[str, str] = field(default_factory=dict)
    """Last values of the policy node on /diagnostics."""
    sim: dict[str, str] = field(default_factory=dict)
    """Last values of the simulation node on /diagnostics."""

    def _finished(self) -> list[EpisodeRow]:
        return [row for row in self.rows if row.record.outcome in (Outcome.SUCCESS, Outcome.FAILURE)]

    def as_dict(self) -> dict[str, Any]:
        """The content of report.json: numbers, strings, lists and dictionaries only."""
        finished = self._finished()
        successes = sum(row.record.outcome is Outcome.SUCCESS for row in finished)
        lengths = [row.record.robot_time_s(self.control_dt) for row in finished]
        walls = [row.record.wall_s for row in finished]
        interval = wilson_interval(successes, len(finished), CONFIDENCE) if finished else None
        return {
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "seed": self.seed,
            "checkpoint_id": self.policy.get("checkpoint_id"),
            "a0": self.policy.get("a0"),
            "episodes_asked": self.episodes_asked,
            "episodes_finished": len(finished),
            "episodes_aborted": len(self.rows) - len(finished),
            "stopped": self.stopped,
            "interrupted": self.interrupted,
            "success": {
                "successes": successes,
                "trials": len(finished),
                "rate": successes / len(finished) if finished else None,
                "interval": list(interval) if interval else None,
                "confidence": CONFIDENCE,
            },
            "episode_length_s": _spread(lengths),
            "return": _spread([row.record.total_reward for row in finished]),
            "policy": {
                "decisions": _number(self.policy.get("decisions")),
                "missed_ticks": _number(self.policy.get("missed_ticks")),
                "tick_cpu_ms_p50": _number(self.policy.get("tick_cpu_ms_p50")),
                "tick_cpu_ms_p99": _number(self.policy.get("tick_cpu_ms_p99")),
                "tick_wall_ms_p50": _number(self.policy.get("tick_wall_ms_p50")),
                "tick_wall_ms_p99": _number(self.policy.get("tick_wall_ms_p99")),
            },
            "gate": {
                "holds": sum(row.gate_holds for row in self.rows),
                "hold_reasons": self.hold_reasons,
                "refused": sum(row.gate_refused for row in self.rows),
                "last_refusal": self.last_refusal,
            },
            "sim": {"lockstep_misses": _number(self.sim.get("lockstep_misses"))},
            "wall_s_per_episode": _spread(walls),
            "real_time_factor": sum(lengths) / sum(walls) if sum(walls) > 0.0 else None,
            "episodes": [self._row_dict(row) for row in self.rows],
        }

    def _row_dict(self, row: EpisodeRow) -> dict[str, Any]:
        record = asdict(row.record)
        record.pop("success_at_end")
        record.pop("wall_started_s")
        return {
            **record,
            "outcome": row.record.outcome.name.lower(),
            "length_s": row.record.robot_time_s(self.control_dt),
            "gate_holds": row.gate_holds,
            "gate_refused": row.gate_refused,
        }

    def write(self, run_dir: Path) -> Path:
        """Write report.json into the run folder, whole or not at all; returns its path."""
        run_dir.mkdir(parents=True, exist_ok=True)
        path = run_dir / FILE_NAME
        unfinished = path.with_suffix(".json.part")
        unfinished.write_text(json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
        return path

    def print_table(self, console: Console) -> None:
        """Show the report to a person."""
        d = self.as_dict()
        table = Table(
            title=f"{self.task}: {d['episodes_finished']} of {self.episodes_asked} episodes", width=96
        )
        table.add_column("what", style="bold", no_wrap=True)
        table.add_column("value")
        success, policy, gate = d["success"], d["policy"], d["gate"]
        if success["trials"]:
            low, high = success["interval"]
            rate = (
                f"{success['rate']:.1%}  ({success['successes']} of {success['trials']}; "
                f"{CONFIDENCE:.0%} interval {low:.1%} to {high:.1%})"
            )
        else:
            rate = "no episode finished"
        table.add_row("success rate", rate)
        table.add_row("checkpoint", f"{d['checkpoint_id'] or 'unknown'}, a_0 {d['a0'] or 'unknown'}")
        table.add_row("episode length", _shown(d["episode_length_s"], "s"))
        unknown = sum(row.record.missed_rewards for row in self._finished())
        without = f"\nwithout {unknown} control steps whose reward did not arrive" if unknown else ""
        table.add_row("return", _shown(d["return"], "") + without)
        table.add_row(
            "policy tick p50 / p99",
            f"CPU {_ms(policy['tick_cpu_ms_p50'])} / {_ms(policy['tick_cpu_ms_p99'])} ms, "
            f"wall {_ms(policy['tick_wall_ms_p50'])} / {_ms(policy['tick_wall_ms_p99'])} ms",
        )
        missed, decisions = policy["missed_ticks"], policy["decisions"]
        table.add_row(
            "missed ticks", "not measured" if missed is None else f"{missed} of {(decisions or 0) + missed}"
        )
        misses = d["sim"]["lockstep_misses"]
        table.add_row("steps without an answer", "not measured" if misses is None else f"{misses}")
        table.add_row(
            "gate holds", f"{gate['holds']}" + "".join(f"\n- {why}" for why in gate["hold_reasons"])
        )
        table.add_row(
            "actions refused",
            f"{gate['refused']}" + (f"\nlast: {gate['last_refusal']}" if gate["refused"] else ""),
        )
        factor = d["real_time_factor"]
        wall = d["wall_s_per_episode"]
        table.add_row(
            "real-time factor",
            "not measured"
            if factor is None
            else f"{factor:.2f}  ({wall['mean']:.2f} s on the wall per episode)",
        )
        if d["episodes_aborted"]:
            aborted = [row.record for row in self.rows if row.record.outcome is Outcome.ABORTED]
            table.add_row("aborted", "\n".join(f"episode {r.index}: {r.reason}" for r in aborted))
        if self.interrupted:
            table.add_row("interrupted", "ended by Ctrl-C; this is what was done so far")
        if self.stopped:
            table.add_row("stopped", self.stopped)
        console.print(table)


def _spread(values: list[float]) -> dict[str, float | None]:
    """Mean, smallest and largest value."""
    if not values:
        return {"mean": None, "min": None, "max": None}
    return {"mean": sum(values) / len(values), "min": min(values), "max": max(values)}


def _shown(spread: dict[str, float | None], unit: str) -> str:
    mean, low, high = spread["mean"], spread["min"], spread["max"]
    if mean is None or low is None or high is None:
        return "no episode finished"
    unit = f" {unit}" if unit else ""
    return f"mean {mean:.2f}{unit}, from {low:.2f} to {high:.2f}{unit}"


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"


def _number(text: str | None) -> float | int | str | None:
    """A value of /diagnostics, which are strings, as a number; None where there is none."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):
        return None
    return int(value) if text.lstrip("-").isdigit() else value
