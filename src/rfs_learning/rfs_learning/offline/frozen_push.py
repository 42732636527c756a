"""Push(o, a_0, v) of a frozen flow, with what does not depend on a_0 worked out beforehand.

The first layer of the velocity field sees [a_t, embedding of t, s]. The part of s is the same at every step
of the integration and every time a recorded observation is drawn again, that of t the same for every row;
both are kept. Same result as `FlowBase.push` up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rfs_learning.flow import FlowBase
from rfs_learning.networks import VelocityField


class FrozenPush:
    """Integrates one flow; differentiable in a_0."""

    def __init__(self, flow: FlowBase) -> None:
        """`flow`: its weights must not change afterwards."""
        velocity = flow.velocity
        assert isinstance(velocity, VelocityField)
        architecture = velocity.architecture
        first = velocity.layers[0]
        assert isinstance(first, nn.Linear)
        sizes = [architecture.chunk_size, architecture.time_features, architecture.observation_size]
        chunk, time, observation = torch.split(first.weight.detach(), sizes, dim=1)
        self._flow = flow
        self._chunk, self._observation = chunk.T.contiguous(), observation.T.contiguous()
        self._rest = list(velocity.layers)[1:]
        self.steps, self._midpoint = flow.integrator.steps, flow.integrator.name == "midpoint"
        halves = torch.arange(2 * self.steps)[:, None] / (2 * self.steps)
        bias = first.bias.detach()
        self._time = velocity.time_embedding(halves.to(chunk.dtype)) @ time.T + bias
        """First layer's part of t = k / (2 steps). Shape: (2 steps, width)."""

    def context(self, s: Tensor) -> Tensor:
        """The first layer's part of normalised observations s. Shape: (N, O) -> (N, width)."""
        return s @ self._observation

    def normalized(self, context: Tensor, a_0: Tensor) -> Tensor:
        """Push in normalised actions. Shape: context (N, width), a_0 (N, D) -> (N, D)."""
        a_t, h = a_0, 1.0 / self.steps
        for k in range(self.steps):
            v = self._velocity(a_t, context, 2 * k)
            if self._midpoint:
                v = self._velocity(a_t + (h / 2) * v, context, 2 * k + 1)
            a_t = torch.add(a_t, v, alpha=h)
        return a_t

    def push(self, context: Tensor, a_0: Tensor) -> Tensor:
        """a_b in physical units. Shape: context (N, width), a_0 (N, H, A) -> (N, H, A)."""
        a = self.normalized(context, a_0.flatten(1))
        return self._flow.action_normalizer.denormalize(a.view(a_0.shape))

    def _velocity(self, a_t: Tensor, context: Tensor, half: int) -> Tensor:
        x = torch.addmm(context + self._time[half], a_t, self._chunk)
        for layer in self._rest:
            x = layer(x)
        return x
