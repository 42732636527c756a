"""SAM 2 (Ravi et al. 2024) through transformers' Sam2VideoModel, image by image. The default tracker.

Why this and not Meta's package: streaming is documented here, nothing of the library is replaced, and it
needs no torchvision (the library's video processor would: images and prompts are prepared below, as it does).

Two traps of the session. It keeps every image and every output: all but the last 16, which are all the model
looks at, are dropped after each image. And it takes the number of kept images for the index of the next one,
so that a pruned session would silently answer with an old mask: the index is always given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_perception.errors import TrackerError
from rfs_perception.frame import Frame
from rfs_perception.trackers.base import Found, Prompt, require_size

WEIGHTS = "facebook/sam2.1-hiera-tiny"
"""On the Hugging Face hub; or a local folder with config.json and model.safetensors."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, which the model was trained with."""
_OBJECT = 1


def prepare(colour: NDArray[np.uint8], size: tuple[int, int], device: str) -> Any:
    """An image as the model wants it: resized, whatever its shape, and normalised. Shape: (1, 3, *size)"""
    import torch

    image = torch.from_numpy(np.ascontiguousarray(colour)).to(device).permute(2, 0, 1)[None].float() / 255.0
    image = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(x, device=device).view(1, 3, 1, 1) for x in (MEAN, STD))
    return (image - mean) / std


def clicks(prompt: Prompt) -> tuple[list[tuple[float, float]], list[int]]:
    """Points and labels as SAM counts them: 1 a click on the object, 2 and 3 the corners of a box."""
    box = prompt.bounding_box()
    if box is not None:
        return [box[:2], box[2:]], [2, 3]
    return list(prompt.points), [1] * len(prompt.points)


def mask_of(logits: Any, score: float, size: tuple[int, int]) -> Found:
    """The mask in the image's own pixels. Shape of logits: (1, 1, h, w)"""
    import torch

    if not np.isfinite(score) or score <= 0.0:
        return Found(None, f"SAM 2 does not see the object (score {score:.1f}, must be above 0)")
    full = torch.nn.functional.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
    mask = (full[0, 0] > 0.0).cpu().numpy()
    if not mask.any():
        return Found(None, "SAM 2 gives an empty mask")
    return Found(mask)


def choose_device(asked: str) -> str:
    """The device asked for; empty: a GPU where there is one.

    Raises:
        TrackerError: it is not there.
    """
    import torch

    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise TrackerError(f"device {asked!r}: torch sees no GPU; use cpu, or a build of torch with CUDA")
    return asked or ("cuda" if torch.cuda.is_available() else "cpu")


class Sam2Tracker:
    """Follows one object with a Sam2VideoModel."""

    needs_prompt = True

    def __init__(self, model: Any, device: str = "cpu", keep: int | None = None) -> None:
        """
        Args:
            model: A Sam2VideoModel.
            device: Where it computes.
            keep: Outputs kept; None: as many as the model looks back at. For tests: 0 keeps all.
        """
        self._model = model.to(device).eval()
        self._device = device
        lookback = max(int(model.config.max_object_pointers_in_encoder), int(model.config.num_maskmem))
        self._keep = lookback if keep is None else keep
        size = model.config.prompt_encoder_config.image_size
        self._input: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self._session: Any = None
        self._size: tuple[int, int] | None = None
        self._index = -1

    @classmethod
    def load(cls, weights: str = WEIGHTS, device: str = "") -> Sam2Tracker:
        """With weights of a local folder, or of the hub by name.

        Raises:
            TrackerError: transformers is not installed, or there are no such weights.
        """
        try:
            from transformers import Sam2VideoModel
        except ImportError as error:
            raise TrackerError(
                f"transformers cannot be imported ({error}): make setup EXTRAS=perception"
            ) from error
        chosen = choose_device(device)
        local = Path(weights).is_dir()
        try:
            model = Sam2VideoModel.from_pretrained(weights, local_files_only=local)
        except (OSError, ValueError, RuntimeError) as error:
            raise TrackerError(
                f"SAM 2 weights {weights!r} cannot be loaded: {str(error).splitlines()[0]} Give a folder "
                "with config.json and model.safetensors, or a name such as facebook/sam2.1-hiera-tiny and a "
                "network; without weights use tracker:=colour"
            ) from error
        return cls(model, chosen)

    def start(self, frame: Frame, prompt: Prompt | None) -> Found:
        """Begin with a prompt."""
        import torch
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        if prompt is None:
            raise TrackerError("SAM 2 needs a prompt: a box, a click, or the automatic seed")
        height, width = frame.colour.shape[:2]
        prompt.check(width, height)
        self._size, self._index = (height, width), -1
        session = Sam2VideoInferenceSession(
            video_height=height,
            video_width=width,
            inference_device=self._device,
            inference_state_device=self._device,
            video_storage_device=self._device,
            dtype=torch.float32,
        )
        points, labels = clicks(prompt)
        scale = np.array([self._input[1] / width, self._input[0] / height])
        index = session.obj_id_to_idx(_OBJECT)
        session.add_point_inputs(
            index,
            0,
            {
                "point_coords": torch.tensor(np.array(points) * scale, dtype=torch.float32)[None, None],
                "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None],
            },
        )
        session.obj_with_new_inputs = [_OBJECT]
        self._session = session
        return self.track(frame)

    def track(self, frame: Frame) -> Found:
        """The object in the next image."""
        require_size(frame, self._size)
        assert self._size is not None
        self._index += 1
        pixels = prepare(frame.colour, self._input, self._device)
        output = self._model(
            inference_session=self._session, frame=pixels[0], frame_idx=self._index, run_mem_encoder=True
        )
        self._prune()
        return mask_of(output.pred_masks, float(output.object_score_logits.reshape(-1)[0]), self._size)

    def _prune(self) -> None:
        if not self._keep:
            return
        session, oldest = self._session, self._index - self._keep + 1
        _drop(session.processed_frames, self._index)
        for outputs in session.output_dict_per_obj.values():
            _drop(outputs["non_cond_frame_outputs"], oldest)
        for tracked in session.frames_tracked_per_obj.values():
            _drop(tracked, oldest)


def _drop(kept: dict[int, Any], oldest: int) -> None:
    """Remove what is older."""
    for index in [i for i in kept if i < oldest]:
        del kept[index]
