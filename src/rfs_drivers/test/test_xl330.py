"""The control table against the manual's numbers: driver and emulator share it, and could share an error."""

from __future__ import annotations

import pytest

from rfs_drivers import xl330


@pytest.mark.parametrize(
    ("register", "address", "size"),
    [
        (xl330.MODEL_NUMBER, 0, 2),
        (xl330.RETURN_DELAY, 9, 1),
        (xl330.OPERATING_MODE, 11, 1),
        (xl330.CURRENT_LIMIT, 38, 2),
        (xl330.TORQUE_ENABLE, 64, 1),
        (xl330.HARDWARE_ERROR, 70, 1),
        (xl330.POSITION_D, 80, 2),
        (xl330.POSITION_I, 82, 2),
        (xl330.POSITION_P, 84, 2),
        (xl330.BUS_WATCHDOG, 98, 1),
        (xl330.GOAL_CURRENT, 102, 2),
        (xl330.GOAL_POSITION, 116, 4),
        (xl330.PRESENT_CURRENT, 126, 2),
        (xl330.PRESENT_VELOCITY, 128, 4),
        (xl330.PRESENT_POSITION, 132, 4),
        (xl330.INPUT_VOLTAGE, 144, 2),
        (xl330.TEMPERATURE, 146, 1),
    ],
)
def test_registers_stand_where_the_manual_says(register: xl330.Register, address: int, size: int) -> None:
    assert (register.address, register.size) == (address, size)


def test_negative_values_are_two_s_complement_and_not_off_by_one() -> None:
    assert xl330.GOAL_CURRENT.encode(-1) == b"\xff\xff"
    assert xl330.GOAL_POSITION.encode(-2048) == b"\x00\xf8\xff\xff"
    assert xl330.PRESENT_VELOCITY.decode(b"\xfe\xff\xff\xff", 128) == -2
    assert xl330.PRESENT_CURRENT.decode(b"\x00\x80", 126) == -32768


def test_a_register_is_found_in_a_block_that_begins_before_it() -> None:
    # 126: current 1, 128: velocity 2, 132: position 3
    block = b"\x01\x00" + b"\x02\x00\x00\x00" + b"\x03\x00\x00\x00"
    found = [
        r.decode(block, 126) for r in (xl330.PRESENT_CURRENT, xl330.PRESENT_VELOCITY, xl330.PRESENT_POSITION)
    ]
    assert found == [1, 2, 3]


def test_errors_are_named() -> None:
    assert xl330.HardwareError(32).describe() == "overload"
    assert xl330.HardwareError(36).describe() == "overheating and overload"
