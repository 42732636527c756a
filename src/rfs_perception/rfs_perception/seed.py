"""Finds the object without a word or a click: what stands on the table in the workspace, by depth alone.

Pixels above the table in the workspace fall into pieces where the depth jumps. The object is the piece that
reaches down to the table, is of a graspable size, and is seen best; the hand above it does not reach down.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rfs_core.config import param
from rfs_core.errors import ConfigError
from rfs_perception.errors import PerceptionError
from rfs_perception.frame import Frame


@dataclass(frozen=True)
class SeedConfig:
    """Where to look, and for what."""

    low: tuple[float, float, float] = param(
        (0.35, -0.30, 0.006), doc="Lower corner of where the object stands, in fr3_link0.", unit="m"
    )
    high: tuple[float, float, float] = param(
        (0.80, 0.30, 0.25), doc="Upper corner of where the object stands, in fr3_link0.", unit="m"
    )
    least_pixels: int = param(60, doc="A smaller piece is none.", unit="px", low=1)
    least_size: float = param(0.015, doc="Least height and width.", unit="m", low=0.001)
    largest_size: float = param(0.20, doc="Largest extent.", unit="m", low=0.01)
    foot: float = param(
        0.02, doc="An object's lowest point is this near the lower corner.", unit="m", low=0.001
    )
    jump: float = param(0.02, doc="Depth between two pixels that parts two pieces.", unit="m", low=0.001)

    def __post_init__(self) -> None:
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise ConfigError(f"seed: low {self.low} must lie below high {self.high} on every axis")


def find_object(frame: Frame, camera_in_base: NDArray[np.float64], config: SeedConfig) -> NDArray[np.bool_]:
    """The mask of what stands on the table. Shape: (H, W)

    Raises:
        PerceptionError: nothing does; says what was looked at.
    """
    depth, i = frame.depth, frame.intrinsics
    v, u = np.indices(depth.shape)
    local = np.stack([(u - i.cx) / i.fx * depth, (v - i.cy) / i.fy * depth, depth], axis=-1)
    points = local @ camera_in_base[:3, :3].T + camera_in_base[:3, 3]
    inside = (depth > 0.0) & np.all((points >= config.low) & (points <= config.high), axis=-1)
    # A pixel beside a jump of depth belongs to neither side.
    rough = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > config.jump
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (inside & ~rough).astype(np.uint8), connectivity=4
    )
    best, best_area = 0, 0
    refused = []
    for k in range(1, count):
        area = int(stats[k, cv2.CC_STAT_AREA])
        if area < config.least_pixels:
            continue
        piece = points[labels == k]
        low, high = np.percentile(piece, (1.0, 99.0), axis=0)
        extent = high - low
        if low[2] - config.low[2] > config.foot:
            refused.append(f"{area} px reach down to {low[2] * 100:.0f} cm only")
        elif extent.max() > config.largest_size:
            refused.append(f"{area} px are {extent.max() * 100:.0f} cm large")
        elif extent[2] < config.least_size or extent[:2].max() < config.least_size:
            refused.append(f"{area} px are {extent[2] * 100:.0f} cm high")
        elif area > best_area:
            best, best_area = k, area
    if not best:
        seen = "; ".join(refused[:4]) or f"{int(inside.sum())} px above the table, none in one piece"
        raise PerceptionError(
            f"no object stands in the workspace ({seen}): clear the view, or prompt with a box or a click"
        )
    whole = cv2.dilate((labels == best).astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
    mask: NDArray[np.bool_] = whole & inside
    return mask
