"""Segmentation by colour and depth with OpenCV: a tracker without weights, for objects whose colour differs
from what is around them.

The colours of the prompted pixels and of all others are counted in the a-b plane of CIE Lab, which lightness,
and so shadow, leaves alone. A pixel is the object's if its colour is found oftener there than elsewhere.
Fingers divide what is seen into pieces: those near the piece that continues the last position belong to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rfs_core.config import param
from rfs_perception.errors import TrackerError
from rfs_perception.frame import Frame, points_of
from rfs_perception.trackers.base import Found, Prompt, require_size

_BINS = 64


@dataclass(frozen=True)
class ColourConfig:
    """When colours count as the object's."""

    least_pixels: int = param(20, doc="Fewer pixels than this are not seen.", unit="px", low=1)
    least_piece: int = param(6, doc="Smaller pieces are specks.", unit="px", low=1)
    odds: float = param(4.0, doc="The object's colour must be so much oftener in it than elsewhere.", low=1.0)
    jump: float = param(
        0.25, doc="Farther than this from where it was seen last, it is something else.", unit="m", low=0.01
    )
    reach: float = param(0.15, doc="Pieces within this of the largest one belong to it.", unit="m", low=0.01)


class ColourTracker:
    """Follows the prompted colours."""

    needs_prompt = True

    def __init__(self, config: ColourConfig | None = None) -> None:
        self._config = config or ColourConfig()
        self._size: tuple[int, int] | None = None
        self._lookup: NDArray[np.bool_] | None = None
        self._last: NDArray[np.float64] | None = None
        """Where the object was seen last, camera's frame (m). Shape: (3,)"""

    def start(self, frame: Frame, prompt: Prompt | None) -> Found:
        """Learn the colours under the prompt.

        Raises:
            TrackerError: no prompt, or colours that are everywhere else, too.
        """
        height, width = frame.colour.shape[:2]
        if prompt is None:
            raise TrackerError("the colour tracker needs a prompt: a box, a click, or the automatic seed")
        prompt.check(width, height)
        seed = _region(frame, prompt)
        if int(seed.sum()) < self._config.least_pixels:
            raise TrackerError(
                f"the prompt covers {int(seed.sum())} pixels, {self._config.least_pixels} are needed"
            )
        colours = _colours(frame.colour)
        around = cv2.dilate(seed.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
        inside = _share(colours[seed])
        outside = _share(colours[around])
        self._lookup = inside > self._config.odds * outside + 1e-4
        covered = float(self._lookup[tuple(colours[seed].T)].mean())
        if covered < 0.5:
            self._lookup = None
            raise TrackerError(
                f"only {covered:.0%} of the prompted pixels differ in colour from the rest of the image: "
                "prompt anew, or use another tracker"
            )
        self._size, self._last = (height, width), None
        return self.track(frame)

    def track(self, frame: Frame) -> Found:
        """The pieces of the learned colours that continue the last position."""
        require_size(frame, self._size)
        assert self._lookup is not None
        config = self._config
        colours = _colours(frame.colour)
        likely = self._lookup[colours[..., 0], colours[..., 1]]
        count, labels, stats, _ = cv2.connectedComponentsWithStats(likely.astype(np.uint8), connectivity=8)
        pieces = []
        for i in range(1, count):
            if stats[i, cv2.CC_STAT_AREA] < config.least_piece:
                continue
            points = points_of(frame.depth, frame.intrinsics, labels == i)
            if len(points):
                pieces.append((int(stats[i, cv2.CC_STAT_AREA]), i, np.median(points, axis=0)))
        if self._last is not None:
            pieces = [p for p in pieces if np.linalg.norm(p[2] - self._last) <= config.jump]
        if not pieces:
            return Found(None, "no piece of the object's colour is seen near where it was")
        largest = max(pieces, key=lambda piece: piece[0])[2]
        near = [p for p in pieces if np.linalg.norm(p[2] - largest) <= config.reach]
        mask: NDArray[np.bool_] = np.isin(labels, [i for _, i, _ in near])
        area = int(mask.sum())
        if area < config.least_pixels:
            return Found(
                None, f"{area} pixels of the object's colour are seen, {config.least_pixels} are needed"
            )
        self._last = np.average([p[2] for p in near], axis=0, weights=[p[0] for p in near])
        return Found(mask)


def _region(frame: Frame, prompt: Prompt) -> NDArray[np.bool_]:
    """The pixels that a prompt means."""
    height, width = frame.colour.shape[:2]
    if prompt.mask is not None:
        return prompt.mask
    region = np.zeros((height, width), np.uint8)
    if prompt.box is not None:
        u0, v0, u1, v1 = (round(x) for x in prompt.box)
        region[:] = cv2.GC_BGD
        region[v0 : v1 + 1, u0 : u1 + 1] = cv2.GC_PR_FGD
        if not (region == cv2.GC_BGD).any():
            raise TrackerError(
                f"box {prompt.box} covers the whole image of {width} x {height}, nothing is left to tell the "
                "object from: give a box close around it"
            )
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
        image = np.ascontiguousarray(frame.colour[..., ::-1])
        cv2.grabCut(image, region, None, background, foreground, 4, cv2.GC_INIT_WITH_MASK)
        return (region == cv2.GC_FGD) | (region == cv2.GC_PR_FGD)
    flooded = np.zeros((height + 2, width + 2), np.uint8)
    image = cv2.cvtColor(frame.colour, cv2.COLOR_RGB2LAB)
    flags = 4 | (1 << 8) | cv2.FLOODFILL_MASK_ONLY
    for u, v in prompt.points:
        cv2.floodFill(image, flooded, (round(u), round(v)), 0, (30, 8, 8), (30, 8, 8), flags)
    return flooded[1:-1, 1:-1] > 0


def _colours(colour: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Bins of a and b. Shape: (H, W, 3) -> (H, W, 2)"""
    lab = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)
    return (lab[..., 1:].astype(np.int64) * _BINS) >> 8


def _share(colours: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each colour is, smoothed over neighbours; sums to 1. Shape: (P, 2) -> (bins, bins)"""
    counts = np.bincount(colours[:, 0] * _BINS + colours[:, 1], minlength=_BINS**2).reshape(_BINS, _BINS)
    smooth = cv2.GaussianBlur(counts.astype(np.float64), (3, 3), 0.7)
    return np.asarray(smooth / max(1.0, smooth.sum()))
