"""The recovery ladder: after a fault, what is tried, in which order, and what waits for a person.

    reflex, lost commands   wait for arm/recover; clear the errors; after ATTEMPTS failures connect anew
    user stop               wait until it is released, then for arm/recover
    network, hung call      connect anew, with growing waits; then wait for arm/recover
    version, real-time      nothing helps: stay failed, with the reason

Connecting anew and reading states needs nobody's leave, since it moves nothing. Control never resumes by
itself. No clock and no I/O inside.
"""

from __future__ import annotations

from enum import Enum

from rfs_drivers.franka_faults import FATAL, LOST_CONNECTION, Cause, Fault

ATTEMPTS = 2
"""Failed attempts to clear errors after which the connection is suspected."""


class Step(Enum):
    """What to do next."""

    NONE = "nothing: no fault"
    WAIT = "wait"
    CLEAR = "clear the robot's errors"
    CONNECT = "connect anew"
    GIVE_UP = "give up"


class RecoveryLadder:
    """Decides the next step; the driver carries it out and reports how it went."""

    def __init__(self, first_wait: float, longest_wait: float) -> None:
        """
        Args:
            first_wait: before the first attempt to connect again, s; doubled after each failure.
            longest_wait: s.
        """
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self.fault: Fault | None = None
        self.connected = True
        self.attempts_to_connect = 0
        self._requested = False
        self._failures = 0
        self._wait = first_wait
        self._not_before = 0.0

    def failed(self, fault: Fault, now: float) -> None:
        """A fault was seen at `now` (s), or an attempt failed with it."""
        self.fault = fault
        self._requested = False
        self._failures = 0
        if fault.cause in LOST_CONNECTION:
            self._disconnected(now)

    def request(self) -> None:
        """A person asks for recovery."""
        self._requested = True

    def next(self, now: float, user_stopped: bool) -> Step:
        """The step to take at `now`.

        Args:
            now: s.
            user_stopped: whether the robot's newest state shows the user stop pressed.
        """
        if self.fault is None:
            return Step.NONE
        if self.fault.cause in FATAL:
            return Step.GIVE_UP
        if not self.connected:
            self._requested = False
            return Step.CONNECT if now >= self._not_before else Step.WAIT
        if user_stopped:
            # A request made now is refused, not remembered: releasing the stop must not start anything.
            self._requested = False
        return Step.CLEAR if self._requested else Step.WAIT

    def cleared(self) -> None:
        """The robot's errors are cleared: there is no fault any more."""
        self.fault = None
        self._requested = False
        self._failures = 0

    def not_cleared(self, fault: Fault, now: float) -> None:
        """Clearing failed."""
        if fault.cause in LOST_CONNECTION or fault.cause in FATAL:
            self.failed(fault, now)
            return
        self._failures += 1
        self.fault = fault
        if fault.cause is Cause.USER_STOP or self._failures < ATTEMPTS:
            # One request, one attempt: the person is told and decides.
            self._requested = False
        else:
            self._failures = 0
            self._disconnected(now)

    def connected_anew(self) -> None:
        """A new connection stands; the fault stays until a person asks for recovery."""
        self.connected = True
        self.attempts_to_connect = 0
        self._wait = self._first_wait
        self._requested = False

    def not_connected(self, fault: Fault, now: float) -> None:
        """Connecting failed: wait longer."""
        self.fault = fault
        self._not_before = now + self._wait
        self._wait = min(2.0 * self._wait, self._longest_wait)
        self.attempts_to_connect += 1

    def _disconnected(self, now: float) -> None:
        self.connected = False
        self.attempts_to_connect = 0
        self._wait = min(2.0 * self._first_wait, self._longest_wait)
        self._not_before = now + self._first_wait
