"""What the LEAP driver measures and says: the words of `leap_driver`, and how they come out of registers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np

from rfs_core.se3 import Array
from rfs_drivers import leap_table, xl330
from rfs_drivers.leap_table import JOINTS, MOTORS, Joint

Log = Callable[[str, str], None]
"""log(level, line), with level info, warning or error."""

TORQUE = xl330.TORQUE_ENABLE


class Bus(Protocol):
    """What the driver needs of `ServoBus`."""

    def ping(self, motor: int) -> int | None: ...
    def read_all(
        self, motors: Sequence[int], first: xl330.Register, last: xl330.Register
    ) -> dict[int, bytes]: ...
    def write(self, motor: int, register: xl330.Register, value: int) -> None: ...
    def write_all(self, register: xl330.Register, values: Mapping[int, int]) -> None: ...
    def reboot(self, motor: int) -> None: ...
    def close(self) -> None: ...


class Phase(Enum):
    """What the driver is doing."""

    DISCONNECTED = "disconnected"
    READY = "ready"
    """Connected, torque off."""
    HOLDING = "holding"
    """Torque on, goals standing still."""
    FOLLOWING = "following"
    """Torque on, goals following targets."""
    FAULT = "fault"
    """Waits for hand/recover."""


class HandState(NamedTuple):
    """One measurement of all joints, in the table's order. Shape of every array: (16,)."""

    position: Array
    """rad."""
    velocity: Array
    """rad/s."""
    effort: Array
    """Nm, nominal, from the current."""
    read_at: float
    """Steady clock, s."""


class Status(NamedTuple):
    """What the driver says about itself; a snapshot."""

    phase: Phase
    reason: str
    """One line; empty where all is well."""
    state_age: float
    """s; infinite before the first."""
    target_age: float
    failures: int
    """Failed exchanges of the last 60 cycles."""
    failures_ever: int
    cycles: int
    cycle_p99: float
    """99th percentile of the time between two cycles, s; nan before the second."""
    exchange_mean: float
    """Mean time of write and read, s."""
    accepted: int
    refused: int
    clipped: int
    holds: int
    faults: int
    connections: int
    hottest: str
    voltage: float
    """Lowest, V; nan before the first."""
    last_refusal: str


def measurement(blocks: Mapping[int, bytes], now: float) -> HandState:
    """A measurement from blocks of registers, present current to present position, by motor."""
    first = xl330.PRESENT_CURRENT.address

    def every(register: xl330.Register) -> Array:
        return np.array([register.decode(blocks[motor], first) for motor in MOTORS], dtype=np.float64)

    current = leap_table.signed(every(xl330.PRESENT_CURRENT)) * leap_table.CURRENT_UNIT
    return HandState(
        position=leap_table.radians(every(xl330.PRESENT_POSITION)),
        velocity=leap_table.signed(every(xl330.PRESENT_VELOCITY)) * leap_table.VELOCITY_UNIT,
        effort=current * leap_table.TORQUE_PER_AMPERE,
        read_at=now,
    )


def milliamperes(currents: Array) -> list[int]:
    """Currents (A) as servos count them."""
    return [int(value) for value in np.rint(currents / leap_table.CURRENT_UNIT)]


def value_of(settings: Mapping[int, bytes], joint: Joint, register: xl330.Register) -> int:
    """A register of one joint, in blocks that begin with torque enable."""
    return register.decode(settings[joint.motor], TORQUE.address)


def errors_of(settings: Mapping[int, bytes]) -> dict[Joint, xl330.HardwareError]:
    """Joints whose servos report a hardware error, in such blocks."""
    values = {joint: value_of(settings, joint, xl330.HARDWARE_ERROR) for joint in JOINTS}
    return {joint: xl330.HardwareError(value) for joint, value in values.items() if value}


def name_errors(errors: Mapping[Joint, xl330.HardwareError], advice: bool = True) -> str:
    """For a person."""
    listed = ", ".join(f"{joint} reports {error.describe()}" for joint, error in errors.items())
    return f"{listed}: free the finger or let it cool, then call hand/recover" if advice else listed


def names_of(joints: Iterable[Joint]) -> str:
    """For a person."""
    return ", ".join(map(str, joints))
