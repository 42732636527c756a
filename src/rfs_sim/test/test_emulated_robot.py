"""The emulated robot switches its drivers off and on between episodes, whichever of their words is first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from rclpy.parameter import Parameter
from std_msgs.msg import String

from rfs_drivers.emulated.fci_process import free_address
from rfs_sim.nodes import emulated_robot
from rfs_sim.nodes.emulated_robot import DriverRefused, EmulatedRobot, _Driver

PATIENCE_S = 60.0


class Service:
    """Answers at once, and counts."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked = 0

    def service_is_ready(self) -> bool:
        return True

    async def call_async(self, request: object) -> object:
        self.asked += 1
        return self.answer


def driver_in(state: int, phase: str) -> _Driver:
    """A driver whose services answer, without ROS."""
    made = _Driver.__new__(_Driver)
    made.name, made.phase, made._node, made._part = "franka_node", phase, None, "arm"
    made._state = Service(SimpleNamespace(current_state=State(id=state)))
    made._change = Service(SimpleNamespace(success=True))
    made._recover = Service(SimpleNamespace(success=True, message=""))
    return made


def run(coroutine: object) -> None:
    with pytest.raises(StopIteration):
        coroutine.send(None)  # type: ignore[attr-defined]


def heard_later(driver: _Driver, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    """The driver's phase arrives while it is waited for."""

    async def pause(node: object, seconds: float) -> None:
        driver.phase = phase

    monkeypatch.setattr(emulated_robot, "pause", pause)


def test_a_fault_that_is_heard_after_the_answer_is_recovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reflex just before the reset: the driver is switched off, and its phase comes after the answer."""
    driver = driver_in(State.PRIMARY_STATE_ACTIVE, "following")
    heard_later(driver, monkeypatch, "fault")
    run(driver.off(recover=True))
    assert (driver._change.asked, driver._recover.asked) == (1, 1)


def test_a_fault_that_is_heard_after_the_answer_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = driver_in(State.PRIMARY_STATE_ACTIVE, "following")
    heard_later(driver, monkeypatch, "fault")
    with pytest.raises(DriverRefused, match="call arm/recover"):
        driver.off(recover=False).send(None)


def test_a_recovery_whose_phase_is_heard_late_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = driver_in(State.PRIMARY_STATE_ACTIVE, "fault")
    heard_later(driver, monkeypatch, "ready")
    run(driver.off(recover=False))
    assert (driver._change.asked, driver._recover.asked) == (1, 0)


def test_a_driver_that_stays_in_fault_is_refused_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = driver_in(State.PRIMARY_STATE_ACTIVE, "fault")
    heard_later(driver, monkeypatch, "fault")
    monkeypatch.setattr(emulated_robot, "_PHASE_S", 0.01)
    with pytest.raises(DriverRefused, match="is in fault"):
        driver.off(recover=False).send(None)
    assert driver._change.asked == 0


def test_a_driver_that_was_never_configured_is(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = driver_in(State.PRIMARY_STATE_UNCONFIGURED, "disconnected")
    asked: list[int] = []

    async def change(request: object) -> object:
        asked.append(request.transition.id)  # type: ignore[attr-defined]
        return SimpleNamespace(success=True)

    driver._change.call_async = change
    run(driver.off(recover=False))
    assert asked == [Transition.TRANSITION_CONFIGURE]


@pytest.fixture
def context(ros_domain: int) -> Iterator[rclpy.Context]:
    made = rclpy.Context()
    rclpy.init(context=made, domain_id=ros_domain)
    yield made
    rclpy.try_shutdown(context=made)


def robot_and_driver(
    context: rclpy.Context, folder: Path
) -> tuple[EmulatedRobot, rclpy.node.Node, threading.Thread]:
    """An emulated robot that is about to end, in the thread, and a hand driver that it has seen."""
    robot = EmulatedRobot(
        context=context,
        parameter_overrides=[
            Parameter("address", value=free_address()),
            Parameter("port", value=str(folder / "hand")),
        ],
    )
    driver = rclpy.create_node("leap_node", context=context)
    driver.create_publisher(String, "hand/driver_phase", 1)
    seen, look = threading.Event(), threading.Event()
    hand = robot._drivers[1]
    for _ in range(round(PATIENCE_S / 0.02)):
        if hand.is_there():
            seen.set()
            break
        look.wait(0.02)
    assert seen.is_set()
    return robot, driver, threading.Thread(target=robot.destroy_node, daemon=True)


def test_the_wires_are_served_until_the_drivers_have_taken_leave(
    context: rclpy.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends everybody at once: a driver takes torque off first, which needs a hand that answers."""
    monkeypatch.setattr(emulated_robot, "_GOODBYE_S", PATIENCE_S)
    robot, driver, end = robot_and_driver(context, tmp_path)
    end.start()
    cycles = robot.devices.cycles
    end.join(0.5)
    assert end.is_alive()
    assert (tmp_path / "hand").is_symlink()
    assert robot.devices.running
    for _ in range(round(PATIENCE_S / 0.02)):
        if robot.devices.cycles > cycles + 100:
            break
        end.join(0.02)
    assert robot.devices.cycles > cycles + 100  # robot time goes on: an arm can be brought to rest
    driver.destroy_node()
    end.join(PATIENCE_S)
    assert not end.is_alive()
    assert not (tmp_path / "hand").exists()


def test_a_driver_that_stays_is_named_and_does_not_keep_the_emulated_robot(
    context: rclpy.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(emulated_robot, "_GOODBYE_S", 0.1)
    _, driver, end = robot_and_driver(context, tmp_path)
    end.start()
    end.join(PATIENCE_S)
    assert not end.is_alive()
    driver.destroy_node()
    assert "end while leap_node still had them" in capfd.readouterr().err
