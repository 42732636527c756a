"""SAM 2 through Meta's own package `sam2`, its video predictor driven image by image.

The package reads whole videos only. Its predictor, however, looks images up one by one in `images`: that is
replaced by a store that is given each image as it comes, and `propagate_in_video` is asked for one image at a
time. As with the other backend, the index is always said, and what the model does not look back at dropped.
It leans on the package's internals (checked against 1.1.0), which is why it is not the default.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from rfs_perception.errors import TrackerError
from rfs_perception.frame import Frame
from rfs_perception.trackers.base import Found, Prompt, require_size
from rfs_perception.trackers.sam2 import WEIGHTS, choose_device, clicks, prepare

CONFIGS = {
    "tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "large": "configs/sam2.1/sam2.1_hiera_l.yaml",
}
"""The package's configurations, by the word in the name of the weights' file (sam2.1_hiera_tiny.pt)."""
_OBJECT = 1


class MetaSam2Tracker:
    """Follows one object with a SAM2VideoPredictor."""

    needs_prompt = True

    def __init__(self, predictor: Any, device: str = "cpu", keep: int | None = None) -> None:
        """
        Args:
            predictor: A SAM2VideoPredictor.
            device: Where it computes.
            keep: Outputs kept; None: as many as the model looks back at. For tests: 0 keeps all.
        """
        self._predictor = predictor
        self._device = device
        lookback = max(int(predictor.max_obj_ptrs_in_encoder), int(predictor.num_maskmem))
        self._keep = lookback if keep is None else keep
        self._input = (int(predictor.image_size), int(predictor.image_size))
        self._state: dict[str, Any] = {}
        self._size: tuple[int, int] | None = None
        self._index = -1

    @classmethod
    def load(cls, weights: str = WEIGHTS, device: str = "") -> MetaSam2Tracker:
        """With a .pt file, a folder with one, or weights of the hub by name.

        Raises:
            TrackerError: the package is not installed, or there are no such weights.
        """
        try:
            build = importlib.import_module("sam2.build_sam")
        except ImportError as error:
            raise TrackerError(
                f"Meta's sam2 cannot be imported ({error}): make setup EXTRAS=sam2, or tracker:=sam2, which "
                "needs transformers only"
            ) from error
        chosen = choose_device(device)
        try:
            if Path(weights).exists():
                file = weights_file(Path(weights))
                predictor = build.build_sam2_video_predictor(config_of(file), str(file), device=chosen)
            else:
                predictor = build.build_sam2_video_predictor_hf(weights, device=chosen)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise TrackerError(
                f"SAM 2 weights {weights!r} cannot be loaded: {error}. Give a file such as "
                "sam2.1_hiera_tiny.pt, or a name such as facebook/sam2.1-hiera-tiny and a network; without "
                "weights use tracker:=colour"
            ) from error
        return cls(predictor, chosen)

    def start(self, frame: Frame, prompt: Prompt | None) -> Found:
        """Begin with a prompt."""
        if prompt is None:
            raise TrackerError("SAM 2 needs a prompt: a box, a click, or the automatic seed")
        height, width = frame.colour.shape[:2]
        prompt.check(width, height)
        self._size, self._index = (height, width), 0
        images = {0: prepare(frame.colour, self._input, self._device)[0]}
        self._state = self._open(images, height, width)
        points, labels = clicks(prompt)
        box = labels == [2, 3]
        _, _, logits = self._predictor.add_new_points_or_box(
            self._state,
            frame_idx=0,
            obj_id=_OBJECT,
            **(
                {"box": np.array(points, np.float32).ravel()}
                if box
                else {"points": np.array(points, np.float32), "labels": np.array(labels, np.int32)}
            ),
        )
        return self._found(logits)

    def track(self, frame: Frame) -> Found:
        """The object in the next image."""
        require_size(frame, self._size)
        self._index += 1
        self._state["images"][self._index] = prepare(frame.colour, self._input, self._device)[0]
        self._state["num_frames"] = self._index + 1
        results = list(
            self._predictor.propagate_in_video(
                self._state, start_frame_idx=self._index, max_frame_num_to_track=0
            )
        )
        if len(results) != 1 or results[0][0] != self._index:
            raise TrackerError(
                f"sam2 answered with images {[r[0] for r in results]} when asked for {self._index}: this "
                "version of the package works otherwise than 1.1.0; use tracker:=sam2"
            )
        self._prune()
        return self._found(results[0][2])

    def _open(self, images: dict[int, Any], height: int, width: int) -> dict[str, Any]:
        """The predictor's state over a store of images instead of a video."""
        module = importlib.import_module(type(self._predictor).__module__)
        reader = module.load_video_frames
        module.load_video_frames = lambda **_: (images, height, width)
        try:
            state: dict[str, Any] = self._predictor.init_state(video_path="")
        finally:
            module.load_video_frames = reader
        # One bar per image would be printed otherwise.
        module.tqdm = lambda items, **_: items
        return state

    def _found(self, logits: Any) -> Found:
        """The mask, which the package has scaled to the image; -1024 everywhere means that there is none."""
        mask = (logits[0, 0] > 0.0).cpu().numpy()
        return Found(mask) if mask.any() else Found(None, "SAM 2 does not see the object: its mask is empty")

    def _prune(self) -> None:
        if not self._keep:
            return
        state, oldest = self._state, self._index - self._keep + 1
        for kept, before in (
            (state["images"], self._index),
            *(
                (outputs["non_cond_frame_outputs"], oldest)
                for outputs in state["output_dict_per_obj"].values()
            ),
            *((tracked, oldest) for tracked in state["frames_tracked_per_obj"].values()),
        ):
            for index in [i for i in kept if i < before]:
                del kept[index]


def weights_file(path: Path) -> Path:
    """The .pt file that a path names, or the only one of a folder.

    Raises:
        TrackerError: there is none, or more than one.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.pt"))
    if len(files) != 1 or files[0].suffix != ".pt":
        raise TrackerError(f"{path}: needs one .pt file of SAM 2, found {[f.name for f in files] or 'none'}")
    return files[0]


def config_of(file: Path) -> str:
    """The package's configuration that belongs to a file of weights.

    Raises:
        TrackerError: its name tells none.
    """
    for word, config in sorted(CONFIGS.items(), key=lambda item: -len(item[0])):
        if word in file.stem.replace("-", "_"):
            return config
    raise TrackerError(
        f"{file.name}: no SAM 2 model has that name; it must contain one of {', '.join(CONFIGS)}"
    )
