"""docs/drivers_franka.md says what the code says. RFS_WRITE_DOCS=1 writes its generated parts anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rfs_core.config import describe
from rfs_drivers.franka_config import FrankaConfig

PAGE = Path(__file__).resolve().parents[3] / "docs" / "drivers_franka.md"


def parameters() -> str:
    """The table of the driver's parameters."""
    lines = ["| parameter | default | range | unit | meaning |", "|---|---|---|---|---|"]
    for field in describe(FrankaConfig):
        default = field.default
        if isinstance(default, tuple):
            default = "[" + ", ".join(f"{value:.4g}" for value in default) + "]"
        if field.choices:
            allowed = ", ".join(map(str, field.choices))
        else:
            allowed = "" if field.low is None else f"{field.low:g} to {field.high:g}"
        shown = str(default).lower() if isinstance(default, bool) else default
        lines.append(f"| `{field.name}` | {shown} | {allowed} | {field.unit} | {field.doc} |")
    return "\n".join(lines)


def fault_table(results: Path) -> str:
    """The table of RFS_FAULT_RESULTS, as test_franka_driver_faults.py wrote it."""
    lines = [
        "| fault | what a person reads | named after | ready for arm/recover | arm/recover takes |",
        "|---|---|---|---|---|",
    ]
    for name, row in json.loads(results.read_text()).items():
        figures = [
            f"{row[key]:.2f} s" if key in row else "-"
            for key in ("seconds_until_named", "seconds_until_recoverable", "seconds_to_recover")
        ]
        text = "no fault: targets are followed on" if row["reported"] == "none" else row["reported"]
        text = " ".join("ADDRESS" if word.startswith("127.") else word for word in text.split())
        lines.append(f"| {name} | {text} | {' | '.join(figures)} |")
    return "\n".join(lines)


def between(text: str, name: str, content: str | None = None) -> str:
    """The generated part of that name, or the text with it replaced."""
    begin, end = f"<!-- {name}: generated -->\n", f"\n<!-- {name}: end -->"
    before, rest = text.split(begin)
    inside, after = rest.split(end)
    return inside if content is None else before + begin + content + end + after


def test_parameters_in_the_docs_are_those_of_the_driver() -> None:
    if not PAGE.exists():
        pytest.skip("docs are not here: an installed package")
    if os.environ.get("RFS_WRITE_DOCS"):
        text = between(PAGE.read_text(), "parameters", parameters())
        results = os.environ.get("RFS_FAULT_RESULTS")
        if results:
            text = between(text, "faults", fault_table(Path(results)))
        PAGE.write_text(text)
    assert between(PAGE.read_text(), "parameters") == parameters(), (
        "docs/drivers_franka.md is behind franka_config.py: RFS_WRITE_DOCS=1 pytest test_franka_docs.py"
    )
