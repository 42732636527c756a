"""The words of the command gate: what comes in, what goes out, and what it counts."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rfs_core.se3 import Array, Pose


class Mode(enum.IntEnum):
    """Modes of the gate; the numbers are those of rfs_msgs/SafetyState."""

    IDLE = 0
    ARMED = 1
    ACTIVE = 2
    HOLD = 3
    FAULT = 4


@dataclass(frozen=True)
class Action:
    """One decision of the policy, as received: nothing about it is checked yet."""

    observation_stamp_ns: int
    """Stamp of the observation it answers."""
    publisher: str
    """Identity of the publishing process."""
    sequence: int
    """Counts the publisher's decisions, strictly increasing."""
    episode: int
    """Index of the episode it belongs to."""
    checkpoint_id: str
    """Which checkpoint decided."""
    horizon: int
    """Control steps in the chunk."""
    dimension: int
    """Values per control step."""
    step_dt: float
    """Time between two steps, s."""
    a_0: Array
    """Noise of the flow. Shape: (horizon, dimension), flat or not."""
    a_b: Array
    """Base action, physical units. Shape as a_0."""
    a_r: Array
    """Policy residual, physical units. Shape as a_0."""
    a: Array
    """The policy's own sum; checked, but the gate composes its own. Shape as a_0."""


@dataclass(frozen=True)
class Correction:
    """A human's residual, as received."""

    stamp_ns: int
    """When it was read from the device."""
    residual: Array
    """Per control step, physical units. Shape: (A,)."""
    engaged: bool
    """False: the human has let go."""


@dataclass(frozen=True)
class Command:
    """What goes to the drivers."""

    stamp_ns: int
    """ROS time of the control tick it belongs to."""
    palm: Pose
    """Palm target in the base frame, N = 1."""
    hand: Array
    """Finger targets, rad. Shape: (16,)."""


@dataclass(frozen=True)
class Status:
    """What the gate lets through, and why."""

    mode: Mode
    reason: str
    """One sentence."""
    since_ns: int
    """ROS time at which the mode was entered."""


@dataclass(frozen=True)
class Reply:
    """Answer to an operator's request."""

    success: bool
    message: str


@dataclass
class Statistics:
    """Counters since the start."""

    ticks: int = 0
    """Control ticks."""
    commands: int = 0
    """Commands sent."""
    accepted: int = 0
    """Actions accepted."""
    residuals_clipped: int = 0
    """Actions accepted whose residual was beyond this gate's bounds."""
    refused: int = 0
    """Actions refused."""
    ignored: int = 0
    """Good actions that came while the gate was neither ARMED nor ACTIVE, and repetitions of the last one."""
    refused_states: int = 0
    """Measured states refused."""
    refused_corrections: int = 0
    """Human corrections refused."""
    starved: int = 0
    """Control ticks at which the target was kept because no action had come."""
    holds: int = 0
    """How often HOLD was entered."""
    faults: int = 0
    """How often FAULT was entered."""
    last_refusal: str = ""
    """Why the last action was refused."""
    last_state_refusal: str = ""
    """Why the last measured state was refused."""
