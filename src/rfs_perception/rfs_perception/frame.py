"""One look of a camera: colour, depth in the same pixels, and how pixels become rays.

Camera frames follow REP 103 (x right, y down, z forward); pixels have their centres at whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion (aligned images are rectified to that)."""

    width: int
    """Pixels in a row."""
    height: int
    """Rows."""
    fx: float
    """Focal lengths, pixels."""
    fy: float
    cx: float
    """Principal point, pixels."""
    cy: float
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """k1, k2, p1, p2, k3 of the plumb-bob model; rays ignore it (a RealSense's is below a pixel)."""

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K. Shape: (3, 3)"""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Frame:
    """Colour and depth of one moment, in the same pixels."""

    stamp_ns: int
    """When it was taken: on the camera's clock, or on ROS's where a node has translated it."""
    colour: NDArray[np.uint8]
    """RGB. Shape: (height, width, 3)"""
    depth: NDArray[np.float32]
    """m along the optical axis; 0: nothing measured. Shape: (height, width)"""
    intrinsics: Intrinsics
    number: int = 0
    """Counts the camera's frames; gaps are lost ones."""
    labels: NDArray[np.uint8] | None = None
    """What a simulator knows of each pixel: 1 is the object. None: no simulator. Shape: (height, width)"""


def points_of(
    depth: NDArray[np.float32], intrinsics: Intrinsics, mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Points under a mask in the camera's frame (m), where a depth was measured.

    Shapes: (H, W), (H, W) -> (P, 3).
    """
    v, u = np.nonzero(mask & np.isfinite(depth) & (depth > 0.0))
    z = depth[v, u].astype(np.float64)
    return np.stack(
        [(u - intrinsics.cx) / intrinsics.fx * z, (v - intrinsics.cy) / intrinsics.fy * z, z], axis=1
    )


def project(points: NDArray[np.float64], intrinsics: Intrinsics) -> NDArray[np.float64]:
    """Pixels (u, v) of points in the camera's frame with z > 0. Shape: (P, 3) -> (P, 2)."""
    pixels: NDArray[np.float64] = points[:, :2] / points[:, 2:3]
    return pixels * (intrinsics.fx, intrinsics.fy) + (intrinsics.cx, intrinsics.cy)
