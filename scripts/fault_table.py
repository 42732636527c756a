"""Writes the table of faults into docs/safety.md, from the results that the fault suite wrote.

make faults                             run the long form, write test/fault/results.json, then the table
python scripts/fault_table.py           only the table
python scripts/fault_table.py --check   exit code 1 where the document is not up to date
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from config_tables import filled

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "safety.md"
RESULTS = ROOT / "test" / "fault" / "results.json"


def figure(row: dict[str, Any], key: str) -> str:
    """A figure with its unit; empty where the promise has none."""
    value = row[key]
    return "" if value is None else f"{value:.4g} {row['unit']}".strip()


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown table of every promise, in the order of the tests."""
    lines = [
        "| fault | promise | cases | worst | allowed | violations | measured |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results.values():
        lines.append(
            f"| {row['fault']} | {row['promise']} | {row['cases']:,} | {figure(row, 'worst')} | "
            f"{figure(row, 'allowed')} | {row['violations']} | {row['measured']} |"
        )
    revisions = sorted({row["revision"] for row in results.values()})
    forms = sorted({row["form"] for row in results.values()})
    total = sum(row["cases"] for row in results.values())
    violations = sum(row["violations"] for row in results.values())
    lines += [
        "",
        f"{len(results)} promises, {total:,} cases, {violations} violations; {' and '.join(forms)} form, "
        f"at revision {', '.join(revisions)}.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Rewrite or check the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where outdated")
    check = parser.parse_args().check
    text = DOCUMENT.read_text()
    new = filled(text, "faults", table(json.loads(RESULTS.read_text())))
    if new == text:
        return 0
    if check:
        print("outdated: docs/safety.md; run python scripts/fault_table.py", file=sys.stderr)
        return 1
    DOCUMENT.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
