"""Sixteen emulated XL330-M288 servos: control tables, position control, what shuts them down.

Gains and plant are nominal: what counts here is what a servo answers and refuses, not how a finger moves.
A physics world may take the place of the plant: anything with the methods of `HandBody`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rfs_core.se3 import Array
from rfs_drivers import leap_table, xl330
from rfs_drivers.emulated import dynamixel_protocol as dxl
from rfs_drivers.errors import EmulatorError

STEP_S = 0.002
_LONGEST_CATCH_UP_S = 0.1
"""Of a machine that stalled, only so much is caught up with: the rest is lost robot time."""
_CURRENT_MODE = 0
_POSITION_MODES = (3, 4, xl330.CURRENT_POSITION_MODE)
"""Velocity (1) and PWM (16) are taken, and give no torque here."""

_ROUNDING = 1e-6
"""Of a step."""

_GOALS = (xl330.GOAL_CURRENT, xl330.GOAL_POSITION)
_DEFAULTS = {
    xl330.MODEL_NUMBER: xl330.MODEL,
    xl330.BAUD_RATE: 6,
    xl330.RETURN_DELAY: 250,
    xl330.OPERATING_MODE: 3,
    xl330.TEMPERATURE_LIMIT: 70,
    xl330.CURRENT_LIMIT: 1750,
    xl330.SHUTDOWN: 53,
    xl330.STATUS_RETURN_LEVEL: 2,
    xl330.POSITION_P: 400,
    xl330.INPUT_VOLTAGE: 50,
    xl330.TEMPERATURE: 30,
}
"""As delivered, except for the baud rate of the hand (6: 4 Mbps)."""

_READ_ONLY = (range(7), range(70, 71), range(120, xl330.TABLE_SIZE))


class HandBody(Protocol):
    """A hand that moves under torques: the emulator's own, or one in a physics world.

    position (rad), velocity (rad/s), in the order of `leap_table.JOINTS`. Shape: (16,).
    """

    position: Array
    velocity: Array

    def step(self, torque: Array, dt: float) -> None:
        """Advance by `dt` (s) under joint torques (Nm). Shape: (16,)."""


class FreeHand:
    """Rotors with viscous friction and stops at the joints' limits; fingers do not touch."""

    INERTIA = 5e-4
    """kg m2 at the joint."""
    FRICTION = 0.03
    """Nm s/rad; with the nominal current it limits the speed to 4 rad/s."""

    def __init__(self, position: Array | None = None) -> None:
        self.position = np.zeros(16) if position is None else np.asarray(position, dtype=np.float64)
        self.velocity = np.zeros(16)
        self.blocked = np.zeros(16, dtype=bool)
        """Joints that something keeps where they are."""

    def step(self, torque: Array, dt: float) -> None:
        """Advance by dt; friction implicitly."""
        velocity = (self.velocity + dt / self.INERTIA * torque) / (1.0 + dt * self.FRICTION / self.INERTIA)
        velocity[self.blocked] = 0.0
        position = self.position + dt * velocity
        low, high = leap_table.LOW - 0.1, leap_table.HIGH + 0.1
        low, high = np.minimum(low, self.position), np.maximum(high, self.position)
        velocity[(position < low) | (position > high)] = 0.0
        self.velocity, self.position = velocity, np.clip(position, low, high)


class Servo:
    """One servo's control table, and what it answers."""

    BOOT_S = 0.3
    """Silence after a reboot; nominal."""

    def __init__(self, motor: int) -> None:
        self.motor = motor
        self.table = bytearray(xl330.TABLE_SIZE)
        for register, value in _DEFAULTS.items():
            self.put(register, value)
        self.put(xl330.ID, motor)
        self.present = True
        """On the bus."""
        self.silent_until = 0.0
        self.last_heard = 0.0
        self.overloaded = False
        """The load that overloads it is still there: a reboot does not help."""

    def get(self, register: xl330.Register) -> int:
        """Value of a register."""
        return register.decode(bytes(self.table[register.address : register.address + register.size]),
                               register.address)  # fmt: skip

    def put(self, register: xl330.Register, value: int) -> None:
        """Set a register, whatever the rules for writing are."""
        self.table[register.address : register.address + register.size] = register.encode(value)

    def answers(self, now: float) -> bool:
        """It would answer a packet now."""
        return self.present and now >= self.silent_until

    @property
    def alert(self) -> int:
        """Bit of a status packet's error."""
        return dxl.ALERT if self.table[xl330.HARDWARE_ERROR.address] else 0

    def heard(self, now: float) -> None:
        """A packet for this servo arrived."""
        self.last_heard = now

    def write(self, address: int, data: bytes, now: float) -> int:
        """Write bytes; the error of the status packet, 0 where done."""
        span = range(address, address + len(data))
        if not data or span.stop > xl330.TABLE_SIZE or any(a in part for part in _READ_ONLY for a in span):
            return dxl.ACCESS
        torque = bool(self.table[xl330.TORQUE_ENABLE.address])
        if torque and span.start < xl330.FIRST_RAM:
            return dxl.ACCESS
        watchdog = self.get(xl330.BUS_WATCHDOG)
        touches_goal = any(r.address <= a < r.address + r.size for r in _GOALS for a in span)
        if watchdog == xl330.WATCHDOG_EXPIRED and touches_goal:
            return dxl.DATA_RANGE
        before = bytes(self.table[span.start : span.stop])
        self.table[span.start : span.stop] = data
        error = self._check(span)
        if error:
            self.table[span.start : span.stop] = before
            return error
        if self.table[xl330.TORQUE_ENABLE.address] and not torque:
            if self.table[xl330.HARDWARE_ERROR.address]:
                self.put(xl330.TORQUE_ENABLE, 0)
                return dxl.ACCESS
            self.last_heard = now
        return 0

    def _check(self, span: range) -> int:
        if xl330.GOAL_CURRENT.address in span:
            limit = self.get(xl330.CURRENT_LIMIT)
            if not -limit <= self.get(xl330.GOAL_CURRENT) <= limit:
                return dxl.DATA_LIMIT
        if xl330.OPERATING_MODE.address in span and self.get(xl330.OPERATING_MODE) not in (0, 1, 3, 4, 5, 16):
            return dxl.DATA_RANGE
        if xl330.BUS_WATCHDOG.address in span and self.table[xl330.BUS_WATCHDOG.address] > 127:
            return dxl.DATA_RANGE
        return 0

    def reboot(self, now: float, seconds: float | None = None) -> None:
        """Power-on state: RAM as delivered, errors gone unless their cause is still there."""
        ram = {
            register: value for register, value in _DEFAULTS.items() if register.address >= xl330.FIRST_RAM
        }
        kept = {register: self.get(register) for register in (xl330.INPUT_VOLTAGE, xl330.TEMPERATURE)}
        self.table[xl330.FIRST_RAM :] = bytes(xl330.TABLE_SIZE - xl330.FIRST_RAM)
        for register, value in (ram | kept).items():
            self.put(register, value)
        self.put(xl330.GOAL_CURRENT, self.get(xl330.CURRENT_LIMIT))
        self.silent_until = now + (self.BOOT_S if seconds is None else seconds)

    def protect(self, present_position: int, now: float) -> None:
        """Shut down where a hardware error says so; stop where the bus went quiet."""
        error = self.table[xl330.HARDWARE_ERROR.address]
        if self.get(xl330.TEMPERATURE) >= self.get(xl330.TEMPERATURE_LIMIT):
            error |= xl330.HardwareError.OVERHEATING
        if self.overloaded:
            error |= xl330.HardwareError.OVERLOAD
        self.table[xl330.HARDWARE_ERROR.address] = error
        if error & self.table[xl330.SHUTDOWN.address]:
            self.table[xl330.TORQUE_ENABLE.address] = 0
        watchdog = self.get(xl330.BUS_WATCHDOG)
        if (
            watchdog > 0
            and self.table[xl330.TORQUE_ENABLE.address]
            and now - self.last_heard > watchdog * xl330.WATCHDOG_UNIT_S
        ):
            self.put(xl330.BUS_WATCHDOG, xl330.WATCHDOG_EXPIRED)
            self.put(xl330.GOAL_POSITION, present_position)


class LeapServos:
    """The hand: sixteen servos on one body, advanced to the present whenever somebody looks."""

    def __init__(self, body: HandBody | None = None, now: float = 0.0) -> None:
        self.body: HandBody = FreeHand() if body is None else body
        self.servos = {motor: Servo(motor) for motor in leap_table.MOTORS}
        self._now = now
        self._store(np.zeros(16))
        for servo in self.servos.values():
            servo.put(xl330.GOAL_POSITION, servo.get(xl330.PRESENT_POSITION))

    def servo(self, motor: int) -> Servo:
        """A servo by its id.

        Raises:
            EmulatorError: there is none.
        """
        if motor not in self.servos:
            raise EmulatorError(f"no motor {motor}; known: {', '.join(map(str, self.servos))}")
        return self.servos[motor]

    def advance(self, now: float) -> None:
        """Bring body and tables to the time `now`, s."""
        elapsed = now - self._now
        # A clock that advances by whole steps must not lose one to rounding.
        steps = int(min(elapsed, _LONGEST_CATCH_UP_S) / STEP_S + _ROUNDING)
        if steps < 1:
            return
        # Less than a step is left for the next look; more than can be caught up with is lost.
        rest = elapsed - steps * STEP_S
        self._now = now - rest if STEP_S * _ROUNDING < rest < STEP_S else now
        present = leap_table.ticks(self.body.position)
        for servo, tick in zip(self.servos.values(), present, strict=True):
            servo.protect(tick, now)
        on = np.array([servo.table[xl330.TORQUE_ENABLE.address] for servo in self.servos.values()]) > 0
        goal = leap_table.radians(self._all(xl330.GOAL_POSITION))
        stiffness = (
            self._all(xl330.POSITION_P) / 128.0 * leap_table.CURRENT_UNIT / leap_table.RADIANS_PER_TICK
        )
        damping = self._all(xl330.POSITION_D) / 16.0 * 1e-6 / leap_table.RADIANS_PER_TICK
        mode = self._all(xl330.OPERATING_MODE)
        positioned, by_current = np.isin(mode, _POSITION_MODES), mode == _CURRENT_MODE
        asked = self._all(xl330.GOAL_CURRENT) * leap_table.CURRENT_UNIT
        most = self._all(xl330.CURRENT_LIMIT) * leap_table.CURRENT_UNIT
        limit = np.where(mode == xl330.CURRENT_POSITION_MODE, np.abs(asked), most)
        current = np.zeros(16)
        for _ in range(steps):
            wanted = stiffness * (goal - self.body.position) - damping * self.body.velocity
            wanted = np.where(positioned, wanted, np.where(by_current, leap_table.signed(asked), 0.0))
            current = np.where(on, np.clip(wanted, -limit, limit), 0.0)
            self.body.step(current * leap_table.TORQUE_PER_AMPERE, STEP_S)
        self._store(current)

    def answer(self, instruction: dxl.Instruction, now: float) -> list[bytes]:
        """Packets that the bus carries after an instruction, at the time `now` (s)."""
        motor, code, parameters = instruction
        if code in (dxl.SYNC_READ, dxl.FAST_SYNC_READ, dxl.SYNC_WRITE):
            if motor != dxl.BROADCAST or len(parameters) < 4:
                return []
            address, length = (int.from_bytes(parameters[i : i + 2], "little") for i in (0, 2))
            if code == dxl.SYNC_WRITE:
                self._sync_write(address, length, parameters[4:], now)
                return []
            return self._sync_read(address, length, parameters[4:], now, code == dxl.FAST_SYNC_READ)
        replies = []
        for servo in self.servos.values():
            if motor not in (servo.motor, dxl.BROADCAST) or not servo.answers(now):
                continue
            servo.heard(now)
            error, data = self._single(servo, code, parameters, now)
            if motor != dxl.BROADCAST or code == dxl.PING:
                replies.append(dxl.status(servo.motor, error | servo.alert, data))
        return replies

    @staticmethod
    def _single(servo: Servo, code: int, parameters: bytes, now: float) -> tuple[int, bytes]:
        if code == dxl.PING:
            return 0, bytes(servo.table[0:2] + servo.table[6:7])
        if code == dxl.REBOOT:
            servo.reboot(now)
            return 0, b""
        if code == dxl.READ and len(parameters) == 4:
            address, length = (int.from_bytes(parameters[i : i + 2], "little") for i in (0, 2))
            if address + length > xl330.TABLE_SIZE or length == 0:
                return dxl.ACCESS, b""
            return 0, bytes(servo.table[address : address + length])
        if code == dxl.WRITE and len(parameters) > 2:
            return servo.write(int.from_bytes(parameters[:2], "little"), parameters[2:], now), b""
        return dxl.INSTRUCTION_ERROR, b""

    def _sync_read(self, address: int, length: int, motors: bytes, now: float, fast: bool) -> list[bytes]:
        asked = [self.servos.get(motor) for motor in motors]
        hearing = [servo if servo is not None and servo.answers(now) else None for servo in asked]
        answers: list[tuple[int, int, bytes]] = []
        for servo in hearing:
            if servo is not None:
                servo.heard(now)
        for motor, servo in zip(motors, hearing, strict=True):
            if servo is None or address + length > xl330.TABLE_SIZE:
                # Each servo waits for the one before it: behind a missing one, the bus stays silent.
                break
            answers.append((motor, servo.alert, bytes(servo.table[address : address + length])))
        if fast:
            line = dxl.fast_status(answers, len(motors))
            return [line] if line else []
        return [dxl.status(motor, error, data) for motor, error, data in answers]

    def _sync_write(self, address: int, length: int, data: bytes, now: float) -> None:
        for at in range(0, len(data) - length, 1 + length):
            servo = self.servos.get(data[at])
            if servo is not None and servo.answers(now):
                servo.heard(now)
                servo.write(address, data[at + 1 : at + 1 + length], now)

    def _all(self, register: xl330.Register) -> Array:
        return np.array([servo.get(register) for servo in self.servos.values()], dtype=np.float64)

    def _store(self, current: Array) -> None:
        positions = leap_table.ticks(self.body.position)
        velocities = np.rint(leap_table.signed(self.body.velocity) / leap_table.VELOCITY_UNIT)
        currents = np.rint(leap_table.signed(current) / leap_table.CURRENT_UNIT)
        for i, servo in enumerate(self.servos.values()):
            data = int(currents[i]).to_bytes(2, "little", signed=True)
            data += int(velocities[i]).to_bytes(4, "little", signed=True)
            data += positions[i].to_bytes(4, "little", signed=True)
            servo.table[xl330.PRESENT_CURRENT.address : xl330.PRESENT_POSITION.address + 4] = data
