"""The LEAP driver through the vendor's library on a pseudo-terminal, with all that goes wrong on a bus.

The hand is emulated in its own process. How long things take is measured in the time that the driver's
process was given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from promises import cases
from stopwatch import Stopwatch

from rfs_drivers.emulated.leap_bus_process import EmulatedLeapBus
from rfs_drivers.errors import DriverError
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_driver import HandState, LeapDriver, Phase

pytest.importorskip("dynamixel_sdk", reason="needs dynamixel-sdk: make setup EXTRAS=drivers")

PATIENCE_S = 60.0
PERIOD_S = 1.0 / 60.0
CYCLES = cases(60, 600)
"""On a bad wire."""
READY_WITHIN_S = 3.0
"""After the cause is gone."""
MEASURED = "driver and dynamixel-sdk against the emulated hand; time that the driver's process was given"


@pytest.fixture(scope="module")
def shared_hand() -> Iterator[EmulatedLeapBus]:
    with EmulatedLeapBus() as hand:
        yield hand


class Rig:
    """A driver that is cycled, with targets, as the node does it."""

    def __init__(self, hand: EmulatedLeapBus, **parameters: Any) -> None:
        self.hand = hand
        self.states: list[HandState] = []
        # Patience for a machine that is busy with other things.
        values = {"reply_timeout": 0.1, "bus_watchdog": 2.5, "soft_start": 0.2, **parameters}
        self.driver = LeapDriver(LeapConfig(port=hand.port, **values), on_state=self.states.append)

    def step(self, target: float | None = 0.4) -> None:
        due = time.monotonic() + PERIOD_S
        if target is not None:
            self.driver.offer(np.full(16, target))
        self.driver.cycle()
        time.sleep(max(due - time.monotonic(), 0.0))

    def until(self, condition: Callable[[], bool], what: str, target: float | None = 0.4) -> float:
        """Time it took, s."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < PATIENCE_S, f"waited for {what}; {self.driver.status}"
            self.step(target)
        return time.monotonic() - begin

    def reached(self, target: float) -> Callable[[], bool]:
        return lambda: bool(self.states) and bool(np.abs(self.states[-1].position - target).max() < 0.02)

    def start(self) -> Rig:
        self.driver.connect()
        self.driver.enable()
        self.until(self.reached(0.4), "the target")
        return self


@pytest.fixture
def rig(shared_hand: EmulatedLeapBus) -> Iterator[Rig]:
    shared_hand("clear")
    shared_hand("place", position=[0.0] * 16)
    rig = Rig(shared_hand)
    yield rig
    shared_hand("clear")
    rig.driver.close()


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # what it is: (begin, end, what the driver must say)
    "a servo falls silent": (
        {"do": "missing", "motor": 13},
        {"do": "missing", "motor": 13, "on": False},
        "th_axl (motor 13) does not answer, the other 15 do",
    ),
    "the first servo falls silent": (
        {"do": "missing", "motor": 0},
        {"do": "missing", "motor": 0, "on": False},
        "if_rot (motor 0) does not answer, the other 15 do",
    ),
    "overload": (
        {"do": "overload", "motor": 2},
        {"do": "overload", "motor": 2, "on": False},
        "if_pip (motor 2) reports overload",
    ),
    "70 degrees": (
        {"do": "temperature", "motor": 7, "celsius": 70},
        {"do": "temperature", "motor": 7, "celsius": 35},
        "mf_dip (motor 7) reports overheating",
    ),
    "a servo loses power for a moment": (
        {"do": "brown_out", "motor": 3},
        {"do": "status"},
        "if_dip (motor 3)",
    ),
    "unplugged": ({"do": "unplug"}, {"do": "plug"}, "is the hand's USB cable in?"),
    "nothing is answered": (
        {"do": "faults", "drop": 1.0},
        {"do": "clear"},
        "no servo answers",
    ),
    "every second answer is damaged": (
        {"do": "faults", "corrupt": 0.5},
        {"do": "clear"},
        "exchanges failed",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_after_a_fault_the_driver_names_it_stays_out_of_control_and_recovers_on_request(
    name: str, rig: Rig, promised: Any
) -> None:
    begin, end, expected = FAULTS[name]
    promise = promised(
        f"hand: {name}",
        "alive and named; no control until hand/recover; recovered within 3 s once the cause is gone",
        MEASURED,
        allowed=READY_WITHIN_S,
        unit="s",
    )
    rig.start()
    with Stopwatch() as named:
        rig.hand(**_operation(begin))
        rig.until(lambda: expected in rig.driver.status.reason, f"{expected!r} to be named")
    reason = rig.driver.status.reason
    promise.check(rig.driver.phase is Phase.FAULT, f"no fault: {rig.driver.status}")

    answer = ""

    def recovered() -> bool:
        nonlocal answer
        try:
            answer = rig.driver.recover()
        except DriverError:
            return False
        return True

    with Stopwatch() as back:
        rig.hand(**_operation(end))
        for _ in range(12):
            rig.step(0.7)
        promise.check(rig.driver.phase is Phase.FAULT, "control came back by itself")
        rig.until(recovered, "recovery")
    promise.check(answer.startswith("recovered"), answer)
    rig.until(rig.reached(0.7), "the target after recovery", 0.7)
    promise.figures |= {
        "reported": reason.replace(rig.hand.port, "PORT").split(" Last try: ")[0].split("; mf_dip")[0],
        "seconds_until_named": round(named.seconds, 3),
        "seconds_until_recovered": round(back.seconds, 3),
    }
    promise.case(back.seconds)
    promise.kept()


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("5 % of answers damaged", {"corrupt": 0.05}),
        ("5 % of answers lost", {"drop": 0.05}),
        ("5 % of instructions lost", {"lose": 0.05}),
        ("answers 10 ms late", {"delay_ms": 10.0}),
    ],
)
def test_a_bad_wire_is_lived_with_and_no_measurement_is_served_twice(
    name: str, faults: dict[str, float], rig: Rig, promised: Any
) -> None:
    promise = promised(
        f"hand: {name}",
        "no fault, targets are followed on; every state is a measurement of its own, none is served twice",
        "driver and dynamixel-sdk against the emulated hand",
    )
    rig.start()
    rig.hand("faults", **faults)
    rig.states.clear()
    first = rig.driver.status
    while rig.driver.status.cycles < first.cycles + CYCLES:
        rig.step(0.6)
    last = rig.driver.status
    failed = last.failures_ever - first.failures_ever
    promise.check(last.faults == 0, f"a fault: {last}")
    # A state for every exchange that worked, of the moment it was read; reads of errors fail as well.
    heard = len(rig.states)
    promise.check(CYCLES - failed <= heard <= CYCLES, f"{heard} states, {failed} of {CYCLES} failed")
    read_at = [state.read_at for state in rig.states]
    promise.check(sorted(set(read_at)) == read_at, "a state was served twice")
    rig.until(rig.reached(0.6), "the target", 0.6)
    promise.figures |= {"reported": "none", "failed": failed, "of": CYCLES}
    promise.cases = CYCLES
    promise.kept()


def test_a_servo_that_is_missing_from_the_start_is_named(rig: Rig, promised: Any) -> None:
    promise = promised(
        "hand: a servo is missing from the start",
        "configure fails and names it; no torque comes on",
        MEASURED,
        allowed=READY_WITHIN_S,
        unit="s",
    )
    rig.hand("missing", motor=9)
    named = r"rf_mcp \(motor 9\) does not answer, the other 15 do"
    with Stopwatch() as watch, pytest.raises(DriverError, match=named) as caught:
        rig.driver.connect()
    promise.figures |= {"reported": str(caught.value), "seconds_until_named": round(watch.seconds, 3)}
    promise.check(rig.hand("status")["torque"] == [0] * 16, "torque came on")
    promise.case(watch.seconds)
    promise.kept()


def test_when_the_driver_s_process_stops_the_servos_stop_by_themselves(rig: Rig) -> None:
    rig.driver.close()
    rig.driver = LeapDriver(LeapConfig(port=rig.hand.port, reply_timeout=0.1, bus_watchdog=0.1))
    rig.driver.connect()
    rig.driver.enable()
    # Not cycled any more, as after kill -9.
    deadline = time.monotonic() + PATIENCE_S
    while set(rig.hand("status")["watchdog"]) != {-1}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert rig.hand("status")["torque"] == [1] * 16, "they hold"


def _operation(request: dict[str, Any]) -> dict[str, Any]:
    return {"operation": request["do"], **{key: value for key, value in request.items() if key != "do"}}
