"""The Franka impedance driver without ROS: one thread that owns the robot.

Every cycle it reads the state, carries out requests, and hands an interpolated setpoint to the impedance
session. What it decides stands in `franka_targets`, `franka_faults` and `franka_recovery`. Others look at it
through `state` and `status`, and speak to it through `offer` and the requests; none of them blocks on it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rfs_core.se3 import Pose
from rfs_drivers.errors import DriverError
from rfs_drivers.franka_config import FrankaConfig, outside_limits
from rfs_drivers.franka_connection import FrankaConnection, RobotState, VendorError
from rfs_drivers.franka_faults import Cause, Fault, from_state
from rfs_drivers.franka_recovery import RecoveryLadder, Step
from rfs_drivers.franka_status import Log, Phase, Status
from rfs_drivers.franka_targets import StateAge, TargetStream

_IN_SESSION = (Phase.HOLDING, Phase.FOLLOWING)
_IN_CONTROL = (*_IN_SESSION, Phase.MOVING)


@dataclass
class _Request:
    name: str
    arguments: tuple[Any, ...] = ()
    future: Future[str] = field(default_factory=Future)


@dataclass
class _JointMotion:
    goal: str
    """Where to, for a person."""
    future: Future[str]
    until: float
    """s; later it is given up."""


class FrankaDriver:
    """Drives one arm. `start` it, then make requests; each returns a future with a line for the person."""

    def __init__(
        self,
        config: FrankaConfig,
        log: Log = lambda level, line: None,
        on_state: Callable[[RobotState], None] = lambda state: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            config: checked here.
            log: where one-line messages go; called from the driver's thread.
            on_state: called with every new state, from the driver's thread; must be quick.
            clock: steady clock, s.

        Raises:
            ConfigError: the configuration contradicts itself.
            DriverError: the client library is missing.
        """
        config.check()
        self._config = config
        self._log = log
        self._on_state = on_state
        self._clock = clock
        self._connection = FrankaConnection(config, clock)
        self._stream = TargetStream(config)
        self._age = StateAge(realtime=config.clock == "steady")
        self._ladder = RecoveryLadder(config.reconnect_first, config.reconnect_longest)
        self._phase = Phase.DISCONNECTED
        self._reason = ""
        self._enabled = False
        self._motion: _JointMotion | None = None
        self._recover: Future[str] | None = None
        self._faults = 0
        self._state: RobotState | None = None
        self._last_refusal = ""
        self._outside_reason = ""
        self._held_for = ""
        self._cycles: deque[float] = deque(maxlen=500)
        self._lock = threading.Lock()
        self._offers: deque[tuple[float, Pose]] = deque(maxlen=8)
        self._requests: deque[_Request] = deque()
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="franka driver", daemon=True)

    # ---- from any thread -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; nothing is connected yet."""
        self._thread.start()

    def close(self) -> None:
        """End control, disconnect and end the thread."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(15.0)

    def connect(self) -> Future[str]:
        """Connect to the robot. Fails with a DriverError; nothing retries until it worked once."""
        return self._ask("connect")

    def enable(self) -> Future[str]:
        """Begin impedance control, holding where the arm is."""
        return self._ask("enable")

    def disable(self) -> Future[str]:
        """End control."""
        return self._ask("disable")

    def recover(self) -> Future[str]:
        """After a fault: clear it, and control again if it was on."""
        return self._ask("recover")

    def home(self) -> Future[str]:
        """Move the joints to `config.home`; refused while targets are followed."""
        return self._ask("move", "home", self._config.home, self._config.home_speed)

    def move_joints(self, q: Sequence[float], speed: float) -> Future[str]:
        """Move the joints; refused while targets are followed, and where a joint would come to its limit.

        Args:
            q: rad. Shape: (7,)
            speed: share of the robot's largest speed, acceleration and jerk, 0.01 to 0.5.
        """
        if not 0.01 <= speed <= 0.5:
            return _refused(f"speed is {speed}, allowed: 0.01 to 0.5 of the robot's largest")
        outside = outside_limits(q)
        if outside:
            return _refused(f"joints: {outside}")
        return self._ask("move", "the goal", tuple(q), speed)

    def stop_motion(self) -> Future[str]:
        """End a joint motion smoothly; whoever asked for it is told."""
        return self._ask("stop_motion")

    def offer(self, target: Pose) -> None:
        """A palm target in the base frame (N = 1), received now."""
        with self._lock:
            self._offers.append((self._clock(), target))
        self._wake.set()

    @property
    def config(self) -> FrankaConfig:
        """As given."""
        return self._config

    @property
    def state(self) -> RobotState | None:
        """The newest state, None before the first."""
        return self._state

    @property
    def status(self) -> Status:
        """What the driver says about itself."""
        state, counters = self._state, self._stream.counters
        now = self._clock()
        intervals = self._stream.intervals
        cycles = np.array(self._cycles)
        phase, reason = self._phase, self._reason
        call, since = self._connection.busy
        if since > 2.0 * self._config.call_timeout:
            reason = f"the client library has been busy with {call!r} for {since:.1f} s; {reason}"
        target_now = state.robot_time if state is not None and self._config.clock == "robot" else now
        return Status(
            phase=phase,
            reason=reason or (self._outside_reason or self._stream.holding if phase is Phase.HOLDING else ""),
            mode=state.mode if state is not None else "",
            state_age=self._age.age(now),
            success_rate=state.success_rate if state is not None else 0.0,
            target_age=self._stream.age(target_now),
            target_period=float(intervals.mean()) if intervals.size > 1 else float("nan"),
            target_jitter=float(intervals.std()) if intervals.size > 1 else float("nan"),
            cycle_p99=float(np.percentile(cycles, 99)) if cycles.size else float("nan"),
            accepted=counters.accepted,
            refused=counters.refused,
            clipped=counters.clipped,
            holds=counters.holds,
            faults=self._faults,
            connections=self._connection.robots_made,
            last_refusal=self._last_refusal,
        )

    @property
    def library_cpu(self) -> float:
        """Processor time of the client library's control thread in this session, s."""
        return self._connection.library_cpu

    def refuse_targets(self, reason: str) -> None:
        """Hold for a reason from outside, such as a second publisher; empty: accept targets again."""
        with self._lock:
            self._outside_reason = reason

    # ---- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        period = 1.0 / self._config.stream_rate
        due = last = self._clock()
        try:
            while not self._closing.is_set():
                self._cycle()
                now = self._clock()
                self._cycles.append(now - last)
                last = now
                due = max(due + period, now)
                if self._wake.wait(max(due - now, 0.0)):
                    self._wake.clear()
            self._phase = Phase.DISCONNECTED
        finally:
            # Reached by a defect as well, whose traceback follows: the arm must not be left in control.
            if self._phase is not Phase.DISCONNECTED:
                self._phase, self._reason = Phase.FAILED, "the driver's thread ended by a defect: see its log"
                self._log("error", self._reason)
            self._closing.set()
            if self._connection.in_session:
                self._connection.end_session()
            self._connection.close()
            for request in self._requests:
                request.future.set_exception(DriverError("the driver was closed"))

    def _cycle(self) -> None:
        try:
            # Once control has ended, the session knows why; reading would wait for a robot that may be gone.
            ended = self._phase in _IN_CONTROL and not self._connection.in_control
            if self._connection.connected and not ended:
                self._read()
            self._serve()
            self._climb()
            if self._phase is Phase.MOVING:
                self._watch_joint_motion()
            elif self._phase in _IN_SESSION:
                self._follow()
        except VendorError as error:
            self._fail(error.fault)

    def _read(self) -> None:
        state = self._connection.read()
        self._age.observe(state.read_at, state.robot_time)
        new = self._state is None or state.robot_time != self._state.robot_time
        self._state = state
        if new:
            self._on_state(state)
        if self._phase is Phase.READY:
            fault = from_state(state.mode, state.errors)
            if fault is not None:
                self._fail(fault)

    def _follow(self) -> None:
        state = self._state
        assert state is not None
        if not self._connection.in_control:
            fault = self._connection.end_session()
            self._fail(fault or Fault(Cause.OTHER, "robot ended control without saying why"))
            return
        age = self._age.age(self._clock())
        now = self._now()
        with self._lock:
            offers = list(self._offers)
            self._offers.clear()
            outside = self._outside_reason
        if outside:
            self._stream.hold(now, state.palm, outside)
        for received, target in offers:
            at = now if self._config.clock == "robot" else received
            refusal = (
                self._stream.offer(at, target, state.palm) if not outside else self._stream.refuse(outside)
            )
            if refusal:
                if refusal != self._last_refusal:
                    self._log("warning", f"target refused: {refusal}")
                self._last_refusal = refusal
        before = self._stream.holding
        setpoint = self._stream.sample(now, age, state.palm)
        if setpoint.holding and self._phase is Phase.FOLLOWING:
            self._log("warning", f"holding: {setpoint.holding}")
        elif not setpoint.holding and self._phase is Phase.HOLDING:
            self._log("info", f"following targets (held before: {self._held_for or before})")
        self._held_for = setpoint.holding
        self._phase = Phase.HOLDING if setpoint.holding else Phase.FOLLOWING
        self._connection.follow(setpoint, state)

    def _now(self) -> float:
        """The time that targets are interpolated and aged in."""
        if self._config.clock == "robot" and self._state is not None:
            return self._state.robot_time
        return self._clock()

    # ---- faults --------------------------------------------------------------------------------------

    def _fail(self, fault: Fault) -> None:
        """Enter the fault; what was asked meanwhile fails with the same line."""
        fault = self._named(fault)
        self._ladder.failed(fault, self._clock())
        self._faults += 1
        if not self._ladder.connected:
            self._connection.drop()
            self._age.reset()
        elif self._connection.in_session:
            self._connection.end_session()
        self._enter_fault(fault)
        self._log("error", fault.reason)
        self._end_motion(DriverError(fault.reason))
        future, self._recover = self._recover, None
        if future is not None:
            future.set_exception(DriverError(fault.reason))

    def _named(self, fault: Fault) -> Fault:
        """A fault with the names of the robot's errors, which the client's message may lack."""
        if not self._connection.connected or fault.cause not in (Cause.REFLEX, Cause.OTHER, Cause.REFUSED):
            return fault
        try:
            state = self._connection.read()
        except VendorError as error:
            return error.fault
        return from_state(state.mode, state.errors) or fault

    def _enter_fault(self, fault: Fault) -> None:
        self._reason = fault.reason
        failed = self._ladder.next(self._clock(), False) is Step.GIVE_UP
        self._phase = Phase.FAILED if failed else Phase.FAULT

    def _climb(self) -> None:
        """One step of the recovery ladder."""
        state = self._state
        stopped = state is not None and state.mode == "UserStopped"
        step = self._ladder.next(self._clock(), stopped)
        if step is Step.CONNECT:
            try:
                self._connection.connect()
            except VendorError as error:
                self._ladder.not_connected(error.fault, self._clock())
                self._enter_fault(error.fault)
                return
            self._ladder.connected_anew()
            self._age.reset()
            self._read()
            self._reason = "connected anew: call arm/recover to control again"
            self._log(
                "warning", f"robot at {self._config.address} is back; control stays off until arm/recover"
            )
        elif step is Step.CLEAR:
            self._clear()
        elif step is Step.WAIT and self._recover is not None:
            future, self._recover = self._recover, None
            reason = (
                "user stop is still pressed: release it, then call arm/recover again"
                if stopped
                else f"not connected yet, trying: {self._reason}"
            )
            future.set_exception(DriverError(reason))
        elif step is Step.WAIT and not self._enabled and self._is_well():
            # Nobody wanted control: nothing to ask a person about.
            self._ladder.cleared()
            self._become_ready()

    def _is_well(self) -> bool:
        """Whether a connected robot reports neither error nor user stop."""
        state = self._state
        return self._ladder.connected and state is not None and from_state(state.mode, state.errors) is None

    def _clear(self) -> None:
        future, self._recover = self._recover, None
        try:
            self._connection.clear_errors()
        except VendorError as error:
            self._ladder.not_cleared(error.fault, self._clock())
            if not self._ladder.connected:
                self._connection.drop()
                self._age.reset()
            self._enter_fault(error.fault)
            self._log("error", f"recovery failed: {error.fault.reason}")
            if future is not None:
                future.set_exception(DriverError(error.fault.reason))
            return
        self._ladder.cleared()
        self._become_ready()
        try:
            self._read()
            if self._phase is Phase.READY and self._enabled:
                self._begin()
        finally:
            if future is not None:
                self._answer(future, "recovered: " + self._phase.value)

    def _answer(self, future: Future[str], line: str) -> None:
        if self._phase in (Phase.FAULT, Phase.FAILED):
            future.set_exception(DriverError(self._reason))
        else:
            future.set_result(line)

    def _become_ready(self) -> None:
        self._phase, self._reason = Phase.READY, ""

    # ---- requests ------------------------------------------------------------------------------------

    def _ask(self, name: str, *arguments: Any) -> Future[str]:
        request = _Request(name, arguments)
        if self._closing.is_set():
            return _refused("the driver was closed")
        with self._lock:
            self._requests.append(request)
        self._wake.set()
        return request.future

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._requests:
                    return
                request = self._requests.popleft()
            action: Callable[..., None] = getattr(self, f"_do_{request.name}")
            try:
                action(request.future, *request.arguments)
            except VendorError as error:
                request.future.set_exception(error)
                raise
            except DriverError as error:
                request.future.set_exception(error)

    def _do_connect(self, future: Future[str]) -> None:
        try:
            self._connection.connect()
        except VendorError as error:
            # Not a fault of a running driver: whoever asked decides whether to ask again.
            self._phase, self._reason = Phase.DISCONNECTED, error.fault.reason
            future.set_exception(error)
            return
        self._ladder = RecoveryLadder(self._config.reconnect_first, self._config.reconnect_longest)
        self._age.reset()
        self._become_ready()
        self._read()
        future.set_result(f"connected to {self._config.address}")

    def _do_enable(self, future: Future[str]) -> None:
        if self._phase in _IN_CONTROL:
            future.set_result("control is on already")
            return
        if self._phase is not Phase.READY:
            raise DriverError(self._reason or "not connected to a robot")
        self._enabled = True
        self._begin()
        self._answer(future, "in control, holding")

    def _begin(self) -> None:
        state = self._state
        assert state is not None
        with self._lock:
            self._offers.clear()
        self._connection.begin_session(state)
        self._stream.begin(self._now(), state.palm)
        self._phase = Phase.HOLDING
        self._held_for = self._stream.holding

    def _do_disable(self, future: Future[str]) -> None:
        self._enabled = False
        if self._phase is Phase.MOVING:
            self._end_motion(DriverError("stopped: control was switched off"))
            self._connection.stop_joint_motion()
        fault = self._connection.end_session() if self._connection.in_session else None
        if fault is not None and fault.cause is not Cause.PREEMPTED:
            self._fail(fault)
        elif self._phase not in (Phase.FAULT, Phase.FAILED, Phase.DISCONNECTED):
            self._become_ready()
        future.set_result("control is off")

    def _do_recover(self, future: Future[str]) -> None:
        if self._phase is Phase.READY or self._phase in _IN_CONTROL:
            future.set_result("there is nothing to recover from")
            return
        if self._phase is not Phase.FAULT:
            raise DriverError(self._reason or "not connected to a robot")
        self._ladder.request()
        self._recover = future

    def _do_move(self, future: Future[str], goal: str, q: tuple[float, ...], speed: float) -> None:
        if self._phase is Phase.FOLLOWING:
            raise DriverError(
                "targets are being followed: stop the policy (safety/stop) before moving joints"
            )
        if self._phase is Phase.MOVING:
            raise DriverError("a joint motion is running already")
        if self._phase not in (Phase.READY, Phase.HOLDING):
            raise DriverError(self._reason or "not connected to a robot")
        fault = self._connection.end_session()
        if fault is not None and fault.cause is not Cause.PREEMPTED:
            raise VendorError(fault)
        self._connection.begin_joint_motion(np.array(q), speed)
        self._phase = Phase.MOVING
        self._motion = _JointMotion(goal, future, self._now() + self._config.home_timeout)

    def _do_stop_motion(self, future: Future[str]) -> None:
        if self._phase is not Phase.MOVING:
            future.set_result("no joint motion is running")
            return
        self._end_motion(DriverError("stopped: somebody has asked for it"))
        self._connection.stop_joint_motion()
        self._after_joint_motion()
        self._answer(future, "stopped")

    def _watch_joint_motion(self) -> None:
        with self._lock:
            for _ in self._offers:
                self._last_refusal = self._stream.refuse("a joint motion is running")
            self._offers.clear()
        motion = self._motion
        if not self._connection.joint_motion_finished():
            if motion is not None and self._now() > motion.until:
                limit = self._config.home_timeout
                self._end_motion(DriverError(f"not at {motion.goal} after {limit:.0f} s: stopped"))
                self._connection.stop_joint_motion()
                self._after_joint_motion()
            return
        self._motion = None
        self._after_joint_motion()
        if motion is not None:
            self._answer(motion.future, f"at {motion.goal}")

    def _after_joint_motion(self) -> None:
        self._become_ready()
        self._read()
        if self._enabled and self._phase is Phase.READY:
            self._begin()

    def _end_motion(self, error: DriverError) -> None:
        motion, self._motion = self._motion, None
        if motion is not None:
            motion.future.set_exception(error)


def _refused(reason: str) -> Future[str]:
    future: Future[str] = Future()
    future.set_exception(DriverError(reason))
    return future


@contextlib.contextmanager
def running(driver: FrankaDriver):  # type: ignore[no-untyped-def]
    """The driver started, and closed at the end."""
    driver.start()
    try:
        yield driver
    finally:
        driver.close()
