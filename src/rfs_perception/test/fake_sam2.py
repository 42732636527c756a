"""Stands in for Meta's `sam2` 1.1.0 where it cannot be installed: the same entry points, arguments and state.

Instead of a network, a mask is the brightest part of the image that the predictor looked up under the index
it was asked for, so that a wrong index or a wrong image shows.
"""

from __future__ import annotations

from typing import Any

import torch

ANSWERED: list[int] = []


def load_video_frames(video_path, image_size, offload_video_to_cpu, async_loading_frames, compute_device):  # type: ignore[no-untyped-def]
    raise NotImplementedError("Only MP4 video and JPEG folder are supported at this moment")


def tqdm(items: Any, desc: str = "") -> Any:
    raise AssertionError("a progress bar per image")


class SAM2VideoPredictor:
    """The methods and attributes that the adapter uses."""

    image_size, max_obj_ptrs_in_encoder, num_maskmem = 32, 16, 7

    def init_state(self, video_path, offload_video_to_cpu=False, offload_state_to_cpu=False):  # type: ignore[no-untyped-def]
        images, height, width = load_video_frames(
            video_path=video_path,
            image_size=self.image_size,
            offload_video_to_cpu=offload_video_to_cpu,
            async_loading_frames=False,
            compute_device="cpu",
        )
        _ = images[0]
        return {
            "images": images,
            "num_frames": len(images),
            "video_height": height,
            "video_width": width,
            "output_dict_per_obj": {},
            "frames_tracked_per_obj": {},
        }

    def add_new_points_or_box(  # type: ignore[no-untyped-def]
        self, inference_state, frame_idx, obj_id, points=None, labels=None, clear_old_points=True, box=None
    ):
        if (points is not None) != (labels is not None) or (points is None and box is None):
            raise ValueError("points and labels must be provided together")
        inference_state["output_dict_per_obj"][0] = {
            "cond_frame_outputs": {frame_idx: {}},
            "non_cond_frame_outputs": {},
        }
        inference_state["frames_tracked_per_obj"][0] = {}
        return frame_idx, [obj_id], self._logits(inference_state, frame_idx)

    def propagate_in_video(  # type: ignore[no-untyped-def]
        self, inference_state, start_frame_idx=None, max_frame_num_to_track=None, reverse=False
    ):
        end = min(start_frame_idx + max_frame_num_to_track, inference_state["num_frames"] - 1)
        for frame_idx in tqdm(range(start_frame_idx, end + 1), desc="propagate in video"):
            ANSWERED.append(frame_idx)
            inference_state["output_dict_per_obj"][0]["non_cond_frame_outputs"][frame_idx] = {}
            inference_state["frames_tracked_per_obj"][0][frame_idx] = {"reverse": reverse}
            yield frame_idx, [1], self._logits(inference_state, frame_idx)

    def _logits(self, state: dict[str, Any], frame_idx: int) -> torch.Tensor:
        red = state["images"][frame_idx][0]
        size = (state["video_height"], state["video_width"])
        full = torch.nn.functional.interpolate(red[None, None], size, mode="nearest")
        return torch.where(full > 1.0, 1.0, -1024.0)
