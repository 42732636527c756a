"""Somebody whose messages a run depends on, and whether they are late: then simulated time can wait for them.

A node that decides by the age of what it reads holds when that is too old. On a machine with fewer cores than
nodes it becomes so although nothing is broken. Time that is simulated need not go on meanwhile.
"""

from __future__ import annotations


class Awaited:
    """One sender. Late is who has been silent for longer than usual, and not for so long that they are gone.

    What counts is the time that a message is about (its stamp), not when it came: a message that was under
    way for long is as old for whoever decides by its age.
    """

    def __init__(self, usual_s: float, gone_s: float) -> None:
        """
        Args:
            usual_s: age of the newest message up to which nobody waits, s.
            gone_s: age from which on nobody waits any more, s: the sender is missing, and that must be seen.
        """
        self._usual_ns = round(usual_s * 1e9)
        self._gone_ns = round(gone_s * 1e9)
        self._newest_ns: int | None = None

    def heard(self, stamp_ns: int) -> None:
        """A message about the time `stamp_ns` has come."""
        self._newest_ns = stamp_ns if self._newest_ns is None else max(self._newest_ns, stamp_ns)

    def forget(self) -> None:
        """Nothing is expected before the next message."""
        self._newest_ns = None

    def is_late(self, now_ns: int) -> bool:
        """Whether to wait at the time `now_ns`. Before the first message nobody is waited for."""
        newest = self._newest_ns
        return newest is not None and self._usual_ns < now_ns - newest < self._gone_ns
