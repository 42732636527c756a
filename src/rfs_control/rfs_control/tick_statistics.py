"""How long ticks take and how many were missed, for /diagnostics and the report."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_WINDOW = 200_000  # ticks kept: more than five hours at 10 Hz


@dataclass(frozen=True)
class TickSummary:
    """Percentiles of the ticks so far; NaN while there was none."""

    count: int
    cpu_ms_p50: float
    cpu_ms_p99: float
    wall_ms_p50: float
    wall_ms_p99: float


class TickStatistics:
    """Durations of ticks: CPU time of the thread, and time on the wall."""

    def __init__(self) -> None:
        self._cpu_ns: deque[int] = deque(maxlen=_WINDOW)
        self._wall_ns: deque[int] = deque(maxlen=_WINDOW)
        self.count = 0
        self.missed = 0

    def add(self, cpu_ns: int, wall_ns: int) -> None:
        """Count one tick."""
        self._cpu_ns.append(cpu_ns)
        self._wall_ns.append(wall_ns)
        self.count += 1

    def summary(self) -> TickSummary:
        """Percentiles over the ticks kept."""
        if not self._cpu_ns:
            nan = float("nan")
            return TickSummary(0, nan, nan, nan, nan)
        cpu = np.percentile(np.asarray(self._cpu_ns) * 1e-6, (50, 99))
        wall = np.percentile(np.asarray(self._wall_ns) * 1e-6, (50, 99))
        return TickSummary(self.count, float(cpu[0]), float(cpu[1]), float(wall[0]), float(wall[1]))
