"""The emulated servos refuse and protect themselves as the manual says; time is given, nothing waits."""

from __future__ import annotations

import numpy as np
import pytest

from rfs_drivers import leap_table, xl330
from rfs_drivers.emulated.leap_direct import DirectBus
from rfs_drivers.emulated.leap_servos import FreeHand, LeapServos
from rfs_drivers.servo_bus import BusError

ALL = leap_table.MOTORS


def hand_in_control(watchdog: int = 0) -> DirectBus:
    """All servos in current-based position mode with 350 mA and torque on, at zero."""
    bus = DirectBus()
    bus.now = 1.0
    for motor in ALL:
        bus.write(motor, xl330.OPERATING_MODE, xl330.CURRENT_POSITION_MODE)
        bus.write(motor, xl330.POSITION_P, 600)
        bus.write(motor, xl330.POSITION_D, 200)
        bus.write(motor, xl330.GOAL_CURRENT, 350)
        bus.write(motor, xl330.GOAL_POSITION, 2048)
        bus.write(motor, xl330.BUS_WATCHDOG, watchdog)
        bus.write(motor, xl330.TORQUE_ENABLE, 1)
    return bus


def value(bus: DirectBus, motor: int, register: xl330.Register) -> int:
    return register.decode(bus.read_all([motor], register, register)[motor], register.address)


def test_eeprom_is_refused_while_torque_is_on() -> None:
    bus = hand_in_control()
    with pytest.raises(BusError, match="error 7"):
        bus.write(3, xl330.OPERATING_MODE, 3)
    assert value(bus, 3, xl330.OPERATING_MODE) == 5


def test_a_sync_write_that_a_servo_refuses_is_not_reported_to_anybody() -> None:
    bus = hand_in_control()
    bus.write_all(xl330.OPERATING_MODE, dict.fromkeys(ALL, 3))
    assert {value(bus, motor, xl330.OPERATING_MODE) for motor in ALL} == {5}


def test_a_goal_current_above_the_limit_is_refused() -> None:
    bus = hand_in_control()
    with pytest.raises(BusError, match="error 6"):
        bus.write(0, xl330.GOAL_CURRENT, 1751)


def test_measurements_cannot_be_written() -> None:
    with pytest.raises(BusError, match="error 7"):
        hand_in_control().write(0, xl330.PRESENT_POSITION, 2048)


def test_a_finger_goes_to_its_goal() -> None:
    bus = hand_in_control()
    bus.write_all(xl330.GOAL_POSITION, dict.fromkeys(ALL, 2048 + 300))
    for _ in range(40):
        bus.sleep(0.05)
        bus.ping(0)
    assert all(abs(value(bus, motor, xl330.PRESENT_POSITION) - 2348) <= 3 for motor in ALL)


def test_a_blocked_finger_pushes_with_the_goal_current_and_no_more() -> None:
    bus = hand_in_control()
    assert isinstance(bus.servos.body, FreeHand)
    bus.servos.body.blocked[1] = True
    bus.write(1, xl330.GOAL_POSITION, 3000)
    bus.sleep(0.05)
    assert value(bus, 1, xl330.PRESENT_CURRENT) == 350
    assert value(bus, 1, xl330.PRESENT_POSITION) == 2048


def test_the_watchdog_stops_a_servo_where_it_is_when_the_bus_goes_quiet() -> None:
    bus = hand_in_control(watchdog=5)  # 100 ms
    bus.write(2, xl330.GOAL_POSITION, 3000)
    bus.sleep(0.09)
    assert value(bus, 2, xl330.BUS_WATCHDOG) == 5
    bus.sleep(0.11)
    assert value(bus, 2, xl330.BUS_WATCHDOG) == xl330.WATCHDOG_EXPIRED
    assert value(bus, 2, xl330.GOAL_POSITION) < 3000
    with pytest.raises(BusError, match="error 4"):
        bus.write(2, xl330.GOAL_POSITION, 3000)
    bus.write(2, xl330.BUS_WATCHDOG, 0)
    bus.write(2, xl330.GOAL_POSITION, 3000)


@pytest.mark.parametrize(("fault", "bit"), [("heat", 4), ("overload", 32)])
def test_a_servo_in_error_takes_its_torque_off_until_it_is_restarted_without_the_cause(
    fault: str, bit: int
) -> None:
    bus = hand_in_control()
    servo = bus.servos.servo(6)
    servo.overloaded = fault == "overload"
    servo.put(xl330.TEMPERATURE, 70 if fault == "heat" else 30)
    bus.sleep(0.01)
    assert value(bus, 6, xl330.HARDWARE_ERROR) == bit
    assert value(bus, 6, xl330.TORQUE_ENABLE) == 0
    with pytest.raises(BusError, match="error 7"):
        bus.write(6, xl330.TORQUE_ENABLE, 1)
    servo.overloaded = False
    servo.put(xl330.TEMPERATURE, 30)
    assert value(bus, 6, xl330.HARDWARE_ERROR) == bit, "an error stays until a restart"
    bus.reboot(6)
    assert bus.ping(6) is None, "silent while it starts"
    bus.sleep(0.4)
    assert bus.ping(6) == 1200
    assert value(bus, 6, xl330.HARDWARE_ERROR) == 0
    assert value(bus, 6, xl330.OPERATING_MODE) == 5, "EEPROM is kept"
    assert value(bus, 6, xl330.POSITION_P) == 400, "RAM is not"


def test_behind_a_missing_servo_a_fast_answer_stays_short() -> None:
    bus = hand_in_control()
    bus.servos.servo(5).present = False
    with pytest.raises(BusError, match="incomplete"):
        bus.read_all(ALL, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)
    bus.servos.servo(0).present = False
    with pytest.raises(BusError, match="no answer"):
        bus.read_all(ALL, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)


@pytest.mark.parametrize(
    ("mode", "milliamperes"),
    [
        (0, 300),  # the goal current, whatever the goal position is
        (1, 0),
        (3, 1750),  # the current limit as delivered
        (4, 1750),
        (5, 300),
        (16, 0),
    ],
)
def test_the_operating_mode_decides_what_a_blocked_finger_pushes_with(mode: int, milliamperes: int) -> None:
    bus = DirectBus()
    bus.now = 1.0
    assert isinstance(bus.servos.body, FreeHand)
    bus.servos.body.blocked[1] = True
    bus.write(1, xl330.OPERATING_MODE, mode)
    bus.write(1, xl330.POSITION_P, 600)
    bus.write(1, xl330.GOAL_CURRENT, 300)
    # 2,000 ticks with P 600 / 128 ask for far more than 1,750 mA.
    bus.write(1, xl330.GOAL_POSITION, 2048 + 2000)
    bus.write(1, xl330.TORQUE_ENABLE, 1)
    bus.sleep(0.05)
    assert value(bus, 1, xl330.PRESENT_CURRENT) == milliamperes


@pytest.mark.parametrize(
    ("look_every_s", "looks", "steps"),
    [
        (0.003, 100, 150),  # 0.3 s in steps of 2 ms
        (0.0005, 100, 25),
        (0.002, 100, 100),
        (0.001, 100, 50),
        (0.5, 2, 100),  # beyond 0.1 s is lost: twice 50 steps
    ],
)
def test_no_time_is_lost_between_two_looks(look_every_s: float, looks: int, steps: int) -> None:
    class Counting(FreeHand):
        steps = 0

        def step(self, torque: np.ndarray, dt: float) -> None:
            self.steps += 1

    body = Counting()
    servos = LeapServos(body, 1000.0)
    for k in range(1, looks + 1):
        servos.advance(1000.0 + k * look_every_s)
    assert body.steps == steps


def test_another_body_can_carry_the_joints() -> None:
    """What a physics world will be."""

    class Still:
        position = np.full(16, 0.25)
        velocity = np.zeros(16)
        torques: list[np.ndarray] = []

        def step(self, torque: np.ndarray, dt: float) -> None:
            self.torques.append(torque)

    body = Still()
    bus = DirectBus(LeapServos(body))
    bus.now = 0.1
    # 0.25 rad are 0.25 / 6.283185 * 4096 = 163 ticks.
    assert value(bus, 4, xl330.PRESENT_POSITION) == 2048 + 163
    assert len(body.torques) > 0
