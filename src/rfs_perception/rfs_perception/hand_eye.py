"""Where a fixed camera stands, from looks at a board that the hand carries.

For every look i: base<-palm_i, camera<-board_i. Unknown are X = base<-camera and Y = palm<-board, the same in
all looks: palm_i Y = X board_i. Two looks give A X = X B with A = palm_j palm_i^-1, B = board_j board_i^-1;
Park and Martin, "Robot sensor calibration: solving AX = XB on the Euclidean group" (1994) solve it in closed
form. (OpenCV 5 has no calibrateHandEye in Python any more.) Then X and Y together are refined so that the
board's corners fall where they were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from rfs_perception.charuco import BoardView
from rfs_perception.errors import CalibrationError
from rfs_perception.frame import Intrinsics, project

Matrix = NDArray[np.float64]

LEAST_LOOKS = 6
LEAST_TURN = 0.15
"""rad, root mean square of the turns between looks about their second axis: turns about one axis alone leave
the camera's place along it open."""


@dataclass(frozen=True, eq=False)
class Look:
    """One pose of the robot and what the camera saw."""

    palm_in_base: Matrix
    """Shape: (4, 4)"""
    view: BoardView


@dataclass(frozen=True, eq=False)
class HandEye:
    """The answer, and how well the looks agree about it."""

    camera_in_base: Matrix
    """Shape: (4, 4)"""
    board_in_palm: Matrix
    """Shape: (4, 4)"""
    rms_position_m: float
    """Of the board in the palm's frame over the looks, about its mean."""
    rms_rotation_rad: float
    rms_reprojection_px: float


def solve(looks: Sequence[Look], intrinsics: Intrinsics) -> HandEye:
    """Find the camera.

    Raises:
        CalibrationError: too few looks, or turned too little.
    """
    if len(looks) < LEAST_LOOKS:
        raise CalibrationError(f"{len(looks)} looks at the board, at least {LEAST_LOOKS} are needed")
    turn = turn_of([look.palm_in_base for look in looks])
    if turn < LEAST_TURN:
        raise CalibrationError(
            f"the hand turned by {np.degrees(turn):.1f} degrees about its second axis, at least "
            f"{np.degrees(LEAST_TURN):.0f} are needed: tilt it about different axes between the looks"
        )
    start = _closed_form(looks)
    boards = [np.linalg.inv(look.palm_in_base) @ start @ look.view.board_in_camera for look in looks]
    first = np.concatenate([_vector(start), _vector(_mean(boards))])

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        camera, board = _matrix(x[:6]), _matrix(x[6:])
        inverse = np.linalg.inv(camera)
        parts = []
        for look in looks:
            chain = inverse @ look.palm_in_base @ board
            points = look.view.points @ chain[:3, :3].T + chain[:3, 3]
            parts.append((project(points, intrinsics) - look.view.corners).ravel())
        return np.concatenate(parts)

    found = least_squares(residuals, first, loss="soft_l1", x_scale="jac")
    camera = _matrix(found.x[:6])
    boards = [np.linalg.inv(look.palm_in_base) @ camera @ look.view.board_in_camera for look in looks]
    middle = _mean(boards)
    apart = np.array([b[:3, 3] - middle[:3, 3] for b in boards])
    turned = Rotation.from_matrix(np.array([middle[:3, :3].T @ b[:3, :3] for b in boards])).magnitude()
    pixels = residuals(found.x).reshape(-1, 2)
    return HandEye(
        camera_in_base=camera,
        board_in_palm=_matrix(found.x[6:]),
        rms_position_m=float(np.sqrt((apart**2).sum(axis=1).mean())),
        rms_rotation_rad=float(np.sqrt((turned**2).mean())),
        rms_reprojection_px=float(np.sqrt((pixels**2).sum(axis=1).mean())),
    )


def turn_of(poses: Sequence[Matrix]) -> float:
    """Root mean square of the turns between poses about the second of their axes (rad); 0 for turns about one
    axis only. Shapes: (4, 4)"""
    pairs = list(combinations(poses, 2))
    if not pairs:
        return 0.0
    turns = Rotation.from_matrix(np.array([b[:3, :3] @ a[:3, :3].T for a, b in pairs])).as_rotvec()
    spread = np.linalg.svd(turns, compute_uv=False) / np.sqrt(len(turns))
    return float(spread[1]) if len(spread) > 1 else 0.0


def _closed_form(looks: Sequence[Look]) -> Matrix:
    a_turns, b_turns, a_moves, b_moves = [], [], [], []
    for one, other in combinations(looks, 2):
        a = other.palm_in_base @ np.linalg.inv(one.palm_in_base)
        b = other.view.board_in_camera @ np.linalg.inv(one.view.board_in_camera)
        a_turns.append(a[:3, :3])
        b_turns.append(b[:3, :3])
        a_moves.append(a[:3, 3])
        b_moves.append(b[:3, 3])
    alpha = Rotation.from_matrix(np.array(a_turns)).as_rotvec()
    beta = Rotation.from_matrix(np.array(b_turns)).as_rotvec()
    rotation = Rotation.align_vectors(alpha, beta)[0].as_matrix()
    left = np.concatenate([turn - np.eye(3) for turn in a_turns])
    right = np.concatenate([rotation @ b - a for a, b in zip(a_moves, b_moves, strict=True)])
    camera = np.eye(4)
    camera[:3, :3] = rotation
    camera[:3, 3] = np.linalg.lstsq(left, right, rcond=None)[0]
    return camera


def _mean(poses: Sequence[Matrix]) -> Matrix:
    middle = np.eye(4)
    middle[:3, :3] = Rotation.from_matrix(np.array([p[:3, :3] for p in poses])).mean().as_matrix()
    middle[:3, 3] = np.mean([p[:3, 3] for p in poses], axis=0)
    return middle


def _vector(pose: Matrix) -> NDArray[np.float64]:
    return np.concatenate([Rotation.from_matrix(pose[:3, :3]).as_rotvec(), pose[:3, 3]])


def _matrix(vector: NDArray[np.float64]) -> Matrix:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(vector[:3]).as_matrix()
    pose[:3, 3] = vector[3:]
    return pose
