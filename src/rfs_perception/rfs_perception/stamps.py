"""From a camera's clock to the computer's: a frame was taken before it arrived, never after.

The offset of the two clocks is the smallest (arrival - capture) of the last seconds: the frame that was
delayed least tells it best. A camera whose clock jumps, as after a reconnect, starts anew.
"""

from __future__ import annotations

from collections import deque

_JUMP_NS = 1_000_000_000


class StampMap:
    """Translates capture times. One instance per connection of a camera."""

    def __init__(self, window: int = 300) -> None:
        """
        Args:
            window: Frames whose delays are remembered.
        """
        self._window = window
        self._delays: deque[int] = deque(maxlen=window)
        self._last_ns: int | None = None

    def to_ros(self, captured_ns: int, arrived_ns: int) -> int:
        """Capture time on the computer's clock (ns): at most `arrived_ns`.

        Args:
            captured_ns: On the camera's clock.
            arrived_ns: On the computer's, when the frame was received.
        """
        delay = arrived_ns - captured_ns
        jumped = self._delays and abs(delay - min(self._delays)) > _JUMP_NS
        if jumped or (self._last_ns is not None and captured_ns < self._last_ns):
            self._delays.clear()
        self._last_ns = captured_ns
        self._delays.append(delay)
        return captured_ns + min(self._delays)
