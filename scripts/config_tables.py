"""Writes the tables of limits and defaults into the docs, from the configuration classes themselves.

python scripts/config_tables.py           rewrite
python scripts/config_tables.py --check   exit code 1 where a document is not up to date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rfs_control.correction_config import CorrectionNodeConfig
from rfs_core.config import describe
from rfs_core.gate_config import GateConfig
from rfs_sim.gap import GapConfig

ROOT = Path(__file__).resolve().parent.parent
TABLES = {
    ("docs/safety.md", "gate"): GateConfig,
    ("docs/corrections.md", "corrections"): CorrectionNodeConfig,
    ("docs/gap_world.md", "gap"): GapConfig,
}


def table(config_class: type) -> str:
    """Markdown table of every field: name, default, unit, range, meaning."""
    lines = ["| parameter | default | unit | allowed | meaning |", "|---|---|---|---|---|"]
    for field in describe(config_class):
        allowed = ", ".join(map(str, field.choices)) if field.choices else span(field.low, field.high)
        lines.append(f"| `{field.name}` | {field.default} | {field.unit} | {allowed} | {field.doc} |")
    return "\n".join(lines)


def span(low: float | None, high: float | None) -> str:
    """A range in words; empty where there is none."""
    if low is None or high is None:
        return f">= {low}" if low is not None else f"<= {high}" if high is not None else ""
    return f"{low} to {high}"


def filled(text: str, name: str, content: str) -> str:
    """`text` with what stands between the markers of `name` replaced by `content`."""
    begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"config_tables: {begin} ... {end} must stand exactly once")
    head, rest = text.split(begin)
    return f"{head}{begin}\n{content}\n{end}{rest.split(end)[1]}"


def main() -> int:
    """Rewrite or check every document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where outdated")
    check = parser.parse_args().check
    outdated = []
    for (document, name), config_class in TABLES.items():
        path = ROOT / document
        text = path.read_text()
        new = filled(text, name, table(config_class))
        if new != text:
            outdated.append(document)
            if not check:
                path.write_text(new)
    if outdated and check:
        print(f"outdated: {', '.join(outdated)}; run python scripts/config_tables.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
