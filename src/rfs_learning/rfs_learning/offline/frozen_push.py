"""Push(o, a_0, v) of a frozen flow, with what does not depend on a_0 worked out beforehand.

The first layer of the velocity field sees [a_t, embedding of t, s]. The part of s is the same at every step
of the integration and every time a recorded observation is drawn again, that of t the same for every row;
both are kept. The gradient with respect to a_0 is written out, for the weights have none. Same result as
`FlowBase.push` and automatic differentiation, up to rounding.
"""

from __future__ import annotations

from typing import Any

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
        rest = [layer for layer in list(velocity.layers)[1:] if isinstance(layer, nn.Linear)]
        self._rest = [(layer.weight.detach(), layer.bias.detach()) for layer in rest]
        """Weights (out, in) and biases of the layers after the first."""
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
        pushed: Tensor = _Push.apply(a_0, context, self)  # type: ignore[no-untyped-call]
        return pushed

    def push(self, context: Tensor, a_0: Tensor) -> Tensor:
        """a_b in physical units. Shape: context (N, width), a_0 (N, H, A) -> (N, H, A)."""
        a = self.normalized(context, a_0.flatten(1))
        return self._flow.action_normalizer.denormalize(a.view(a_0.shape))

    def integrate(self, a_0: Tensor, context: Tensor, kept: list[list[Tensor]] | None) -> Tensor:
        """The integration itself; what enters the nonlinearities of every evaluation is put into `kept`."""
        a_t, h = a_0, 1.0 / self.steps
        for k in range(self.steps):
            v = self._velocity(a_t, context, 2 * k, kept)
            if self._midpoint:
                v = self._velocity(torch.add(a_t, v, alpha=h / 2), context, 2 * k + 1, kept)
            a_t = torch.add(a_t, v, alpha=h)
        return a_t

    def gradient(self, pushed: Tensor, kept: list[list[Tensor]]) -> Tensor:
        """d loss / d a_0 of d loss / d Push, with what `integrate` has kept. Shape: (N, D)."""
        g, h = pushed, 1.0 / self.steps
        for _ in range(self.steps):
            if self._midpoint:
                half = self._back(g * h, kept.pop())
                g = g + half + self._back(half * (h / 2), kept.pop())
            else:
                g = g + self._back(g * h, kept.pop())
        return g

    def _velocity(self, a_t: Tensor, context: Tensor, half: int, kept: list[list[Tensor]] | None) -> Tensor:
        z = torch.addmm(context, a_t, self._chunk).add_(self._time[half])
        entered = []
        for weight, bias in self._rest:
            entered.append(z)
            z = nn.functional.linear(nn.functional.silu(z, inplace=kept is None), weight, bias)
        if kept is not None:
            kept.append(entered)
        return z

    def _back(self, g: Tensor, entered: list[Tensor]) -> Tensor:
        """The gradient of one evaluation of the field: from its value to a_t."""
        for (weight, _), z in zip(reversed(self._rest), reversed(entered), strict=True):
            g = torch.ops.aten.silu_backward(g @ weight, z)
        return g @ self._chunk.T


class _Push(torch.autograd.Function):
    """`FrozenPush.integrate` for automatic differentiation."""

    @staticmethod
    def forward(ctx: Any, a_0: Tensor, context: Tensor, push: FrozenPush) -> Tensor:
        ctx.push, ctx.kept = push, [] if a_0.requires_grad else None
        return push.integrate(a_0, context, ctx.kept)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        # The layers' inputs are given back as they are used.
        return ctx.push.gradient(grads[0], ctx.kept), None, None
