"""Puts the images of one moment together: colour, depth and labels come as messages of their own."""

from __future__ import annotations

from typing import Any

_KEPT = 8


class FrameMatcher:
    """Keeps the last few parts by stamp. Bounded, whatever is lost on the way."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        """
        Args:
            parts: Names of what belongs together.
        """
        self._parts = parts
        self._waiting: dict[int, dict[str, Any]] = {}
        self._done_ns = -1

    def add(self, part: str, stamp_ns: int, value: Any) -> None:
        """One part. Stamps that go back by more than what is kept begin anew."""
        if stamp_ns < self._done_ns - 10_000_000_000:
            self._waiting.clear()
            self._done_ns = -1
        self._waiting.setdefault(stamp_ns, {})[part] = value
        while len(self._waiting) > _KEPT:
            del self._waiting[min(self._waiting)]

    def newest(self) -> tuple[int, dict[str, Any]] | None:
        """The newest moment that is complete and was not given before; older ones are forgotten."""
        complete = [s for s, have in self._waiting.items() if len(have) == len(self._parts)]
        complete = [s for s in complete if s > self._done_ns]
        if not complete:
            return None
        stamp = max(complete)
        parts = self._waiting[stamp]
        for old in [s for s in self._waiting if s <= stamp]:
            del self._waiting[old]
        self._done_ns = stamp
        return stamp, parts
