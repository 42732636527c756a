"""Promises about faults: how many cases were run, the worst figure, and every violation.

A test makes a `Promise` by the fixture `promised`, feeds it cases, and ends with `promise.kept()`. Rows go to
the file that RFS_FAULT_RESULTS names; `scripts/fault_table.py` shows them in docs/safety.md.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("RFS_LONG"))
"""The long form: RFS_LONG=1."""
RESULTS = os.environ.get("RFS_FAULT_RESULTS", "")


def cases(short: int, long: int) -> int:
    """How many cases to run in this form."""
    return long if LONG else short


@dataclass
class Promise:
    """What shall hold under one fault."""

    fault: str
    """What goes wrong."""
    promise: str
    """What holds all the same; shown in the docs."""
    measured: str
    """How: on which clock, in which processes."""
    allowed: float | None = None
    """Largest figure."""
    unit: str = ""
    cases: int = 0
    worst: float | None = None
    violations: list[str] = field(default_factory=list)
    finished: bool = False
    figures: dict[str, Any] = field(default_factory=dict)
    """Others that are worth a table."""

    def case(self, figure: float | None = None, what: str = "") -> None:
        """One case, with its figure where there is one; a figure above the allowed one violates."""
        self.cases += 1
        if figure is None:
            return
        self.worst = figure if self.worst is None else max(self.worst, figure)
        if self.allowed is not None and not figure <= self.allowed:
            self.violated(f"{figure:.4g} {self.unit}, allowed {self.allowed:g}; {what}")

    def check(self, holds: bool, what: str) -> None:
        """Note a violation unless `holds`."""
        if not holds:
            self.violated(what)

    def violated(self, what: str) -> None:
        """Note a violation."""
        self.violations.append(what)

    def kept(self, at_least: int = 1) -> None:
        """The end of the test: there were cases, and no violation."""
        self.finished = True
        assert self.cases >= at_least, f"{self.fault}: {self.cases} cases, needs {at_least}"
        assert not self.violations, f"{len(self.violations)} violations: " + "; ".join(self.violations[:5])

    def row(self, test: str) -> dict[str, Any]:
        """As it is written to the file."""
        return {
            "fault": self.fault,
            "promise": self.promise,
            "cases": self.cases,
            "worst": None if self.worst is None else round(self.worst, 4),
            "allowed": self.allowed,
            "unit": self.unit,
            "violations": len(self.violations) + (not self.finished),
            "measured": self.measured,
            "figures": self.figures,
            "form": "long" if LONG else "short",
            "command": f"{'RFS_LONG=1 ' if LONG else ''}python -m pytest {test.split('::')[0]}",
            "revision": revision(),
        }


def revision() -> str:
    """The commit, with + where files of the product differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "src", "test/fault", "launch", "config")
    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + ("+" if changed else "")


def write(path: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Replace the rows of the tests that ran; the others stay."""
    with path.open("a+") as file:
        # Several runs may write their parts into one file.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        table: dict[str, Any] = json.loads(text) if text else {}
        table.update(rows)
        file.truncate(0)
        file.write(json.dumps(dict(sorted(table.items())), indent=1) + "\n")
