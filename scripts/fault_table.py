"""Writes the tables of faults into the docs, from the results that the fault suite wrote.

make faults                             run the long form, write test/fault/results.json, then the table
python scripts/fault_table.py           only the tables
python scripts/fault_table.py --check   exit code 1 where a document is not up to date
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from config_tables import filled

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "test" / "fault" / "results.json"


def figure(row: dict[str, Any], key: str) -> str:
    """A figure with its unit; empty where the promise has none."""
    value = row[key]
    return "" if value is None else f"{value:.4g} {row['unit']}".strip()


def devices(results: dict[str, dict[str, Any]], device: str, columns: dict[str, str]) -> str:
    """Markdown table of a device's faults: what a person reads, and how long things took."""
    lines = [
        f"| fault | what a person reads | {' | '.join(columns.values())} |",
        "|---|---|" + "---|" * len(columns),
    ]
    for row in results.values():
        figures, (kind, _, name) = row["figures"], row["fault"].partition(": ")
        if kind != device or "reported" not in figures:
            continue
        text = figures["reported"]
        if text == "none":
            text = "no fault: targets are followed on"
            if "failed" in figures:
                text += f"; {figures['failed']} of {figures['of']} exchanges failed"
        text = " ".join("ADDRESS" if word.startswith("127.") else word for word in text.split())
        times = [f"{figures[key]:.2f} s" if key in figures else "-" for key in columns]
        lines.append(f"| {name} | {text} | {' | '.join(times)} |")
    return "\n".join(lines)


def promises(results: dict[str, dict[str, Any]]) -> str:
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
        f"{len(results)} promises, {total:,} cases, {violations} violations; {' and '.join(forms)} form. "
        f"Command and revision of every row ({len(revisions)} revisions) stand in `test/fault/results.json`.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Rewrite or check the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where outdated")
    check = parser.parse_args().check
    results = json.loads(RESULTS.read_text())
    tables = {
        "docs/safety.md": promises(results),
        "docs/drivers_franka.md": devices(
            results,
            "arm",
            {
                "seconds_until_named": "named after",
                "seconds_until_recoverable": "ready for arm/recover",
                "seconds_to_recover": "arm/recover takes",
            },
        ),
        "docs/drivers_leap.md": devices(
            results,
            "hand",
            {
                "seconds_until_named": "named after",
                "seconds_until_recovered": "back in control after its end and hand/recover",
            },
        ),
    }
    outdated = []
    for document, content in tables.items():
        text = (ROOT / document).read_text()
        new = filled(text, "faults", content)
        if new != text:
            outdated.append(document)
            if not check:
                (ROOT / document).write_text(new)
    if outdated and check:
        print(f"outdated: {', '.join(outdated)}; run python scripts/fault_table.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
