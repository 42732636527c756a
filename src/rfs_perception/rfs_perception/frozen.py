"""Tells a camera that hangs: frame after frame with fresh stamps and the same content.

A real sensor's noise changes every image, so equal content means that nothing new was measured. Colour and
depth come from sensors of their own: either may hang while the other one lives.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_perception.frame import Frame

_ROWS = 8
"""Every so many rows are looked at: noise is everywhere, and a checksum of all of it costs time."""


class FrozenDetector:
    """Feed it every frame; it says which image has not changed for too long."""

    def __init__(self, after_s: float, least_frames: int = 5) -> None:
        """
        Args:
            after_s: Unchanged for so long (camera's stamps) is frozen (s); 0: never.
            least_frames: And for at least so many frames.
        """
        self._after_ns = round(after_s * 1e9)
        self._images = {"colour": _Watch(least_frames), "depth": _Watch(least_frames)}

    def update(self, frame: Frame) -> str:
        """Which images are frozen with this frame: "colour", "depth", "colour and depth"; empty: none."""
        if not self._after_ns:
            return ""
        depth = frame.depth[::_ROWS]
        # Where nothing was measured there is no noise either: that is told elsewhere, as a lack of depth.
        looked_at = {"colour": frame.colour[::_ROWS], "depth": depth if (depth > 0.0).any() else None}
        frozen = [
            name
            for name, image in looked_at.items()
            if self._images[name].unchanged_ns(frame.stamp_ns, image) >= self._after_ns
        ]
        return " and ".join(frozen)


class _Watch:
    """For how long one image has been the same."""

    def __init__(self, least_frames: int) -> None:
        self._least = least_frames
        self._content: int | None = None
        self._since_ns = 0
        self._count = 0

    def unchanged_ns(self, stamp_ns: int, image: NDArray[Any] | None) -> int:
        """0 before the least number of frames, and for None: an image that says nothing."""
        content = None if image is None else zlib.crc32(np.ascontiguousarray(image))
        if content is None or content != self._content or stamp_ns < self._since_ns:
            self._content, self._since_ns, self._count = content, stamp_ns, 0
        self._count += 1
        return stamp_ns - self._since_ns if self._count >= self._least else 0
