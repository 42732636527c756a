"""The driver's phases, cycle by cycle, on a connection that does what a test says.

With the client library: test_franka_driver.py. Faults of the robot and the network: test/fault.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import pytest

from rfs_core import robot
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose
from rfs_drivers.errors import DriverError
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_connection import RobotState, VendorError
from rfs_drivers.franka_control import Control
from rfs_drivers.franka_faults import Cause, Fault
from rfs_drivers.franka_follower import Follower
from rfs_drivers.franka_requests import Requests
from rfs_drivers.franka_status import Phase
from rfs_drivers.franka_targets import Setpoint

PALM = ArmKinematics().forward(robot.ARM_HOME[None])
REFLEX = Fault(Cause.REFLEX, "reflex")


class Connection:
    """In place of FrankaConnection."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.connected = self.in_session = self.in_control = False
        self.mode = "Idle"
        self.errors: tuple[str, ...] = ()
        self.refuses: Fault | None = None
        """Beginning a session fails with it."""
        self.moved = False
        self.stops = 0
        self.followed: list[Setpoint] = []
        self.closed = False

    def connect(self) -> None:
        self.connected = True

    def read(self) -> RobotState:
        now, eye, zeros = self.bench.now, np.eye(4), np.zeros(7)
        return RobotState(
            now, now, robot.ARM_HOME, zeros, zeros, PALM, eye, eye, np.zeros(6), self.mode, self.errors, 1.0
        )

    def begin_session(self, state: RobotState) -> None:
        if self.refuses is not None:
            raise VendorError(self.refuses)
        self.in_session = self.in_control = True

    def end_session(self) -> Fault | None:
        ended_before = self.in_session and not self.in_control
        self.in_session = self.in_control = False
        return REFLEX if ended_before else None

    def follow(self, setpoint: Setpoint, state: RobotState) -> None:
        self.followed.append(setpoint)

    def begin_joint_motion(self, q: np.ndarray, speed: float) -> None:
        self.in_control, self.moved = True, False

    def joint_motion_finished(self) -> bool:
        self.in_control = not self.moved
        return self.moved

    def stop_joint_motion(self) -> None:
        self.stops += 1
        self.in_control = False

    def clear_errors(self) -> None:
        self.mode, self.errors = "Idle", ()

    def drop(self) -> None:
        self.connected = self.in_session = self.in_control = False

    def close(self) -> None:
        self.drop()
        self.closed = True


class Bench:
    """Control with a clock set by hand; connected."""

    def __init__(self) -> None:
        self.now = 1.0
        self.lines: list[str] = []
        config = FrankaConfig()
        self.connection = Connection(self)
        self.follower = Follower(config, self.log, lambda: self.now)
        self.requests = Requests(threading.Event())
        self.control = Control(
            config,
            self.connection,  # type: ignore[arg-type]
            self.follower,
            self.requests,
            self.log,
            lambda state: None,
            lambda: self.now,
        )
        assert self.ask(self.control.connect).result(0) == "connected to 172.16.0.2"

    def log(self, level: str, line: str) -> None:
        self.lines.append(line)

    def cycle(self, seconds: float = 0.01) -> None:
        self.now += seconds
        self.control.cycle()

    def ask(self, action: Callable[..., None], *arguments: object) -> Future[str]:
        future = self.requests.ask(action, *arguments)
        self.cycle()
        return future

    def home(self) -> Future[str]:
        return self.ask(self.control.move, "home", tuple(robot.ARM_HOME), 0.1)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_control_begins_holding_and_follows_what_is_offered_then(bench: Bench) -> None:
    bench.follower.offer(PALM)
    assert bench.ask(bench.control.enable).result(0) == "in control, holding"
    bench.cycle()
    # The offer was made before control began.
    assert bench.control.phase is Phase.HOLDING
    bench.follower.offer(Pose(PALM.position + [[0.0, 0.01, 0.0]], PALM.quaternion))
    bench.cycle(0.1)
    bench.cycle(0.01)
    assert bench.control.phase is Phase.FOLLOWING
    np.testing.assert_allclose(
        bench.connection.followed[-1].pose.position, PALM.position + [[0.0, 0.01, 0.0]], atol=1e-9
    )


def test_control_that_the_robot_has_ended_is_a_fault_and_does_not_come_back_by_itself(bench: Bench) -> None:
    bench.ask(bench.control.enable)
    bench.connection.in_control = False
    bench.connection.mode, bench.connection.errors = "Reflex", ("cartesian_reflex",)
    for _ in range(50):
        bench.follower.offer(PALM)
        bench.cycle()
    assert bench.control.phase is Phase.FAULT
    assert bench.control.faults == 1
    assert bench.control.reason.startswith("robot is in reflex (cartesian_reflex)")
    assert not bench.connection.in_session
    assert bench.ask(bench.control.recover).result(0) == "recovered: holding"


def test_recovery_after_a_failed_activation_does_not_begin_control(bench: Bench) -> None:
    bench.connection.refuses = Fault(Cause.REFUSED, "command not possible in the current mode")
    asked = bench.ask(bench.control.enable)
    assert isinstance(asked.exception(0), VendorError)
    assert bench.control.phase is Phase.FAULT
    bench.connection.refuses = None
    assert bench.ask(bench.control.recover).result(0) == "recovered: ready"
    bench.cycle()
    assert (bench.control.phase, bench.connection.in_session) == (Phase.READY, False)


def test_a_recovery_after_which_control_does_not_begin_has_failed(bench: Bench) -> None:
    assert bench.ask(bench.control.enable).result(0) == "in control, holding"
    bench.connection.in_control = False
    bench.connection.mode, bench.connection.errors = "Reflex", ("cartesian_reflex",)
    bench.cycle()
    assert bench.control.phase is Phase.FAULT
    bench.connection.refuses = REFLEX
    asked = bench.ask(bench.control.recover)
    with pytest.raises(DriverError, match="reflex"):
        asked.result(0)
    assert bench.control.phase is Phase.FAULT


def test_a_user_stop_that_is_pressed_refuses_recovery_and_does_not_remember_it(bench: Bench) -> None:
    bench.ask(bench.control.enable)
    bench.connection.in_control = False
    bench.connection.mode = "UserStopped"
    bench.cycle()
    bench.cycle()
    with pytest.raises(DriverError, match="user stop is still pressed"):
        bench.ask(bench.control.recover).result(0)
    bench.connection.mode = "Idle"
    for _ in range(50):
        bench.cycle()
    assert bench.control.phase is Phase.FAULT


def test_after_a_user_stop_a_person_is_waited_for_even_where_control_was_off(bench: Bench) -> None:
    bench.connection.mode = "UserStopped"
    bench.cycle()
    assert (bench.control.phase, bench.control.waits_for_a_person) == (Phase.FAULT, True)
    with pytest.raises(DriverError, match="still pressed"):
        bench.ask(bench.control.recover).result(0)
    bench.connection.mode = "Idle"
    bench.cycle()
    bench.cycle()
    assert (bench.control.phase, bench.control.waits_for_a_person) == (Phase.READY, True)
    assert bench.ask(bench.control.recover).result(0) == "there is nothing to recover from"
    assert not bench.control.waits_for_a_person


def test_after_a_joint_motion_control_is_as_it_was_before(bench: Bench) -> None:
    moving = bench.home()
    assert bench.control.phase is Phase.MOVING
    bench.connection.moved = True
    bench.cycle()
    assert moving.result(0) == "at home"
    assert bench.control.phase is Phase.READY
    bench.ask(bench.control.enable)
    moving = bench.home()
    bench.connection.moved = True
    bench.cycle()
    assert moving.result(0) == "at home"
    assert bench.control.phase is Phase.HOLDING


def test_whoever_waits_for_a_joint_motion_is_told_when_control_does_not_begin_again_after_it(
    bench: Bench,
) -> None:
    bench.ask(bench.control.enable)
    moving = bench.home()
    bench.connection.moved = True
    bench.connection.refuses = Fault(Cause.REFUSED, "robot refused: joint limits")
    bench.cycle()
    with pytest.raises(DriverError, match="robot refused: joint limits"):
        moving.result(0)
    assert bench.control.phase is Phase.FAULT


def test_the_end_lets_go_of_the_robot_and_a_defect_is_said(bench: Bench) -> None:
    bench.ask(bench.control.enable)
    bench.control.end(defect=True)
    bench.control.let_go()
    assert bench.control.phase is Phase.FAILED
    assert bench.lines[-1] == bench.control.reason == "the driver's thread ended by a defect: see its log"
    assert not bench.connection.in_session
    assert bench.connection.closed


def test_an_end_that_was_asked_for_is_not_a_defect(bench: Bench) -> None:
    lines = list(bench.lines)
    bench.control.end(defect=False)
    assert bench.control.phase is Phase.DISCONNECTED
    assert bench.lines == lines


def test_at_the_end_a_joint_motion_is_stopped_smoothly_and_whoever_waits_is_told(bench: Bench) -> None:
    moving = bench.home()
    bench.control.end(defect=False)
    bench.control.let_go()
    assert bench.connection.stops == 1
    with pytest.raises(DriverError, match="the driver was closed"):
        moving.result(0)


def test_at_the_end_whoever_waits_for_a_recovery_is_told(bench: Bench) -> None:
    bench.ask(bench.control.enable)
    bench.connection.in_control = False
    bench.cycle()
    asked: Future[str] = Future()
    bench.control.recover(asked)
    bench.control.let_go()
    assert bench.connection.stops == 0
    with pytest.raises(DriverError, match="the driver was closed"):
        asked.result(0)
