"""What the Franka driver is doing, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

Log = Callable[[str, str], None]
"""log(level, line), with level info, warning or error."""


class Phase(Enum):
    """What the driver is doing."""

    DISCONNECTED = "disconnected"
    READY = "ready"
    """Connected, control off: the robot holds by its brakes or its own controller."""
    HOLDING = "holding"
    """In control, the palm kept where it was measured."""
    FOLLOWING = "following"
    """In control, following targets."""
    MOVING = "moving"
    """A joint motion: arm/home."""
    FAULT = "fault"
    """Control ended against our will; waits for arm/recover."""
    FAILED = "failed"
    """Nothing helps; see the reason."""


class Status(NamedTuple):
    """What the driver says about itself; a snapshot."""

    phase: Phase
    reason: str
    """One line; empty where all is well."""
    mode: str
    """Robot mode of the newest state."""
    state_age: float
    """s."""
    success_rate: float
    target_age: float
    """s; infinite before the first target."""
    target_period: float
    """Mean time between targets, s; nan before the third."""
    target_jitter: float
    """Standard deviation of that time, s."""
    cycle_p99: float
    """99th percentile of the time between two cycles, s."""
    accepted: int
    refused: int
    clipped: int
    holds: int
    faults: int
    connections: int
    last_refusal: str
