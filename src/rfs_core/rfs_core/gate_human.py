"""The human who corrects, as the command gate knows them: the newest good residual, and whether it counts."""

from __future__ import annotations

from rfs_core.gate_checks import residual_problem
from rfs_core.gate_types import Correction, Statistics
from rfs_core.specs import ActionSpec


class Human:
    """Newest good correction. Times are whole nanoseconds on the gate's clock."""

    def __init__(self, spec: ActionSpec, stale_ns: int, future_ns: int, statistics: Statistics) -> None:
        """
        Args:
            spec: what a residual means.
            stale_ns: age at which a correction counts as released.
            future_ns: how far a stamp may lie ahead.
            statistics: where refusals are counted.
        """
        self._spec, self._stale_ns, self._future_ns = spec, stale_ns, future_ns
        self._statistics = statistics
        self._newest: tuple[int, Correction] | None = None

    @property
    def heard(self) -> bool:
        """Whether there is a correction, engaged or not."""
        return self._newest is not None

    def take(self, correction: Correction, at_ns: int, now_ns: int) -> None:
        """Take a correction stamped `at_ns`, or refuse it."""
        if residual_problem(correction.residual, self._spec):
            self.refuse()
        elif at_ns - now_ns > self._future_ns or (self._newest and at_ns < self._newest[0]):
            self._statistics.refused_corrections += 1
        else:
            self._newest = (at_ns, correction)

    def refuse(self) -> None:
        """A correction that cannot be used: the human counts as having let go."""
        self._statistics.refused_corrections += 1
        self._newest = None

    def forget(self) -> None:
        """Forget, without counting a refusal."""
        self._newest = None

    def engaged(self, tick_ns: int | None) -> Correction | None:
        """The correction of a human who is engaged at a control tick."""
        if self._newest is None or tick_ns is None:
            return None
        at_ns, correction = self._newest
        return correction if correction.engaged and tick_ns - at_ns < self._stale_ns else None
