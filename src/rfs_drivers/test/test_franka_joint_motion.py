"""A joint motion, its end, and what whoever waits is told."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from rfs_core import robot
from rfs_drivers.errors import DriverError
from rfs_drivers.franka_connection import VendorError
from rfs_drivers.franka_faults import Cause, Fault
from rfs_drivers.franka_joint_motion import JointMotion


class Connection:
    """In place of FrankaConnection."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.finished = False
        self.refuses = False

    def begin_joint_motion(self, q: np.ndarray, speed: float) -> None:
        if self.refuses:
            raise VendorError(Fault(Cause.REFUSED, "no"))
        self.calls.append(f"begin {speed}")

    def joint_motion_finished(self) -> bool:
        return self.finished

    def stop_joint_motion(self) -> None:
        self.calls.append("stop")


@pytest.fixture
def connection() -> Connection:
    return Connection()


@pytest.fixture
def motion(connection: Connection) -> JointMotion:
    return JointMotion(connection, timeout=60.0)  # type: ignore[arg-type]


def test_whoever_waits_is_answered_once_and_only_when_the_joints_are_there(
    connection: Connection, motion: JointMotion
) -> None:
    future: Future[str] = Future()
    motion.begin(future, "home", robot.ARM_HOME, 0.1, now=5.0)
    assert not motion.ended(6.0)
    assert motion.running
    connection.finished = True
    assert motion.ended(7.0)
    assert motion.arrived() == (future, "at home")
    assert not motion.running
    assert motion.arrived() is None
    assert connection.calls == ["begin 0.1"]


def test_a_motion_that_takes_too_long_is_stopped_and_that_is_said(
    connection: Connection, motion: JointMotion
) -> None:
    future: Future[str] = Future()
    motion.begin(future, "the goal", robot.ARM_HOME, 0.1, now=5.0)
    # 60 s from 5 s on.
    assert not motion.ended(65.0)
    assert motion.ended(65.1)
    assert connection.calls == ["begin 0.1", "stop"]
    with pytest.raises(DriverError, match="not at the goal after 60 s: stopped"):
        future.result(0)
    assert motion.arrived() is None


def test_stopping_tells_whoever_waits_and_failing_stops_nothing(
    connection: Connection, motion: JointMotion
) -> None:
    first: Future[str] = Future()
    motion.begin(first, "home", robot.ARM_HOME, 0.1, now=0.0)
    motion.stop("somebody has asked")
    with pytest.raises(DriverError, match="somebody has asked"):
        first.result(0)
    second: Future[str] = Future()
    motion.begin(second, "home", robot.ARM_HOME, 0.2, now=0.0)
    motion.fail("reflex")
    motion.fail("and again")
    with pytest.raises(DriverError, match="reflex"):
        second.result(0)
    assert connection.calls == ["begin 0.1", "stop", "begin 0.2"]


def test_a_motion_that_does_not_begin_leaves_nobody_waiting(
    connection: Connection, motion: JointMotion
) -> None:
    connection.refuses = True
    future: Future[str] = Future()
    with pytest.raises(VendorError, match="no"):
        motion.begin(future, "home", robot.ARM_HOME, 0.1, now=0.0)
    assert motion.arrived() is None
    assert not future.done()
