"""A camera is found from rendered boards, and not found from looks that cannot tell."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

sys.path.insert(0, str(Path(__file__).parent))
from rendered_board import INTRINSICS, pose, render

from rfs_perception.charuco import Board, BoardConfig
from rfs_perception.errors import CalibrationError
from rfs_perception.hand_eye import Look, solve, turn_of
from rfs_perception.look_collector import CollectConfig, LookCollector

# The camera looks down from the front, the board sits askew in the palm.
CAMERA_IN_BASE = pose(1.15, 0.25, 0.60, (-1.7, 1.8, -0.5))
BOARD_IN_PALM = pose(0.03, -0.02, 0.05, (0.3, -0.2, 2.0))
TURNS = [
    (0.0, 0.0, 0.0), (0.4, 0.0, 0.1), (-0.4, 0.1, 0.0), (0.0, 0.4, -0.2), (0.1, -0.4, 0.3),
    (0.3, 0.3, -0.4), (-0.3, 0.3, 0.5), (0.3, -0.3, 0.2), (-0.3, -0.3, -0.3), (0.0, 0.2, 0.8),
]  # fmt: skip


def palms(turns: list[tuple[float, float, float]] = TURNS) -> list[np.ndarray]:
    """Palm poses that hold the board before the camera, 0.5 m away, turned as `turns` say."""
    poses = []
    for i, turn in enumerate(turns):
        board_in_camera = pose(-0.1 + 0.02 * (i % 3), -0.08 + 0.02 * (i % 2), 0.5 + 0.02 * (i % 4), turn)
        poses.append(CAMERA_IN_BASE @ board_in_camera @ np.linalg.inv(BOARD_IN_PALM))
    return poses


def see(board: Board, palm: np.ndarray) -> np.ndarray:
    return render(board, np.linalg.inv(CAMERA_IN_BASE) @ palm @ BOARD_IN_PALM)


@pytest.fixture(scope="module")
def looks() -> list[Look]:
    board = Board(BoardConfig())
    found = []
    for palm in palms():
        view = board.find(see(board, palm), INTRINSICS)
        assert view is not None
        found.append(Look(palm, view))
    return found


def test_a_board_is_found_where_it_was_rendered() -> None:
    board = Board(BoardConfig())
    true = pose(-0.1, -0.07, 0.5, (0.3, -0.2, 0.1))
    view = board.find(render(board, true), INTRINSICS)
    assert view is not None
    assert len(view.corners) == 6 * 4  # all inner corners of 7 x 5 squares
    np.testing.assert_allclose(view.board_in_camera[:3, 3], true[:3, 3], atol=1e-3)
    np.testing.assert_allclose(view.board_in_camera[:3, :3], true[:3, :3], atol=0.01)
    assert view.rms_px < 0.3


def test_a_picture_without_a_board_gives_none() -> None:
    assert Board(BoardConfig()).find(np.full((480, 640, 3), 90, np.uint8), INTRINSICS) is None


def test_the_camera_is_found_within_two_millimetres_and_a_fifth_of_a_degree(looks: list[Look]) -> None:
    found = solve(looks, INTRINSICS)
    apart = np.linalg.norm(found.camera_in_base[:3, 3] - CAMERA_IN_BASE[:3, 3])
    relative = CAMERA_IN_BASE[:3, :3].T @ found.camera_in_base[:3, :3]
    turned = np.arccos(np.clip((np.trace(relative) - 1.0) / 2.0, -1.0, 1.0))
    assert apart < 2e-3
    assert np.degrees(turned) < 0.2
    assert found.rms_position_m < 1.5e-3
    assert found.rms_reprojection_px < 0.3
    np.testing.assert_allclose(found.board_in_palm[:3, 3], BOARD_IN_PALM[:3, 3], atol=2e-3)


def test_a_board_that_slipped_shows_in_the_error(looks: list[Look]) -> None:
    slipped = pose(0.02, 0.0, 0.0, (0.0, 0.0, 0.0))
    half = [
        Look(look.palm_in_base @ slipped if i % 2 else look.palm_in_base, look.view)
        for i, look in enumerate(looks)
    ]
    # Half of the looks are 2 cm off: about 1 cm around the mean, less what the answer hides.
    assert solve(half, INTRINSICS).rms_position_m > 4e-3


def test_turns_about_one_axis_are_refused(looks: list[Look]) -> None:
    board = Board(BoardConfig())
    about_z = [(0.0, 0.0, 0.15 * i) for i in range(8)]
    flat = []
    for palm in palms(about_z):
        view = board.find(see(board, palm), INTRINSICS)
        assert view is not None
        flat.append(Look(palm, view))
    assert turn_of([look.palm_in_base for look in flat]) < 1e-6
    with pytest.raises(CalibrationError, match="tilt it about different axes"):
        solve(flat, INTRINSICS)


def test_five_looks_are_too_few(looks: list[Look]) -> None:
    with pytest.raises(CalibrationError, match="5 looks at the board, at least 6"):
        solve(looks[:5], INTRINSICS)


def test_only_still_and_new_poses_become_looks() -> None:
    config = CollectConfig(still_for=0.5, still_below=0.01)
    collector = LookCollector(config)
    first, second, *_ = palms()
    picture = see(collector.board, first)
    still, moving = np.zeros(7), np.array([0.0, 0.02, 0.0, 0.0, 0.0, 0.0, 0.0])
    ms = 1_000_000
    collector.moving(0, moving)
    assert not collector.image(499 * ms, picture, INTRINSICS, first)
    assert collector.reason == "the arm moves"
    collector.moving(400 * ms, still)
    assert collector.image(500 * ms, picture, INTRINSICS, first)
    assert not collector.image(600 * ms, picture, INTRINSICS, first)
    assert "before" in collector.reason
    assert not collector.image(600 * ms, np.zeros_like(picture), INTRINSICS, second)
    assert "not seen" in collector.reason
    assert collector.image(600 * ms, see(collector.board, second), INTRINSICS, second)
    assert len(collector.looks) == 2


def test_a_board_that_cannot_be_is_refused() -> None:
    with pytest.raises(CalibrationError, match="must be smaller"):
        Board(BoardConfig(square=0.02, marker=0.02))
    with pytest.raises(CalibrationError, match="unknown to OpenCV"):
        Board(BoardConfig(dictionary="DICT_9X9"))
