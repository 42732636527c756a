"""The way out of the command gate: the last guard, the pose that is held, and what was sent last."""

from __future__ import annotations

from rfs_core.gate_checks import command_problem, pose_difference
from rfs_core.gate_config import GateConfig
from rfs_core.gate_motion import held_fingers
from rfs_core.gate_types import Command, Statistics
from rfs_core.se3 import Array, Pose


class Output:
    """Every command passes here. Palms are in the base frame, N = 1; fingers rad, shape (16,)."""

    def __init__(self, config: GateConfig, statistics: Statistics) -> None:
        """
        Args:
            config: leash and drift.
            statistics: where commands are counted.
        """
        self._config = config
        self._limits = config.step_limits()
        self._statistics = statistics
        self._held: tuple[Pose, Array] | None = None
        self._sent: Command | None = None
        self.stamp_ns = 0
        """ROS time of the tick that commands belong to."""
        self.commanded = False
        """Whether the newest tick has its command."""

    def begin_tick(self, stamp_ns: int) -> None:
        """A control tick, at a ROS time."""
        self.stamp_ns, self.commanded = stamp_ns, False

    def problem(self, palm: Pose, hand: Array, measured: Pose) -> str:
        """The last guard: whether a command would break its own limits."""
        return command_problem(palm, hand, measured, self._limits)

    def send(self, palm: Pose, hand: Array) -> list[Command]:
        """A command for the newest tick."""
        self.commanded = True
        self._statistics.commands += 1
        self._sent = Command(self.stamp_ns, palm, hand)
        return [self._sent]

    def latch(self, palm: Pose | None, hand: Array | None) -> None:
        """Hold a measured pose from now on; nothing is held without one."""
        self._held = (palm, held_fingers(hand)) if palm is not None and hand is not None else None

    def hold(self) -> list[Command]:
        """The held pose as a command."""
        return self.send(*self._held) if self._held is not None else []

    def drift_problem(self, measured: Pose) -> str:
        """Whether the palm has left the pose that it is held at."""
        if self._held is None:
            return ""
        distance, angle = pose_difference(measured, self._held[0])
        if distance > self._config.hold_drift_position or angle > self._config.hold_drift_rotation:
            return (
                f"the palm is {distance:.3f} m and {angle:.3f} rad from the pose it is held at, allowed: "
                f"{self._config.hold_drift_position} m and {self._config.hold_drift_rotation} rad"
            )
        return ""

    def again(self, stamp_ns: int, measured: Pose) -> list[Command]:
        """The command of the tick at `stamp_ns` once more, if it was the last and the palm has not moved."""
        sent = self._sent
        if sent is None or sent.stamp_ns != stamp_ns:
            return []
        return [] if self.problem(sent.palm, sent.hand, measured) else [sent]

    def clear(self) -> None:
        """Hold nothing, and repeat nothing."""
        self._held = self._sent = None
