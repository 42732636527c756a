"""From a mask to an object: its points in the base frame, and where its centre is.

Masks bleed: a few pixels beyond the object's edge lie on the table far behind it, or on a finger before it.
So the mask's rim is left out, what is outside the workspace goes, and of what remains only the largest
connected part counts. A camera sees an object's near side only; the mean of what it sees lies up to 2 cm
before the centre. The middle of its extent, looked at along the camera's heading, does not: the silhouette
bounds it sideways, top and far edge are seen from above, the foot in front.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rfs_core.config import param
from rfs_core.errors import ConfigError
from rfs_perception.errors import PerceptionError
from rfs_perception.frame import Frame, points_of, project

Points = NDArray[np.float64]

_STANDS = 0.012
"""m: an object with points so near to the table, beside the rim that was taken off, stands on it."""


@dataclass(frozen=True)
class ObjectConfig:
    """What counts as the object."""

    low: tuple[float, float, float] = param(
        (0.30, -0.45, 0.003), doc="Lower corner of where the object may be, in fr3_link0.", unit="m"
    )
    high: tuple[float, float, float] = param(
        (0.90, 0.45, 0.70), doc="Upper corner of where the object may be, in fr3_link0.", unit="m"
    )
    table: float = param(0.0, doc="Height of the table in fr3_link0.", unit="m", low=-1.0, high=1.0)
    least_points: int = param(15, doc="Fewer points than this are no object.", low=4, high=100_000)
    rim: int = param(1, doc="Pixels that a mask is narrowed by.", unit="px", low=0, high=20)
    joined: float = param(0.025, doc="Points this near to each other belong together.", unit="m", low=0.001)
    largest: float = param(0.30, doc="An object larger than this is none.", unit="m", low=0.02, high=2.0)

    def __post_init__(self) -> None:
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise ConfigError(f"object: low {self.low} must lie below high {self.high} on every axis")


def visible_points(
    mask: NDArray[np.bool_], frame: Frame, camera_in_base: NDArray[np.float64], config: ObjectConfig
) -> Points:
    """The object's points in the base frame (m). Shapes: (H, W), (4, 4) -> (P, 3).

    Raises:
        PerceptionError: too few are left; says what took them.
    """
    if mask.shape != frame.depth.shape:
        raise PerceptionError(f"the mask is {mask.shape}, the image {frame.depth.shape}")
    pixels = int(mask.sum())
    inner = mask
    if config.rim:
        size = 2 * config.rim + 1
        narrowed = cv2.erode(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
        # A sliver between two fingers has nothing but rim.
        inner = narrowed if int(narrowed.sum()) >= max(config.least_points, pixels // 4) else mask
    points = points_of(frame.depth, frame.intrinsics, inner)
    measured = len(points)
    points = points @ camera_in_base[:3, :3].T + camera_in_base[:3, 3]
    points = points[np.all((points >= config.low) & (points <= config.high), axis=1)]
    inside = len(points)
    if inside >= config.least_points:
        points = largest_part(points, config.joined)
    if len(points) < config.least_points:
        raise PerceptionError(
            f"the mask has {pixels} pixels, {measured} of them with a depth, {inside} in the workspace, "
            f"{len(points)} of them in one piece; at least {config.least_points} are needed"
        )
    extent = float(np.ptp(points, axis=0).max())
    if extent > config.largest:
        raise PerceptionError(
            f"what the mask covers is {extent:.2f} m long, at most {config.largest:g} m are believed: "
            "the mask took hold of something else"
        )
    return points


def largest_part(points: Points, joined: float) -> Points:
    """The largest set of points that are joined by steps of at most about `joined` (m). Shape: (P, 3)"""
    cells = np.floor((points - points.min(axis=0)) / joined).astype(np.int64)
    cells = np.minimum(cells, 255)
    grid = np.zeros(cells.max(axis=0) + 1, dtype=bool)
    grid[tuple(cells.T)] = True
    labels, _ = ndimage.label(grid, structure=np.ones((3, 3, 3)))
    own = labels[tuple(cells.T)]
    return points[own == np.bincount(own).argmax()]


def seen_through(
    surface: Points, frame: Frame, camera_in_base: NDArray[np.float64], margin: float = 0.015
) -> float:
    """Share of a supposed surface (base frame, m) behind which the camera sees something: it is not there.

    Points outside the image or without depth say nothing. Shape: (P, 3)
    """
    local = (surface - camera_in_base[:3, 3]) @ camera_in_base[:3, :3]
    local = local[local[:, 2] > 0.05]
    pixels = np.rint(project(local, frame.intrinsics)).astype(np.int64)
    height, width = frame.depth.shape
    inside = np.all((pixels >= 0) & (pixels < (width, height)), axis=1)
    pixels, local = pixels[inside], local[inside]
    depth = frame.depth[pixels[:, 1], pixels[:, 0]]
    return float(((depth > local[:, 2] + margin) & (depth > 0.0)).sum()) / max(1, len(surface))


def middle(points: Points, camera_in_base: NDArray[np.float64], focal: float, config: ObjectConfig) -> Points:
    """Middle of the extent of points along the camera's heading, across it, and upwards (m). Shape: (3,)

    The far edge is seen at a slant and lost its rim: what that took is given back. An object whose lowest
    point is near the table stands on it.

    Args:
        points: Of a clear look, base frame (m). Shape: (P, 3)
        camera_in_base: Shape: (4, 4)
        focal: Focal length, pixels.
        config: Which rim was taken off the mask; the table's height.
    """
    view = camera_in_base[:3, 2]
    length = float(np.linalg.norm(view[:2]))
    cos, sin = view[:2] / length if length > 1e-6 else (1.0, 0.0)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    turned = points @ turn.T
    low, high = np.percentile(turned, (0.5, 99.5), axis=0)
    away = float(np.median((points - camera_in_base[:3, 3]) @ view))
    slant = max(abs(float(view[2])), 0.2)
    rim = (config.rim + 0.5) * away / focal
    high[0] += rim / slant
    if low[2] - config.table < _STANDS + rim:
        low[2] = config.table
    found: Points = turn.T @ (0.5 * (low + high))
    return found
