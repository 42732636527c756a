"""Scale of rewards: they are divided by the running standard deviation of the discounted return."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rfs_learning.rl.distributed import Ranks


class ReturnScale(nn.Module):
    """Running standard deviation of G_t = r_t + gamma G_{t-1}, where G starts anew with each episode.

    `scale` stays the same between two calls of `commit`, so that all rewards of one update are scaled alike.
    """

    scale: Tensor
    count: Tensor
    mean: Tensor
    squares: Tensor
    running: Tensor

    def __init__(self, num_envs: int, gamma: float, ranks: Ranks | None = None) -> None:
        super().__init__()
        self.gamma, self._ranks = gamma, ranks or Ranks()
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("squares", torch.zeros((), dtype=torch.float64))  # sum of squared deviations
        self.register_buffer("running", torch.zeros(num_envs, dtype=torch.float64))

    def restart(self) -> None:
        """Every environment starts a new episode."""
        self.running.zero_()

    def observe(self, reward: Tensor, done: Tensor) -> None:
        """Take in the rewards of one decision. Shape: (N,), (N,) bool."""
        self.running.copy_(reward.double() + self.gamma * self.running)
        values = self.running
        count = values.numel() * self._ranks.world
        mean = self._ranks.sum(values.sum()) / count
        squares = self._ranks.sum(((values - mean) ** 2).sum())
        # Chan et al., "Algorithms for computing the sample variance": two sets of samples into one.
        total = self.count + count
        delta = mean - self.mean
        self.squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count.copy_(total)
        self.running[done] = 0.0

    def commit(self) -> None:
        """Use what was observed from now on."""
        if self.count > 1:
            deviation = (self.squares / self.count).sqrt()
            self.scale.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))
