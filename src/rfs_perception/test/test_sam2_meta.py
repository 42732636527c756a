"""Meta's backend, against a stand-in with the signatures of its package (the package needs torchvision)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parent))
import fake_sam2 as fake
from tiny_sam2 import moving_square

from rfs_perception.errors import TrackerError
from rfs_perception.trackers.base import Prompt
from rfs_perception.trackers.sam2_meta import MetaSam2Tracker, config_of, weights_file

BOX = Prompt(box=(5.0, 8.0, 18.0, 19.0))


def test_every_image_is_asked_for_once_under_its_own_index() -> None:
    fake.ANSWERED.clear()
    tracker = MetaSam2Tracker(fake.SAM2VideoPredictor())
    tracker.start(moving_square(0), BOX)
    for k in range(1, 40):
        found = tracker.track(moving_square(k))
        assert found.mask is not None
        # The square of this very image: its left edge is at 5 + k % 40.
        u = np.nonzero(found.mask)[1]
        assert abs(float(np.median(u)) - (5 + k % 40 + 6.5)) < 2.0
    assert list(range(1, 40)) == fake.ANSWERED


def test_what_is_kept_does_not_grow() -> None:
    tracker = MetaSam2Tracker(fake.SAM2VideoPredictor())
    tracker.start(moving_square(0), BOX)
    for k in range(1, 60):
        tracker.track(moving_square(k))
    state = tracker._state
    assert len(state["images"]) == 1
    assert sorted(state["output_dict_per_obj"][0]["non_cond_frame_outputs"]) == list(range(44, 60))
    assert list(state["output_dict_per_obj"][0]["cond_frame_outputs"]) == [0]
    assert len(state["frames_tracked_per_obj"][0]) == 16


def test_the_package_reads_videos_as_before_afterwards() -> None:
    reader = fake.load_video_frames
    MetaSam2Tracker(fake.SAM2VideoPredictor()).start(moving_square(0), Prompt(points=((11.0, 13.0),)))
    assert fake.load_video_frames is reader


def test_an_empty_mask_is_lost() -> None:
    tracker = MetaSam2Tracker(fake.SAM2VideoPredictor())
    tracker.start(moving_square(0), BOX)
    dark = moving_square(1)
    dark.colour[:] = 0
    found = tracker.track(dark)
    assert found.mask is None
    assert "its mask is empty" in found.reason


def test_another_version_of_the_package_is_noticed() -> None:
    class Other(fake.SAM2VideoPredictor):  # type: ignore[misc, name-defined]
        def propagate_in_video(self, inference_state, start_frame_idx=None, max_frame_num_to_track=None):  # type: ignore[no-untyped-def]
            yield 0, [1], self._logits(inference_state, start_frame_idx)

    Other.__module__ = "fake_sam2"
    tracker = MetaSam2Tracker(Other())
    tracker.start(moving_square(0), BOX)
    with pytest.raises(TrackerError, match=r"answered with images \[0\] when asked for 1"):
        tracker.track(moving_square(1))


@pytest.mark.parametrize(
    ("name", "config"),
    [("sam2.1_hiera_tiny", "_t.yaml"), ("sam2.1_hiera_base_plus", "_b+.yaml"), ("my-large-one", "_l.yaml")],
)
def test_the_configuration_is_told_by_the_name_of_the_weights(name: str, config: str) -> None:
    assert config_of(Path(f"{name}.pt")).endswith(config)


def test_weights_without_a_known_name_or_not_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="must contain one of"):
        config_of(Path("weights.pt"))
    with pytest.raises(TrackerError, match="found none"):
        weights_file(tmp_path)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).touch()
    with pytest.raises(TrackerError, match=r"found \['a.pt', 'b.pt'\]"):
        weights_file(tmp_path)


def test_without_the_package_it_says_what_to_do() -> None:
    if importlib.util.find_spec("sam2") is not None:
        pytest.skip("sam2 is installed")
    with pytest.raises(TrackerError, match=r"EXTRAS=sam2, or tracker:=sam2"):
        MetaSam2Tracker.load()
