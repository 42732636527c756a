"""Where the object's centre is when fingers hide most of it.

The first clear look is kept: points of the surface and the centre they tell. Later looks are laid onto it
(iterative closest points, Besl and McKay 1992, trimmed). A strip of a flat side could lie anywhere
along it, so the object's movement is guessed first, and the fit departs from the guess only as far as the
look demands: the object either stayed where it was or moved along with the hand. The guess is taken that fits
better and does not put the object where the camera sees through. What fits neither is not the object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from rfs_core.config import param
from rfs_perception.errors import PerceptionError

Matrix = NDArray[np.float64]

_SURFACE_POINTS = 1500
_LOOK_POINTS = 250
_WORTH = 40
"""So many points' worth of evidence are all of them: neighbours err together."""
_ABSENT = 0.02
"""m of misfit that a surface is worth behind all of which something is seen."""
_ALONG = 0.05
"""Weight of distances along the surface, relative to those across it."""


@dataclass(frozen=True)
class ModelConfig:
    """How looks are laid onto the first one."""

    iterations: int = param(12, doc="Steps of closest points.", low=1, high=100)
    trim: float = param(0.8, doc="Share of the points that must fit.", low=0.3, high=1.0)
    noise: float = param(0.002, doc="Of the points, across the surface.", unit="m", low=1e-4, high=0.05)
    move_doubt: float = param(
        0.01, doc="How far the object may have moved beside what was guessed.", unit="m", low=1e-4, high=1.0
    )
    turn_doubt: float = param(0.1, doc="And turned.", unit="rad", low=1e-3, high=3.0)
    absent: float = param(
        0.25, doc="Largest share of the surface behind which something else is seen.", low=0.0, high=1.0
    )
    misfit: float = param(
        0.008, doc="Largest root mean square distance of those from the surface.", unit="m", low=0.0005
    )


class ObjectModel:
    """The surface of the first look, and how it has moved since."""

    def __init__(self, points: Matrix, centre: Matrix, config: ModelConfig) -> None:
        """
        Args:
            points: Of a clear look, base frame (m). Shape: (P, 3)
            centre: Of the object then (m). Shape: (3,)
        """
        self._config = config
        self._centre = np.array(centre, dtype=np.float64)
        self._surface = _thin(np.asarray(points, dtype=np.float64), _SURFACE_POINTS)
        self._tree = cKDTree(self._surface)
        self._normals = _normals(self._surface, self._tree)
        self.motion: Matrix = np.eye(4)
        """From the first look to the last one that fitted. Shape: (4, 4)"""
        self.misfit = 0.0
        """Of the last look (m)."""

    def follow(
        self,
        points: Matrix,
        guesses: Sequence[Matrix],
        seen_through: Callable[[Matrix], float],
        floor: float = -np.inf,
    ) -> Matrix:
        """The centre in a new look (m). Shape: (3,)

        Args:
            points: Of the look, base frame (m). Shape: (P, 3)
            guesses: How the object may have moved since the last look, such as not at all or as the hand did.
                Shapes: (4, 4)
            seen_through: Share of a surface that cannot be there because the camera sees what is behind it.
            floor: Nor can any of it be below this height (m).

        Raises:
            PerceptionError: nothing fits.
        """
        config = self._config
        look = _thin(points, _LOOK_POINTS)
        fits = []
        for guess in guesses:
            misfit, motion = self._fit(look, guess @ self.motion)
            surface = self._surface @ motion[:3, :3].T + motion[:3, 3]
            absent = seen_through(surface) + float((surface[:, 2] < floor).mean())
            fits.append((misfit + _ABSENT * absent, misfit, absent, motion))
        _, misfit, absent, motion = min(fits, key=lambda fit: fit[0])
        self.misfit = misfit
        if misfit > config.misfit or absent > config.absent:
            raise PerceptionError(
                f"what is seen does not fit the object: {misfit * 1e3:.1f} mm off its surface (at most "
                f"{config.misfit * 1e3:g}), {absent:.0%} of it seen through (at most {config.absent:.0%})"
            )
        self.motion = motion
        centre: Matrix = motion[:3, :3] @ self._centre + motion[:3, 3]
        return centre

    def _fit(self, look: Matrix, guess: Matrix) -> tuple[float, Matrix]:
        config = self._config
        count = max(4, int(config.trim * len(look)))
        motion = guess.copy()
        strayed = np.zeros(6)
        """Turn (rad) and move (m) since the guess; the guess pulls back with its own uncertainty."""
        pull = np.array([config.turn_doubt] * 3 + [config.move_doubt] * 3) ** -2.0
        weight = min(1.0, _WORTH / count) / config.noise**2
        for _ in range(config.iterations):
            # Into the frame of the first look, where the tree is.
            distance, nearest = self._tree.query((look - motion[:3, 3]) @ motion[:3, :3])
            kept = np.argpartition(distance, count - 1)[:count]
            at = self._surface[nearest[kept]] @ motion[:3, :3].T + motion[:3, 3]
            normal = self._normals[nearest[kept]] @ motion[:3, :3].T
            pivot = at.mean(axis=0)
            apart = look[kept] - at
            # Along the surface a look may slide, hardly ever off it.
            across = (apart * normal).sum(axis=1)
            j_across = np.concatenate([np.cross(at - pivot, normal), normal], axis=1)
            hessian = j_across.T @ j_across
            gradient = j_across.T @ across
            lever = at - pivot
            for axis in range(3):
                unit = np.eye(3)[axis]
                j = np.concatenate([np.cross(lever, unit), np.tile(unit, (count, 1))], axis=1)
                hessian += _ALONG * j.T @ j
                gradient += _ALONG * j.T @ apart[:, axis]
            step = np.linalg.solve(weight * hessian + np.diag(pull), weight * gradient - pull * strayed)
            strayed += step
            turn = Rotation.from_rotvec(step[:3]).as_matrix()
            motion[:3, :3] = turn @ motion[:3, :3]
            motion[:3, 3] = turn @ (motion[:3, 3] - pivot) + pivot + step[3:]
        distance = np.sort(self._tree.query((look - motion[:3, 3]) @ motion[:3, :3])[0])[:count]
        return float(np.sqrt((distance**2).mean())), motion


def _normals(points: Matrix, tree: cKDTree) -> Matrix:
    """Directions across the surface at its points, by the points around them. Shape: (P, 3)"""
    _, near = tree.query(points, k=min(12, len(points)))
    around = points[near] - points[near].mean(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(around.transpose(0, 2, 1) @ around)
    normals: Matrix = vectors[:, :, 0]
    return normals


def _thin(points: Matrix, count: int) -> Matrix:
    """At most `count` points, evenly taken."""
    if len(points) <= count:
        return points
    return points[np.linspace(0, len(points) - 1, count).round().astype(np.int64)]
