"""What steers the frozen base policy: from an observation to noise a_0 and residual a_r (paper, Eq. 9).

a = Push(o, a_0, v) + a_r. Without training the modulation is exactly the base policy: zero residual, and a_0
either drawn from N(0, I), as the flow was trained, or fixed to zero.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from rfs_core.errors import RfsError
from rfs_learning.networks import multi_layer_perceptron

A0_MODES = ("normal", "zero")


class Modulation(Protocol):
    """Chooses a_0 and a_r; all randomness comes in as `noise`."""

    def __call__(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Noise and residual of one decision.

        Args:
            observation: Shape (N, O), normalised.
            noise: Shape (N, H, A), drawn from N(0, I).

        Returns:
            a_0 (N, H, A), dimensionless, and a_r (N, H, A), physical units.
        """
        ...


class IdentityModulation:
    """The base policy itself: a_r = 0; a_0 is the given noise ("normal") or zero ("zero")."""

    def __init__(self, a0: str = "normal") -> None:
        if a0 not in A0_MODES:
            raise RfsError(f"a0 is {a0!r}, known are {', '.join(A0_MODES)}")
        self.a0 = a0

    def __call__(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """See `Modulation`."""
        a_0 = noise if self.a0 == "normal" else torch.zeros_like(noise)
        return a_0, torch.zeros_like(noise)


class ModulationHead(nn.Module):
    """A trainable modulation: a_0 = noise + r_0 tanh(f(o)), a_r = r tanh(g(o)), the same a_r over the chunk.

    The last layer starts at zero, so an untrained head equals the base policy bit for bit.
    """

    residual_bound: Tensor

    def __init__(
        self,
        observation_size: int,
        horizon: int,
        residual_bound: Tensor,
        noise_bound: float = 2.5,
        hidden_width: int = 256,
        hidden_layers: int = 2,
    ) -> None:
        """`residual_bound`: shape (A,), largest |a_r| per dimension in physical units. `noise_bound`: r_0."""
        super().__init__()
        self.horizon, self.action_size = horizon, residual_bound.shape[0]
        self.noise_bound = noise_bound
        self.register_buffer("residual_bound", residual_bound)
        outputs = (horizon + 1) * self.action_size
        self.layers = multi_layer_perceptron(observation_size, hidden_width, hidden_layers, outputs)
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """See `Modulation`."""
        output = torch.tanh(self.layers(observation)).view(-1, self.horizon + 1, self.action_size)
        a_0 = noise + self.noise_bound * output[:, : self.horizon]
        a_r = (self.residual_bound * output[:, self.horizon :]).expand(-1, self.horizon, -1)
        return a_0, a_r
