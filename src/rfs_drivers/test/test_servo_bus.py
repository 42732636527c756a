"""The bus object over the vendor's library, on a pseudo-terminal; the hand is emulated in its own process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfs_drivers import leap_table, xl330
from rfs_drivers.emulated.leap_bus import LeapBus
from rfs_drivers.emulated.leap_bus_process import EmulatedLeapBus
from rfs_drivers.errors import DriverError, EmulatorError
from rfs_drivers.servo_bus import BusError, Kind, ServoBus

pytest.importorskip("dynamixel_sdk", reason="needs dynamixel-sdk: make setup EXTRAS=drivers")

ALL = leap_table.MOTORS
PATIENT_S = 3.0
"""Of exchanges that must succeed, however busy the machine is; it is only used up where nothing comes."""


@pytest.fixture(scope="module")
def shared_hand() -> Iterator[EmulatedLeapBus]:
    with EmulatedLeapBus() as hand:
        yield hand


@pytest.fixture
def hand(shared_hand: EmulatedLeapBus) -> Iterator[EmulatedLeapBus]:
    yield shared_hand
    shared_hand("clear")


def open_bus(hand: EmulatedLeapBus, reply_timeout: float = PATIENT_S) -> ServoBus:
    return ServoBus(hand.port, 4_000_000, reply_timeout)


@pytest.fixture
def bus(hand: EmulatedLeapBus) -> Iterator[ServoBus]:
    bus = open_bus(hand)
    yield bus
    bus.close()


@pytest.fixture
def hasty(hand: EmulatedLeapBus) -> Iterator[ServoBus]:
    """For exchanges that must fail."""
    bus = open_bus(hand, 0.05)
    yield bus
    bus.close()


def test_every_servo_answers_with_its_model(bus: ServoBus) -> None:
    assert [bus.ping(motor) for motor in ALL] == [1200] * 16


def test_what_is_written_is_read_back_alone_and_from_all(bus: ServoBus) -> None:
    goals = {motor: 2000 + 10 * motor for motor in ALL}
    bus.write_all(xl330.GOAL_POSITION, goals)
    blocks = bus.read_all(ALL, xl330.GOAL_CURRENT, xl330.GOAL_POSITION)
    assert {m: xl330.GOAL_POSITION.decode(b, xl330.GOAL_CURRENT.address) for m, b in blocks.items()} == goals
    bus.write(5, xl330.GOAL_CURRENT, -123)
    assert bus.read(5, xl330.GOAL_CURRENT) == -123


def test_data_that_looks_like_a_header_arrives_as_it_was_sent(bus: ServoBus) -> None:
    # FF FF FD 00, little-endian
    bus.write(5, xl330.GOAL_POSITION, 0x00FDFFFF)
    assert bus.read(5, xl330.GOAL_POSITION) == 0x00FDFFFF
    blocks = bus.read_all(ALL, xl330.GOAL_POSITION, xl330.GOAL_POSITION)
    assert blocks[5] == b"\xff\xff\xfd\x00"


def test_a_refusal_of_a_servo_is_an_error_with_the_register_s_name(bus: ServoBus) -> None:
    with pytest.raises(BusError, match="present position = 5 for motor 3") as caught:
        bus.write(3, xl330.PRESENT_POSITION, 5)
    assert caught.value.kind is Kind.REFUSED


def test_a_missing_servo_is_silence_alone_and_damage_in_a_group(
    hand: EmulatedLeapBus, hasty: ServoBus
) -> None:
    hand("missing", motor=5)
    assert hasty.ping(5) is None
    with pytest.raises(BusError) as alone:
        hasty.read(5, xl330.TEMPERATURE)
    assert alone.value.kind is Kind.SILENT
    with pytest.raises(BusError) as group:
        hasty.read_all(ALL, xl330.TEMPERATURE, xl330.TEMPERATURE)
    assert group.value.kind is Kind.DAMAGED
    hand("missing", motor=0)
    with pytest.raises(BusError) as first:
        hasty.read_all(ALL, xl330.TEMPERATURE, xl330.TEMPERATURE)
    assert first.value.kind is Kind.SILENT


def test_lost_and_damaged_answers_are_errors_and_never_zeros(hand: EmulatedLeapBus, hasty: ServoBus) -> None:
    hand("faults", drop=1.0)
    with pytest.raises(BusError) as lost:
        hasty.read_all(ALL, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)
    assert lost.value.kind is Kind.SILENT
    hand("faults", drop=0.0, corrupt=1.0)
    for _ in range(10):
        with pytest.raises(BusError):
            hasty.read_all(ALL, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)


def test_a_late_answer_is_not_taken_for_the_next_one(hand: EmulatedLeapBus, bus: ServoBus) -> None:
    bus.write(5, xl330.GOAL_CURRENT, 111)
    bus.write(5, xl330.POSITION_P, 555)
    hand("faults", delay_ms=300)
    bus.patience = 0.02
    with pytest.raises(BusError):
        bus.read(5, xl330.GOAL_CURRENT)
    port, deadline = bus._handler.ser, time.monotonic() + 30.0
    while not port.in_waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    hand("clear")
    bus.patience = PATIENT_S
    assert bus.read(5, xl330.POSITION_P) == 555


def test_an_unplugged_port_is_named_and_a_new_bus_works_after_it_is_back(hand: EmulatedLeapBus) -> None:
    bus = open_bus(hand)
    hand("unplug")
    for _ in range(2):
        with pytest.raises(BusError, match="is the hand's USB cable in") as caught:
            bus.read_all(ALL, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)
        assert caught.value.kind is Kind.UNPLUGGED
        assert hand.port in str(caught.value)
    bus.close()
    with pytest.raises(DriverError, match="there is no"):
        open_bus(hand)
    hand("plug")
    again = open_bus(hand)
    assert again.ping(3) == 1200
    again.close()


def test_patience_does_not_depend_on_the_wall_clock(
    hand: EmulatedLeapBus, bus: ServoBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour forward between sending and receiving would end the vendor's own wait at once."""
    hours = iter(range(10**9))
    monkeypatch.setattr("dynamixel_sdk.port_handler.time.time", lambda: 3600.0 * next(hours))
    hand("faults", delay_ms=50)
    assert bus.read(5, xl330.OPERATING_MODE) == 3


def test_only_ones_own_link_is_removed(tmp_path: Path) -> None:
    one, other = LeapBus(str(tmp_path / "hand")), LeapBus(str(tmp_path / "hand"))
    one.close()
    assert (tmp_path / "hand").readlink() == Path(other.path)
    other.close()
    assert not (tmp_path / "hand").is_symlink()


def test_a_port_that_is_not_there_is_answered_with_the_udev_rule(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"there is no .*leap_hand.*99-leap-hand.rules.*latency_timer"):
        ServoBus(str(tmp_path / "leap_hand"), 4_000_000, 0.05)


def test_what_is_no_serial_port_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(DriverError, match="cannot be opened"):
        ServoBus(str(path), 4_000_000, 0.05)


def test_a_second_program_on_the_bus_is_refused(hand: EmulatedLeapBus, bus: ServoBus) -> None:
    with pytest.raises(DriverError, match="is another program using the hand"):
        open_bus(hand)
    assert bus.ping(3) == 1200
    bus.close()
    open_bus(hand).close()


def test_a_rate_that_the_bus_does_not_have_is_refused(hand: EmulatedLeapBus) -> None:
    with pytest.raises(DriverError, match="cannot run at 1234567 baud"):
        ServoBus(hand.port, 1_234_567, 0.05)


def test_the_fault_interface_refuses_what_it_does_not_know(hand: EmulatedLeapBus) -> None:
    with pytest.raises(EmulatorError, match=r"unknown operation 'explode'; known: .*unplug"):
        hand("explode")
    with pytest.raises(EmulatorError, match="no motor 99"):
        hand("missing", motor=99)
    with pytest.raises(EmulatorError, match="faults"):
        hand("faults", dropp=0.5)


@pytest.mark.parametrize(
    ("operation", "arguments", "sentence"),
    [
        ("temperature", {"motor": 7, "celsius": 300}, "celsius is 300, needs a number from 0 to 255"),
        ("voltage", {"volts": 1e5}, "volts is 100000.0, needs a number from 0 to 6553.5"),
        ("place", {"position": [0.0] * 15 + [float("nan")]}, "position is nan"),
        ("place", {"position": [1e300] * 16}, "position is 1e\\+300"),
        ("set", {"motor": 1, "register": "id", "value": 256}, "set: "),
        ("set", {"motor": 1, "register": "id", "value": "5"}, "value is '5'"),
        ("stall", {"seconds": float("nan")}, "seconds is nan"),
        ("missing", {"motor": 3, "on": "off"}, "on is 'off', needs true or false"),
        ("overload", {"motor": 3, "on": "False"}, "on is 'False', needs true or false"),
        ("block", {"joint": "if_mcp", "on": 1}, "on is 1, needs true or false"),
        ("faults", {"drop": 2.0}, "drop is 2.0, needs a number from 0 to 1"),
        ("faults", {"delay_ms": float("inf")}, "delay_ms is inf"),
    ],
)
def test_a_value_that_a_servo_cannot_have_is_refused_and_the_hand_goes_on(
    hand: EmulatedLeapBus, operation: str, arguments: dict[str, object], sentence: str
) -> None:
    with pytest.raises(EmulatorError, match=sentence):
        hand(operation, **arguments)
    status = hand("status")
    assert status["temperature"] == [30] * 16
    assert np.isfinite(status["position"]).all()


@pytest.mark.parametrize("answer", [b"", bytes(30)], ids=["none", "a shorter one"])
def test_an_answer_that_belongs_to_another_question_is_a_damaged_one(
    bus: ServoBus, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """One that comes late is whole and right, but not what the library cuts into pieces."""

    def late(port: Any, *_: object) -> tuple[list[int], int, int]:
        port.is_using = False
        return list(answer), 0, 0

    monkeypatch.setattr(bus._packets, "fastSyncReadRx", late)
    with pytest.raises(BusError) as caught:
        bus.read_all(ALL, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)
    assert caught.value.kind is Kind.DAMAGED
    monkeypatch.undo()
    assert len(bus.read_all(ALL, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)) == 16
