"""A Sam2VideoModel small enough for tests, with random weights made on the spot.

With random weights the model says that it sees nothing, and every mask is the same constant: a comparison of
masks would then always pass. So the score is set to "seen", and the memory is made to matter.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_perception.frame import Frame, Intrinsics

SIZE = 64


def tiny_model(seed: int = 0) -> Any:
    import torch
    from transformers import Sam2VideoConfig, Sam2VideoModel

    torch.manual_seed(seed)
    values = Sam2VideoConfig().to_dict()
    values["vision_config"]["backbone_config"].update(
        image_size=[SIZE, SIZE],
        hidden_size=16,
        embed_dim_per_stage=[16, 32, 64, 128],
        blocks_per_stage=[1, 1, 2, 1],
        global_attention_blocks=[3],
        window_size_per_stage=[4, 2, 4, 2],
    )
    values["vision_config"].update(
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[SIZE // 4] * 2, [SIZE // 8] * 2, [SIZE // 16] * 2],
    )
    values["prompt_encoder_config"]["image_size"] = SIZE
    values.update(
        image_size=SIZE,
        memory_attention_rope_feat_sizes=[SIZE // 16, SIZE // 16],
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
    )
    model = Sam2VideoModel(Sam2VideoConfig(**values)).eval()
    last = model.mask_decoder.pred_obj_score_head.proj_out
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(10.0)
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter is not last.weight:
                parameter.mul_(3.0)
    return model


def moving_square(number: int, height: int = 48, width: int = 64) -> Frame:
    """A bright square that wanders over noise."""
    rng = np.random.default_rng(number)
    colour: NDArray[np.uint8] = rng.integers(0, 80, (height, width, 3), dtype=np.uint8)
    left, top = 5 + number % 40, 8 + (3 * number) % 25
    colour[top : top + 12, left : left + 14] = (220, 60 + 5 * (number % 20), 40)
    depth = np.ones((height, width), np.float32)
    return Frame(number, colour, depth, Intrinsics(width, height, 60.0, 60.0, 31.5, 23.5), number)
