"""A joint motion and whoever waits for its end."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from rfs_core.se3 import Array
from rfs_drivers.errors import DriverError
from rfs_drivers.franka_connection import FrankaConnection


@dataclass
class _Motion:
    goal: str
    """Where to, for a person."""
    future: Future[str]
    until: float
    """s; later it is given up."""


class JointMotion:
    """At most one joint motion of the robot. No clock inside: time comes in as an argument."""

    def __init__(self, connection: FrankaConnection, timeout: float) -> None:
        """
        Args:
            connection: that carries it out.
            timeout: s, after which a motion is given up.
        """
        self._connection = connection
        self._timeout = timeout
        self._motion: _Motion | None = None

    @property
    def running(self) -> bool:
        """Whether a motion was begun whose end nobody has been told yet."""
        return self._motion is not None

    def begin(self, future: Future[str], goal: str, q: Array, speed: float, now: float) -> None:
        """Begin moving.

        Args:
            future: told how it ends.
            goal: its name, for a person.
            q: rad. Shape: (7,)
            speed: share of the robot's largest speed, acceleration and jerk.
            now: s.

        Raises:
            VendorError: the robot does not begin; nothing waits then.
        """
        self._connection.begin_joint_motion(q, speed)
        self._motion = _Motion(goal, future, now + self._timeout)

    def ended(self, now: float) -> bool:
        """Whether the motion is over; one that takes too long is stopped by this.

        Raises:
            VendorError: it ended otherwise than planned. Whoever waits is not told yet: `fail`.
        """
        if self._connection.joint_motion_finished():
            return True
        if self._motion is not None and now > self._motion.until:
            self.stop(f"not at {self._motion.goal} after {self._timeout:.0f} s: stopped")
            return True
        return False

    def arrived(self) -> tuple[Future[str], str] | None:
        """Who waits for a motion that has ended as planned, and what to say; None where all has been said."""
        motion, self._motion = self._motion, None
        return None if motion is None else (motion.future, f"at {motion.goal}")

    def stop(self, reason: str) -> None:
        """End the motion smoothly; whoever waits is told why."""
        self.fail(reason)
        self._connection.stop_joint_motion()

    def fail(self, reason: str) -> None:
        """Tell whoever waits why the motion has ended; nothing where nobody does."""
        motion, self._motion = self._motion, None
        if motion is not None:
            motion.future.set_exception(DriverError(reason))
