"""Following targets: they come from any thread, and become setpoints in the thread that owns the robot.

Which targets are refused, and when the palm is held, `franka_targets` decides. Here they wait for their
cycle, are kept out while a reason from outside stands, and what changes is said once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from rfs_core.se3 import Pose
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_status import Log
from rfs_drivers.franka_targets import Setpoint, TargetStream


class Follower:
    """Takes offered targets, and says where the palm shall be now."""

    def __init__(self, config: FrankaConfig, log: Log, clock: Callable[[], float]) -> None:
        """
        Args:
            config: of the stream of targets, and which clock their age counts in.
            log: told what is refused and when following begins and ends.
            clock: steady clock, s, that targets are stamped with on arrival.
        """
        self._robot_clock = config.clock == "robot"
        self._log = log
        self._clock = clock
        self.stream = TargetStream(config)
        """What is followed now."""
        self.last_refusal = ""
        """Why a target was refused last."""
        self._held_for = self.stream.holding
        self._lock = threading.Lock()
        self._offers: deque[tuple[float, Pose]] = deque(maxlen=8)
        self._barred_for = ""

    # ---- from any thread -----------------------------------------------------------------------------

    def offer(self, target: Pose) -> None:
        """A palm target in the base frame (N = 1), received now."""
        with self._lock:
            self._offers.append((self._clock(), target))

    def bar(self, reason: str) -> None:
        """Hold, and refuse every target, for a reason from outside; empty: accept targets again."""
        with self._lock:
            self._barred_for = reason

    @property
    def barred_for(self) -> str:
        """The reason from outside; empty where there is none."""
        return self._barred_for

    @property
    def held_for(self) -> str:
        """Why the palm is held; empty while targets are followed."""
        return self._barred_for or self.stream.holding

    # ---- from the thread that owns the robot ---------------------------------------------------------

    def forget(self) -> None:
        """Forget the targets that wait."""
        with self._lock:
            self._offers.clear()

    def begin(self, now: float, palm: Pose) -> None:
        """Hold the measured palm, whatever was followed before; what came since `forget` still waits."""
        self.stream.begin(now, palm)
        self._held_for = self.stream.holding

    def refuse_waiting(self, reason: str) -> None:
        """Refuse the targets that wait."""
        with self._lock:
            for _ in self._offers:
                self.last_refusal = self.stream.refuse(reason)
            self._offers.clear()

    def setpoint(self, now: float, state_age: float, palm: Pose) -> Setpoint:
        """Take the targets that wait; where the palm shall be.

        Args:
            now: time that targets are interpolated and aged in, s.
            state_age: age of the robot's state, s.
            palm: as measured newest.
        """
        with self._lock:
            offers = list(self._offers)
            self._offers.clear()
            barred_for = self._barred_for
        if barred_for:
            self.stream.hold(now, palm, barred_for)
        for received, target in offers:
            at = now if self._robot_clock else received
            refusal = (
                self.stream.offer(at, target, palm) if not barred_for else self.stream.refuse(barred_for)
            )
            if refusal:
                if refusal != self.last_refusal:
                    self._log("warning", f"target refused: {refusal}")
                self.last_refusal = refusal
        setpoint = self.stream.sample(now, state_age, palm)
        if setpoint.holding and not self._held_for:
            self._log("warning", f"holding: {setpoint.holding}")
        elif not setpoint.holding and self._held_for:
            self._log("info", f"following targets (held before: {self._held_for})")
        self._held_for = setpoint.holding
        return setpoint
