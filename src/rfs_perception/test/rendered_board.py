"""Pictures of a board held before a camera: the printed image, warped by the exact perspective."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from rfs_perception.charuco import Board
from rfs_perception.frame import Intrinsics

INTRINSICS = Intrinsics(640, 480, 605.0, 605.0, 319.5, 239.5)
_PIXELS, _MARGIN = 100, 40


def pose(x: float, y: float, z: float, turn: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    matrix[:3, 3] = x, y, z
    return matrix


def render(board: Board, board_in_camera: NDArray[np.float64], noise: float = 2.0) -> NDArray[np.uint8]:
    """What the camera sees. Pixel (u, v) of the print is at ((u - margin + 1/2) / pixels * square, ...)."""
    print_ = board.image(_PIXELS, _MARGIN)
    scale = board.config.square / _PIXELS
    metres = np.array(
        [[scale, 0.0, (0.5 - _MARGIN) * scale], [0.0, scale, (0.5 - _MARGIN) * scale], [0.0, 0.0, 1.0]]
    )
    plane = board_in_camera[:3, [0, 1, 3]]
    homography = INTRINSICS.matrix @ plane @ metres
    size = (4 * INTRINSICS.width, 4 * INTRINSICS.height)  # four times as fine, for soft edges
    finer = np.array([[4.0, 0.0, 1.5], [0.0, 4.0, 1.5], [0.0, 0.0, 1.0]])
    fine = cv2.warpPerspective(
        print_, finer @ homography, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT, borderValue=90
    )
    image = cv2.resize(fine, (INTRINSICS.width, INTRINSICS.height), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    noisy = image + rng.normal(0.0, noise, image.shape)
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
