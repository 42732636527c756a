"""Where the arm was when an image was taken: its states of the last seconds, interpolated."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np
from numpy.typing import NDArray

from rfs_perception.errors import PerceptionError


class ArmHistory:
    """Joint positions over time. Stamps must grow; one that does not is a new beginning."""

    def __init__(self, keep_s: float = 3.0, gap_s: float = 0.1, beyond_s: float = 0.02) -> None:
        """
        Args:
            keep_s: Older states are forgotten (s).
            gap_s: States farther apart than this are not interpolated between (s).
            beyond_s: Time after the newest state that is still its own (s).
        """
        self._keep_ns, self._gap_ns, self._beyond_ns = (round(s * 1e9) for s in (keep_s, gap_s, beyond_s))
        self._stamps: deque[int] = deque()
        self._positions: deque[NDArray[np.float64]] = deque()

    @property
    def newest_ns(self) -> int:
        """Stamp of the newest state; -1 where there is none."""
        return self._stamps[-1] if self._stamps else -1

    def add(self, stamp_ns: int, position: NDArray[np.float64]) -> None:
        """A state (rad). Shape: (7,)"""
        if self._stamps and stamp_ns <= self._stamps[-1]:
            if stamp_ns > self._stamps[-1] - self._keep_ns:
                return  # the same state published again, or out of order
            self._stamps.clear()
            self._positions.clear()
        self._stamps.append(stamp_ns)
        self._positions.append(np.array(position, dtype=np.float64))
        while self._stamps[-1] - self._stamps[0] > self._keep_ns:
            self._stamps.popleft()
            self._positions.popleft()

    def at(self, stamp_ns: int) -> NDArray[np.float64]:
        """Joint positions at a moment (rad). Shape: (7,)

        Raises:
            PerceptionError: no states, or none of that time; says how far off they are.
        """
        if not self._stamps:
            raise PerceptionError("no arm state was received: is the arm's driver running?")
        i = bisect_left(self._stamps, stamp_ns)
        if i == len(self._stamps):
            late = stamp_ns - self._stamps[-1]
            if late > self._beyond_ns:
                raise PerceptionError(
                    f"the image is {late / 1e6:.0f} ms newer than the newest arm state: "
                    "arm silent, or clocks apart"
                )
            return self._positions[-1]
        if self._stamps[i] == stamp_ns:
            return self._positions[i]
        if i == 0:
            raise PerceptionError(
                f"the image is {(self._stamps[0] - stamp_ns) / 1e6:.0f} ms older than the oldest arm state: "
                "it came late, or clocks are apart"
            )
        before, after = self._stamps[i - 1], self._stamps[i]
        if after - before > self._gap_ns:
            raise PerceptionError(
                f"the arm states around the image are {(after - before) / 1e6:.0f} ms apart, "
                f"at most {self._gap_ns / 1e6:.0f} ms are interpolated"
            )
        share = (stamp_ns - before) / (after - before)
        return (1.0 - share) * self._positions[i - 1] + share * self._positions[i]
