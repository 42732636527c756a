"""docs/drivers_leap.md says what the code says. RFS_WRITE_DOCS=1 writes its generated parts anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rfs_core.config import describe
from rfs_drivers import leap_table
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.servo_bus import UDEV_RULE

PAGE = Path(__file__).resolve().parents[3] / "docs" / "drivers_leap.md"


def parameters() -> str:
    """The table of the driver's parameters; those of the first joint stand for all joints."""
    lines = ["| parameter | default | range | unit | meaning |", "|---|---|---|---|---|"]
    first = f"joints.{leap_table.NAMES[0]}."
    for field in describe(LeapConfig):
        if field.name.startswith("joints.") and not field.name.startswith(first):
            continue
        name = field.name.replace(first, "joints.JOINT.")
        allowed = "" if field.low is None else f"{field.low:g} to {field.high:g}"
        shown = str(field.default).lower() if isinstance(field.default, bool) else field.default
        lines.append(
            f"| `{name}` | {'' if shown is None else shown} | {allowed} | {field.unit} | {field.doc} |"
        )
    return "\n".join(lines)


def joints() -> str:
    """The table of joints."""
    lines = ["| motor | joint | lowest, rad | highest, rad |", "|---|---|---|---|"]
    lines += [f"| {j.motor} | `{j.name}` | {j.low} | {j.high} |" for j in leap_table.JOINTS]
    return "\n".join(lines)


def between(text: str, name: str, content: str | None = None) -> str:
    """The generated part of that name, or the text with it replaced."""
    begin, end = f"<!-- {name}: generated -->\n", f"\n<!-- {name}: end -->"
    before, rest = text.split(begin)
    inside, after = rest.split(end)
    return inside if content is None else before + begin + content + end + after


def test_parameters_and_joints_in_the_docs_are_those_of_the_driver() -> None:
    if not PAGE.exists():
        pytest.skip("docs are not here: an installed package")
    if os.environ.get("RFS_WRITE_DOCS"):
        text = between(PAGE.read_text(), "parameters", parameters())
        text = between(text, "joints", joints())
        PAGE.write_text(text)
    hint = "docs/drivers_leap.md is behind the code: RFS_WRITE_DOCS=1 pytest test_leap_docs.py"
    assert between(PAGE.read_text(), "parameters") == parameters(), hint
    assert between(PAGE.read_text(), "joints") == joints(), hint


def test_the_docs_show_the_udev_rule_that_the_driver_names() -> None:
    if not PAGE.exists():
        pytest.skip("docs are not here: an installed package")
    assert UDEV_RULE in PAGE.read_text()
