"""The whole report in one file that needs nothing else: tables, pictures, videos of episodes."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from rfs_learning.benchmark.process import read_json
from rfs_learning.benchmark.settings import METHOD_TITLES
from rfs_learning.benchmark.table import Result

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
body { color: #1c2430; }
table { border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }
td, th { border: 1px solid #d5dbe3; padding: .25rem .6rem; text-align: left; white-space: nowrap; }
tr:first-child { background: #f0f3f7; font-weight: 600; }
img { max-width: 100%; }
figure { display: inline-block; margin: .4rem; vertical-align: top; width: 20rem; }
figure video, figure img { width: 20rem; border-radius: 4px; }
figcaption { font-size: 13px; }
.won { color: #1d7a34; } .lost { color: #b3261e; }
code { background: #f0f3f7; padding: 0 .2rem; }
"""

_KINDS = {".mp4": "video/mp4", ".gif": "image/gif", ".png": "image/png"}


def html_report(markdown: str, pictures: Sequence[Path], results: Sequence[Result]) -> str:
    """The report.

    Args:
        markdown: its text, as `rfs_learning.benchmark.markdown` writes it.
        pictures: files to show; links to them in the text are left out.
        results: cells whose `films.json` names videos.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Benchmark</title>',
        f"<style>{_STYLE}</style></head><body>",
        _to_html(markdown),
        "<h2>Pictures</h2>",
        *(f'<p><img alt="{html.escape(path.stem)}" src="{_embedded(path)}"></p>' for path in pictures),
    ]
    films = [film for r in results for film in _films(r)]
    if films:
        parts += ["<h2>Episodes of the final evaluation</h2>", *films]
    return "\n".join([*parts, "</body></html>", ""])


def _films(r: Result) -> list[str]:
    """One figure per film of a cell."""
    shown = []
    for film in read_json(r.path.parent / "films.json").get("films", []):
        path = r.path.parent / film["file"]
        if not path.exists():
            continue
        won = film["success"]
        told = f"episode {film['episode']}: {film['outcome']}"
        if film.get("object"):
            told += f" ({film['object']})"
        picture = (
            f'<video controls muted loop preload="metadata" src="{_embedded(path)}"></video>'
            if path.suffix == ".mp4"
            else f'<img alt="" src="{_embedded(path)}">'
        )
        shown.append(
            f'<figure>{picture}<figcaption class="{"won" if won else "lost"}">{html.escape(told)}'
            "</figcaption></figure>"
        )
    if not shown:
        return []
    title = f"{r.task}, {METHOD_TITLES[r.method]}, seed {r.seed}, success {r.success:.3f}"
    return [f"<h3>{html.escape(title)}</h3>", *shown]


def _embedded(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"data:{_KINDS[path.suffix]};base64,{data}"


def _to_html(markdown: str) -> str:
    """The subset of Markdown that the report uses: headings, tables, lists, paragraphs, bold, code."""
    made: list[str] = []
    rows: list[str] = []
    items: list[str] = []

    def flush() -> None:
        if rows:
            made.append("<table>" + "".join(rows) + "</table>")
            rows.clear()
        if items:
            made.append("<ul>" + "".join(items) + "</ul>")
            items.clear()

    for line in markdown.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
            if not all(set(cell) <= set("-:") and cell.startswith("---") for cell in cells):
                first = line.startswith("|  |")
                rows.append(
                    "<tr>"
                    + ("<td></td>" if first else "")
                    + "".join(f"<td>{_inline(c)}</td>" for c in cells)
                    + "</tr>"
                )
            continue
        if line.startswith("- "):
            items.append(f"<li>{_inline(line[2:])}</li>")
            continue
        flush()
        heading = re.match(r"(#+) (.*)", line)
        if heading:
            level = len(heading[1])
            made.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
        elif line and not line.startswith("!["):
            made.append(f"<p>{_inline(line)}</p>")
    flush()
    return "\n".join(made)


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*(.*?)\*\*", r"<strong>\1</strong>", escaped)
