"""The clock that the command gate lives by, and when its control ticks are due.

With `tick_source` "state" it is the stamp of the measured arm: ticks are multiples of the control step, each
due when all measured streams have reached it. With "timer" it is a steady clock, on which message stamps are
placed by their age at receipt. Times are whole nanoseconds; nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable

from rfs_core.staleness import Now, SteadyStamps

_NEXT_STEP = 0.8
"""Control steps between two steps of actions at least: what came late does not make all that follow late."""


class GateClock:
    """What time it is for the gate, and which tick is its newest."""

    def __init__(self, by_state: bool, dt_ns: int, future_ns: int) -> None:
        """
        Args:
            by_state: whether `tick_source` is "state".
            dt_ns: control step.
            future_ns: how far a stamp may lie ahead.
        """
        self.by_state = by_state
        self._dt_ns = dt_ns
        self._stamps = SteadyStamps(future_ns)
        self.tick_ns: int | None = None
        """Newest control tick; None before the first."""
        self.stepped_ns: int | None = None
        """Tick of the newest step of an action; None since arming."""
        self._due_ns: int | None = None
        """Tick whose measured state is not complete yet ("state" only)."""

    def observe(self, now: Now) -> None:
        """Compare the two clocks, in case somebody sets one."""
        self._stamps.observe(now)

    def now(self, now: Now) -> int:
        """Now; with "state", that is the newest tick."""
        if not self.by_state:
            return now.steady_ns
        return self.tick_ns if self.tick_ns is not None else 0

    def at(self, stamp_ns: int, now: Now) -> int:
        """When a message received now was stamped."""
        return stamp_ns if self.by_state else self._stamps.steady(stamp_ns, now)

    def is_early(self, now: Now) -> bool:
        """Whether a timer ticks too soon: after a delay, two steps at once would be one of twice the size."""
        return self.tick_ns is not None and now.steady_ns - self.tick_ns < self._dt_ns // 2

    def may_step(self, now: Now) -> bool:
        """Whether the newest step of an action, by a timer, is long enough ago for the next."""
        return self.stepped_ns is None or now.steady_ns - self.stepped_ns >= _NEXT_STEP * self._dt_ns

    def due_ticks(self, arm_stamp_ns: int | None, complete_to: Callable[[int], bool]) -> list[int]:
        """The ticks that a new measured sample completes, in order.

        Args:
            arm_stamp_ns: stamp of the sample, if it is one of the arm: these make ticks.
            complete_to: whether every measured stream has reached a stamp.
        """
        due: list[int] = []
        on_grid = arm_stamp_ns is not None and arm_stamp_ns % self._dt_ns == 0
        if arm_stamp_ns is not None and on_grid and (self.tick_ns is None or arm_stamp_ns > self.tick_ns):
            if self._due_ns is not None and self._due_ns < arm_stamp_ns:
                # The next tick began before the last one was complete: go on with what is there.
                due.append(self._due_ns)
            self._due_ns = arm_stamp_ns
        if self._due_ns is not None and complete_to(self._due_ns):
            due.append(self._due_ns)
            self._due_ns = None
        return due

    def forget(self) -> None:
        """The clock began anew: there was no tick yet."""
        self.tick_ns = self._due_ns = None
