"""Control table of the XL330-M288 servo: what stands where. Source: its e-manual.

Bytes below 64 are EEPROM: a servo refuses to write them while its torque is on.
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple


class Register(NamedTuple):
    """A value in the control table."""

    name: str
    address: int
    size: int
    """Bytes."""
    signed: bool = False

    def encode(self, value: int) -> bytes:
        """Little-endian bytes; two's complement where signed."""
        return value.to_bytes(self.size, "little", signed=value < 0)

    def decode(self, data: bytes, first: int = 0) -> int:
        """The value in a block of bytes that begins at address `first`."""
        at = self.address - first
        return int.from_bytes(data[at : at + self.size], "little", signed=self.signed)


MODEL_NUMBER = Register("model number", 0, 2)
ID = Register("id", 7, 1)
BAUD_RATE = Register("baud rate", 8, 1)
RETURN_DELAY = Register("return delay time", 9, 1)
OPERATING_MODE = Register("operating mode", 11, 1)
HOMING_OFFSET = Register("homing offset", 20, 4, signed=True)
TEMPERATURE_LIMIT = Register("temperature limit", 31, 1)
CURRENT_LIMIT = Register("current limit", 38, 2)
SHUTDOWN = Register("shutdown", 63, 1)
TORQUE_ENABLE = Register("torque enable", 64, 1)
STATUS_RETURN_LEVEL = Register("status return level", 68, 1)
HARDWARE_ERROR = Register("hardware error status", 70, 1)
POSITION_D = Register("position D gain", 80, 2)
POSITION_I = Register("position I gain", 82, 2)
POSITION_P = Register("position P gain", 84, 2)
BUS_WATCHDOG = Register("bus watchdog", 98, 1, signed=True)
GOAL_CURRENT = Register("goal current", 102, 2, signed=True)
GOAL_POSITION = Register("goal position", 116, 4, signed=True)
PRESENT_CURRENT = Register("present current", 126, 2, signed=True)
PRESENT_VELOCITY = Register("present velocity", 128, 4, signed=True)
PRESENT_POSITION = Register("present position", 132, 4, signed=True)
INPUT_VOLTAGE = Register("input voltage", 144, 2)
TEMPERATURE = Register("temperature", 146, 1)

TABLE_SIZE = 147
FIRST_RAM = 64

MODEL = 1200
"""Model number of the XL330-M288."""

CURRENT_POSITION_MODE = 5
"""Operating mode: position, with the current limited to the goal current."""

WATCHDOG_UNIT_S = 0.02
WATCHDOG_EXPIRED = -1
"""Value of the bus watchdog after it stopped the servo; writing 0 clears it."""

VOLTAGE_UNIT = 0.1
"""V."""


class HardwareError(IntFlag):
    """Bits of the hardware error status."""

    INPUT_VOLTAGE = 1
    OVERHEATING = 4
    ENCODER = 8
    ELECTRICAL_SHOCK = 16
    OVERLOAD = 32

    def describe(self) -> str:
        """The bits in words."""
        words = [flag.name.lower().replace("_", " ") for flag in HardwareError if flag in self and flag.name]
        return " and ".join(words) or f"error {int(self)}"
