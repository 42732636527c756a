"""Where randomness comes from: one generator per (seed, episode, stream).

Whoever plays episode i of a seed (the ROS nodes, a vector environment of any batch size, `evaluate`)
draws the same numbers, as long as it draws from the stream's generator in the same order.
"""

from __future__ import annotations

import zlib

import numpy as np


def episode_rng(seed: int, episode: int, stream: str) -> np.random.Generator:
    """Generator of one stream ("reset", "disturbance", "policy_noise", ...) of one episode.

    Args:
        seed: of the run, >= 0.
        episode: index of the episode under that seed, >= 0.
        stream: what is drawn; streams of different names are independent.
    """
    if seed < 0 or episode < 0:
        raise ValueError(f"seed and episode must be >= 0, got seed {seed}, episode {episode}")
    return np.random.default_rng(np.random.SeedSequence([seed, episode, zlib.crc32(stream.encode())]))
