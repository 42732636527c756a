"""Where networks and stored rollouts are: the CPU, or a GPU."""

from __future__ import annotations

import os

import torch

from rfs_core.errors import ConfigError

ENGINE = "engine"
"""The device that the engine's arrays are on."""


def resolve(name: str, engine: str = "cpu") -> str:
    """The device that a setting means, as torch names it, with its number.

    Args:
        name: `cpu`, `cuda` (with torchrun the process's own GPU), `cuda:1`, ..., or `engine`.
        engine: what `engine` stands for.

    Raises:
        ConfigError: no such device here; names those that are.
    """
    asked = engine if name == ENGINE else name
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if asked == "cuda" and len(there) > 1:
        asked = there[1 + int(os.environ.get("LOCAL_RANK", "0")) % (len(there) - 1)]
    if asked not in there:
        raise ConfigError(
            f"device is {name!r}, here are {', '.join(there)} and {ENGINE} (where the engine's arrays are): "
            f"choose one of them"
        )
    return asked


def reseed(device: str) -> None:
    """Let a GPU's random numbers follow from those of the CPU, which a run's state holds."""
    if device != "cpu":
        torch.cuda.manual_seed_all(int(torch.randint(2**62, ())))
