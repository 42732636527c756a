"""SAM 2 image by image: bounded memory, and the same masks as with everything kept."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs transformers: make setup EXTRAS=perception")

sys.path.insert(0, str(Path(__file__).parent))
from tiny_sam2 import moving_square, tiny_model

from rfs_perception.errors import TrackerError
from rfs_perception.trackers import sam2
from rfs_perception.trackers.base import Found, Prompt
from rfs_perception.trackers.make import make
from rfs_perception.trackers.sam2 import Sam2Tracker

BOX = Prompt(box=(5.0, 8.0, 18.0, 19.0))
IMAGES = 20
"""More than the 16 that the model looks back at."""
LONG = int(os.environ.get("RFS_LONG_TESTS", "0"))


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


def run(tracker: Sam2Tracker, images: int = IMAGES) -> list[Found]:
    found = [tracker.start(moving_square(0), BOX)]
    return found + [tracker.track(moving_square(k)) for k in range(1, images)]


@pytest.fixture(scope="module")
def kept(model: Any) -> list[Found]:
    """With everything kept."""
    return run(Sam2Tracker(model, keep=0))


def equal(one: list[Found], other: list[Found]) -> list[bool]:
    # Sums in another order may turn a pixel over whose score is 0 to seven digits; of 3072.
    return [
        a.mask is not None and b.mask is not None and int((a.mask != b.mask).sum()) <= 3
        for a, b in zip(one, other, strict=True)
    ]


def test_the_masks_of_the_test_vary(kept: list[Found]) -> None:
    # Else every comparison below would pass, whatever is wrong.
    areas = {int(found.mask.sum()) for found in kept if found.mask is not None}
    assert len(areas) > IMAGES // 2


def test_pruning_changes_no_mask(model: Any, kept: list[Found]) -> None:
    assert all(equal(run(Sam2Tracker(model)), kept))


def test_pruning_too_much_changes_masks(model: Any, kept: list[Found]) -> None:
    # The test above can fail: the memory is looked at.
    assert not all(equal(run(Sam2Tracker(model, keep=2)), kept))


def test_what_is_kept_does_not_grow(model: Any) -> None:
    tracker = Sam2Tracker(model)
    run(tracker, 18)
    sizes = kept_of(tracker)
    for k in range(18, 22):
        tracker.track(moving_square(k))
        assert kept_of(tracker) == sizes
    assert sizes == {"images": 1, "conditioned": 1, "others": 16, "tracked": 16}


def kept_of(tracker: Sam2Tracker) -> dict[str, int]:
    session = tracker._session
    outputs = session.output_dict_per_obj[0]
    return {
        "images": len(session.processed_frames),
        "conditioned": len(outputs["cond_frame_outputs"]),
        "others": len(outputs["non_cond_frame_outputs"]),
        "tracked": len(session.frames_tracked_per_obj[0]),
    }


@pytest.mark.skipif(not LONG, reason="a minute or more: RFS_LONG_TESTS=1000 runs it over so many images")
@pytest.mark.timeout(7200)
def test_memory_is_constant_over_many_images(model: Any) -> None:
    tracker = Sam2Tracker(model)
    run(tracker, LONG // 5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(LONG // 5, LONG):
        tracker.track(moving_square(k))
    # Kept outputs alone would be 0.5 MB an image here.
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert kept_of(tracker)["others"] == 16
    assert grown < 16, f"{grown:.1f} MB"


def test_an_image_left_out_is_not_mistaken_for_another(model: Any, kept: list[Found]) -> None:
    # The trap: an index counted from what is kept answers with the mask of an old image.
    tracker = Sam2Tracker(model)
    run(tracker, 18)
    one, other = tracker.track(moving_square(3)), tracker.track(moving_square(30))
    assert one.mask is not None
    assert other.mask is not None
    assert (one.mask != other.mask).any()


def test_starting_anew_forgets_everything(model: Any) -> None:
    tracker = Sam2Tracker(model)
    first = run(tracker, 4)
    run(tracker, 9)
    assert all(equal(run(tracker, 4), first))


def test_a_score_below_zero_is_lost(model: Any) -> None:
    import torch

    last = model.mask_decoder.pred_obj_score_head.proj_out
    try:
        with torch.no_grad():
            last.bias.fill_(-10.0)
        found = Sam2Tracker(model).start(moving_square(0), BOX)
    finally:
        with torch.no_grad():
            last.bias.fill_(10.0)
    assert found.mask is None
    assert "does not see the object (score -10.0" in found.reason


def test_a_click_prompts_too(model: Any) -> None:
    assert Sam2Tracker(model).start(moving_square(0), Prompt(points=((11.0, 13.0),))).mask is not None


def test_weights_of_a_local_folder_give_the_same_masks(model: Any, kept: list[Found], tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    tracker = make("sam2", str(tmp_path), "cpu")
    assert isinstance(tracker, Sam2Tracker)
    assert all(equal(run(tracker, 3), kept[:3]))


def test_weights_that_are_not_there_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match=r"cannot be loaded.*without weights use tracker:=colour"):
        make("sam2", str(tmp_path), "cpu")


def test_an_image_is_prepared_as_the_model_was_trained() -> None:
    # A grey of 255 * 0.485 in the red channel is 0 after normalisation; resizing keeps a constant.
    colour = np.full((30, 40, 3), (0.485 * 255, 0.456 * 255, 0.406 * 255)).round().astype(np.uint8)
    prepared = sam2.prepare(colour, (64, 64), "cpu")
    assert tuple(prepared.shape) == (1, 3, 64, 64)
    assert float(prepared.abs().max()) < 0.5 / 255 / 0.224 + 1e-6
