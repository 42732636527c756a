"""From a depth image to the N points a policy sees: one pipeline for camera and simulation.

    deproject -> base frame -> crop to the workspace -> at most 10,000 -> lonely points out -> N by farthest
    point sampling -> padding

NaN and zero depth go first: farthest point sampling returns a handful of points for one NaN among thousands,
without an error. Equal inputs and an equal generator give equal points, bit for bit.

The optical frame is REP 103's (x right, y down, z forward), pixels have their centres at whole numbers.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass

import fpsample
import numpy as np
from numpy.typing import NDArray

from rfs_core.config import param
from rfs_core.errors import ConfigError, RfsError

Points = NDArray[np.float32]

_LARGEST_GRID = 4_000_000
"""Cells of the grid that finds lonely points; 8 MB of counts."""


class CloudProblem(enum.Enum):
    """Why there is no cloud."""

    SHAPE = "wrong shape"
    TOO_LARGE = "too many points"
    NO_DEPTH = "no depth"
    OUTSIDE = "nothing in the workspace"
    TOO_FEW = "too few points"


class CloudError(RfsError):
    """No cloud can be made of this input; `problem` names why, the message says what was there."""

    def __init__(self, problem: CloudProblem, message: str) -> None:
        super().__init__(f"{problem.value}: {message}")
        self.problem = problem


@dataclass(frozen=True)
class CloudConfig:
    """How a depth image becomes points."""

    low: tuple[float, float, float] = param(
        (0.30, -0.40, 0.012), doc="Lower corner of the workspace that is kept, in fr3_link0.", unit="m"
    )
    high: tuple[float, float, float] = param(
        (0.85, 0.40, 0.60), doc="Upper corner of the workspace that is kept, in fr3_link0.", unit="m"
    )
    near: float = param(0.15, doc="Least depth that is believed.", unit="m", low=0.0, high=10.0)
    far: float = param(3.0, doc="Largest depth that is believed.", unit="m", low=0.1, high=65.0)
    depth_unit: float = param(
        0.001, doc="Length of one count where depth is given in whole numbers.", unit="m", low=1e-6, high=1.0
    )
    candidates: int = param(
        10_000, doc="Points that farthest point sampling chooses among, at most.", low=64, high=1_000_000
    )
    most: int = param(
        1_000_000, doc="Pixels or points of one input beyond which it is refused.", low=64, high=100_000_000
    )
    minimum: int = param(
        32, doc="Fewer points than this in the workspace are no cloud; padding would pretend.", low=1
    )
    lonely_cell: float = param(
        0.015, doc="Edge of the cells in which neighbours are counted.", unit="m", low=0.002, high=0.2
    )
    lonely_below: int = param(
        4,
        doc="A point with fewer points than this in the 27 cells around it, itself included, is noise; "
        "0: all are kept.",
        low=0,
        high=10_000,
    )
    tree_height: int = param(5, doc="Height of fpsample's tree; 5 suits 10,000 points.", low=1, high=12)

    def __post_init__(self) -> None:
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise ConfigError(f"cloud: low {self.low} must lie below high {self.high} on every axis")
        if self.near >= self.far:
            raise ConfigError(f"cloud: near {self.near} m must be less than far {self.far} m")
        if self.lonely_below and self._cells() > _LARGEST_GRID:
            raise ConfigError(
                f"cloud: lonely_cell {self.lonely_cell} m makes {self._cells():.3g} cells of the workspace, "
                f"at most {_LARGEST_GRID} are allowed: make it larger or the workspace smaller"
            )

    def _cells(self) -> float:
        extent = np.subtract(self.high, self.low)
        return float(np.prod(np.floor(extent / self.lonely_cell) + 3))


def process(
    depth: NDArray[np.generic],
    intrinsics: NDArray[np.float64],
    camera_in_base: NDArray[np.float64],
    config: CloudConfig,
    rng: np.random.Generator,
    count: int = 1024,
) -> Points:
    """The cloud of a depth image in the base frame.

    Args:
        depth: Along the optical axis; whole numbers in `config.depth_unit`, floating in m; 0 or NaN: not
            measured. Shape: (height, width)
        intrinsics: Pinhole matrix K, no distortion. Shape: (3, 3)
        camera_in_base: Pose of the optical frame in fr3_link0. Shape: (4, 4)
        rng: Decides which candidates are taken and where sampling begins.
        count: N.

    Returns:
        Shape: (count, 3), m.

    Raises:
        CloudError: there is no cloud in this image; says why.
    """
    return sample(deproject(depth, intrinsics, camera_in_base, config), config, rng, count)


def deproject(
    depth: NDArray[np.generic],
    intrinsics: NDArray[np.float64],
    camera_in_base: NDArray[np.float64],
    config: CloudConfig,
) -> Points:
    """All points of a depth image that lie in the workspace, in the base frame. Shape: (P, 3); P may be 0.

    Raises:
        CloudError: not an image, too large an image, or no pixel with a depth.
        ConfigError: intrinsics or pose that no camera has.
    """
    if depth.ndim != 2 or depth.dtype.kind not in "uif":
        raise CloudError(
            CloudProblem.SHAPE,
            f"depth is {depth.dtype} of shape {depth.shape}, needs numbers (rows, columns)",
        )
    if depth.size > config.most:
        raise CloudError(CloudProblem.TOO_LARGE, f"depth has {depth.size} pixels, at most {config.most}")
    if depth.dtype.kind == "f":
        metres = depth.ravel().astype(np.float32, copy=False)
    else:
        metres = depth.ravel().astype(np.float32) * np.float32(config.depth_unit)
    # Comparisons with NaN are false: NaN goes here, before anything is computed with it.
    kept = (metres >= config.near) & (metres <= config.far)
    if not kept.any():
        raise CloudError(
            CloudProblem.NO_DEPTH,
            f"none of {depth.size} pixels has a depth from {config.near:g} to {config.far:g} m "
            f"({int(np.count_nonzero(metres == 0))} are 0): is the camera covered, or its depth unit wrong?",
        )
    directions, origin = _rays(
        depth.shape[0],
        depth.shape[1],
        np.asarray(intrinsics, np.float64).tobytes(),
        np.asarray(camera_in_base, np.float64).tobytes(),
    )
    # z first, of the whole image: the workspace's height drops the table, most of what a camera sees. Then
    # axis by axis of what is left.
    with np.errstate(invalid="ignore", over="ignore"):  # infinite depth goes by `kept`
        height = directions[2] * metres
    height += origin[2]
    kept &= height >= np.float32(config.low[2])
    kept &= height <= np.float32(config.high[2])
    pixels = np.flatnonzero(kept)
    columns = [height[pixels]]
    metres = metres[pixels]
    for axis in (1, 0):
        values = directions[axis, pixels]
        values *= metres
        values += origin[axis]
        inside = np.flatnonzero(
            (values >= np.float32(config.low[axis])) & (values <= np.float32(config.high[axis]))
        )
        pixels, metres = pixels[inside], metres[inside]
        columns = [column[inside] for column in (values, *columns)]
    return np.stack(columns, axis=1)


def sample(points: NDArray[np.generic], config: CloudConfig, rng: np.random.Generator, count: int) -> Points:
    """N points of a cloud in the base frame, spread as evenly as farthest point sampling spreads them.

    Args:
        points: Any number, also with NaN and outside the workspace. Shape: (P, 3), m, fr3_link0.
        rng, count: see `process`.

    Returns:
        Shape: (count, 3), m. Fewer candidates than `count` are repeated in turn.

    Raises:
        CloudError: see `CloudProblem`.
    """
    if points.ndim != 2 or points.shape[1] != 3 or count < 1:
        raise CloudError(
            CloudProblem.SHAPE, f"points have shape {points.shape}, needs (P, 3); asked for {count} points"
        )
    if len(points) > config.most:
        raise CloudError(CloudProblem.TOO_LARGE, f"{len(points)} points, at most {config.most} are looked at")
    given, candidates = len(points), points.astype(np.float32, copy=False)
    candidates = candidates[_inside(candidates, config)]
    if given and len(candidates) == 0:
        finite = int(np.isfinite(points).all(axis=1).sum())
        raise CloudError(
            CloudProblem.OUTSIDE if finite else CloudProblem.NO_DEPTH,
            f"{given} points, {finite} of them finite, none between {config.low} and {config.high}",
        )
    if len(candidates) > config.candidates:
        # One out of every stretch of equal length: even over the image, and cheaper than a permutation.
        share = len(candidates) / config.candidates
        chosen = ((np.arange(config.candidates) + rng.random(config.candidates)) * share).astype(np.int64)
        candidates = candidates[np.minimum(chosen, len(candidates) - 1)]
    if config.lonely_below > 1:
        candidates = candidates[_neighbours(candidates, config) >= config.lonely_below]
    if len(candidates) < config.minimum:
        raise CloudError(
            CloudProblem.TOO_FEW,
            f"{len(candidates)} of {given} points are left in the workspace, at least {config.minimum} are "
            "needed: look at crop, calibration and what stands before the camera",
        )
    start = int(rng.integers(len(candidates)))
    if len(candidates) <= count:
        return candidates[np.arange(count) % len(candidates)]
    index = fpsample.bucket_fps_kdline_sampling(candidates, count, config.tree_height, start)
    sampled: Points = candidates[index.astype(np.int64)]
    return sampled


def _inside(points: Points, config: CloudConfig) -> NDArray[np.bool_]:
    """Whether each point is finite and in the workspace, bounds included."""
    inside = np.ones(len(points), np.bool_)
    for axis in range(3):
        column = points[:, axis]
        inside &= (column >= np.float32(config.low[axis])) & (column <= np.float32(config.high[axis]))
    return inside


def _neighbours(points: Points, config: CloudConfig) -> NDArray[np.int64]:
    """Points in the 27 cells around each point, itself included. Shape: (P,)"""
    low = np.asarray(config.low, np.float32)
    extent = np.subtract(config.high, config.low)
    shape = np.floor(extent / config.lonely_cell).astype(np.int64) + 3  # an empty border all around
    cells = ((points - low) * np.float32(1.0 / config.lonely_cell)).astype(np.int64) + 1
    flat = (cells[:, 0] * shape[1] + cells[:, 1]) * shape[2] + cells[:, 2]
    counts = np.bincount(flat, minlength=int(shape.prod()))
    steps = (-1, 0, 1)
    around = np.array([(i * shape[1] + j) * shape[2] + k for i in steps for j in steps for k in steps])
    # Only cells with points are asked, and each once.
    occupied = np.flatnonzero(counts)
    total = np.zeros_like(counts)
    total[occupied] = counts[occupied[:, None] + around].sum(axis=1)
    neighbours: NDArray[np.int64] = total[flat]
    return neighbours


@functools.lru_cache(maxsize=4)
def _rays(height: int, width: int, intrinsics: bytes, camera_in_base: bytes) -> tuple[Points, Points]:
    """Directions of all pixels in the base frame, of depth 1 (3, pixels), and the camera's place (3,).

    A camera stands still: this is computed once, not per image. Simulated cameras move from episode to
    episode; theirs are forgotten again.
    """
    k = np.frombuffer(intrinsics, np.float64)
    pose = np.frombuffer(camera_in_base, np.float64)
    if k.size != 9 or not np.isfinite(k).all() or k[0] <= 0 or k[4] <= 0:
        raise ConfigError(f"camera: intrinsics {k} are no pinhole matrix (3, 3) with focal lengths > 0")
    if pose.size != 16 or not np.isfinite(pose).all():
        raise ConfigError(f"camera: its pose {pose} is no finite matrix (4, 4)")
    pose = pose.reshape(4, 4)
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise ConfigError(f"camera: its rotation in the base frame is none: {rotation.tolist()}")
    u = (np.arange(width) - k[2]) / k[0]
    v = (np.arange(height) - k[5]) / k[4]
    local = np.stack([np.tile(u, height), np.repeat(v, width), np.ones(height * width)])
    return (rotation @ local).astype(np.float32), pose[:3, 3].astype(np.float32)
