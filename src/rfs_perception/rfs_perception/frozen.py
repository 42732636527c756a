"""Tells a camera that hangs: frame after frame with fresh stamps and the same content.

A real sensor's noise changes every image, so equal content means that nothing new was measured.
"""

from __future__ import annotations

import zlib

import numpy as np

from rfs_perception.frame import Frame

_ROWS = 8
"""Every so many rows are looked at: noise is everywhere, and a checksum of all of it costs time."""


class FrozenDetector:
    """Feed it every frame; it says since when nothing has changed."""

    def __init__(self, after_s: float, least_frames: int = 5) -> None:
        """
        Args:
            after_s: Unchanged for so long (camera's stamps) is frozen (s); 0: never.
            least_frames: And for at least so many frames.
        """
        self._after_ns = round(after_s * 1e9)
        self._least = least_frames
        self._content = -1
        self._since_ns = 0
        self._count = 0

    def update(self, frame: Frame) -> bool:
        """Whether the camera is frozen, this frame included."""
        content = checksum(frame)
        if content != self._content or frame.stamp_ns < self._since_ns:
            self._content, self._since_ns, self._count = content, frame.stamp_ns, 0
        self._count += 1
        if not self._after_ns:
            return False
        return self._count >= self._least and frame.stamp_ns - self._since_ns >= self._after_ns


def checksum(frame: Frame) -> int:
    """A number that changes when the images do."""
    colour = zlib.crc32(np.ascontiguousarray(frame.colour[::_ROWS]))
    return zlib.crc32(np.ascontiguousarray(frame.depth[::_ROWS]), colour)
