"""What a cloud goes through in training, so that the student does not lean on what a camera will not repeat:
other points of it (dropout), noise, a shift of all, and a ball of it missing, as behind something.

Which rows are drawn, and everything about them, comes from the generator.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

_SHARES = (0.6, 0.85)
"""Of batches with `points` points, and with at most twice as many. What the largest of many values is depends
on how many there are: a student that has only seen thinned clouds is off on whole ones."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How much of each."""

    points: int
    """Points that are looked at, most times; at others twice or four times as many."""
    jitter: float
    """Standard deviation of noise on every coordinate (m)."""
    shift: float
    """Standard deviation of the shift of a whole cloud, every axis (m)."""
    crop_share: float
    """Share of clouds that lose a ball."""
    crop_radius: float
    """Its radius (m)."""

    def __call__(self, cloud: Tensor, generator: torch.Generator) -> Tensor:
        """Shape: (B, N, 3) -> (B, any up to N, 3)."""
        batch, count, _ = cloud.shape
        drawn = torch.rand((), generator=generator).item()
        more = 1 if drawn < _SHARES[0] else 2 if drawn < _SHARES[1] else 4
        kept = min(self.points * more, count)
        # The same choice of places in the list for the whole batch; sampling has shuffled every list.
        chosen = torch.randperm(count, generator=generator)[:kept]
        cloud = cloud[:, chosen]
        if self.crop_share > 0:
            cloud = self._crop(cloud, generator)
        noise = self.jitter * torch.randn(cloud.shape, generator=generator)
        shift = self.shift * torch.randn((batch, 1, 3), generator=generator)
        return cloud + noise + shift

    def _crop(self, cloud: Tensor, generator: torch.Generator) -> Tensor:
        """Points in a ball around one of them become copies of a point outside it, where there is one."""
        batch, count, _ = cloud.shape
        rows = torch.arange(batch)
        centre = cloud[rows, torch.randint(count, (batch,), generator=generator)]
        distance = (cloud - centre[:, None]).norm(dim=2)
        farthest = cloud[rows, distance.argmax(dim=1)]
        hit = torch.rand((batch, 1), generator=generator) < self.crop_share
        gone = (distance < self.crop_radius) & hit
        return torch.where(gone[..., None], farthest[:, None], cloud)
