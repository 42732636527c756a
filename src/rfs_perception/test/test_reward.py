"""The reward of images: its two terms worked out by hand, and no number where the object is not seen."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

sys.path.insert(0, str(Path(__file__).parent))
from table_scene import CAMERA, scene

from rfs_perception.errors import TrackerError
from rfs_perception.frame_matcher import FrameMatcher
from rfs_perception.reward import EstimatorConfig, RewardEstimator, RewardTermsConfig
from rfs_perception.reward_config import parse_prompt
from rfs_perception.trackers.colour import ColourTracker
from rfs_perception.trackers.labels import LabelTracker

TERMS = RewardTermsConfig(
    distance_weight=2.0, lift_weight=10.0, lift_height=0.1, near_palm=0.15, hold_for=0.2
)
CONFIG = EstimatorConfig(terms=TERMS)
MS = 1_000_000


def palm_at(x: float, y: float, z: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def test_distance_and_lift_are_as_worked_out_by_hand() -> None:
    estimator = RewardEstimator(LabelTracker(), CAMERA, CONFIG)
    first = estimator.look(scene(), palm_at(0.55, 0.0, 0.13))
    # The centre is at (0.55, 0, 0.03): the palm is 0.1 m above it, and nothing is lifted.
    assert first.valid
    assert first.distance_term == pytest.approx(-2.0 * 0.1, abs=0.02)
    assert first.lift_term == 0.0
    assert first.total == first.distance_term
    # Lifted by 6 cm, the palm with it: 10 / m * 0.06 m.
    lifted = estimator.look(scene((0.55, 0.0, 0.09), stamp_ns=100 * MS), palm_at(0.55, 0.0, 0.19))
    assert lifted.lift_term == pytest.approx(0.6, abs=0.03)
    assert lifted.distance_term == pytest.approx(first.distance_term, abs=0.01)
    # By 16 cm: more than lift_height earns no more.
    high = estimator.look(scene((0.55, 0.0, 0.19), stamp_ns=200 * MS), palm_at(0.55, 0.0, 0.29))
    assert high.lift_term == pytest.approx(1.0, abs=1e-9)


def test_success_is_lifted_near_the_palm_and_held() -> None:
    estimator = RewardEstimator(LabelTracker(), CAMERA, CONFIG)
    estimator.look(scene(), palm_at(0.55, 0.0, 0.10))
    held = []
    for k in range(1, 6):
        frame = scene((0.55, 0.0, 0.15), stamp_ns=k * 100 * MS, seed=k)
        held.append(estimator.look(frame, palm_at(0.55, 0.0, 0.22)).success)
    # 0.2 s after the first of them.
    assert held == [False, False, True, True, True]
    far = estimator.look(scene((0.55, 0.0, 0.15), stamp_ns=600 * MS), palm_at(0.55, 0.0, 0.40))
    assert far.valid
    assert not far.success


def held_at(estimator: RewardEstimator, *times_ms: int) -> list[bool]:
    """Success of looks at the lifted object."""
    return [
        estimator.look(scene((0.55, 0.0, 0.15), stamp_ns=t * MS, seed=t), palm_at(0.55, 0.0, 0.22)).success
        for t in times_ms
    ]


def test_looks_too_far_apart_do_not_tell_that_it_was_held() -> None:
    estimator = RewardEstimator(LabelTracker(), CAMERA, CONFIG)
    estimator.look(scene(), palm_at(0.55, 0.0, 0.10))
    # After 4.9 s of which nobody knows it must be held for 0.2 s anew.
    assert held_at(estimator, 100, 5000, 5100, 5200) == [False, False, False, True]
    # A gap of 0.3 s, 1.5 times hold_for, is bridged; one of 0.31 s is not.
    assert held_at(estimator, 5500, 5810) == [True, False]


def test_an_image_that_could_not_be_scored_begins_the_holding_anew() -> None:
    estimator = RewardEstimator(LabelTracker(), CAMERA, CONFIG)
    estimator.look(scene(), palm_at(0.55, 0.0, 0.10))
    assert held_at(estimator, 100, 200) == [False, False]
    estimator.interrupt()
    # Without the interruption 0.3 s would be the third of them, 0.2 s after the first.
    assert held_at(estimator, 300, 400, 500) == [False, False, True]


@pytest.mark.parametrize("tracker", [LabelTracker, ColourTracker])
def test_a_hidden_object_gives_no_numbers_and_comes_back(tracker: type) -> None:
    estimator = RewardEstimator(tracker(), CAMERA, CONFIG)
    palm = palm_at(0.55, 0.0, 0.13)
    before = estimator.look(scene(), palm)
    hidden = estimator.look(scene(hidden_columns=slice(0, 160), stamp_ns=100 * MS), palm)
    assert not hidden.valid
    assert hidden.reason
    assert np.isnan([hidden.total, hidden.distance_term, hidden.lift_term, *hidden.centre]).all()
    assert not hidden.success
    after = estimator.look(scene(stamp_ns=200 * MS, seed=5), palm)
    assert after.valid
    assert after.total == pytest.approx(before.total, abs=0.01)


def test_depth_all_zero_gives_no_numbers() -> None:
    estimator = RewardEstimator(LabelTracker(), CAMERA, CONFIG)
    estimator.look(scene(), palm_at(0.55, 0.0, 0.13))
    blind = replace(scene(stamp_ns=MS), depth=np.zeros((120, 160), np.float32))
    scored = estimator.look(blind, palm_at(0.55, 0.0, 0.13))
    assert not scored.valid
    assert "0 of them with a depth" in scored.reason


def test_an_object_that_was_never_seen_is_looked_for_until_it_is() -> None:
    estimator = RewardEstimator(ColourTracker(), CAMERA, CONFIG)
    assert "no object stands" in estimator.look(scene((0.55, 0.0, -0.5)), palm_at(0.5, 0.0, 0.3)).reason
    assert estimator.look(scene(stamp_ns=MS), palm_at(0.5, 0.0, 0.3)).valid


def test_a_new_episode_measures_the_lift_anew() -> None:
    estimator = RewardEstimator(LabelTracker(), CAMERA, CONFIG)
    estimator.look(scene(), palm_at(0.55, 0.0, 0.13))
    assert estimator.rest_height == pytest.approx(0.03, abs=0.003)
    estimator.restart()
    assert np.isnan(estimator.rest_height)
    taller = scene((0.55, 0.0, 0.05), (0.03, 0.03, 0.05))
    scored = estimator.look(taller, palm_at(0.55, 0.0, 0.15))
    assert estimator.rest_height == pytest.approx(0.05, abs=0.003)
    assert scored.lift_term == 0.0


def test_prompts_are_read_from_text() -> None:
    assert parse_prompt("auto") is None
    box, click = parse_prompt("box 1 2 30 40"), parse_prompt("click 5 6.5")
    assert box is not None
    assert click is not None
    assert box.box == (1.0, 2.0, 30.0, 40.0)
    assert click.points == ((5.0, 6.5),)
    for text in ("box 1 2 3", "click 5", "click a b", "auto 3", "mask"):
        with pytest.raises(TrackerError, match="is none of: auto"):
            parse_prompt(text)


def test_images_of_one_stamp_are_put_together_and_older_ones_forgotten() -> None:
    matcher = FrameMatcher(("colour", "depth"))
    matcher.add("colour", 1, "c1")
    assert matcher.newest() is None
    for stamp in (2, 3):
        matcher.add("depth", stamp, f"d{stamp}")
        matcher.add("colour", stamp, f"c{stamp}")
    assert matcher.newest() == (3, {"depth": "d3", "colour": "c3"})
    matcher.add("depth", 1, "d1")  # late: a newer one was given
    assert matcher.newest() is None


def test_a_matcher_without_depth_does_not_grow() -> None:
    matcher = FrameMatcher(("colour", "depth"))
    for stamp in range(10_000):
        matcher.add("colour", stamp, "c")
    assert len(matcher._waiting) <= 8
