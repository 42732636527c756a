"""What steers the frozen base policy: from an observation to noise a_0 and residual a_r (paper, Eq. 9).

a = Push(o, a_0, v) + a_r. Without training the modulation is exactly the base policy: zero residual, and a_0
either drawn from N(0, I), as the flow was trained, or fixed to zero. The trained one is in
`rfs_learning.steering`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rfs_core.errors import RfsError

A0_MODES = ("normal", "zero")

A0_TRAINED = "trained"
"""Instead of a mode: the one that a steered policy was trained with; "normal" for a base policy."""

A0_CHOICES = (A0_TRAINED, *A0_MODES)
"""What may be asked for when a policy is loaded."""


class Steering(NamedTuple):
    """One decision of a modulation."""

    a_0: Tensor
    """Noise of the flow, dimensionless. Shape: (N, H, A)"""
    a_r: Tensor
    """Residual, physical units. Shape: (N, H, A)"""
    direct: Tensor | None = None
    """What replaces a_b where `replaced` is true, physical units. Shape: (N, H, A)"""
    replaced: Tensor | None = None
    """Which values of an action do not come from the flow; None: all do. Shape: (A,), bool"""


class Modulation(Protocol):
    """Chooses a_0 and a_r; all randomness comes in as `noise`."""

    def __call__(self, observation: Tensor, noise: Tensor) -> Steering:
        """Noise and residual of one decision.

        Args:
            observation: Shape (N, O), normalised.
            noise: Shape (N, H, A), drawn from N(0, I).
        """
        ...


class IdentityModulation:
    """The base policy itself: a_r = 0; a_0 is the given noise ("normal") or zero ("zero")."""

    def __init__(self, a0: str = "normal") -> None:
        if a0 not in A0_MODES:
            raise RfsError(f"a0 is {a0!r}, known are {', '.join(A0_MODES)}")
        self.a0 = a0

    @property
    def noise_source(self) -> str:
        """Where a_0 comes from: "normal" or "zero"."""
        return self.a0

    def __call__(self, observation: Tensor, noise: Tensor) -> Steering:
        """See `Modulation`."""
        a_0 = noise if self.a0 == "normal" else torch.zeros_like(noise)
        return Steering(a_0, torch.zeros_like(noise))
