"""docs/drivers_franka.md says what the code says. RFS_WRITE_DOCS=1 writes its generated parts anew."""

from __future__ import annotations

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
        PAGE.write_text(text)
    assert between(PAGE.read_text(), "parameters") == parameters(), (
        "docs/drivers_franka.md is behind franka_config.py: RFS_WRITE_DOCS=1 pytest test_franka_docs.py"
    )
