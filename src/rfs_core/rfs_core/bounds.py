"""How far a residual may move an action: one bound per group of the action, with limits on the bounds.

A residual corrects the base action; it never replaces it. The paper's robot allows 0.015 m and 0.05 rad.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from rfs_core import robot
from rfs_core.config import describe, param
from rfs_core.errors import SpecError
from rfs_core.se3 import Array
from rfs_core.specs import ActionSpec


@dataclass(frozen=True)
class ResidualBounds:
    """Largest residual per control step, each component, by part of the action.

    The upper ends of the ranges are hard: no configuration gets past them.
    """

    arm_delta_position: float = param(
        0.015,
        doc="Largest residual of the palm displacement, each axis.",
        unit="m",
        low=0.0,
        high=robot.ARM_DELTA_POSITION_LIMIT,
    )
    arm_delta_rotation: float = param(
        0.05,
        doc="Largest residual of the palm rotation, each component.",
        unit="rad",
        low=0.0,
        high=robot.ARM_DELTA_ROTATION_LIMIT,
    )
    hand_target: float = param(
        0.05, doc="Largest residual of a finger target.", unit="rad", low=0.0, high=0.3
    )

    def vector(self, spec: ActionSpec) -> Array:
        """Bounds in the order of the spec. Shape: (spec.size,). SpecError for a part without a bound."""
        vector = np.empty(spec.size)
        for name in spec.names:
            if not hasattr(self, name):
                known = "arm_delta_position, arm_delta_rotation, hand_target"
                raise SpecError(f"no residual bound for part {name!r}; known: {known}")
            vector[spec.slice(name)] = getattr(self, name)
        return vector


LARGEST = {field.name: field.high for field in describe(ResidualBounds)}
"""What a bound may be, by part of the action: the gate of no robot would let more through."""


@functools.cache
def hard_bounds(spec: ActionSpec) -> Array:
    """The largest residual that any configuration may allow, by value of the spec. Shape: (spec.size,)."""
    ends = {field.name: field.high for field in describe(ResidualBounds) if field.high is not None}
    return ResidualBounds(**ends).vector(spec)


def compose(base: Array, policy: Array, human: Array, bounds: Array, spec: ActionSpec) -> Array:
    """The executed action: clip(a_b + clip(a_r of the policy) + clip(a_r of the human)).

    Args:
        base: a_b. Shape: (..., A).
        policy, human: residuals before their bounds. Shape: (..., A).
        bounds: `ResidualBounds.vector`. Shape: (A,).
        spec: bounds of the sum.
    """
    return spec.clip(base + np.clip(policy, -bounds, bounds) + np.clip(human, -bounds, bounds))


def ramp_out(residual: Array, bounds: Array, steps: int) -> Array:
    """A residual one control step closer to zero; from its bound it takes `steps` steps. Shape: (A,)."""
    change = bounds / max(steps, 1)
    closer: Array = np.sign(residual) * np.maximum(np.abs(residual) - change, 0.0)
    # What is left of rounding is zero, so that the ramp ends.
    closer[np.abs(closer) < 1e-12] = 0.0
    return closer
