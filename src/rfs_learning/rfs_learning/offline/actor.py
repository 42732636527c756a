"""The trained modulation during training: a deployable head whose bounds do not stop the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rfs_core.errors import RfsError
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


def continued(trained: SteeringHead, layout: SteeringLayout) -> SteeringHead:
    """A trained head to go on from, under another layout's bounds: what both allow stays as it is.

    Raises:
        RfsError: it puts out other values than the layout has.
    """
    old = trained.layout
    if old.groups != layout.groups or old.residual_values != layout.residual_values:
        raise RfsError(
            f"the checkpoint's head puts out {old.groups}, to be trained is {layout.groups}: pass "
            f"start:=zero, or residual bounds and modulation as it was trained with"
        )
    head = SteeringHead(trained.architecture, layout, trained.a0)
    head.load_state_dict(trained.state_dict())
    last = head.layers[-1]
    assert isinstance(last, nn.Linear)
    count = layout.groups["noise"]
    kept = slice(count, count + layout.groups["residual"])
    values = layout.residual_values
    ratio = torch.tensor([old.residual_bound[i] / layout.residual_bound[i] for i in values])
    with torch.no_grad():
        last.weight[kept] *= ratio[:, None]
        last.bias[kept] *= ratio
    return head.train().requires_grad_(True)


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
