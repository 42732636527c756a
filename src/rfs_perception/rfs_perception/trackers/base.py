"""What every tracker promises.

`start` is told once what the object is, `track` finds it in each later image. Images are counted by the
tracker itself, so that one left out, or long gone, is never mistaken for another. A mask is what was found in
this very image, or None with the reason; never the last one served again. Memory does not grow with images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rfs_perception.errors import TrackerError
from rfs_perception.frame import Frame


@dataclass(frozen=True, eq=False)
class Prompt:
    """What the object is, in the image that `start` gets: one of a box, clicks, or a mask."""

    box: tuple[float, float, float, float] | None = None
    """u and v of its upper left and lower right corner (pixels)."""
    points: tuple[tuple[float, float], ...] = ()
    """Clicks on it: u, v (pixels)."""
    mask: NDArray[np.bool_] | None = None
    """Shape: (height, width)"""

    def check(self, width: int, height: int) -> None:
        """Refuse a prompt outside the image.

        Raises:
            TrackerError: says what was given.
        """
        if (self.box is not None) + bool(self.points) + (self.mask is not None) != 1:
            raise TrackerError("a prompt needs either a box, or clicks, or a mask")
        corners = self.points
        if self.box is not None:
            u0, v0, u1, v1 = self.box
            if not (u1 - u0 >= 2.0 and v1 - v0 >= 2.0):
                raise TrackerError(
                    f"box {self.box} has no area: give u0 v0 u1 v1, upper left and lower right"
                )
            corners = ((u0, v0), (u1, v1))
        for u, v in corners:
            if not (0.0 <= u <= width - 1 and 0.0 <= v <= height - 1):
                raise TrackerError(f"prompt at ({u:g}, {v:g}) lies outside the image of {width} x {height}")
        if self.mask is not None and (self.mask.shape != (height, width) or not self.mask.any()):
            raise TrackerError(
                f"a mask of {self.mask.shape} with {int(self.mask.sum())} pixels cannot prompt an image of "
                f"{width} x {height}"
            )

    def bounding_box(self) -> tuple[float, float, float, float] | None:
        """The box, or that of the mask; None for clicks."""
        if self.mask is None:
            return self.box
        v, u = np.nonzero(self.mask)
        return float(u.min()), float(v.min()), float(u.max()), float(v.max())


class Found(NamedTuple):
    """What a tracker says of one image."""

    mask: NDArray[np.bool_] | None
    """Where the object is seen. None: it is not. Shape: (height, width)"""
    reason: str = ""
    """Why it is not seen; empty where it is."""


class Tracker(Protocol):
    """Follows one object."""

    needs_prompt: bool
    """False: it knows the object by itself."""

    def start(self, frame: Frame, prompt: Prompt | None) -> Found:
        """Begin with this image; forgets whatever was followed before.

        Raises:
            TrackerError: the prompt cannot be used.
        """

    def track(self, frame: Frame) -> Found:
        """The object in the next image.

        Raises:
            TrackerError: not started, or the images have changed their size.
        """


def require_size(frame: Frame, size: tuple[int, int] | None) -> None:
    """Refuse an image before `start`, or of another size than its first one (height, width)."""
    if size is None:
        raise TrackerError("the tracker was not started: give it an image and a prompt first")
    if frame.colour.shape[:2] != size:
        raise TrackerError(
            f"the image is {frame.colour.shape[:2]}, the tracker was started on {size}: start it anew"
        )
