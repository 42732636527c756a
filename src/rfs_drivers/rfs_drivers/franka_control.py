"""What the driver does with the robot, phase by phase: control, faults and recovery, joint motions.

One thread calls `cycle`, which carries out the requests as well. What it decides stands in `franka_targets`,
`franka_faults` and `franka_recovery`; here is what leads from one phase to another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from rfs_drivers.errors import DriverError
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_connection import FrankaConnection, RobotState, VendorError
from rfs_drivers.franka_faults import Cause, Fault, from_state
from rfs_drivers.franka_follower import Follower
from rfs_drivers.franka_joint_motion import JointMotion
from rfs_drivers.franka_recovery import RecoveryLadder, Step
from rfs_drivers.franka_requests import CLOSED, Requests
from rfs_drivers.franka_status import Log, Phase
from rfs_drivers.franka_targets import StateAge

_IN_SESSION = (Phase.HOLDING, Phase.FOLLOWING)
_IN_CONTROL = (*_IN_SESSION, Phase.MOVING)


class Control:
    """Owns the phase. Not thread-safe, but for looking at its attributes: one thread calls it."""

    def __init__(
        self,
        config: FrankaConfig,
        connection: FrankaConnection,
        follower: Follower,
        requests: Requests,
        log: Log,
        on_state: Callable[[RobotState], None],
        clock: Callable[[], float],
    ) -> None:
        """
        Args:
            config: checked.
            connection: to the robot; this is its only user from now on.
            follower: where targets come from.
            requests: carried out in every cycle; their actions are `connect`, `enable`, `disable`, `recover`,
                `move` and `stop_motion`.
            log: where one-line messages go.
            on_state: called with every new state; must be quick.
            clock: steady clock, s.
        """
        self._config = config
        self._connection = connection
        self._follower = follower
        self._requests = requests
        self._log = log
        self._on_state = on_state
        self._clock = clock
        self._motion = JointMotion(connection, config.home_timeout)
        self._ladder = RecoveryLadder(config.reconnect_first, config.reconnect_longest)
        self._enabled = False
        self._recover: Future[str] | None = None
        self.waits_for_a_person = False
        """A user stop or a reflex was seen, and arm/recover has not succeeded since."""
        self.phase = Phase.DISCONNECTED
        self.reason = ""
        """Why there is a fault, in one line; empty where all is well."""
        self.state: RobotState | None = None
        """The newest state, None before the first."""
        self.age = StateAge(realtime=config.clock == "steady")
        """How old the newest state is."""
        self.faults = 0
        """Seen since the start."""

    def cycle(self) -> None:
        """One cycle: read, carry out requests, climb the recovery ladder, then follow or move."""
        try:
            # Once control has ended, the session knows why; reading would wait for a robot that may be gone.
            ended = self.phase in _IN_CONTROL and not self._connection.in_control
            if self._connection.connected and not ended:
                self._read()
            self._requests.serve()
            self._climb()
            if self.phase is Phase.MOVING:
                self._watch_joint_motion()
            elif self.phase in _IN_SESSION:
                self._follow()
        except VendorError as error:
            self._fail(error.fault)

    def _read(self) -> None:
        state = self._connection.read()
        self.age.observe(state.read_at, state.robot_time)
        new = self.state is None or state.robot_time != self.state.robot_time
        self.state = state
        if new:
            self._on_state(state)
        if self.phase is Phase.READY:
            fault = from_state(state.mode, state.errors)
            if fault is not None:
                self._fail(fault)

    def _follow(self) -> None:
        state = self.state
        assert state is not None
        if not self._connection.in_control:
            fault = self._connection.end_session()
            self._fail(fault or Fault(Cause.OTHER, "robot ended control without saying why"))
            return
        age = self.age.age(self._clock())
        now = self._now()
        setpoint = self._follower.setpoint(now, age, state.palm)
        self.phase = Phase.HOLDING if setpoint.holding else Phase.FOLLOWING
        self._connection.follow(setpoint, state)

    def _now(self) -> float:
        """The time that targets are interpolated and aged in."""
        if self._config.clock == "robot" and self.state is not None:
            return self.state.robot_time
        return self._clock()

    # ---- faults --------------------------------------------------------------------------------------

    def _fail(self, fault: Fault) -> None:
        """Enter the fault; what was asked meanwhile fails with the same line."""
        fault = self._named(fault)
        self._ladder.failed(fault, self._clock())
        self.faults += 1
        if not self._ladder.connected:
            self._connection.drop()
            self.age.reset()
        elif self._connection.in_session:
            self._connection.end_session()
        self._enter_fault(fault)
        self._log("error", fault.reason)
        self._motion.fail(fault.reason)
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
        self.reason = fault.reason
        self.waits_for_a_person |= fault.cause in (Cause.USER_STOP, Cause.REFLEX)
        failed = self._ladder.next(self._clock(), False) is Step.GIVE_UP
        self.phase = Phase.FAILED if failed else Phase.FAULT

    def _climb(self) -> None:
        """One step of the recovery ladder."""
        state = self.state
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
            self.age.reset()
            self._read()
            self.reason = "connected anew: call arm/recover to control again"
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
                else f"not connected yet, trying: {self.reason}"
            )
            future.set_exception(DriverError(reason))
        elif step is Step.WAIT and not self._enabled and self._is_well():
            # Nobody wanted control: nothing to ask a person about.
            self._ladder.cleared()
            self._become_ready()

    def _is_well(self) -> bool:
        """Whether a connected robot reports neither error nor user stop."""
        state = self.state
        return self._ladder.connected and state is not None and from_state(state.mode, state.errors) is None

    def _clear(self) -> None:
        future, self._recover = self._recover, None
        try:
            self._connection.clear_errors()
        except VendorError as error:
            self._ladder.not_cleared(error.fault, self._clock())
            if not self._ladder.connected:
                self._connection.drop()
                self.age.reset()
            self._enter_fault(error.fault)
            self._log("error", f"recovery failed: {error.fault.reason}")
            if future is not None:
                future.set_exception(DriverError(error.fault.reason))
            return
        self._ladder.cleared()
        self._become_ready()
        self.waits_for_a_person = False
        try:
            self._read()
            if self.phase is Phase.READY and self._enabled:
                self._begin()
        except VendorError as error:
            self._fail(error.fault)
        if future is not None:
            self._answer(future, "recovered: " + self.phase.value)

    def _answer(self, future: Future[str], line: str) -> None:
        if self.phase in (Phase.FAULT, Phase.FAILED):
            future.set_exception(DriverError(self.reason))
        else:
            future.set_result(line)

    def _become_ready(self) -> None:
        self.phase, self.reason = Phase.READY, ""

    # ---- requests ------------------------------------------------------------------------------------

    def connect(self, future: Future[str]) -> None:
        """Request: connect to the robot."""
        try:
            self._connection.connect()
        except VendorError as error:
            # Not a fault of a running driver: whoever asked decides whether to ask again.
            self.phase, self.reason = Phase.DISCONNECTED, error.fault.reason
            future.set_exception(error)
            return
        self._ladder = RecoveryLadder(self._config.reconnect_first, self._config.reconnect_longest)
        self.age.reset()
        self._become_ready()
        self._read()
        future.set_result(f"connected to {self._config.address}")

    def enable(self, future: Future[str]) -> None:
        """Request: begin impedance control, holding where the arm is."""
        if self.phase in _IN_CONTROL:
            future.set_result("control is on already")
            return
        if self.phase is not Phase.READY:
            raise DriverError(self.reason or "not connected to a robot")
        self._begin()
        self._enabled = True  # not before: arm/recover shall not begin what an activation could not
        self._answer(future, "in control, holding")

    def _begin(self) -> None:
        state = self.state
        assert state is not None
        self._follower.forget()
        self._connection.begin_session(state)
        self._follower.begin(self._now(), state.palm)
        self.phase = Phase.HOLDING

    def disable(self, future: Future[str]) -> None:
        """Request: end control."""
        self._enabled = False
        if self.phase is Phase.MOVING:
            self._motion.stop("stopped: control was switched off")
        fault = self._connection.end_session() if self._connection.in_session else None
        if fault is not None and fault.cause is not Cause.PREEMPTED:
            self._fail(fault)
        elif self.phase not in (Phase.FAULT, Phase.FAILED, Phase.DISCONNECTED):
            self._become_ready()
        future.set_result("control is off")

    def recover(self, future: Future[str]) -> None:
        """Request: after a fault, clear it; answered when that is done."""
        if self.phase is Phase.READY or self.phase in _IN_CONTROL:
            self.waits_for_a_person = False
            future.set_result("there is nothing to recover from")
            return
        if self.phase is not Phase.FAULT:
            raise DriverError(self.reason or "not connected to a robot")
        self._ladder.request()
        self._recover = future

    def move(self, future: Future[str], goal: str, q: tuple[float, ...], speed: float) -> None:
        """Request: move the joints to q (rad); answered when they are there."""
        if self.phase is Phase.FOLLOWING:
            raise DriverError(
                "targets are being followed: stop the policy (safety/stop) before moving joints"
            )
        if self.phase is Phase.MOVING:
            raise DriverError("a joint motion is running already")
        if self.phase not in (Phase.READY, Phase.HOLDING):
            raise DriverError(self.reason or "not connected to a robot")
        fault = self._connection.end_session()
        if fault is not None and fault.cause is not Cause.PREEMPTED:
            raise VendorError(fault)
        self._motion.begin(future, goal, np.array(q), speed, self._now())
        self.phase = Phase.MOVING

    def stop_motion(self, future: Future[str]) -> None:
        """Request: end a joint motion smoothly."""
        if self.phase is not Phase.MOVING:
            future.set_result("no joint motion is running")
            return
        self._motion.stop("stopped: somebody has asked for it")
        self._after_joint_motion()
        self._answer(future, "stopped")

    def _watch_joint_motion(self) -> None:
        self._follower.refuse_waiting("a joint motion is running")
        if self._motion.ended(self._now()):
            self._after_joint_motion()
            arrived = self._motion.arrived()
            if arrived is not None:
                self._answer(*arrived)

    def _after_joint_motion(self) -> None:
        self._become_ready()
        self._read()
        if self._enabled and self.phase is Phase.READY:
            self._begin()

    # ---- the end -------------------------------------------------------------------------------------

    def end(self, defect: bool) -> None:
        """There will be no more cycles; by a defect, the arm may be in control still: `let_go`."""
        if not defect:
            self.phase = Phase.DISCONNECTED
        elif self.phase is not Phase.DISCONNECTED:
            self.phase, self.reason = Phase.FAILED, "the driver's thread ended by a defect: see its log"
            self._log("error", self.reason)

    def let_go(self) -> None:
        """Bring the arm to rest and disconnect; whoever still waits is told that nobody will answer."""
        if self._motion.running and self._connection.in_control:
            # What cannot be stopped smoothly is stopped by the end of its connection.
            with contextlib.suppress(VendorError):
                self._motion.stop(CLOSED)
        self._motion.fail(CLOSED)
        future, self._recover = self._recover, None
        if future is not None:
            future.set_exception(DriverError(CLOSED))
        if self._connection.in_session:
            self._connection.end_session()
        self._connection.close()
