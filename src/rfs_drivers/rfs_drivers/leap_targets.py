"""From finger targets at 10 or 20 Hz to goals for the servos: limits, speed, and stopping when targets stop.

Pure: no bus, no clock.
"""

from __future__ import annotations

import numpy as np

from rfs_core.gate_checks import far_joints_problem
from rfs_core.se3 import Array
from rfs_drivers import leap_table
from rfs_drivers.leap_config import LeapConfig

_SOFT_SHARE = 0.2
_LONGEST_STEP_S = 0.1
"""After a stall of this process the goal does not leap by what it missed."""


class GoalStream:
    """The goal of all fingers: where the servos shall be now. Shape of every position: (16,), rad."""

    def __init__(self, config: LeapConfig) -> None:
        self._config = config
        self._low, self._high = config.limits
        self._target: Array | None = None
        self._received = -np.inf
        self._last = self._started = 0.0
        self.goal: Array = np.zeros(16)
        self.following = False
        self.why = ""
        """Why targets are not followed."""
        self.accepted = self.refused = self.clipped = self.holds = 0

    def begin(self, measured: Array, now: float) -> None:
        """Hold where the fingers are; what was offered before is forgotten."""
        self.goal = np.clip(measured, self._low, self._high)
        self._target, self._received = None, -np.inf
        self._last = self._started = now
        self.following, self.why = False, "no target yet"

    def offer(self, target: Array, now: float) -> str:
        """A target; the reason why it is refused, or empty. What is beyond the limits is clipped to them."""
        target = np.asarray(target, dtype=np.float64)
        if target.shape != (16,) or not np.isfinite(target).all():
            self.refused += 1
            return "hand/target needs 16 finite positions"
        limits = np.stack([self._low, self._high])
        problem = far_joints_problem(target, limits, leap_table.NAMES, "hand/target")
        if problem:
            self.refused += 1
            return problem
        clipped = np.clip(target, self._low, self._high)
        self.clipped += bool((clipped != target).any())
        self._target, self._received = clipped, now
        self.accepted += 1
        return ""

    def age(self, now: float) -> float:
        """Age of the newest target, s; infinite before the first."""
        return now - self._received

    def softness(self, now: float) -> float:
        """Share of current and speed that is allowed so far after the beginning."""
        share = (now - self._started) / self._config.soft_start
        return float(np.clip(_SOFT_SHARE + (1.0 - _SOFT_SHARE) * share, _SOFT_SHARE, 1.0))

    def step(self, now: float, state_age: float, obstacle: str = "") -> Array:
        """The goal at `now`.

        Args:
            now: s, steady.
            state_age: age of the newest measurement, s.
            obstacle: a reason from outside not to follow; empty: none.
        """
        dt = min(max(now - self._last, 0.0), _LONGEST_STEP_S)
        self._last = now
        why = obstacle
        if not why and state_age > self._config.stale_state:
            why = f"the newest measurement is {state_age * 1e3:.0f} ms old"
        if not why and self._target is None:
            why = self.why or "no target yet"
        if not why and self.age(now) > self._config.hold_after:
            why = f"no target for {self._config.hold_after * 1e3:.0f} ms"
        if why:
            # The goal stays where it got to: a grip is kept, and what comes later must be a new target.
            self.holds += self.following
            self._target, self.following, self.why = None, False, why
            return self.goal
        assert self._target is not None
        reach = self._config.max_speed * self.softness(now) * dt
        self.goal = self.goal + np.clip(self._target - self.goal, -reach, reach)
        self.following, self.why = True, ""
        return self.goal


def derating(temperature: Array, config: LeapConfig) -> Array:
    """Share of the current that a servo of a temperature (degC) may have: 1 below derate_from, then linear
    down to derate_share at derate_to and above. Shape: that of temperature."""
    hot = (np.asarray(temperature, dtype=np.float64) - config.derate_from) / (
        config.derate_to - config.derate_from
    )
    share: Array = 1.0 - (1.0 - config.derate_share) * np.clip(hot, 0.0, 1.0)
    return share
