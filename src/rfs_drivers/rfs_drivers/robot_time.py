"""When a state was measured, on the clock of everybody else, where that clock is the robot's own.

In simulated time /clock is as late as the machine is busy, and late for this process only: states read
meanwhile would all bear the last time heard, as if the arm had moved in no time. The robot's own stamps tell
them apart.
"""

from __future__ import annotations

from collections import deque

_JUMP_NS = 1_000_000_000
_WINDOW = 300


class RobotTime:
    """Translates the robot's time to ROS time of the same pace.

    The offset of the two is the largest (ROS time heard - robot's time) of the last `_WINDOW` states: whoever
    hears the time late believes that it is earlier. A robot that was restarted starts anew.
    """

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=_WINDOW)
        self._last_ns: int | None = None

    def to_ros(self, robot_time_s: float, heard_ns: int) -> int:
        """ROS time (ns) of a state: not before `heard_ns`.

        Args:
            robot_time_s: when it was measured, on the robot's clock.
            heard_ns: ROS time, as far as it was heard when the state was read.
        """
        robot_ns = round(robot_time_s * 1e9)
        offset = heard_ns - robot_ns
        jumped = self._offsets and abs(offset - max(self._offsets)) > _JUMP_NS
        if jumped or (self._last_ns is not None and robot_ns < self._last_ns):
            self._offsets.clear()
        self._last_ns = robot_ns
        self._offsets.append(offset)
        return robot_ns + max(self._offsets)
