"""A short memory of the last decisions, written to disk when a value is not finite."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class NanGuard:
    """Ring buffer of what happened in the last `length` decisions.

    As long as it reaches back to the start of the episodes, it is all that is needed to play them again.
    """

    def __init__(self, length: int) -> None:
        self._decisions: deque[dict[str, NDArray[Any]]] = deque(maxlen=length)
        self._origin: dict[str, NDArray[Any]] = {}

    def restart(self, **origin: NDArray[Any]) -> None:
        """Forget everything; `origin` says what starts now, and is written along."""
        self._decisions.clear()
        self._origin = origin

    def remember(self, **arrays: NDArray[Any]) -> str:
        """Take in one decision; returns what is not finite about it, or an empty sentence.

        Shape: every array has the environments as its first axis.
        """
        self._decisions.append({name: np.array(array) for name, array in arrays.items()})
        for name, array in arrays.items():
            bad = ~np.isfinite(array)
            if bad.any():
                index = tuple(int(i) for i in np.argwhere(bad)[0])
                count = int(bad.sum())
                return f"{name} at {index} is {array[index]}, environment {index[0]} ({count} such values)"
        return ""

    def dump(self, path: Path) -> Path:
        """Write the memory: one array per name, stacked along a first axis of decisions, oldest first."""
        names = sorted({name for decision in self._decisions for name in decision})
        stacked = {
            name: np.stack([decision[name] for decision in self._decisions if name in decision])
            for name in names
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **self._origin, **stacked)  # type: ignore[arg-type]
        return path
