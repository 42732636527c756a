"""A table with a block on it, cast exactly: colour, depth and labels of a pinhole camera, for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rfs_perception.frame import Frame, Intrinsics

INTRINSICS = Intrinsics(160, 120, 150.0, 150.0, 79.5, 59.5)
BLUE, BROWN = (51, 115, 191), (158, 133, 107)


def looking_at(
    position: tuple[float, float, float], target: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Pose of a camera with the horizon level. Shape: (4, 4)"""
    forward = np.subtract(target, position)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right = right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = position
    return pose


CAMERA = looking_at((1.15, 0.25, 0.60), (0.55, 0.0, 0.05))


def scene(
    centre: tuple[float, float, float] = (0.55, 0.0, 0.03),
    half: tuple[float, float, float] = (0.03, 0.03, 0.03),
    stamp_ns: int = 0,
    hidden_columns: slice | None = None,
    seed: int = 0,
) -> Frame:
    """The table z = 0 and an upright block; `hidden_columns` of the image are covered by a near board."""
    i = INTRINSICS
    v, u = np.mgrid[: i.height, : i.width]
    local = np.stack([(u - i.cx) / i.fx, (v - i.cy) / i.fy, np.ones_like(u, dtype=float)], axis=-1)
    rays, origin = local @ CAMERA[:3, :3].T, CAMERA[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        table = np.where(rays[..., 2] < 0.0, -origin[2] / rays[..., 2], np.inf)
        low = (np.subtract(centre, half) - origin) / rays
        high = (np.add(centre, half) - origin) / rays
    near, far = np.minimum(low, high).max(axis=-1), np.maximum(low, high).min(axis=-1)
    block = np.where((near <= far) & (near > 0.0), near, np.inf)
    depth = np.minimum(table, block)
    labels = (block < table).astype(np.uint8)
    colour = np.where(labels[..., None] > 0, BLUE, BROWN).astype(np.int16)
    if hidden_columns is not None:
        depth[:, hidden_columns], labels[:, hidden_columns], colour[:, hidden_columns] = 0.3, 0, 30
    rng = np.random.default_rng(seed)
    colour = np.clip(colour + rng.integers(-8, 9, colour.shape), 0, 255).astype(np.uint8)
    depth = np.where(np.isfinite(depth), depth, 0.0).astype(np.float32)
    return Frame(stamp_ns, colour, depth, i, labels=labels)
