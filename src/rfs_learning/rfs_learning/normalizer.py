"""Standardisation of observations and actions, per dimension, with a floor on the standard deviation.

Without the floor a dimension that hardly moves in the demonstrations would be blown up: its noise would fill
the network's input, and what the flow adds to it would be steered by nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rfs_core.errors import RfsError


class Normalizer(nn.Module):
    """x -> (x - mean) / std and back; mean and std are stored in the checkpoint as tensors."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    @classmethod
    def fit(
        cls,
        data: NDArray[np.floating],
        low: NDArray[np.floating],
        high: NDArray[np.floating],
        relative_floor: float,
        absolute_floor: float = 1e-3,
    ) -> Normalizer:
        """Mean and standard deviation of `data`.

        Args:
            data: Shape (T, D), physical units.
            low, high: Bounds of each dimension, shape (D,); may be infinite.
            relative_floor: Smallest standard deviation as a share of half the dimension's range.
            absolute_floor: Smallest one where the range is infinite, in the dimension's unit.
        """
        half_range = (np.asarray(high, np.float64) - np.asarray(low, np.float64)) / 2
        floor = np.where(np.isfinite(half_range), relative_floor * half_range, absolute_floor)
        normalizer = cls(data.shape[1])
        values = np.asarray(data, np.float64)
        normalizer.mean.copy_(torch.from_numpy(values.mean(axis=0)))
        normalizer.std.copy_(torch.from_numpy(np.maximum(values.std(axis=0), floor)))
        normalizer.check()
        return normalizer

    def check(self) -> None:
        """Raises RfsError where a mean is not finite or a standard deviation not positive."""
        bad = ~(torch.isfinite(self.mean) & torch.isfinite(self.std) & (self.std > 0))
        if bool(bad.any()):
            index = int(bad.nonzero()[0])
            raise RfsError(
                f"normaliser: dimension {index} has mean {self.mean[index].item()} and standard deviation "
                f"{self.std[index].item()}; the first must be finite, the second finite and positive"
            )

    def normalize(self, x: Tensor) -> Tensor:
        """Physical units -> dimensionless. Shape (..., D)."""
        return (x - self.mean) / self.std

    def denormalize(self, x: Tensor) -> Tensor:
        """Dimensionless -> physical units. Shape (..., D)."""
        return x * self.std + self.mean
