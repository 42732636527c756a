"""Depth images and point clouds of the simulated world by ray casting: exact, without graphics.

A camera's frame follows REP 103 (x right, y down, z forward). Pixels have their centres at whole numbers, as
in sensor_msgs/CameraInfo, so the ray through pixel (u, v) is ((u - cx)/fx, (v - cy)/fy, 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rfs_core.errors import ConfigError

FloatArray = NDArray[np.float64]

# Geom groups that are rendered and hit by rays; MuJoCo's own default for what is visible.
VISIBLE_GROUPS = (0, 1, 2)


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera that stands still."""

    position: FloatArray
    """Where it is (m, world frame). Shape: (3,)"""
    rotation: FloatArray
    """Columns: its x (right), y (down) and z (forward) in the world frame. Shape: (3, 3)"""
    fovy: float
    """Vertical field of view (rad)."""
    width: int
    """Pixels in a row."""
    height: int
    """Rows."""

    def __post_init__(self) -> None:
        if not 0.0 < self.fovy < math.pi:
            raise ConfigError(f"camera's fovy is {self.fovy} rad, must lie between 0 and pi")
        if self.width < 1 or self.height < 1:
            raise ConfigError(f"camera's image is {self.width} x {self.height}, must be at least 1 x 1")

    @classmethod
    def looking_at(
        cls, position: ArrayLike, target: ArrayLike, fovy: float, width: int, height: int
    ) -> Camera:
        """A camera at `position` (m, world frame) with `target` in its middle and the horizon level."""
        forward = np.subtract(target, position).astype(np.float64)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        if np.linalg.norm(right) < 1e-9 * np.linalg.norm(forward) or not forward.any():
            raise ConfigError(
                f"camera at {position} looks at {target}: straight up or down leaves the image's direction "
                "open; move one of them sideways"
            )
        forward /= np.linalg.norm(forward)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
        return cls(np.array(position, dtype=np.float64), rotation, fovy, width, height)

    @classmethod
    def of_model(cls, model: mujoco.MjModel, name: str, width: int, height: int) -> Camera:
        """The camera of that name in a model; it must be fixed to the world.

        Raises:
            ConfigError: no such camera, or one that moves; names those that do.
        """
        fixed = [model.camera(i).name for i in range(model.ncam) if model.cam_bodyid[i] == 0]
        if name not in fixed:
            raise ConfigError(
                f"unknown camera {name!r}, cameras fixed to the world: {', '.join(fixed) or 'none'}"
            )
        camera = model.camera(name)
        matrix = np.empty(9)
        mujoco.mju_quat2Mat(matrix, camera.quat)
        # MuJoCo's cameras have y up and z backwards.
        rotation = matrix.reshape(3, 3) * (1.0, -1.0, -1.0)
        return cls(camera.pos.copy(), rotation, math.radians(float(camera.fovy[0])), width, height)

    @property
    def focal(self) -> float:
        """Focal length (pixels), the same in both directions."""
        return 0.5 * self.height / math.tan(0.5 * self.fovy)

    @property
    def centre(self) -> tuple[float, float]:
        """Principal point (cx, cy) (pixels)."""
        return 0.5 * (self.width - 1), 0.5 * (self.height - 1)

    def rays(self) -> FloatArray:
        """Rays through all pixels, row by row, world frame, of depth 1. Shape: (height * width, 3)."""
        (cx, cy), focal = self.centre, self.focal
        v, u = np.mgrid[: self.height, : self.width].reshape(2, -1)
        local = np.stack([(u - cx) / focal, (v - cy) / focal, np.ones(u.size)], axis=1)
        return local @ self.rotation.T


class DepthSensor:
    """Casts one ray per pixel into a MuJoCo world. Keeps its buffers, so one instance serves one thread."""

    def __init__(self, camera: Camera, maximum_depth: float = 5.0) -> None:
        """
        Args:
            camera: Where from.
            maximum_depth: Nothing farther is seen (m, along the optical axis at the image's centre).
        """
        self.camera = camera
        self.maximum_depth = maximum_depth
        self._rays = camera.rays()
        self._norm = np.linalg.norm(self._rays, axis=1)
        self._unit = np.ascontiguousarray(self._rays / self._norm[:, None]).ravel()
        self._position = np.ascontiguousarray(camera.position, dtype=np.float64)
        self._distance = np.empty(len(self._rays))
        self._geom = np.empty(len(self._rays), dtype=np.int32)
        self._groups = np.array([group in VISIBLE_GROUPS for group in range(6)], dtype=np.uint8)

    def cast(self, model: mujoco.MjModel, data: mujoco.MjData) -> tuple[FloatArray, NDArray[np.int32]]:
        """Depth along the optical axis (m; NaN: nothing seen) and the geom seen (-1: none) of every pixel.

        `data` must have its kinematics computed. Shape of both: (height, width).
        """
        mujoco.mj_multiRay(
            m=model,
            d=data,
            pnt=self._position,
            vec=self._unit,
            geomgroup=self._groups,
            flg_static=True,
            bodyexclude=-1,
            geomid=self._geom,
            dist=self._distance,
            normal=None,
            nray=len(self._geom),
            cutoff=self.maximum_depth * float(self._norm.max()),
        )
        depth = self._distance / self._norm
        seen = (self._geom >= 0) & (depth <= self.maximum_depth)
        depth[~seen] = np.nan
        geom = np.where(seen, self._geom, -1).astype(np.int32)
        shape = (self.camera.height, self.camera.width)
        return depth.reshape(shape), geom.reshape(shape)

    def points(self, depth: FloatArray) -> FloatArray:
        """Points of a depth image in the world frame, row by row; NaN where nothing was seen.

        Shape: (height, width) -> (height * width, 3).
        """
        return self._position + self._rays * depth.reshape(-1, 1)


def crop(points: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """The points inside a box, bounds included; points that are not finite are dropped. Shape: (P, 3)."""
    inside = np.all((points >= low) & (points <= high), axis=1)  # false for NaN
    return points[inside]


def resample(points: FloatArray, count: int) -> NDArray[np.float32]:
    """Exactly `count` points, without randomness. Shape: (P, 3) -> (count, 3).

    More points than wanted: every (P / count)-th, so that the whole image stays covered. Fewer: the points
    are repeated in turn. None at all: NaN, because a made-up point would look like a measurement.
    """
    if len(points) == 0:
        return np.full((count, 3), np.nan, dtype=np.float32)
    index = np.arange(count)
    index = index * len(points) // count if len(points) > count else index % len(points)
    return points[index].astype(np.float32)
