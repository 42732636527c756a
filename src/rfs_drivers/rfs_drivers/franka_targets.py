"""From palm targets at 10 or 20 Hz to a setpoint at any moment, and when to stop following.

A target is approached in a straight line and by the shortest rotation (slerp), over the period in which
targets arrive, and never faster than the speed limits; the setpoint's velocity goes along, so that damping
need not resist it. When targets stop, or the robot's state grows old, the palm is held where it was measured.
No clock inside: time comes in as an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rfs_core import se3
from rfs_core.se3 import Array, Pose
from rfs_drivers.franka_config import FrankaConfig

_SHORTEST_APPROACH_S = 0.02
_GOES_ON_WITHIN_S = 1.0
"""A stream of targets goes on where it was if it was held for no longer than this."""


class Setpoint(NamedTuple):
    """What the impedance controller shall follow now."""

    pose: Pose
    """Palm in the base frame, N = 1."""
    linear: Array
    """Its velocity, m/s. Shape: (3,)."""
    angular: Array
    """Its angular velocity, base frame, rad/s. Shape: (3,)."""
    holding: str
    """Why the palm is held; empty while targets are followed."""


@dataclass
class TargetCounters:
    """What happened to the targets since the start."""

    accepted: int = 0
    refused: int = 0
    clipped: int = 0
    """Accepted, but moved into the workspace or slowed down."""
    holds: int = 0


NO_TARGET_YET = "no target yet"


class TargetStream:
    """Interpolates targets; holds when it must not follow them."""

    def __init__(self, config: FrankaConfig) -> None:
        self._config = config
        self._low = np.array(config.workspace_low)
        self._high = np.array(config.workspace_high)
        self.counters = TargetCounters()
        self._intervals: deque[float] = deque(maxlen=200)
        identity = Pose(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0, 0.0]]))
        self._segment = _Segment.resting(identity, 0.0)
        self._holding = NO_TARGET_YET
        self._goal = identity
        self._last_accepted: float | None = None
        """When `_goal` came."""
        self._not_followed_since: float | None = None
        """When the hold began; it goes on where a target ends it that is not followed for a moment."""

    @property
    def holding(self) -> str:
        """Why the palm is held; empty while targets are followed."""
        return self._holding

    @property
    def intervals(self) -> Array:
        """Times between the last accepted targets, s."""
        return np.array(self._intervals)

    def age(self, now: float) -> float:
        """Age of the newest accepted target, s; infinite before the first."""
        return now - self._last_accepted if self._last_accepted is not None else float("inf")

    def begin(self, now: float, measured: Pose) -> None:
        """Forget all targets and hold the measured palm: at activation and after a recovery."""
        self._segment = _Segment.resting(measured, now)
        self._holding = NO_TARGET_YET
        self._last_accepted = self._not_followed_since = None
        self._intervals.clear()

    def offer(self, now: float, target: Pose, measured: Pose) -> str:
        """Take a target received at `now`, or say in one line why not.

        The first one must be near the palm: the first of all, and the first after a hold unless it goes on
        from a target of just now. (The gate's leash is longer than what a first target may be away: without
        that, a short hold would end a motion for good.)

        Args:
            now: s.
            target: palm in the base frame, N = 1, unit quaternion.
            measured: newest measured palm.
        """
        config = self._config
        position, quaternion = target.position.reshape(1, 3), target.quaternion.reshape(1, 4)
        if not (np.isfinite(position).all() and np.isfinite(quaternion).all()):
            return self.refuse("target is not finite")
        if abs(float(np.linalg.norm(quaternion)) - 1.0) > 1e-3:
            return self.refuse("target's quaternion is not of unit length")
        clipped_position = np.clip(position, self._low, self._high)
        clipped = bool(np.any(clipped_position != position))
        goal = Pose(clipped_position, quaternion)
        error = se3.pose_error(goal, measured)[0]
        distance, angle = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))
        first = bool(self._holding) and not self._goes_on(now, goal)
        most = (
            (config.first_position, config.first_rotation)
            if first
            else (config.max_position, config.max_rotation)
        )
        if distance > most[0] or angle > most[1]:
            kind = "first target" if first else "target"
            return self.refuse(
                f"{kind} is {distance * 1e3:.0f} mm and {angle:.2f} rad from the palm, allowed: "
                f"{most[0] * 1e3:.0f} mm and {most[1]:.2f} rad"
            )
        duration = config.command_period
        if not self._holding and self._last_accepted is not None:
            interval = now - self._last_accepted
            self._intervals.append(interval)
            duration = min(max(interval, _SHORTEST_APPROACH_S), config.command_period)
        self._segment, slowed = _Segment.towards(
            self._segment.at(now).pose, goal, now, duration, config.max_linear_speed, config.max_angular_speed
        )
        self._goal, self._last_accepted = goal, now
        self._holding = ""
        self.counters.accepted += 1
        self.counters.clipped += clipped or slowed
        return ""

    def _goes_on(self, now: float, goal: Pose) -> bool:
        """Whether a target is a step from the last one, and nothing was held for long."""
        since = self._not_followed_since
        if since is None or now - since > _GOES_ON_WITHIN_S:
            return False
        step = se3.pose_error(goal, self._goal)[0]
        near = float(np.linalg.norm(step[:3])) <= self._config.first_position
        return near and float(np.linalg.norm(step[3:])) <= self._config.first_rotation

    def sample(self, now: float, state_age: float, measured: Pose) -> Setpoint:
        """The setpoint at `now`; begins to hold when targets or states are too old.

        Args:
            now: s.
            state_age: age of the robot's state, s.
            measured: newest measured palm.
        """
        if not self._holding:
            if state_age > self._config.stale_state:
                self._hold(now, measured, f"robot state is {state_age * 1e3:.0f} ms old")
            elif (age := self.age(now)) > self._config.hold_after:
                self._hold(now, measured, f"no target for {age * 1e3:.0f} ms")
            else:
                self._not_followed_since = None
        return self._segment.at(now)._replace(holding=self._holding)

    def hold(self, now: float, measured: Pose, reason: str) -> None:
        """Hold the measured palm for a reason from outside."""
        if not self._holding:
            self._hold(now, measured, reason)

    def _hold(self, now: float, measured: Pose, reason: str) -> None:
        self._segment = _Segment.resting(measured, now)
        if self._not_followed_since is None:
            self._not_followed_since = now
        self._holding = reason
        self.counters.holds += 1

    def refuse(self, reason: str) -> str:
        """Count a target that is refused, for a reason from outside as well."""
        self.counters.refused += 1
        return reason


class _Segment(NamedTuple):
    """A straight, evenly timed motion between two poses."""

    start: Pose
    begun: float
    duration: float
    linear: Array
    angular: Array

    @classmethod
    def resting(cls, pose: Pose, now: float) -> _Segment:
        return cls(Pose(pose.position.copy(), pose.quaternion.copy()), now, 0.0, np.zeros(3), np.zeros(3))

    @classmethod
    def towards(
        cls, start: Pose, goal: Pose, now: float, duration: float, linear_limit: float, angular_limit: float
    ) -> tuple[_Segment, bool]:
        """A segment, and whether a speed limit made it longer than asked."""
        error = se3.pose_error(goal, start)[0]
        needed = max(
            float(np.linalg.norm(error[:3])) / linear_limit, float(np.linalg.norm(error[3:])) / angular_limit
        )
        taken = max(duration, needed)
        return cls(start, now, taken, error[:3] / taken, error[3:] / taken), needed > duration

    def at(self, now: float) -> Setpoint:
        elapsed = min(max(now - self.begun, 0.0), self.duration)
        position = self.start.position + elapsed * self.linear
        turn = se3.quat_from_rotvec(elapsed * self.angular[None])
        quaternion = se3.quat_normalize(se3.quat_multiply(turn, self.start.quaternion))
        moving = now - self.begun < self.duration
        still = np.zeros(3)
        return Setpoint(
            Pose(position, quaternion),
            self.linear if moving else still,
            self.angular if moving else still,
            "",
        )


class StateAge:
    """How old the robot's newest state is, judged by the robot's own time.

    A state whose time stands still grows old. With `realtime`, a state whose time falls behind this machine's
    clock is old too: the smallest difference between the two clocks ever seen counts as no delay, and may
    drift by `DRIFT`, as no two clocks run alike.
    """

    DRIFT = 1e-3
    """Allowed difference of the clocks' speeds; quartz clocks stay below 1e-4."""

    def __init__(self, realtime: bool) -> None:
        self._realtime = realtime
        self._robot_time: float | None = None
        self._changed = 0.0
        self._offset = 0.0
        self._observed = 0.0

    def observe(self, now: float, robot_time: float) -> None:
        """A state with the robot's time `robot_time` (s) was read at `now` (s)."""
        offset = now - robot_time
        if self._robot_time is None or robot_time < self._robot_time:
            # The first state, or the robot's clock began anew.
            self._offset, self._robot_time, self._changed = offset, robot_time, now
        elif robot_time > self._robot_time:
            self._offset = min(offset, self._offset + self.DRIFT * (now - self._observed))
            self._robot_time, self._changed = robot_time, now
        self._observed = now

    def age(self, now: float) -> float:
        """s; infinite before the first state."""
        if self._robot_time is None:
            return float("inf")
        frozen = now - self._changed
        if not self._realtime:
            return frozen
        return max(frozen, now - self._robot_time - self._offset)

    def reset(self) -> None:
        """Forget: another connection."""
        self._robot_time = None
