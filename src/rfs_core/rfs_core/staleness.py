"""Whether a stamped message may be used: ages, order, and stamps from the future.

Times are whole nanoseconds, so that equal stamps are equal. Nothing here reads a clock: "now" comes in.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

NS_PER_S = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Nanoseconds of a duration in seconds."""
    return round(seconds * NS_PER_S)


class Now(NamedTuple):
    """The two clocks at the receipt of an event."""

    steady_ns: int
    """Monotonic; ages are measured on it in the real world."""
    ros_ns: int
    """The clock that message stamps are read on."""


def steady_stamp(stamp_ns: int, now: Now) -> int:
    """When a message was stamped, on the steady clock: its ROS age at receipt, counted back from receipt."""
    return now.steady_ns - (now.ros_ns - stamp_ns)


class SteadyStamps:
    """Stamps on the steady clock, also across a step of the clock that they are read on.

    Somebody sets the clock, or NTP does: a message that was stamped before the step and is received after it
    seems to be older, or from the future, by the whole step. For `REMEMBER_NS` after a step a stamp is read
    on the clock before it as well, and the younger reading that is not from the future counts. Steps that
    are shorter than the age of a message may make that message seem younger by the step.
    """

    STEP_NS = 10_000_000
    """A change of the two clocks' difference between two events from which it is a step, and not drift."""
    REMEMBER_NS = NS_PER_S
    """How long messages stamped before a step may still arrive."""

    def __init__(self, future_tolerance_ns: int) -> None:
        """Args: future_tolerance_ns: how far a stamp may lie ahead."""
        self._future_ns = future_tolerance_ns
        self._offset_ns: int | None = None
        self._before: list[tuple[int, int]] = []
        """(difference of the clocks before a step, steady time until which it is remembered)"""
        self.steps = 0
        """Steps seen since the start."""

    def observe(self, now: Now) -> None:
        """Compare the two clocks; to be called at every event."""
        offset_ns = now.ros_ns - now.steady_ns
        if self._offset_ns is not None and abs(offset_ns - self._offset_ns) > self.STEP_NS:
            self.steps += 1
            self._before.append((self._offset_ns, now.steady_ns + self.REMEMBER_NS))
        self._before = [entry for entry in self._before if entry[1] > now.steady_ns]
        self._offset_ns = offset_ns

    def steady(self, stamp_ns: int, now: Now) -> int:
        """When a message received now was stamped, on the steady clock."""
        self.observe(now)
        newest_ns = steady_stamp(stamp_ns, now)
        if not self._before:
            return newest_ns
        readings = [newest_ns, *(stamp_ns - offset_ns for offset_ns, _ in self._before)]
        possible = [at_ns for at_ns in readings if at_ns - now.steady_ns <= self._future_ns]
        return max(possible, default=newest_ns)


class Order(enum.Enum):
    """How a stamp relates to the newest one of its stream."""

    NEWER = "newer"
    SAME = "same"
    OLDER = "older"
    RESTARTED = "restarted"
    """So much older that its clock must have been started anew."""


def order(stamp_ns: int, newest_ns: int | None, restart_after_ns: int = NS_PER_S) -> Order:
    """Compare a stamp with the newest one of its stream; None when there is none yet."""
    if newest_ns is None or stamp_ns > newest_ns:
        return Order.NEWER
    if stamp_ns == newest_ns:
        return Order.SAME
    return Order.RESTARTED if newest_ns - stamp_ns > restart_after_ns else Order.OLDER


def age_problem(stamp_ns: int, now_ns: int, stale_after_ns: int, future_tolerance_ns: int, what: str) -> str:
    """Why a stamp may not be used at `now_ns`, as a sentence; empty when it may.

    Args:
        stamp_ns, now_ns: on the same clock.
        stale_after_ns: age from which it is stale (inclusive).
        future_tolerance_ns: how far it may lie ahead (inclusive).
        what: names the message, for example "observation".
    """
    age = now_ns - stamp_ns
    if age >= stale_after_ns:
        return f"{what} is {age / 1e6:.0f} ms old, allowed: less than {stale_after_ns / 1e6:.0f} ms"
    if -age > future_tolerance_ns:
        return (
            f"{what} is stamped {-age / 1e6:.0f} ms in the future, allowed: "
            f"{future_tolerance_ns / 1e6:.0f} ms; check that its clock is the one of this robot"
        )
    return ""
