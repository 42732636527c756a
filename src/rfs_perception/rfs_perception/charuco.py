"""The ChArUco board that a camera is calibrated with: made for print, found in images.

A chessboard with a marker in every white square: each corner is known by its markers, so that a board that is
partly hidden or partly out of the image still counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rfs_core.config import param
from rfs_perception.errors import CalibrationError
from rfs_perception.frame import Intrinsics


@dataclass(frozen=True)
class BoardConfig:
    """What was printed; measure `square` on the paper."""

    columns: int = param(7, doc="Squares of a row.", low=3, high=40)
    rows: int = param(5, doc="Rows of squares.", low=3, high=40)
    square: float = param(
        0.030, doc="Edge of a square, as measured on the print.", unit="m", low=0.002, high=0.5
    )
    marker: float = param(
        0.022, doc="Edge of a marker, as measured on the print.", unit="m", low=0.001, high=0.5
    )
    dictionary: str = param("DICT_5X5_100", doc="OpenCV's name of the markers.")


class BoardView(NamedTuple):
    """A board found in an image."""

    corners: NDArray[np.float64]
    """Pixels of the inner corners that were seen. Shape: (C, 2)"""
    points: NDArray[np.float64]
    """The same corners in the board's frame, m. Shape: (C, 3)"""
    board_in_camera: NDArray[np.float64]
    """Shape: (4, 4)"""
    rms_px: float
    """Root mean square distance of the corners from where this pose puts them."""


class Board:
    """A printed board and its detector."""

    def __init__(self, config: BoardConfig) -> None:
        """
        Raises:
            CalibrationError: a board that cannot be.
        """
        if config.marker >= config.square:
            raise CalibrationError(
                f"board: marker {config.marker} m must be smaller than square {config.square} m"
            )
        if not config.dictionary.startswith("DICT_") or not hasattr(cv2.aruco, config.dictionary):
            raise CalibrationError(
                f"board: dictionary {config.dictionary!r} is unknown to OpenCV, use such as DICT_5X5_100"
            )
        markers = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, config.dictionary))
        self.config = config
        self._board: Any = cv2.aruco.CharucoBoard(
            (config.columns, config.rows), config.square, config.marker, markers
        )
        self._detector = cv2.aruco.CharucoDetector(self._board)
        self._corners = np.asarray(self._board.getChessboardCorners(), dtype=np.float64).reshape(-1, 3)

    def image(self, pixels_per_square: int = 100, margin: int = 40) -> NDArray[np.uint8]:
        """The board for printing."""
        size = (self.config.columns * pixels_per_square, self.config.rows * pixels_per_square)
        drawn = self._board.generateImage(size)
        return np.pad(np.asarray(drawn, np.uint8), margin, constant_values=255)

    def find(
        self, colour: NDArray[np.uint8], intrinsics: Intrinsics, least_corners: int = 8
    ) -> BoardView | None:
        """The board in an image (RGB or grey), or None where too little of it is seen."""
        grey = colour if colour.ndim == 2 else cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
        corners, ids, _, _ = self._detector.detectBoard(grey)
        if ids is None or len(ids) < least_corners:
            return None
        pixels = np.asarray(corners, dtype=np.float64).reshape(-1, 2)
        points = self._corners[np.asarray(ids).ravel()]
        flat = points[:, :2] - points[:, :2].mean(axis=0)
        if np.linalg.svd(flat, compute_uv=False)[1] < 0.5 * self.config.square:
            return None  # corners in one line say nothing about the turn around it
        distortion = np.asarray(intrinsics.distortion, dtype=np.float64)
        ok, rotation, translation = cv2.solvePnP(
            points, pixels, intrinsics.matrix, distortion, flags=cv2.SOLVEPNP_IPPE
        )
        if not ok:
            return None
        rotation, translation = cv2.solvePnPRefineLM(
            points, pixels, intrinsics.matrix, distortion, rotation, translation
        )
        seen, _ = cv2.projectPoints(points, rotation, translation, intrinsics.matrix, distortion)
        error = np.asarray(seen).reshape(-1, 2) - pixels
        pose = np.eye(4)
        pose[:3, :3] = cv2.Rodrigues(rotation)[0]
        pose[:3, 3] = np.ravel(translation)
        return BoardView(pixels, points, pose, float(np.sqrt((error**2).sum(axis=1).mean())))
