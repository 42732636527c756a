"""A stand-in for the gate: palm targets at 10 Hz, by the robot's own clock, for tests and benchmarks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from rfs_core.se3 import Array, Pose
from rfs_drivers.franka_driver import FrankaDriver

Path = Callable[[float], Array]
"""Displacement (m, base frame) of the palm after a time (s). Shape: (3,)."""


def bob(amplitude: float = 0.01, period: float = 1.0) -> Path:
    """Up and down."""
    return lambda t: np.array([0.0, 0.0, amplitude * np.sin(2.0 * np.pi * t / period)])


def circle(radius: float, period: float, outward: bool = False) -> Path:
    """A horizontal circle that begins at the palm; its middle lies towards the base, or away from it."""
    side = -1.0 if outward else 1.0

    def at(t: float) -> Array:
        angle = 2.0 * np.pi * t / period
        return side * radius * np.array([np.cos(angle) - 1.0, np.sin(angle), 0.0])

    return at


class Commander:
    """Offers targets along a path around the palm of the start, until it is closed. A context manager."""

    def __init__(
        self,
        driver: FrankaDriver,
        path: Path | None = None,
        period: float = 0.1,
        patience: float | None = None,
    ) -> None:
        """
        Args:
            driver: in control.
            path: bobbing by default.
            period: robot time between targets, s.
            patience: wall time, s, after which a robot whose clock stands still counts as away, so that
                targets come by this machine's clock, as of a gate; None: three periods.
        """
        state = driver.state
        assert state is not None
        self._driver = driver
        self._path = path if path is not None else bob()
        self._period = period
        self._patience = 3.0 * period if patience is None else patience
        self.start: Pose = state.palm
        self.begun = state.robot_time
        self.targets: list[tuple[float, Array]] = []
        """Robot time and position of what was offered."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def position(self, robot_time: float) -> Array:
        """Where the path is at a time of the robot. Shape: (3,)."""
        wanted: Array = self.start.position[0] + self._path(robot_time - self.begun)
        return wanted

    def __enter__(self) -> Commander:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        due, last_wall = self.begun, time.monotonic()
        while not self._closed.wait(0.002):
            state = self._driver.state
            # The robot's clock stands still while it is away: go on by this machine's, as a gate would.
            stopped = time.monotonic() - last_wall > self._patience
            if state is None or (state.robot_time < due and not stopped):
                continue
            if state.robot_time < self.begun or state.robot_time > due + 1.0:
                due = state.robot_time
            target = self.position(state.robot_time)
            self._driver.offer(Pose(target[None], self.start.quaternion.copy()))
            self.targets.append((state.robot_time, target))
            due, last_wall = (
                due + self._period if not stopped else state.robot_time + self._period,
                time.monotonic(),
            )
