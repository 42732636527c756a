"""The LEAP hand driver without ROS: once per cycle it writes goals, reads states and looks for faults.

A cycle never serves an old measurement as a new one: where a read fails, there is no state. What a fault ends
stays ended until `recover`; servos that are well hold their last goal meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np

from rfs_core.se3 import Array
from rfs_drivers import leap_table, xl330
from rfs_drivers.errors import DriverError
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_table import JOINTS, MOTORS, Joint
from rfs_drivers.leap_targets import GoalStream, derating
from rfs_drivers.servo_bus import BusError, Kind, ServoBus

Log = Callable[[str, str], None]
"""log(level, line), with level info, warning or error."""

_WINDOW = 60
_TRIES = 4
"""Of an exchange outside the cycles, before it counts as failed."""
_RETRY_S = 0.2
"""Between attempts to read a hand that does not answer."""
_POLL_S = 0.02
_SHUTDOWN_ON = xl330.HardwareError.OVERLOAD | xl330.HardwareError.OVERHEATING


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


_IN_CONTROL = (Phase.HOLDING, Phase.FOLLOWING)


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


class LeapDriver:
    """Drives one hand, from one thread."""

    def __init__(
        self,
        config: LeapConfig,
        log: Log = lambda level, line: None,
        on_state: Callable[[HandState], None] = lambda state: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        open_bus: Callable[[LeapConfig], Bus] = lambda c: ServoBus(c.port, c.baud_rate, c.reply_timeout),
    ) -> None:
        """
        Args:
            config: checked here.
            log: where one-line messages go.
            on_state: called with every new measurement.
            clock: steady clock, s.
            sleep: waits, s.
            open_bus: opens the bus of a configuration.

        Raises:
            ConfigError: the configuration contradicts itself.
        """
        config.check()
        self._config, self._log, self._on_state = config, log, on_state
        self._clock, self._sleep, self._open_bus = clock, sleep, open_bus
        self._bus: Bus | None = None
        self._phase = Phase.DISCONNECTED
        self._reason = self._obstacle = self._last_refusal = ""
        self._enabled = False
        self._stream = GoalStream(config)
        self._state: HandState | None = None
        self._temperature = np.full(16, np.nan)
        self._voltage = np.full(16, np.nan)
        self._currents: list[int] = []
        """Goal currents that the servos have, mA; empty where they must be written."""
        self._soft = np.ones(16, dtype=bool)
        """Joints whose torque came on last time: they start softly, the others held already."""
        self._outcomes: deque[bool] = deque(maxlen=_WINDOW)
        self._in_a_row = self._failures_ever = self._cycles = self._faults = self._connections = 0
        self._next_try = self._next_health = 0.0
        self._wait = config.reconnect_first
        self._look_at_errors = True
        self._warned: set[str] = set()
        self._intervals: deque[float] = deque(maxlen=500)
        self._exchanges: deque[float] = deque(maxlen=500)
        self._last_cycle = np.nan

    # ---- requests ------------------------------------------------------------------------------------

    def connect(self) -> str:
        """Open the port, find all servos, set them up with torque off.

        Raises:
            DriverError: names the port or the servos, and what to do.
        """
        self._disconnect()
        bus = self._open_bus(self._config)
        try:
            self._require_all(bus)
            self._set_up(bus, JOINTS)
            errors = _errors(self._settings(bus, MOTORS))
            self._read_health(bus)
        except DriverError:
            bus.close()
            raise
        self._bus = bus
        self._connections += 1
        self._forget_failures()
        self._phase, self._reason = Phase.READY, ""
        if errors:
            self._fault(_name_errors(errors))
        return f"LEAP hand at {self._config.port}: {len(JOINTS)} servos answer, torque is off"

    def enable(self) -> str:
        """Torque on, holding where the fingers are, softly at first.

        Raises:
            DriverError: not connected, in fault, or a finger stands where it cannot be.
        """
        if self._phase in _IN_CONTROL:
            return "already holding"
        if self._phase is not Phase.READY or self._bus is None:
            raise DriverError(f"the hand is {self._phase.value}: {self._reason or 'connect first'}")
        self._begin(self._bus, np.ones(16, dtype=bool))
        self._enabled = True
        return "torque is on: the hand holds where it is"

    def disable(self) -> str:
        """Torque off: the fingers go limp."""
        self._enabled = False
        if self._bus is not None:
            try:
                self._torque_off(self._bus)
            except DriverError as error:
                self._fault(f"torque could not be taken off: {error}")
                return self._reason
        if self._phase in _IN_CONTROL:
            self._phase, self._reason = Phase.READY, ""
        return "torque is off"

    def recover(self) -> str:
        """After a fault: restart servos in error, set all up again, and hold if torque was on before.

        Raises:
            DriverError: what still stands in the way, by name.
        """
        if self._phase is not Phase.FAULT:
            raise DriverError(f"nothing to recover from: the hand is {self._phase.value}")
        if self._bus is None:
            raise DriverError(f"not yet: {self._reason}")
        bus = self._bus
        try:
            self._require_all(bus)
            settings = self._settings(bus, MOTORS)
            # Nobody is served while servos restart: the others shall not take that for our end.
            self._write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(MOTORS, 0), check=False)
            self._read_health(bus)
            self._require_cool()
            broken = list(_errors(settings))
            for joint in broken:
                bus.reboot(joint.motor)
            self._await(bus, broken)
            again = _errors(self._settings(bus, MOTORS))
            if again:
                raise DriverError(
                    f"{_name_errors(again, advice=False)} again after a restart: free the finger"
                )
            off = [joint for joint in JOINTS if joint in broken or not _value(settings, joint, _TORQUE)]
            self._set_up(bus, off)
            if self._enabled:
                expired = xl330.WATCHDOG_EXPIRED
                stopped = [j for j in JOINTS if _value(settings, j, xl330.BUS_WATCHDOG) == expired]
                self._begin(bus, np.array([joint in off or joint in stopped for joint in JOINTS]))
        except BusError as error:
            if error.kind is Kind.UNPLUGGED:
                self._lose_port(error)
            raise DriverError(f"not recovered: {error}") from error
        self._forget_failures()
        if not self._enabled:
            self._phase, self._reason = Phase.READY, ""
        restarted = f", restarted {_names(broken)}" if broken else ""
        return f"recovered{restarted}: the hand is {self._phase.value}"

    def close(self) -> None:
        """Torque off and port closed; a hand that does not answer is left to its own watchdog."""
        if self._bus is not None and self._enabled:
            self.disable()
        self._disconnect()
        self._phase, self._reason = Phase.DISCONNECTED, ""

    def offer(self, target: Array) -> str:
        """A target, rad, in the table's order; the reason why it is refused, or empty. Shape: (16,)."""
        if self._phase not in _IN_CONTROL:
            return (
                f"the hand is {self._phase.value}"
                if self._phase is not Phase.FAULT
                else "the hand is in fault"
            )
        refusal = self._stream.offer(target, self._clock())
        self._last_refusal = refusal or self._last_refusal
        return refusal

    def refuse_targets(self, reason: str) -> None:
        """Hold for a reason from outside, such as a second publisher; empty: accept targets again."""
        self._obstacle = reason

    # ---- the cycle -----------------------------------------------------------------------------------

    def cycle(self) -> None:
        """One write and one read, or an attempt to get the hand back."""
        now = self._clock()
        if np.isfinite(self._last_cycle):
            self._intervals.append(now - self._last_cycle)
        self._last_cycle = now
        if self._phase is Phase.DISCONNECTED:
            return
        if now < self._next_try:
            return
        if self._bus is None:
            self._reconnect()
            return
        self._cycles += 1
        try:
            self._exchange(self._bus, now)
        except BusError as error:
            self._note_failure(error)
            return
        self._outcomes.append(True)
        self._in_a_row = 0
        self._exchanges.append(self._clock() - now)

    def _exchange(self, bus: Bus, now: float) -> None:
        if self._phase in _IN_CONTROL:
            goal = self._stream.step(now, self._state_age(now), self._obstacle)
            self._phase = Phase.FOLLOWING if self._stream.following else Phase.HOLDING
            self._send_goal(bus, goal, now)
        blocks = bus.read_all(MOTORS, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)
        self._state = _measurement(blocks, self._clock())
        self._on_state(self._state)
        if now >= self._next_health:
            self._next_health = now + 0.5 / self._config.health_rate
            if self._look_at_errors:
                self._check_settings(self._settings(bus, MOTORS, tries=1))
            else:
                self._read_health(bus, tries=1)
            self._look_at_errors = not self._look_at_errors

    def _send_goal(self, bus: Bus, goal: Array, now: float) -> None:
        shares = derating(np.nan_to_num(self._temperature, nan=0.0), self._config)
        currents = _milliamperes(self._config.currents * shares * self._softness(now))
        if currents != self._currents:
            bus.write_all(xl330.GOAL_CURRENT, dict(zip(MOTORS, currents, strict=True)))
            self._currents = currents
        bus.write_all(xl330.GOAL_POSITION, dict(zip(MOTORS, leap_table.ticks(goal), strict=True)))

    def _softness(self, now: float) -> Array:
        return np.where(self._soft, self._stream.softness(now), 1.0)

    def _check_settings(self, settings: Mapping[int, bytes]) -> None:
        """Faults that a servo tells by its registers."""
        errors = _errors(settings)
        if errors and self._phase is not Phase.FAULT:
            self._fault(_name_errors(errors))
        if self._phase not in _IN_CONTROL:
            return
        stopped = [j for j in JOINTS if _value(settings, j, xl330.BUS_WATCHDOG) == xl330.WATCHDOG_EXPIRED]
        if stopped:
            self._fault(
                f"{len(stopped)} servos stopped by themselves: nothing came for {self._config.bus_watchdog} "
                "s, as when this machine is overloaded; call hand/recover"
            )
            return
        if [_value(settings, joint, xl330.GOAL_CURRENT) for joint in JOINTS] != self._currents:
            # Nobody confirms goals: one that was lost on the wire is sent again.
            self._currents = []
        limp = [joint for joint in JOINTS if not _value(settings, joint, _TORQUE)]
        if limp:
            self._fault(
                f"{_names(limp)} lost torque without an error, as after a loss of power: check the supply, "
                "then call hand/recover"
            )

    def _note_failure(self, error: BusError) -> None:
        self._outcomes.append(False)
        self._failures_ever += 1
        self._in_a_row += 1
        if error.kind is Kind.UNPLUGGED:
            self._lose_port(error)
            return
        failed = _failed(self._outcomes)
        if self._in_a_row >= self._config.missing_after and self._in_a_row % self._config.missing_after == 0:
            assert self._bus is not None
            try:
                self._require_all(self._bus)
            except BusError as lost:
                self._lose_port(lost)
                return
            except DriverError as missing:
                self._fault(f"{missing}; then call hand/recover")
                self._next_try = self._clock() + _RETRY_S
                return
        if failed > self._config.fault_budget and self._phase in _IN_CONTROL:
            self._fault(
                f"{failed} of the last {len(self._outcomes)} exchanges failed ({error}): check cable and "
                "supply, then call hand/recover"
            )

    def _lose_port(self, error: BusError) -> None:
        self._disconnect()
        self._fault(f"{error} Then call hand/recover")
        self._wait = self._config.reconnect_first
        self._next_try = self._clock() + self._wait

    def _reconnect(self) -> None:
        """Find the hand again. Its torque is left as it is: what it holds shall not fall."""
        bus: Bus | None = None
        try:
            bus = self._open_bus(self._config)
            self._require_all(bus)
        except DriverError as error:
            if bus is not None:
                bus.close()
            self._reason = f"{self._reason.split('. Last try: ')[0]}. Last try: {error}"
            self._wait = min(2.0 * self._wait, self._config.reconnect_longest)
            self._next_try = self._clock() + self._wait
            return
        self._bus = bus
        self._connections += 1
        self._forget_failures()
        self._wait = self._config.reconnect_first
        self._reason = "the hand is back after its port was lost: call hand/recover"
        self._log("info", self._reason)

    def _fault(self, reason: str) -> None:
        if self._phase is not Phase.FAULT:
            self._faults += 1
        if reason != self._reason:
            self._log("error", reason)
        self._phase, self._reason = Phase.FAULT, reason

    def _disconnect(self) -> None:
        bus, self._bus = self._bus, None
        self._currents = []
        if bus is not None:
            bus.close()

    def _forget_failures(self) -> None:
        self._outcomes.clear()
        self._in_a_row = 0
        self._next_try = 0.0

    # ---- exchanges outside the cycle -------------------------------------------------------------------

    def _again(self, exchange: Callable[[], object], tries: int = _TRIES) -> object:
        """An exchange, tried again where the wire damaged it."""
        for attempt in range(tries):
            try:
                return exchange()
            except BusError as error:
                if error.kind is Kind.UNPLUGGED or attempt == tries - 1:
                    raise
        raise AssertionError

    def _require_all(self, bus: Bus) -> None:
        """All servos are there: each gave an answer, be it a damaged one, to one of some questions."""
        missing = [joint for joint in JOINTS if not self._is_there(bus, joint)]
        for _ in range(_TRIES - 1):
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
            verb = "does" if len(missing) == 1 else "do"
            raise DriverError(
                f"{_names(missing)} {verb} not answer, the other {len(JOINTS) - len(missing)} do: check the "
                "cable in front of it"
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

    def _settings(self, bus: Bus, motors: Sequence[int], tries: int = _TRIES) -> dict[int, bytes]:
        return self._again(  # type: ignore[return-value]
            lambda: bus.read_all(motors, _TORQUE, xl330.GOAL_CURRENT), tries
        )

    def _set_up(self, bus: Bus, joints: Sequence[Joint]) -> None:
        """Modes, gains and limits of servos, torque off, everything read back."""
        if not joints:
            return
        motors = [joint.motor for joint in joints]
        self._write_all_sure(bus, _TORQUE, dict.fromkeys(motors, 0))
        eeprom = self._again(lambda: bus.read_all(motors, xl330.RETURN_DELAY, xl330.SHUTDOWN))
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
                    self._again(lambda j=joint, r=register, v=value: bus.write(j.motor, r, v))  # type: ignore[misc]
        done = self._again(lambda: bus.read_all(motors, xl330.RETURN_DELAY, xl330.SHUTDOWN))
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
            self._write_all_sure(bus, register, {motor: gain[i] for motor, gain in gains.items()})
        self._write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(motors, 0))

    def _write_all_sure(
        self, bus: Bus, register: xl330.Register, values: Mapping[int, int], check: bool = True
    ) -> None:
        """Write a register of many servos and read it back: nobody confirms such a packet."""
        wrong: list[Joint] = []
        for _ in range(_TRIES):
            bus.write_all(register, values)
            if not check:
                return
            blocks = self._again(lambda: bus.read_all(list(values), register, register))
            wrong = [
                leap_table.BY_MOTOR[motor]
                for motor, value in values.items()
                if register.decode(blocks[motor], register.address) != value  # type: ignore[index]
            ]
            if not wrong:
                return
        raise DriverError(f"{_names(wrong)} did not take {register.name}: restart the hand's power")

    def _begin(self, bus: Bus, soft: Array) -> None:
        """Torque on where the fingers are.

        Args:
            bus: open.
            soft: joints that begin where they are measured, softly; the others hold already and go on with
                the goal they have, so that a grip survives the recovery of one finger. Shape: (16,), bool.
        """
        self._read_health(bus)
        self._require_cool()
        blocks = self._again(lambda: bus.read_all(MOTORS, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION))
        state = _measurement(blocks, self._clock())  # type: ignore[arg-type]
        self._require_plausible(np.where(soft, state.position, self._stream.goal))
        now = self._clock()
        self._stream.begin(np.where(soft, state.position, self._stream.goal), now)
        self._state, self._soft = state, soft
        self._currents = []
        self._write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(MOTORS, 0))
        first = _milliamperes(self._config.currents * self._softness(now))
        self._write_all_sure(bus, xl330.GOAL_CURRENT, dict(zip(MOTORS, first, strict=True)))
        goal = dict(zip(MOTORS, leap_table.ticks(self._stream.goal), strict=True))
        self._write_all_sure(bus, xl330.GOAL_POSITION, goal)
        self._write_all_sure(bus, _TORQUE, dict.fromkeys(MOTORS, 1))
        steps = round(self._config.bus_watchdog / xl330.WATCHDOG_UNIT_S)
        self._write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(MOTORS, steps))
        # What it took to get here is not part of the soft start.
        self._stream.begin(self._stream.goal, self._clock())
        self._phase, self._reason = Phase.HOLDING, ""

    def _torque_off(self, bus: Bus) -> None:
        self._write_all_sure(bus, _TORQUE, dict.fromkeys(MOTORS, 0))
        self._write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(MOTORS, 0))

    def _require_plausible(self, position: Array) -> None:
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

    def _await(self, bus: Bus, joints: Iterable[Joint]) -> None:
        """Until restarted servos answer."""
        waiting, deadline = list(joints), self._clock() + self._config.reboot_timeout
        while waiting:
            self._sleep(_POLL_S)
            waiting = [joint for joint in waiting if not self._is_there(bus, joint)]
            if waiting and self._clock() > deadline:
                raise DriverError(
                    f"{_names(waiting)} did not come back within {self._config.reboot_timeout} s of a "
                    "restart: restart the hand's power"
                )

    # ---- temperatures and voltage ----------------------------------------------------------------------

    def _read_health(self, bus: Bus, tries: int = _TRIES) -> None:
        blocks = self._again(lambda: bus.read_all(MOTORS, xl330.INPUT_VOLTAGE, xl330.TEMPERATURE), tries)
        first = xl330.INPUT_VOLTAGE.address
        for i, motor in enumerate(MOTORS):
            block = blocks[motor]  # type: ignore[index]
            self._voltage[i] = xl330.INPUT_VOLTAGE.decode(block, first) * xl330.VOLTAGE_UNIT
            self._temperature[i] = xl330.TEMPERATURE.decode(block, first)
        for line in self._warnings():
            key = line.split(" is ")[0]
            if key not in self._warned:
                self._warned.add(key)
                self._log("warning", line)
        if not self._warnings():
            self._warned.clear()

    def _warnings(self) -> list[str]:
        lines = [
            f"{joint} is at {temperature:.0f} degC: current is reduced from {self._config.derate_from:.0f} on"
            for joint, temperature in zip(JOINTS, self._temperature, strict=True)
            if temperature > self._config.derate_from
        ]
        if np.isfinite(self._voltage).all() and self._voltage.min() < self._config.low_voltage:
            lines.append(
                f"supply of {JOINTS[int(self._voltage.argmin())]} is {self._voltage.min():.1f} V, below "
                f"{self._config.low_voltage} V: check the power supply and its cable"
            )
        return lines

    def _require_cool(self) -> None:
        hot = [
            f"{joint} is at {temperature:.0f} degC"
            for joint, temperature in zip(JOINTS, self._temperature, strict=True)
            if temperature > self._config.derate_to
        ]
        if hot:
            raise DriverError(f"{'; '.join(hot)}: let it cool below {self._config.derate_to:.0f} degC first")

    # ---- what others see -------------------------------------------------------------------------------

    def _state_age(self, now: float) -> float:
        return np.inf if self._state is None else now - self._state.read_at

    @property
    def phase(self) -> Phase:
        """What the driver is doing."""
        return self._phase

    @property
    def state(self) -> HandState | None:
        """The newest measurement; look at its age."""
        return self._state

    @property
    def status(self) -> Status:
        """What the driver says about itself."""
        now = self._clock()
        reason = self._reason
        if not reason and self._phase is Phase.HOLDING:
            reason = self._stream.why
        reason = "; ".join([reason, *self._warnings()] if reason else self._warnings())
        known = np.isfinite(self._temperature).all()
        hottest = int(self._temperature.argmax()) if known else 0
        return Status(
            phase=self._phase,
            reason=reason,
            state_age=self._state_age(now),
            target_age=self._stream.age(now),
            failures=_failed(self._outcomes),
            failures_ever=self._failures_ever,
            cycles=self._cycles,
            cycle_p99=float(np.percentile(self._intervals, 99)) if self._intervals else float("nan"),
            exchange_mean=float(np.mean(self._exchanges)) if self._exchanges else float("nan"),
            accepted=self._stream.accepted,
            refused=self._stream.refused,
            clipped=self._stream.clipped,
            holds=self._stream.holds,
            faults=self._faults,
            connections=self._connections,
            hottest=f"{JOINTS[hottest].name} {self._temperature[hottest]:.0f}" if known else "not known",
            voltage=float(self._voltage.min()) if np.isfinite(self._voltage).all() else float("nan"),
            last_refusal=self._last_refusal,
        )


_TORQUE = xl330.TORQUE_ENABLE


def _failed(outcomes: Iterable[bool]) -> int:
    return sum(not ok for ok in outcomes)


def _measurement(blocks: Mapping[int, bytes], now: float) -> HandState:
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


def _milliamperes(currents: Array) -> list[int]:
    return [int(value) for value in np.rint(currents / leap_table.CURRENT_UNIT)]


def _value(settings: Mapping[int, bytes], joint: Joint, register: xl330.Register) -> int:
    return register.decode(settings[joint.motor], _TORQUE.address)


def _errors(settings: Mapping[int, bytes]) -> dict[Joint, xl330.HardwareError]:
    values = {joint: _value(settings, joint, xl330.HARDWARE_ERROR) for joint in JOINTS}
    return {joint: xl330.HardwareError(value) for joint, value in values.items() if value}


def _name_errors(errors: Mapping[Joint, xl330.HardwareError], advice: bool = True) -> str:
    listed = ", ".join(f"{joint} reports {error.describe()}" for joint, error in errors.items())
    return f"{listed}: free the finger or let it cool, then call hand/recover" if advice else listed


def _names(joints: Iterable[Joint]) -> str:
    return ", ".join(map(str, joints))
