"""Exchanges with the servos outside the cycle: who is there, modes and gains, torque, restarts.

Each is tried again where the wire damages it; what servos do not confirm is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from rfs_core.se3 import Array
from rfs_drivers import leap_table, xl330
from rfs_drivers.errors import DriverError
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_state import TORQUE, Bus, names_of
from rfs_drivers.leap_table import JOINTS, MOTORS, Joint
from rfs_drivers.servo_bus import BusError, Kind

TRIES = 4
"""Of an exchange outside the cycles, before it counts as failed."""
_POLL_S = 0.02
_SHUTDOWN_ON = xl330.HardwareError.OVERLOAD | xl330.HardwareError.OVERHEATING


def again(exchange: Callable[[], object], tries: int = TRIES) -> object:
    """An exchange, tried again where the wire damaged it."""
    for attempt in range(tries):
        try:
            return exchange()
        except BusError as error:
            if error.kind is Kind.UNPLUGGED or attempt == tries - 1:
                raise
    raise AssertionError


class HandSetup:
    """Sets the servos of one configuration up. Every method raises DriverError, with what to do."""

    def __init__(
        self, config: LeapConfig, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        """
        Args:
            config: checked.
            clock: steady, s.
            sleep: waits, s.
        """
        self._config, self._clock, self._sleep = config, clock, sleep

    def require_all(self, bus: Bus) -> None:
        """All servos are there: each gave an answer, be it a damaged one, to one of some questions."""
        missing = [joint for joint in JOINTS if not self._is_there(bus, joint)]
        for _ in range(TRIES - 1):
            if len(missing) == len(JOINTS):
                # Nobody at all: asking one more servo again is enough.
                if self._is_there(bus, JOINTS[0]):
                    missing.remove(JOINTS[0])
            else:
                missing = [joint for joint in missing if not self._is_there(bus, joint)]
        if len(missing) == len(JOINTS):
            raise DriverError(
                f"no servo answers at {self._config.port} with {self._config.baud_rate} baud: is the hand's "
                "power supply on, and is its baud rate this one"
            )
        if missing:
            verb, others = ("does" if len(missing) == 1 else "do"), len(JOINTS) - len(missing)
            raise DriverError(
                f"{names_of(missing)} {verb} not answer, the other {others} do: "
                "check the cable in front of it"
            )

    def _is_there(self, bus: Bus, joint: Joint) -> bool:
        try:
            model = bus.ping(joint.motor)
        except BusError as error:
            if error.kind is Kind.UNPLUGGED:
                raise
            return True
        if model is not None and model != xl330.MODEL:
            raise DriverError(
                f"{joint} is model {model}, this driver drives XL330-M288 servos (model {xl330.MODEL}): "
                "is this a LEAP hand?"
            )
        return model is not None

    def settings(self, bus: Bus, motors: Sequence[int], tries: int = TRIES) -> dict[int, bytes]:
        """Blocks of registers from torque enable to goal current, by motor."""
        return again(  # type: ignore[return-value]
            lambda: bus.read_all(motors, TORQUE, xl330.GOAL_CURRENT), tries
        )

    def set_up(self, bus: Bus, joints: Sequence[Joint]) -> None:
        """Modes, gains and limits of servos, torque off, everything read back."""
        if not joints:
            return
        motors = [joint.motor for joint in joints]
        self.write_all_sure(bus, TORQUE, dict.fromkeys(motors, 0))
        eeprom = again(lambda: bus.read_all(motors, xl330.RETURN_DELAY, xl330.SHUTDOWN))
        for joint in joints:
            block = eeprom[joint.motor]  # type: ignore[index]
            shutdown = xl330.SHUTDOWN.decode(block, xl330.RETURN_DELAY.address)
            wanted = {
                xl330.RETURN_DELAY: 0,
                xl330.OPERATING_MODE: xl330.CURRENT_POSITION_MODE,
                xl330.SHUTDOWN: shutdown | int(_SHUTDOWN_ON),
            }
            for register, value in wanted.items():
                # EEPROM wears out: written only where it differs.
                if register.decode(block, xl330.RETURN_DELAY.address) != value:
                    again(lambda j=joint, r=register, v=value: bus.write(j.motor, r, v))  # type: ignore[misc]
        done = again(lambda: bus.read_all(motors, xl330.RETURN_DELAY, xl330.SHUTDOWN))
        for joint in joints:
            block = done[joint.motor]  # type: ignore[index]
            mode = xl330.OPERATING_MODE.decode(block, xl330.RETURN_DELAY.address)
            if mode != xl330.CURRENT_POSITION_MODE:
                raise DriverError(
                    f"{joint} stays in operating mode {mode}, needs {xl330.CURRENT_POSITION_MODE}: restart "
                    "the hand's power"
                )
        gains = {joint.motor: self._config.gains(joint) for joint in joints}
        for i, register in enumerate((xl330.POSITION_P, xl330.POSITION_I, xl330.POSITION_D)):
            self.write_all_sure(bus, register, {motor: gain[i] for motor, gain in gains.items()})
        self.write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(motors, 0))

    def write_all_sure(
        self, bus: Bus, register: xl330.Register, values: Mapping[int, int], check: bool = True
    ) -> None:
        """Write a register of many servos and read it back: nobody confirms such a packet."""
        wrong: list[Joint] = []
        for _ in range(TRIES):
            bus.write_all(register, values)
            if not check:
                return
            blocks = again(lambda: bus.read_all(list(values), register, register))
            wrong = [
                leap_table.BY_MOTOR[motor]
                for motor, value in values.items()
                if register.decode(blocks[motor], register.address) != value  # type: ignore[index]
            ]
            if not wrong:
                return
        raise DriverError(f"{names_of(wrong)} did not take {register.name}: restart the hand's power")

    def torque_off(self, bus: Bus) -> None:
        """Fingers go limp; where some servos do not answer, all the others.

        Raises:
            DriverError: names those of which it is not known.
        """
        try:
            self._torque_off(bus, MOTORS)
        except BusError as error:
            if error.kind is Kind.UNPLUGGED:
                raise
            silent = [joint for joint in JOINTS if not self._is_there(bus, joint)]
            others = [joint.motor for joint in JOINTS if joint not in silent]
            if not silent or not others:
                raise
            self._torque_off(bus, others)
            verb = "does" if len(silent) == 1 else "do"
            raise DriverError(
                f"{names_of(silent)} {verb} not answer; that of the other {len(others)} is off"
            ) from error

    def _torque_off(self, bus: Bus, motors: Sequence[int]) -> None:
        self.write_all_sure(bus, TORQUE, dict.fromkeys(motors, 0))
        self.write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(motors, 0))

    def require_plausible(self, position: Array) -> None:
        """Fingers stand where they can; rad. Shape: (16,)."""
        margin = self._config.outside
        wrong = [
            f"{joint} stands at {q:.2f} rad, its range is {joint.low} to {joint.high} rad"
            for joint, q in zip(JOINTS, position, strict=True)
            if not joint.low - margin <= q <= joint.high + margin
        ]
        if wrong:
            raise DriverError(
                f"torque stays off: {'; '.join(wrong)}. Move the finger into its range by hand; if it is "
                "there, its horn is mounted wrongly"
            )

    def wait_for(self, bus: Bus, joints: Iterable[Joint]) -> None:
        """Until restarted servos answer."""
        waiting, deadline = list(joints), self._clock() + self._config.reboot_timeout
        while waiting:
            self._sleep(_POLL_S)
            waiting = [joint for joint in waiting if not self._is_there(bus, joint)]
            if waiting and self._clock() > deadline:
                raise DriverError(
                    f"{names_of(waiting)} did not come back within {self._config.reboot_timeout} s of a "
                    "restart: restart the hand's power"
                )
