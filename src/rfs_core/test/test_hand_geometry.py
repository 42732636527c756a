"""Promises of the fingers' capsules: distances worked out by hand."""

import itertools

import numpy as np
import pytest

from rfs_core import hand_geometry as geometry
from rfs_core import robot


def distance(p0: list[float], p1: list[float], q0: list[float], q1: list[float]) -> float:
    return float(geometry.segment_distance(*(np.array(x, dtype=float) for x in (p0, p1, q0, q1))))


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        # Crossed at a height of 3, both middles nearest.
        (([-1, 0, 0], [1, 0, 0], [0, -1, 3], [0, 1, 3]), 3.0),
        # Parallel, 2 apart, overlapping.
        (([0, 0, 0], [4, 0, 0], [1, 2, 0], [9, 2, 0]), 2.0),
        # Parallel, one after the other: from (4, 0) to (7, 4).
        (([0, 0, 0], [4, 0, 0], [7, 4, 0], [9, 4, 0]), 5.0),
        # Along the same line, 3 between the ends.
        (([0, 0, 0], [1, 0, 0], [4, 0, 0], [6, 0, 0]), 3.0),
        # The lines would meet beyond the first one's end: from (1, 0) to (1.5, 0.5), at a right angle to it.
        (([0, 0, 0], [1, 0, 0], [3, -1, 0], [1, 1, 0]), np.sqrt(0.5)),
        # An end nearest to an inside: from (0, 2, 0) to the origin.
        (([-5, 0, 0], [5, 0, 0], [0, 2, 0], [0, 7, 1]), 2.0),
        # Points: 3-4-5.
        (([0, 0, 0], [0, 0, 0], [3, 4, 0], [3, 4, 0]), 5.0),
        (([0, 0, 0], [0, 0, 0], [-1, 2, 0], [8, 2, 0]), 2.0),
        # They intersect.
        (([-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0]), 0.0),
    ],
)
def test_distance_of_segments_is_that_of_their_nearest_points(
    segments: tuple[list[float], ...], expected: float
) -> None:
    p0, p1, q0, q1 = segments
    assert distance(p0, p1, q0, q1) == pytest.approx(expected)
    assert distance(q1, q0, p0, p1) == pytest.approx(expected)


def test_distance_of_segments_is_never_more_than_between_any_of_their_points() -> None:
    rng = np.random.default_rng(0)
    p0, p1, q0, q1 = rng.standard_normal((4, 200, 3))
    s = np.linspace(0.0, 1.0, 41)
    p = p0[:, None] + s[:, None] * (p1 - p0)[:, None]
    q = q0[:, None] + s[:, None] * (q1 - q0)[:, None]
    sampled = np.linalg.norm(p[:, :, None] - q[:, None], axis=-1).min(axis=(1, 2))
    exact = geometry.segment_distance(p0, p1, q0, q1)
    assert (exact <= sampled + 1e-12).all()
    # Between neighbouring samples lie less than a twentieth of each length, so exact is not far below.
    step = (np.linalg.norm(p1 - p0, axis=1) + np.linalg.norm(q1 - q0, axis=1)) / 80
    assert (exact >= sampled - step).all()


def test_straight_fingers_lie_side_by_side_as_far_apart_as_they_are_mounted() -> None:
    axes = geometry.capsule_axes(np.zeros((1, 16)))[0]
    for link in ("px", "md", "ds"):
        of = [axes[geometry.CAPSULES.index(f"{finger}_{link}")] for finger in ("if", "mf", "rf")]
        # Mounted at y = 0.023, -0.0224, -0.0678 in the palm: 45.4 mm apart each (x differs by 0.1 mm).
        for left, right in itertools.pairwise(of):
            np.testing.assert_allclose(left - right, [[0.0, 0.0454, 0.0]] * 2, atol=1.2e-4)
    # The straight index finger points along the palm's x.
    tip = axes[geometry.CAPSULES.index("if_ds")]
    assert tip[1, 0] - tip[0, 0] == pytest.approx(0.017, abs=1e-4)


def test_an_open_hand_is_feasible_and_fingers_crossed_by_two_centimetres_are_not() -> None:
    hand = np.zeros((2, 16))
    # Index and middle finger turned towards each other by a radian each: the tips would pass each other.
    names = robot.HAND_JOINT_NAMES
    axes = geometry.capsule_axes(np.eye(16)[[names.index("if_rot")]] * 0.5)[0]
    towards = np.sign(
        geometry.capsule_axes(np.zeros((1, 16)))[0, 2, 1, 1] - axes[geometry.CAPSULES.index("if_ds"), 1, 1]
    )
    hand[1, names.index("if_rot")] = towards * 1.0
    hand[1, names.index("mf_rot")] = -towards * 1.0
    deep = geometry.penetration(hand)
    assert deep[0] == 0.0
    assert deep[1] > 0.02
    assert geometry.infeasible(hand).tolist() == [False, True]


def test_more_than_half_a_centimetre_is_infeasible_and_less_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    depth = np.array([0.0, 0.0049, 0.0051])
    monkeypatch.setattr(geometry, "penetration", lambda hand: depth)
    assert geometry.infeasible(np.zeros((3, 16))).tolist() == [False, False, True]


def test_links_of_one_finger_are_not_compared() -> None:
    names = geometry.CAPSULES
    fingers = {frozenset((names[a][:2], names[b][:2])) for a, b in geometry.PAIRS.tolist()}
    assert all(len(pair) == 2 for pair in fingers)
    # 3 pairs of fingers with 3 x 3 links each, and the thumb's 2 with 3 fingers' 3.
    assert len(geometry.PAIRS) == 3 * 9 + 3 * 6
