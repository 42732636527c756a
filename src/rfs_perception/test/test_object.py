"""From a mask to the object's centre: not drawn away by bleeding masks, nor by fingers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

sys.path.insert(0, str(Path(__file__).parent))
from table_scene import CAMERA, INTRINSICS, scene

from rfs_perception.errors import PerceptionError
from rfs_perception.frame import Frame, points_of, project
from rfs_perception.object_model import ModelConfig, ObjectModel
from rfs_perception.object_points import ObjectConfig, largest_part, middle, seen_through, visible_points
from rfs_perception.seed import SeedConfig, find_object

CONFIG = ObjectConfig()


def error_mm(centre: np.ndarray, truth: tuple[float, float, float]) -> float:
    return float(np.linalg.norm(np.subtract(centre, truth))) * 1e3


def look(frame: Frame, mask: np.ndarray | None = None) -> np.ndarray:
    mask = frame.labels == 1 if mask is None else mask
    return visible_points(mask, frame, CAMERA, CONFIG)


def centre_of(frame: Frame, mask: np.ndarray | None = None) -> np.ndarray:
    return middle(look(frame, mask), CAMERA, INTRINSICS.fx, CONFIG)


def test_pixels_become_points_and_points_pixels() -> None:
    # Pixel (79.5 + 15, 59.5 - 30) at 2 m: x = 15 / 150 * 2 = 0.2, y = -30 / 150 * 2 = -0.4.
    intrinsics = replace(INTRINSICS, cx=79.0, cy=59.0)
    depth, mask = np.zeros((120, 160), np.float32), np.zeros((120, 160), bool)
    depth[29, 94], mask[29, 94], mask[0, 0] = 2.0, True, True
    points = points_of(depth, intrinsics, mask)
    np.testing.assert_allclose(points, [[0.2, -0.4, 2.0]], atol=1e-12)
    np.testing.assert_allclose(project(points, intrinsics), [[94.0, 29.0]], atol=1e-9)


@pytest.mark.parametrize("truth", [(0.55, 0.0, 0.03), (0.62, -0.1, 0.03), (0.5, 0.12, 0.03)])
def test_the_centre_of_a_block_is_found_within_8_mm_though_only_its_near_side_is_seen(
    truth: tuple[float, float, float],
) -> None:
    frame = scene(truth)
    assert error_mm(centre_of(frame), truth) < 8.0
    # The mean of what is seen would not do.
    assert error_mm(look(frame).mean(axis=0), truth) > 12.0


def test_a_mask_that_bleeds_onto_table_and_background_moves_the_centre_by_less_than_6_mm() -> None:
    frame = scene()
    v, u = np.nonzero(frame.labels)
    bleeding = frame.labels == 1
    # Two more columns on both sides, a row above and below, and a speck far away.
    bleeding[v.min() - 1 : v.max() + 2, u.min() - 2 : u.max() + 3] = True
    bleeding[5:9, 5:9] = True
    apart = centre_of(frame, bleeding) - centre_of(frame)
    assert float(np.linalg.norm(apart)) < 6e-3
    # The mean of all its points moves by far more.
    everything = points_of(frame.depth, INTRINSICS, bleeding).mean(axis=0)
    exact = points_of(frame.depth, INTRINSICS, frame.labels == 1).mean(axis=0)
    assert float(np.linalg.norm(everything - exact)) > 0.015


def test_nothing_is_made_of_an_empty_mask_no_depth_or_a_mask_of_everything() -> None:
    frame = scene()
    with pytest.raises(PerceptionError, match="the mask has 0 pixels, 0 of them with a depth"):
        look(frame, np.zeros((120, 160), bool))
    blind = replace(frame, depth=np.zeros_like(frame.depth))
    with pytest.raises(PerceptionError, match=r"[0-9]+ pixels, 0 of them with a depth, 0 in the workspace"):
        look(blind)
    nan = replace(frame, depth=np.full_like(frame.depth, np.nan))
    with pytest.raises(PerceptionError, match="0 of them with a depth"):
        look(nan)
    with pytest.raises(PerceptionError, match="took hold of something else"):
        visible_points(
            np.ones((120, 160), bool), frame, CAMERA, replace(CONFIG, low=(0.3, -0.45, -0.1), joined=0.1)
        )
    with pytest.raises(PerceptionError, match="the image"):
        look(frame, np.ones((10, 10), bool))


def test_only_the_largest_connected_part_counts() -> None:
    line = np.stack([np.arange(40) * 0.005, np.zeros(40), np.zeros(40)], axis=1)
    speck = np.array([[0.5, 0.0, 0.0]] * 5)
    np.testing.assert_array_equal(largest_part(np.concatenate([speck, line]), 0.012), line)


def test_a_surface_before_what_the_camera_sees_is_seen_through() -> None:
    frame = scene()
    surface = look(frame)
    assert seen_through(surface, frame, CAMERA) == 0.0
    raised = surface + (0.0, 0.0, 0.2)
    assert seen_through(raised, frame, CAMERA) > 0.9
    # Behind something it may well be: that says nothing.
    assert seen_through(surface, scene(hidden_columns=slice(0, 160)), CAMERA) == 0.0


def moved(dx: float = 0.0, dy: float = 0.0, dz: float = 0.0) -> np.ndarray:
    motion = np.eye(4)
    motion[:3, 3] = dx, dy, dz
    return motion


def covered(centre: tuple[float, float, float]) -> Frame:
    """A scene whose block is hidden but for a strip of six columns at its edge."""
    u = np.nonzero(scene(centre).labels)[1]
    return scene(centre, hidden_columns=slice(int(u.min()), int(u.max()) - 5))


def follow(model: ObjectModel, frame: Frame, *guesses: np.ndarray) -> np.ndarray:
    return model.follow(look(frame), guesses, lambda s: seen_through(s, frame, CAMERA))


def test_a_hidden_block_that_is_lifted_by_the_hand_keeps_its_centre() -> None:
    start = (0.55, 0.0, 0.03)
    model = ObjectModel(look(scene(start)), np.array(start), ModelConfig())
    for k in range(1, 11):
        truth = (0.55, 0.0, 0.03 + 0.02 * k)
        centre = follow(model, covered(truth), np.eye(4), moved(dz=0.02))
        assert error_mm(centre, truth) < 12.0
        # What is seen of it alone would be beside.
        assert error_mm(centre_of(covered(truth)), truth) > 20.0


def test_a_block_that_stays_while_the_hand_moves_keeps_its_place() -> None:
    truth = (0.55, 0.0, 0.03)
    model = ObjectModel(look(scene(truth)), np.array(truth), ModelConfig())
    for _ in range(5):
        assert error_mm(follow(model, covered(truth), np.eye(4), moved(dz=0.03)), truth) < 3.0


def test_what_does_not_fit_is_not_the_object() -> None:
    truth = (0.55, 0.0, 0.03)
    model = ObjectModel(look(scene(truth)), np.array(truth), ModelConfig())
    other = scene((0.55, 0.15, 0.06), (0.06, 0.06, 0.06))
    with pytest.raises(PerceptionError, match="does not fit the object"):
        follow(model, other, np.eye(4))
    # And it is found again afterwards.
    assert error_mm(follow(model, scene(truth), np.eye(4)), truth) < 3.0


def test_the_object_is_found_without_a_prompt() -> None:
    frame = scene()
    mask = find_object(frame, CAMERA, SeedConfig())
    truth = frame.labels == 1
    assert (mask & truth).sum() / (mask | truth).sum() > 0.7


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (scene((0.55, 0.0, -0.5)), "no object stands in the workspace"),
        (scene((0.55, 0.0, 0.15)), "reach down to"),
        (scene((0.55, 0.0, 0.03), (0.02, 0.15, 0.03)), "cm large"),
        (scene((0.55, 0.0, 0.005), (0.03, 0.03, 0.005)), "0 cm high|none in one piece"),
    ],
    ids=["empty table", "in the air", "too large", "flat"],
)
def test_what_is_no_object_is_not_taken_for_one(frame: Frame, reason: str) -> None:
    with pytest.raises(PerceptionError, match=reason):
        find_object(frame, CAMERA, SeedConfig())
