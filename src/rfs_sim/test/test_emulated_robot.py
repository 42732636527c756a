"""The emulated robot switches its drivers off and on between episodes, whichever of their words is first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from lifecycle_msgs.msg import State, Transition

from rfs_sim.nodes import emulated_robot
from rfs_sim.nodes.emulated_robot import DriverRefused, _Driver


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
