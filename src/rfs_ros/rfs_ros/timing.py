"""The clock that control runs on.

On a robot it is steady: what is set on the system's clock must neither hurry nor stop a robot. Where somebody
else owns the time (`use_sim_time`: an emulated robot that may run slower than the wall), it is the clock that
they publish, for everybody alike, so that a busy machine plays the same episode later.
"""

from __future__ import annotations

import time

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

NS_PER_S = 1_000_000_000


def simulated(node: Node) -> bool:
    """Whether the node was started with use_sim_time."""
    return bool(node.get_parameter("use_sim_time").value)


def control_clock(node: Node) -> Clock:
    """For timers of control."""
    return node.get_clock() if simulated(node) else Clock(clock_type=ClockType.STEADY_TIME)


async def pause(node: Node, seconds: float) -> None:
    """Let other callbacks of the node run for a while (s, steady clock), where a callback is a coroutine."""
    over = Future()
    timer = node.create_timer(
        seconds, lambda: over.set_result(True), clock=Clock(clock_type=ClockType.STEADY_TIME)
    )
    await over
    node.destroy_timer(timer)


class ControlTime:
    """For ages and durations: `now` in seconds, `sleep` in seconds of the wall.

    Within a callback published time stands still; what was slept is counted all the same, so that whoever
    waits for a deadline meets it.
    """

    def __init__(self, node: Node) -> None:
        self._clock = node.get_clock() if simulated(node) else None
        self._slept = 0.0

    def now_ns(self) -> int:
        """Nanoseconds."""
        if self._clock is None:
            return time.monotonic_ns()
        return int(self._clock.now().nanoseconds) + round(self._slept * NS_PER_S)

    def now(self) -> float:
        """s"""
        return self.now_ns() / NS_PER_S

    def sleep(self, seconds: float) -> None:
        """Wait on the wall."""
        time.sleep(seconds)
        if self._clock is not None:
            self._slept += seconds
