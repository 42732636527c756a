"""Push(s, a_0, v): carry noise a_0 to an action a along the flow's velocity field (paper, Eq. 2).

The rule and its number of steps decide what the noise can steer (few Euler steps weaken it), so they belong
to the checkpoint, and whatever uses the base policy uses the same ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rfs_core.errors import RfsError

Velocity = Callable[[Tensor, Tensor], Tensor]
"""v(a_t (N, D), t (N, 1)) -> (N, D)."""


def _euler(velocity: Velocity, a_t: Tensor, t: Tensor, h: float) -> Tensor:
    return a_t + h * velocity(a_t, t)


def _midpoint(velocity: Velocity, a_t: Tensor, t: Tensor, h: float) -> Tensor:
    half = a_t + (h / 2) * velocity(a_t, t)
    return a_t + h * velocity(half, t + h / 2)


_RULES = {"euler": _euler, "midpoint": _midpoint}
KNOWN = tuple(_RULES)


@dataclasses.dataclass(frozen=True)
class Integrator:
    """A fixed-step integration of the flow from t = 0 to t = 1."""

    name: str = "euler"
    """euler: one evaluation of v per step; midpoint: two."""
    steps: int = 10
    """Number of equal steps."""

    def __post_init__(self) -> None:
        if self.name not in _RULES:
            raise RfsError(f"integrator: name is {self.name!r}, known are {', '.join(KNOWN)}")
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or not 1 <= self.steps <= 1000:
            raise RfsError(f"integrator: steps is {self.steps!r}, allowed are whole numbers from 1 to 1000")

    def push(self, velocity: Velocity, a_0: Tensor) -> Tensor:
        """The action that the flow makes of noise `a_0`. Shape: (N, D) -> (N, D)."""
        rule, h = _RULES[self.name], 1.0 / self.steps
        a_t = a_0
        for k in range(self.steps):
            t = torch.full((a_0.shape[0], 1), k * h, dtype=a_0.dtype, device=a_0.device)
            a_t = rule(velocity, a_t, t, h)
        return a_t

    def to_dict(self) -> dict[str, Any]:
        """As stored in a checkpoint's header."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Integrator:
        """The inverse of `to_dict`. Raises RfsError for an unknown rule or other keys."""
        if set(data) != {"name", "steps"}:
            raise RfsError(f"integrator: has {sorted(data)}, needs exactly ['name', 'steps']")
        return cls(**data)

    def __str__(self) -> str:
        return f"{self.name} with {self.steps} steps"
