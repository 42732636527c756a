"""The trained modulation during training: a deployable head whose bounds do not stop the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rfs_learning.normalizer import Normalizer
from rfs_learning.steering import HeadArchitecture, SteeringHead, SteeringLayout


class _InwardClamp(torch.autograd.Function):
    """clamp(x, -bound, bound) whose gradient at the bound still leads back inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp(-bound, bound)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,), (grad,) = ctx.saved_tensors, grads
        # Descent moves x by -grad: outwards where x is beyond a bound and grad has the other sign.
        outwards = (x.abs() > ctx.bound) & (x * grad < 0)
        return grad.masked_fill(outwards, 0.0), None


def inward_clamp(x: Tensor, bound: float) -> Tensor:
    """clamp(x, -bound, bound); what has run past the bound can come back."""
    result: Tensor = _InwardClamp.apply(x, bound)  # type: ignore[no-untyped-call]
    return result


def make_head(
    layout: SteeringLayout, width: int, layers: int, normalizer: Normalizer, a0: str = "normal"
) -> SteeringHead:
    """A head that starts at the base policy (z = 0), with a normaliser of its own."""
    head = SteeringHead(HeadArchitecture(len(normalizer.mean), width, layers), layout, a0)
    head.observation_normalizer.load_state_dict(normalizer.state_dict())
    return head


def normalized(head: SteeringHead, features: Tensor) -> Tensor:
    """Features as the head's layers see them. Shape: (N, F)."""
    clip = float(head.architecture.observation_clip)
    return head.observation_normalizer.normalize(features).clamp(-clip, clip)


def decode(head: SteeringHead, o: Tensor) -> tuple[Tensor, Tensor]:
    """Steered noise and residual, as `SteeringLayout.decode` has them, with gradients that lead inwards.

    Args:
        o: What `normalized` returned. Shape: (N, F).

    Returns:
        a_0 of the steered values, shape (N, H x values); the residual in shares of its bound, (N, values).
    """
    layout = head.layout
    noise, residual, _ = torch.split(head.layers(o), list(layout.groups.values()), dim=1)
    return inward_clamp(noise, layout.noise_clip), inward_clamp(residual, 1.0)
