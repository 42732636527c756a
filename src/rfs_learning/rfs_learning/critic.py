"""Q(o, a): several critics in one batched network, and what of an action they see.

The paper's critic sees the executed action alone; with the residual alone, or residual and base action, its
policies did not succeed once on the robot. All three are here to compare.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

INPUTS = ("composed", "residual", "residual_and_base")
"""What the critic sees beside the observation: a; a_r; (a_r, a_b)."""


class CriticEnsemble(nn.Module):
    """K multi-layer perceptrons with layer normalisation, evaluated together."""

    def __init__(self, inputs: int, width: int, layers: int, count: int = 2) -> None:
        super().__init__()
        sizes = [inputs, *[width] * layers, 1]
        self.count = count
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.gains = nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(sizes):
            bound = 1 / math.sqrt(fan_in)
            self.weights.append(torch.empty(count, fan_in, fan_out).uniform_(-bound, bound))
            self.biases.append(torch.empty(count, 1, fan_out).uniform_(-bound, bound))
        for _ in range(layers):
            self.gains.append(torch.ones(count, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (N, inputs) -> (K, N)."""
        y = x.expand(self.count, -1, -1)
        return self._layers(y, list(self.weights), list(self.biases), list(self.gains))

    def first(self, x: Tensor) -> Tensor:
        """The first critic alone, for the actor. Shape: (N, inputs) -> (N,)."""
        pick = [[p[:1] for p in group] for group in (self.weights, self.biases, self.gains)]
        return self._layers(x[None], *pick)[0]

    @staticmethod
    def _layers(y: Tensor, weights: list[Tensor], biases: list[Tensor], gains: list[Tensor]) -> Tensor:
        for weight, bias, gain in zip(weights, biases, gains, strict=False):
            y = torch.baddbmm(bias, y, weight)
            y = torch.relu(nn.functional.layer_norm(y, y.shape[-1:]) * gain)
        # One output: a product of matrices would cost six times as much.
        return (y * weights[-1].transpose(1, 2)).sum(-1) + biases[-1].squeeze(-1)


def critic_inputs(what: str, observation_size: int, chunk_size: int) -> int:
    """Length of what `critic_input` puts together."""
    return observation_size + (2 if what == "residual_and_base" else 1) * chunk_size


def critic_input(
    what: str, o: Tensor, a_b: Tensor, a: Tensor, mean: Tensor, std: Tensor, bound: Tensor
) -> Tensor:
    """What the critic sees of one decision. Shape: o (N, O), a_b and a (N, H, A) -> (N, critic_inputs).

    Args:
        what: One of `INPUTS`.
        o: Normalised observation.
        a_b, a: Base action within the spec's bounds and executed action, physical units.
        mean, std: Of the action normaliser, (A,).
        bound: Of the residual, (A,); the residual is measured in it.
    """
    if what == "composed":
        seen = [(a - mean) / std]
    elif what == "residual":
        seen = [(a - a_b) / bound]
    else:
        seen = [(a - a_b) / bound, (a_b - mean) / std]
    return torch.cat([o, *(part.flatten(1) for part in seen)], dim=1)


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Polyak averaging: target <- (1 - tau) target + tau online."""
    pairs = zip(target.parameters(), online.parameters(), strict=True)
    theirs, ours = map(list, zip(*pairs, strict=True))
    torch._foreach_lerp_(theirs, ours, tau)
