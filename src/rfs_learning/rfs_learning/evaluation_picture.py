"""Success by object and by table region as a picture (RFS, ICLR 2026, figure 12).

Left, success of each object with its 95 % interval; right, the table from above, as the robot sees it: the
share of successes of every cell in which an episode's object stood when it began, with the number of its
episodes.
matplotlib is imported when a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_learning.statistics import wilson_interval

CELL = 0.04
"""m, side of a cell of the table."""


class Played(Protocol):
    """The part of `rfs_learning.evaluate.Episode` that is drawn."""

    success: bool
    object: str
    object_start: tuple[float, float] | None
    """m, where the object stood at first: x forward, y left."""


def regions(
    played: Sequence[Played],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Episodes and successes by cell of the table.

    Returns:
        Edges in x, X + 1, and in y, Y + 1 (m), multiples of CELL; episodes and successes. Shapes: (X, Y)

    Raises:
        RfsError: no episode says where its object stood.
    """
    known = [episode for episode in played if episode.object_start is not None]
    if not known:
        raise RfsError(
            "no episode says where its object stood: this engine does not tell, so nothing is drawn"
        )
    at = np.array([episode.object_start for episode in known], dtype=np.float64)
    # A hair's breadth, so that what stands on an edge is where it seems to be, rounding or not.
    low, high = np.floor(at.min(axis=0) / CELL + 1e-9), np.floor(at.max(axis=0) / CELL + 1e-9) + 1
    edges = [CELL * np.arange(low[i], high[i] + 1) for i in range(2)]
    cell = np.floor(at / CELL + 1e-9).astype(np.int64) - low.astype(np.int64)
    episodes = np.zeros((len(edges[0]) - 1, len(edges[1]) - 1), dtype=np.int64)
    successes = episodes.copy()
    np.add.at(episodes, (cell[:, 0], cell[:, 1]), 1)
    np.add.at(successes, (cell[:, 0], cell[:, 1]), [int(episode.success) for episode in known])
    return edges[0], edges[1], episodes, successes


def draw(played: Sequence[Played], title: str, path: Path) -> None:
    """Write the picture; the suffix decides the format.

    Raises:
        RfsError: matplotlib is missing, or no episode says where its object stood.
    """
    x, y, episodes, successes = regions(played)
    plt = _pyplot()
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11.0, 4.2), layout="constrained", gridspec_kw={"width_ratios": (1.0, 1.25)}
    )
    figure.suptitle(title, fontsize=10)
    _objects(left, played)
    _table(figure, right, x, y, episodes, successes)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No date, no version: the same results make the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None} if path.suffix == ".png" else None)
    plt.close(figure)


def _objects(axis: Any, played: Sequence[Played]) -> None:
    names = sorted({episode.object for episode in played})
    rows = [("all", [e.success for e in played])]
    rows += [(name or "?", [e.success for e in played if e.object == name]) for name in names]
    for row, (_, won) in enumerate(rows):
        rate = sum(won) / len(won)
        low, high = wilson_interval(sum(won), len(won))
        axis.barh(row, rate, color="#7f7f7f" if row == 0 else "#2ca02c", alpha=0.8)
        axis.plot([low, high], [row, row], color="black", linewidth=1.2)
        axis.text(1.02, row, f"{rate:.2f}  ({len(won)})", va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.invert_yaxis()
    axis.set_xlim(0.0, 1.25)
    axis.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axis.set_title("success by object, 95 % interval (episodes)", fontsize=9)


def _table(figure: Any, axis: Any, x: Any, y: Any, episodes: Any, successes: Any) -> None:
    rate = np.where(episodes > 0, successes / np.maximum(episodes, 1), np.nan)
    # Seen from behind the robot: x away, y to the left.
    mesh = axis.pcolormesh(y, x, rate, cmap="RdYlGn", vmin=0.0, vmax=1.0, edgecolors="white")
    for i, j in zip(*np.nonzero(episodes), strict=True):
        axis.text(
            (y[j] + y[j + 1]) / 2,
            (x[i] + x[i + 1]) / 2,
            f"{rate[i, j]:.2f}\n{episodes[i, j]}",
            ha="center",
            va="center",
            fontsize=7,
        )
    axis.invert_xaxis()
    axis.set_aspect("equal")
    axis.set_xlabel("y, left of the robot (m)")
    axis.set_ylabel("x, in front of it (m)")
    axis.set_title("success by where the object stood, and episodes", fontsize=9)
    figure.colorbar(mesh, ax=axis, shrink=0.85)


def _pyplot() -> Any:
    try:
        import matplotlib
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise RfsError("pictures need the package matplotlib: python -m pip install matplotlib") from error
    matplotlib.use("Agg")
    return plt
