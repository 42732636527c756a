"""A picture of rewards over time: the terms, and when nothing was valid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rfs_perception import outputs
from rfs_perception.errors import PerceptionError

WIDTH, HEIGHT = 900, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 45
_INK, _GRID, _GAP = (60, 60, 60), (225, 225, 225), (200, 205, 245)
_COLOURS = {"total": (40, 40, 40), "distance term": (200, 110, 30), "lift term": (60, 150, 40)}
"""Blue, green, red."""


class Row(NamedTuple):
    """One reward."""

    time_s: float
    valid: bool
    distance_term: float
    lift_term: float


def prepare_plot(path: Path) -> None:
    """Make the picture's folder.

    Raises:
        PerceptionError: the picture cannot be written.
    """
    if not path.is_dir() and not cv2.haveImageWriter(str(path)):
        raise PerceptionError(f"{path} cannot be written: use .png or .jpg")
    outputs.prepare(path)


def save_plot(rows: Sequence[Row], path: Path, title: str) -> None:
    """Write the picture; spans without a valid reward are shaded.

    Raises:
        PerceptionError: no rows, or the file cannot be written.
    """
    image = plot(rows, title)
    prepare_plot(path)
    if not cv2.imwrite(str(path), image):
        raise PerceptionError(f"{path} cannot be written: use .png or .jpg")


def plot(rows: Sequence[Row], title: str) -> NDArray[np.uint8]:
    """The picture. Shape: (HEIGHT, WIDTH, 3), blue, green, red

    Raises:
        PerceptionError: no rows.
    """
    if not rows:
        raise PerceptionError("there is no reward to draw")
    time = np.array([row.time_s for row in rows])
    time -= time[0]
    valid = np.array([row.valid for row in rows])
    curves = {
        "total": np.array([row.distance_term + row.lift_term for row in rows]),
        "distance term": np.array([row.distance_term for row in rows]),
        "lift term": np.array([row.lift_term for row in rows]),
    }
    seen = np.concatenate([curve[valid] for curve in curves.values()]) if valid.any() else np.zeros(1)
    ticks = _ticks(float(min(seen.min(), 0.0)), float(max(seen.max(), 0.0)))
    low, high = ticks[0], ticks[-1]
    span = max(float(time[-1]), 1e-3)

    def at(t: float, value: float) -> tuple[int, int]:
        u = _LEFT + t / span * (WIDTH - _LEFT - _RIGHT)
        v = _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)
        return round(u), round(v)

    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for t, before, ok in zip(time, np.concatenate([time[:1], time[:-1]]), valid, strict=True):
        if not ok:
            cv2.rectangle(image, at(before, high), at(t, low), _GAP, -1)
    for value in ticks:
        cv2.line(image, at(0.0, value), at(span, value), _GRID, 1)
        _write(image, f"{value:g}", (8, at(0.0, value)[1] + 5))
    for t in _ticks(0.0, span):
        if t <= span:
            cv2.line(image, at(t, low), at(t, high), _GRID, 1)
            _write(image, f"{t:g} s", (at(t, low)[0] - 12, HEIGHT - 22))
    for i, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[name]
        for k in range(1, len(rows)):
            if valid[k] and valid[k - 1]:
                ends = at(time[k - 1], curve[k - 1]), at(time[k], curve[k])
                cv2.line(image, *ends, colour, 2, cv2.LINE_AA)
        _write(image, name, (WIDTH - 430 + 140 * i, 24), colour)
    share = f"{int(valid.sum())} of {len(rows)} valid"
    _write(image, f"{title}: {share}", (_LEFT, 24))
    return image


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers that reach from low to high."""
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-6)))
    for factor in (0.2, 0.5, 1.0):
        if (high - low) / (step * factor) <= 8.0:
            step *= factor
            break
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [round(float(k * step), 9) for k in np.arange(first, max(last, first + 1) + 1)]


def _write(
    image: NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int] = _INK
) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
