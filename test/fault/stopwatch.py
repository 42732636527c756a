"""Time that this process was given: what promises about our code are measured in on a machine that is busy.

A thread looks every 5 ms and counts no more than `MOST_S` between two looks. A process that stood still
because others had the cores does not count that time; one that waits for its own work does. On an idle
machine it is the time on the wall.
"""

from __future__ import annotations

import threading
import time


class Stopwatch:
    """A context manager; `seconds` may be read while it runs."""

    LOOK_S = 0.005
    MOST_S = 0.010

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wall_s = 0.0
        """The same, by the wall."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        last = time.monotonic()
        while True:
            stopped = self._stop.wait(self.LOOK_S)
            now = time.monotonic()
            self.seconds += min(now - last, self.MOST_S)
            self.wall_s += now - last
            last = now
            if stopped:
                return

    def __enter__(self) -> Stopwatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
