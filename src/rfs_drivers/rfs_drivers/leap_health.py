"""Temperatures and supply voltages of the servos, and when they are a reason to warn or to refuse."""

from __future__ import annotations

import numpy as np

from rfs_drivers import xl330
from rfs_drivers.errors import DriverError
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_setup import TRIES, again
from rfs_drivers.leap_state import Bus, Log
from rfs_drivers.leap_table import JOINTS, MOTORS


class Health:
    """The newest temperatures and voltages; nan before the first."""

    def __init__(self, config: LeapConfig, log: Log) -> None:
        self._config, self._log = config, log
        self.temperature = np.full(16, np.nan)
        """degC, in the table's order. Shape: (16,)."""
        self.voltage = np.full(16, np.nan)
        """V. Shape: (16,)."""
        self._warned: set[str] = set()

    @property
    def hottest(self) -> str:
        """Joint and temperature, for a person."""
        if not np.isfinite(self.temperature).all():
            return "not known"
        hottest = int(self.temperature.argmax())
        return f"{JOINTS[hottest].name} {self.temperature[hottest]:.0f}"

    @property
    def lowest_voltage(self) -> float:
        """V; nan before the first."""
        return float(self.voltage.min()) if np.isfinite(self.voltage).all() else float("nan")

    def read(self, bus: Bus, tries: int = TRIES) -> None:
        """Ask all servos; what is new about them is logged."""
        blocks = again(lambda: bus.read_all(MOTORS, xl330.INPUT_VOLTAGE, xl330.TEMPERATURE), tries)
        first = xl330.INPUT_VOLTAGE.address
        for i, motor in enumerate(MOTORS):
            block = blocks[motor]  # type: ignore[index]
            self.voltage[i] = xl330.INPUT_VOLTAGE.decode(block, first) * xl330.VOLTAGE_UNIT
            self.temperature[i] = xl330.TEMPERATURE.decode(block, first)
        for line in self.warnings():
            key = line.split(" is ")[0]
            if key not in self._warned:
                self._warned.add(key)
                self._log("warning", line)
        if not self.warnings():
            self._warned.clear()

    def warnings(self) -> list[str]:
        """One line each."""
        lines = [
            f"{joint} is at {temperature:.0f} degC: current is reduced from {self._config.derate_from:.0f} on"
            for joint, temperature in zip(JOINTS, self.temperature, strict=True)
            if temperature > self._config.derate_from
        ]
        if np.isfinite(self.voltage).all() and self.voltage.min() < self._config.low_voltage:
            lines.append(
                f"supply of {JOINTS[int(self.voltage.argmin())]} is {self.voltage.min():.1f} V, below "
                f"{self._config.low_voltage} V: check the power supply and its cable"
            )
        return lines

    def require_cool(self) -> None:
        """No servo is too hot to be given torque.

        Raises:
            DriverError: names those that are.
        """
        hot = [
            f"{joint} is at {temperature:.0f} degC"
            for joint, temperature in zip(JOINTS, self.temperature, strict=True)
            if temperature > self._config.derate_to
        ]
        if hot:
            raise DriverError(f"{'; '.join(hot)}: let it cool below {self._config.derate_to:.0f} degC first")
