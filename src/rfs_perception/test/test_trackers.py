"""What every tracker promises, and the two that need no weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

sys.path.insert(0, str(Path(__file__).parent))
from table_scene import scene

from rfs_perception.errors import TrackerError
from rfs_perception.frame import Frame
from rfs_perception.trackers.base import Prompt
from rfs_perception.trackers.colour import ColourTracker
from rfs_perception.trackers.labels import LabelTracker
from rfs_perception.trackers.make import make


def overlap(mask: np.ndarray | None, frame: Frame) -> float:
    """Intersection over union with the truth."""
    assert mask is not None
    truth = frame.labels == 1
    return float((mask & truth).sum() / (mask | truth).sum())


def prompts() -> list[Prompt]:
    v, u = np.nonzero(scene().labels)
    box = (float(u.min()) - 3, float(v.min()) - 3, float(u.max()) + 3, float(v.max()) + 3)
    click = ((float(np.median(u)), float(np.median(v))),)
    return [Prompt(box=box), Prompt(points=click), Prompt(mask=scene().labels == 1)]


@pytest.mark.parametrize("prompt", prompts(), ids=["box", "click", "mask"])
def test_colour_follows_what_was_prompted_as_it_moves_and_rises(prompt: Prompt) -> None:
    tracker = ColourTracker()
    assert overlap(tracker.start(scene(), prompt).mask, scene()) > 0.85
    for k in range(1, 8):
        frame = scene((0.55, 0.01 * k, 0.03 + 0.02 * k), seed=k)
        assert overlap(tracker.track(frame).mask, frame) > 0.85


def test_colour_says_lost_where_the_object_is_hidden_and_finds_it_again() -> None:
    tracker = ColourTracker()
    tracker.start(scene(), prompts()[2])
    found = tracker.track(scene(hidden_columns=slice(0, 160)))
    assert found.mask is None
    assert "no piece of the object's colour" in found.reason
    assert overlap(tracker.track(scene(seed=3)).mask, scene()) > 0.85


def test_colour_joins_what_a_finger_divides() -> None:
    tracker = ColourTracker()
    tracker.start(scene(), prompts()[2])
    u = round(float(np.median(np.nonzero(scene().labels)[1])))
    frame = scene(hidden_columns=slice(u - 2, u + 2))
    assert overlap(tracker.track(frame).mask, frame) > 0.85


def test_colour_takes_nothing_of_its_colour_that_is_far_from_where_the_object_was() -> None:
    tracker = ColourTracker()
    tracker.start(scene(), prompts()[2])
    # 0.4 m to the side within one image: that is another blue thing.
    assert tracker.track(scene((0.45, -0.38, 0.03))).mask is None


def test_colour_refuses_a_prompt_that_looks_like_everything_else() -> None:
    with pytest.raises(TrackerError, match="differ in colour from the rest"):
        ColourTracker().start(scene(), Prompt(mask=np.roll(scene().labels == 1, 50, axis=1)))


def test_labels_are_taken_as_they_are() -> None:
    tracker = LabelTracker()
    assert overlap(tracker.start(scene(), None).mask, scene()) == 1.0
    assert tracker.track(scene(hidden_columns=slice(0, 160))).mask is None
    with pytest.raises(TrackerError, match="only a simulator"):
        tracker.track(replace(scene(), labels=None))


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (None, "needs a prompt"),
        (Prompt(), "either a box, or clicks, or a mask"),
        (Prompt(box=(5, 5, 5, 20)), "no area"),
        (Prompt(box=(0, 0, 159, 119)), "covers the whole image of 160 x 120"),
        (Prompt(points=((200.0, 5.0),)), "outside the image of 160 x 120"),
        (Prompt(mask=np.zeros((120, 160), bool)), "0 pixels cannot prompt"),
        (Prompt(mask=np.ones((10, 10), bool)), "cannot prompt"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_named(prompt: Prompt | None, reason: str) -> None:
    with pytest.raises(TrackerError, match=reason):
        ColourTracker().start(scene(), prompt)


def test_a_tracker_that_was_not_started_or_gets_another_size_says_so() -> None:
    tracker = ColourTracker()
    with pytest.raises(TrackerError, match="not started"):
        tracker.track(scene())
    tracker.start(scene(), prompts()[2])
    small = replace(scene(), colour=np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(TrackerError, match=r"the tracker was started on \(120, 160\)"):
        tracker.track(small)


def test_an_unknown_tracker_is_named() -> None:
    with pytest.raises(TrackerError, match="unknown tracker 'yolo', known: sam2, sam2_meta, colour, labels"):
        make("yolo")
