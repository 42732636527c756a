"""The LEAP hand driver without ROS: once per cycle it writes goals, reads states and looks for faults.

A cycle never serves an old measurement as a new one: where a read fails, there is no state. What a fault ends
stays ended until `recover`; servos that are well hold their last goal meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

from rfs_core.se3 import Array
from rfs_drivers import leap_table, xl330
from rfs_drivers.errors import DriverError
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_health import Health
from rfs_drivers.leap_setup import HandSetup, again
from rfs_drivers.leap_state import (
    TORQUE,
    Bus,
    HandState,
    Log,
    Phase,
    Status,
    errors_of,
    measurement,
    milliamperes,
    name_errors,
    names_of,
    value_of,
)
from rfs_drivers.leap_table import JOINTS, MOTORS
from rfs_drivers.leap_targets import GoalStream, derating
from rfs_drivers.servo_bus import BusError, Kind, ServoBus

_WINDOW = 60
_RETRY_S = 0.2
"""Between attempts to read a hand that does not answer."""
_IN_CONTROL = (Phase.HOLDING, Phase.FOLLOWING)


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
        self._setup = HandSetup(config, clock, sleep)
        self._health = Health(config, log)
        self._currents: list[int] = []
        """Goal currents that the servos have, mA; empty where they must be written."""
        self._soft = np.ones(16, dtype=bool)
        """Joints whose torque came on last time: they start softly, the others held already."""
        self._outcomes: deque[bool] = deque(maxlen=_WINDOW)
        self._in_a_row = self._failures_ever = self._cycles = self._faults = self._connections = 0
        self._next_try = self._next_health = 0.0
        self._wait = config.reconnect_first
        self._look_at_errors = True
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
            self._setup.require_all(bus)
            self._setup.set_up(bus, JOINTS)
            errors = errors_of(self._setup.settings(bus, MOTORS))
            self._health.read(bus)
        except DriverError:
            bus.close()
            raise
        self._bus = bus
        self._connections += 1
        self._forget_failures()
        self._phase, self._reason = Phase.READY, ""
        if errors:
            self._fault(name_errors(errors))
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
        try:
            self._begin(self._bus, np.ones(16, dtype=bool))
        except DriverError:
            # Some servos may have torque already.
            self._take_torque_off(self._bus)
            raise
        self._enabled = True
        return "torque is on: the hand holds where it is"

    def disable(self) -> str:
        """Torque off: the fingers go limp."""
        self._enabled = False
        if self._bus is None:
            lost = self._phase is Phase.FAULT
            return (
                "the hand is not connected: its torque stays as it is until hand/recover takes it off"
                if lost
                else "torque is off"
            )
        if not self._take_torque_off(self._bus):
            return self._reason
        if self._phase in _IN_CONTROL:
            self._phase, self._reason = Phase.READY, ""
        return "torque is off"

    def _take_torque_off(self, bus: Bus) -> bool:
        """Whether every servo has confirmed; a fault where one did not."""
        try:
            self._setup.torque_off(bus)
        except DriverError as error:
            self._fault(f"torque could not be taken off: {error}")
            return False
        return True

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
        settings: dict[int, bytes] = {}
        try:
            self._setup.require_all(bus)
            if not self._enabled:
                # Whatever else is wrong: it was to be limp.
                self._setup.torque_off(bus)
            settings = self._setup.settings(bus, MOTORS)
            # Nobody is served while servos restart: the others shall not take that for our end.
            self._setup.write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(MOTORS, 0), check=False)
            self._health.read(bus)
            self._health.require_cool()
            broken = list(errors_of(settings))
            for joint in broken:
                bus.reboot(joint.motor)
            self._setup.wait_for(bus, broken)
            still = errors_of(self._setup.settings(bus, MOTORS))
            if still:
                raise DriverError(
                    f"{name_errors(still, advice=False)} again after a restart: free the finger"
                )
            off = [joint for joint in JOINTS if joint in broken or not value_of(settings, joint, TORQUE)]
            self._setup.set_up(bus, off)
            if self._enabled:
                expired = xl330.WATCHDOG_EXPIRED
                stopped = [j for j in JOINTS if value_of(settings, j, xl330.BUS_WATCHDOG) == expired]
                self._begin(bus, np.array([joint in off or joint in stopped for joint in JOINTS]))
        except BusError as error:
            if error.kind is Kind.UNPLUGGED:
                self._lose_port(error)
            else:
                self._watch_again(bus, settings)
            raise DriverError(f"not recovered: {error}") from error
        except DriverError:
            self._watch_again(bus, settings)
            raise
        self._forget_failures()
        if not self._enabled:
            self._phase, self._reason = Phase.READY, ""
        restarted = f", restarted {names_of(broken)}" if broken else ""
        return f"recovered{restarted}: the hand is {self._phase.value}"

    def _watch_again(self, bus: Bus, settings: Mapping[int, bytes]) -> None:
        """Bus watchdogs as they were, of servos that had torque: recovery has switched them off."""
        watched = [joint.motor for joint in JOINTS if settings and value_of(settings, joint, TORQUE)]
        try:
            if watched:
                self._setup.write_all_sure(
                    bus, xl330.BUS_WATCHDOG, dict.fromkeys(watched, self._watchdog_steps)
                )
        except DriverError as error:
            self._log("error", f"servos may be without their bus watchdog: {error}")

    def close(self) -> None:
        """Torque off and port closed; a hand that does not answer is left to its own watchdog."""
        if self._bus is not None and self._phase is not Phase.READY:
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
        self._state = measurement(blocks, self._clock())
        self._on_state(self._state)
        if now >= self._next_health:
            self._next_health = now + 0.5 / self._config.health_rate
            if self._look_at_errors:
                self._check_settings(self._setup.settings(bus, MOTORS, tries=1))
            else:
                self._health.read(bus, tries=1)
            self._look_at_errors = not self._look_at_errors

    def _send_goal(self, bus: Bus, goal: Array, now: float) -> None:
        shares = derating(np.nan_to_num(self._health.temperature, nan=0.0), self._config)
        currents = milliamperes(self._config.currents * shares * self._softness(now))
        if currents != self._currents:
            bus.write_all(xl330.GOAL_CURRENT, dict(zip(MOTORS, currents, strict=True)))
            self._currents = currents
        bus.write_all(xl330.GOAL_POSITION, dict(zip(MOTORS, leap_table.ticks(goal), strict=True)))

    def _softness(self, now: float) -> Array:
        return np.where(self._soft, self._stream.softness(now), 1.0)

    def _check_settings(self, settings: Mapping[int, bytes]) -> None:
        """Faults that a servo tells by its registers."""
        errors = errors_of(settings)
        if errors and self._phase is not Phase.FAULT:
            self._fault(name_errors(errors))
        if self._phase not in _IN_CONTROL:
            return
        stopped = [j for j in JOINTS if value_of(settings, j, xl330.BUS_WATCHDOG) == xl330.WATCHDOG_EXPIRED]
        if stopped:
            self._fault(
                f"{len(stopped)} servos stopped by themselves: nothing came for {self._config.bus_watchdog} "
                "s, as when this machine is overloaded; call hand/recover"
            )
            return
        if [value_of(settings, joint, xl330.GOAL_CURRENT) for joint in JOINTS] != self._currents:
            # Nobody confirms goals: one that was lost on the wire is sent again.
            self._currents = []
        limp = [joint for joint in JOINTS if not value_of(settings, joint, TORQUE)]
        if limp:
            self._fault(
                f"{names_of(limp)} lost torque without an error, as after a loss of power: check the supply, "
                "then call hand/recover"
            )

    def _note_failure(self, error: BusError) -> None:
        self._outcomes.append(False)
        self._failures_ever += 1
        self._in_a_row += 1
        if error.kind is Kind.UNPLUGGED:
            self._lose_port(error)
            return
        failed = self._outcomes.count(False)
        if self._in_a_row >= self._config.missing_after and self._in_a_row % self._config.missing_after == 0:
            assert self._bus is not None
            try:
                self._setup.require_all(self._bus)
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
            self._setup.require_all(bus)
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

    def _begin(self, bus: Bus, soft: Array) -> None:
        """Torque on where the fingers are.

        Args:
            bus: open.
            soft: joints that begin where they are measured, softly; the others hold already and go on with
                the goal they have, so that a grip survives the recovery of one finger. Shape: (16,), bool.
        """
        self._health.read(bus)
        self._health.require_cool()
        blocks = again(lambda: bus.read_all(MOTORS, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION))
        state = measurement(blocks, self._clock())  # type: ignore[arg-type]
        self._setup.require_plausible(np.where(soft, state.position, self._stream.goal))
        now = self._clock()
        self._stream.begin(np.where(soft, state.position, self._stream.goal), now)
        self._state, self._soft = state, soft
        self._currents = []
        self._setup.write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(MOTORS, 0))
        first = milliamperes(self._config.currents * self._softness(now))
        self._setup.write_all_sure(bus, xl330.GOAL_CURRENT, dict(zip(MOTORS, first, strict=True)))
        goal = dict(zip(MOTORS, leap_table.ticks(self._stream.goal), strict=True))
        self._setup.write_all_sure(bus, xl330.GOAL_POSITION, goal)
        self._setup.write_all_sure(bus, TORQUE, dict.fromkeys(MOTORS, 1))
        self._setup.write_all_sure(bus, xl330.BUS_WATCHDOG, dict.fromkeys(MOTORS, self._watchdog_steps))
        # What it took to get here is not part of the soft start.
        self._stream.begin(self._stream.goal, self._clock())
        self._phase, self._reason = Phase.HOLDING, ""

    @property
    def _watchdog_steps(self) -> int:
        return round(self._config.bus_watchdog / xl330.WATCHDOG_UNIT_S)

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
        reason = "; ".join([reason, *self._health.warnings()] if reason else self._health.warnings())
        return Status(
            phase=self._phase,
            reason=reason,
            state_age=self._state_age(now),
            target_age=self._stream.age(now),
            failures=self._outcomes.count(False),
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
            hottest=self._health.hottest,
            voltage=self._health.lowest_voltage,
            last_refusal=self._last_refusal,
        )
