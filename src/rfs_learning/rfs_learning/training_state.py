"""All that a trainer needs to go on bit for bit: weights, optimiser, generator, counters. No pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rfs_learning import container
from rfs_learning.container import CheckpointError

FORMAT_VERSION = 1


def save(
    path: Path,
    kind: str,
    header: dict[str, Any],
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Write the state, whole or not at all. `header`: counters and configuration, JSON values."""
    tensors = {f"{key}.{name}": value for key, module in modules.items() for name, value in _state(module)}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    tensors["generator"] = generator.get_state()
    # Clones: safetensors refuses tensors that share memory.
    stored = {name: value.cpu().clone() for name, value in tensors.items()}
    container.write(path, {"kind": kind, "format_version": FORMAT_VERSION, **header}, stored)


def read(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a state that `save` wrote.

    Raises:
        CheckpointError: damaged, or of another trainer or version.
    """
    header, tensors = container.read(path)
    for key, needed in (("kind", kind), ("format_version", FORMAT_VERSION)):
        if header.get(key) != needed:
            raise CheckpointError(f"{path}: {key} is {header.get(key)!r}, resuming needs {needed!r}")
    return header, tensors


def restore(
    tensors: dict[str, Tensor],
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Put the tensors of `read` back; the optimiser keeps its configured rates."""
    for key, module in modules.items():
        module.load_state_dict(_part(tensors, f"{key}."))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, "optimizer.").items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    generator.set_state(tensors["generator"])


def _state(module: nn.Module) -> list[tuple[str, Tensor]]:
    return list(module.state_dict().items())


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
