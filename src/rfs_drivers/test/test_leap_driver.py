"""What the LEAP driver decides: against emulated servos without a wire, on a clock that moves when told."""

from __future__ import annotations

import numpy as np
import pytest

from rfs_drivers import leap_table, xl330
from rfs_drivers.emulated.leap_direct import DirectBus
from rfs_drivers.emulated.leap_servos import FreeHand
from rfs_drivers.errors import DriverError
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_driver import HandState, LeapDriver, Phase

ALL = leap_table.MOTORS


class Bench:
    """A driver on its bus, cycled at 60 Hz of the bus's own time."""

    def __init__(self, **parameters: object) -> None:
        self.bus = DirectBus()
        self.states: list[HandState] = []
        self.lines: list[str] = []
        self.driver = LeapDriver(
            LeapConfig(port="/dev/none", **({"soft_start": 0.2} | parameters)),  # type: ignore[arg-type]
            log=lambda level, line: self.lines.append(f"{level}: {line}"),
            on_state=self.states.append,
            clock=self.bus.clock,
            sleep=self.bus.sleep,
            open_bus=lambda config: self.bus.open(),
        )

    def start(self) -> Bench:
        """Connected, torque on, soft start over."""
        self.driver.connect()
        self.driver.enable()
        self.run(0.3)
        return self

    def run(self, seconds: float, target: float | None = None) -> None:
        """Cycles, with a target for all joints before each."""
        end = self.bus.now + seconds
        while self.bus.now < end:
            begin = self.bus.now
            if target is not None:
                self.driver.offer(np.full(16, target))
            self.driver.cycle()
            self.bus.now = max(begin + 1.0 / 60.0, self.bus.now)

    def registers(self, register: xl330.Register) -> list[int]:
        return [servo.get(register) for servo in self.bus.servos.servos.values()]

    @property
    def reason(self) -> str:
        return self.driver.status.reason

    @property
    def phase(self) -> Phase:
        return self.driver.phase


# Starting ------------------------------------------------------------------------------------------------


def test_connecting_moves_nothing_and_leaves_torque_off() -> None:
    bench = Bench()
    bench.driver.connect()
    bench.run(0.2)
    assert bench.phase is Phase.READY
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16
    np.testing.assert_array_equal(bench.states[-1].position, np.zeros(16))


def test_a_hand_left_with_torque_on_and_another_mode_gets_torque_off_before_its_mode_is_changed() -> None:
    bench = Bench()
    for servo in bench.bus.servos.servos.values():
        servo.put(xl330.OPERATING_MODE, 3)
        servo.put(xl330.TORQUE_ENABLE, 1)
    bench.driver.connect()
    assert bench.registers(xl330.OPERATING_MODE) == [5] * 16
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16
    assert bench.registers(xl330.RETURN_DELAY) == [0] * 16


def test_servos_shut_themselves_down_when_hot_or_overloaded_even_if_somebody_had_switched_that_off() -> None:
    bench = Bench()
    bench.bus.servos.servo(5).put(xl330.SHUTDOWN, 0)
    bench.driver.connect()
    # Bits 2 (overheating) and 5 (overload); what else was set stays: 53 has both.
    assert bench.registers(xl330.SHUTDOWN) == [36 if motor == 5 else 53 for motor in ALL]


def test_gains_come_by_joint_name_and_sideways_joints_get_three_quarters() -> None:
    bench = Bench()
    bench.driver.connect()
    side = [0, 4, 8]
    assert bench.registers(xl330.POSITION_P) == [450 if motor in side else 600 for motor in ALL]
    assert bench.registers(xl330.POSITION_D) == [150 if motor in side else 200 for motor in ALL]


def test_missing_servos_are_named_when_connecting() -> None:
    bench = Bench()
    for motor in (2, 13):
        bench.bus.servos.servo(motor).present = False
    with pytest.raises(
        DriverError, match=r"if_pip \(motor 2\), th_axl \(motor 13\) do not answer, the other 14"
    ):
        bench.driver.connect()
    assert bench.bus.closed == 1


def test_a_bus_on_which_nobody_answers_points_at_the_power_supply() -> None:
    bench = Bench()
    for servo in bench.bus.servos.servos.values():
        servo.present = False
    with pytest.raises(DriverError, match="is the hand's power supply on"):
        bench.driver.connect()


def test_another_model_of_servo_is_refused() -> None:
    bench = Bench()
    bench.bus.servos.servo(4).put(xl330.MODEL_NUMBER, 1020)
    with pytest.raises(DriverError, match=r"mf_rot \(motor 4\) is model 1020"):
        bench.driver.connect()


def test_a_finger_far_outside_its_range_keeps_torque_off() -> None:
    bench = Bench()
    bench.driver.connect()
    position = np.zeros(16)
    position[3] = -0.7  # if_dip: -0.366 at least; 0.25 beyond is tolerated
    bench.bus.servos.body.position = position
    with pytest.raises(DriverError, match=r"if_dip \(motor 3\) stands at -0.70 rad, its range is -0.366"):
        bench.driver.enable()
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16


def test_torque_comes_on_where_the_fingers_are_and_with_a_fifth_of_the_current() -> None:
    bench = Bench(current=0.35, soft_start=1.0)
    position = np.linspace(0.1, 0.9, 16)
    bench.bus.servos.body.position = position
    bench.driver.connect()
    bench.driver.enable()
    # In ticks, so within half of 0.0015 rad.
    np.testing.assert_allclose(
        leap_table.radians(np.array(bench.registers(xl330.GOAL_POSITION))), position, atol=8e-4
    )
    assert bench.registers(xl330.GOAL_CURRENT) == [70] * 16
    assert bench.registers(xl330.TORQUE_ENABLE) == [1] * 16
    assert bench.registers(xl330.BUS_WATCHDOG) == [15] * 16  # 0.3 s in steps of 20 ms
    bench.run(1.1)
    assert bench.registers(xl330.GOAL_CURRENT) == [350] * 16


# Following and holding -------------------------------------------------------------------------------------


def test_fingers_reach_their_targets_and_states_say_so() -> None:
    bench = Bench().start()
    bench.run(1.5, 0.5)
    assert bench.phase is Phase.FOLLOWING
    np.testing.assert_allclose(bench.states[-1].position, 0.5, atol=0.01)
    assert abs(bench.states[-1].velocity).max() < 0.05


def test_the_hand_holds_by_itself_150_ms_after_targets_stop() -> None:
    bench = Bench().start()
    bench.run(0.1, 1.0)
    assert bench.phase is Phase.FOLLOWING
    bench.run(0.2)
    assert bench.phase is Phase.HOLDING
    goal = bench.registers(xl330.GOAL_POSITION)
    bench.run(0.5)
    assert bench.registers(xl330.GOAL_POSITION) == goal
    assert bench.reason == "no target for 150 ms"


def test_no_goal_outside_the_limits_ever_reaches_a_servo() -> None:
    bench = Bench().start()
    for target in (2.4, -2.4, 3.0, -3.0, 1e300, float("inf")):
        bench.run(0.8, target)
    low, high = leap_table.ticks(leap_table.LOW), leap_table.ticks(leap_table.HIGH)
    goals = [values for name, values in bench.bus.writes if name == xl330.GOAL_POSITION.name]
    assert len(goals) > 200
    for values in goals:
        assert all(lo <= values[motor] <= hi for motor, lo, hi in zip(ALL, low, high, strict=True))


def test_targets_before_torque_is_on_are_refused_and_not_remembered() -> None:
    bench = Bench()
    bench.driver.connect()
    assert "ready" in bench.driver.offer(np.full(16, 0.5))
    bench.driver.enable()
    bench.run(0.5)
    np.testing.assert_allclose(bench.states[-1].position, 0.0, atol=2e-3)


def test_a_goal_current_that_was_lost_on_the_wire_is_sent_again() -> None:
    bench = Bench().start()
    bench.bus.servos.servo(6).put(xl330.GOAL_CURRENT, 70)
    bench.run(0.3, 0.3)
    assert bench.registers(xl330.GOAL_CURRENT) == [350] * 16


def test_disabling_takes_torque_and_watchdog_off() -> None:
    bench = Bench().start()
    bench.driver.disable()
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16
    assert bench.registers(xl330.BUS_WATCHDOG) == [0] * 16
    assert bench.phase is Phase.READY


# Bad exchanges ---------------------------------------------------------------------------------------------


def test_a_failed_read_gives_no_state_and_never_the_last_one_again() -> None:
    bench = Bench().start()
    bench.bus.damaged_in = 5
    before = len(bench.states)
    cycles = bench.driver.status.cycles
    bench.run(2.0, 0.3)
    published = len(bench.states) - before
    tried = bench.driver.status.cycles - cycles
    assert published < tried
    stamps = [state.read_at for state in bench.states]
    assert len(set(stamps)) == len(stamps)


def test_five_percent_of_damaged_answers_are_lived_with() -> None:
    bench = Bench().start()
    bench.bus.damaged_in = 20
    bench.run(5.0, 0.4)
    assert bench.phase is Phase.FOLLOWING
    assert bench.driver.status.faults == 0
    assert bench.driver.status.failures_ever > 5


def test_more_failures_than_the_budget_end_control() -> None:
    bench = Bench(fault_budget=20).start()
    bench.bus.damaged_in = 2
    bench.run(3.0, 0.4)
    assert bench.phase is Phase.FAULT
    assert "21 of the last" in bench.reason
    bench.bus.damaged_in = 0
    bench.run(1.0, 0.4)
    assert bench.phase is Phase.FAULT, "control does not come back by itself"
    assert bench.driver.recover().startswith("recovered")
    bench.run(1.5, 0.4)
    assert bench.phase is Phase.FOLLOWING


def test_a_servo_that_falls_silent_is_named_within_half_a_second_and_the_others_hold() -> None:
    bench = Bench().start()
    bench.run(1.0, 0.5)
    bench.bus.servos.servo(13).present = False
    begin = bench.bus.now
    while bench.phase is not Phase.FAULT:
        bench.run(1.0 / 60.0, 0.5)
        assert bench.bus.now - begin < 0.5
    assert bench.reason.startswith("th_axl (motor 13) does not answer, the other 15 do")
    torque = bench.registers(xl330.TORQUE_ENABLE)
    assert torque == [1] * 16
    states = len(bench.states)
    bench.run(1.0, 0.5)
    assert len(bench.states) == states, "without one joint there is no state of the hand"
    with pytest.raises(DriverError, match=r"th_axl \(motor 13\) does not answer"):
        bench.driver.recover()
    bench.bus.servos.servo(13).present = True
    bench.run(0.5)
    assert len(bench.states) > states
    bench.driver.recover()
    assert bench.phase is Phase.HOLDING


def test_a_servo_that_loses_power_and_comes_back_limp_is_noticed_and_set_up_again() -> None:
    bench = Bench().start()
    bench.bus.servos.servo(7).reboot(bench.bus.now, seconds=0.0)
    bench.run(0.3)
    assert bench.phase is Phase.FAULT
    assert "mf_dip (motor 7) lost torque without an error" in bench.reason
    assert bench.registers(xl330.POSITION_P)[7] == 400
    bench.driver.recover()
    assert bench.registers(xl330.POSITION_P)[7] == 600
    assert bench.registers(xl330.TORQUE_ENABLE) == [1] * 16


def test_a_stall_of_this_process_stops_the_servos_and_is_named() -> None:
    bench = Bench(bus_watchdog=0.3).start()
    bench.bus.sleep(1.0)
    bench.run(0.3, 0.5)
    assert bench.phase is Phase.FAULT
    assert "16 servos stopped by themselves: nothing came for 0.3 s" in bench.reason
    bench.driver.recover()
    bench.run(1.5, 0.5)
    np.testing.assert_allclose(bench.states[-1].position, 0.5, atol=0.01)


def test_after_the_port_is_lost_the_hand_is_found_again_keeps_its_torque_and_waits_for_recovery() -> None:
    bench = Bench().start()
    bench.run(1.5, 0.5)
    bench.bus.unplugged = True
    bench.run(0.1, 0.9)
    assert bench.phase is Phase.FAULT
    opened = bench.bus.opened
    bench.run(2.0, 0.9)
    bench.bus.unplugged = False
    bench.run(1.5, 0.9)
    assert bench.bus.opened == opened + 1
    assert bench.phase is Phase.FAULT
    assert bench.registers(xl330.TORQUE_ENABLE) == [1] * 16
    np.testing.assert_allclose(bench.states[-1].position, 0.5, atol=0.02)
    bench.driver.recover()
    bench.run(2.0, 0.9)
    np.testing.assert_allclose(bench.states[-1].position, 0.9, atol=0.01)


# Errors of servos ------------------------------------------------------------------------------------------


def test_an_overloaded_servo_is_named_and_recovered_by_a_restart_once_it_is_free() -> None:
    bench = Bench().start()
    assert isinstance(bench.bus.servos.body, FreeHand)
    bench.bus.servos.body.blocked[6] = True  # as by something that is held
    bench.run(1.0, 0.5)
    bench.bus.servos.servo(2).overloaded = True
    bench.run(0.3, 0.5)
    assert bench.phase is Phase.FAULT
    assert bench.reason.startswith("if_pip (motor 2) reports overload")
    torque = bench.registers(xl330.TORQUE_ENABLE)
    assert torque == [0 if motor == 2 else 1 for motor in ALL], "the others hold what they hold"
    with pytest.raises(DriverError, match=r"if_pip \(motor 2\) reports overload again after a restart"):
        bench.driver.recover()
    bench.bus.servos.servo(2).overloaded = False
    goals = bench.registers(xl330.GOAL_POSITION)
    assert bench.driver.recover() == "recovered, restarted if_pip (motor 2): the hand is holding"
    assert bench.registers(xl330.POSITION_P)[2] == 600
    assert bench.registers(xl330.HARDWARE_ERROR) == [0] * 16
    # The others keep goal and current, and with them the grip; the restarted one begins with a fifth.
    assert [g for m, g in enumerate(bench.registers(xl330.GOAL_POSITION)) if m != 2] == goals[:2] + goals[3:]
    assert bench.registers(xl330.GOAL_CURRENT) == [70 if motor == 2 else 350 for motor in ALL]
    bench.bus.servos.body.blocked[6] = False
    bench.run(1.5, 0.5)
    np.testing.assert_allclose(bench.states[-1].position, 0.5, atol=0.01)


def test_a_warm_servo_gets_less_current_and_a_line_in_the_log_once() -> None:
    bench = Bench(derate_from=55.0, derate_to=65.0, derate_share=0.3).start()
    bench.bus.servos.servo(7).put(xl330.TEMPERATURE, 59)
    bench.run(0.5, 0.3)
    # 0.35 A * (1 - 0.7 * 4 / 10)
    assert bench.registers(xl330.GOAL_CURRENT) == [252 if motor == 7 else 350 for motor in ALL]
    assert bench.phase is Phase.FOLLOWING
    assert "mf_dip (motor 7) is at 59 degC" in bench.reason
    assert sum("mf_dip" in line for line in bench.lines) == 1


def test_at_seventy_degrees_the_fault_is_named_and_recovery_waits_for_the_servo_to_cool() -> None:
    bench = Bench().start()
    bench.bus.servos.servo(7).put(xl330.TEMPERATURE, 70)
    bench.run(0.3, 0.3)
    assert bench.reason.startswith("mf_dip (motor 7) reports overheating")
    with pytest.raises(DriverError, match=r"mf_dip \(motor 7\) is at 70 degC: let it cool below 66"):
        bench.driver.recover()
    bench.bus.servos.servo(7).put(xl330.TEMPERATURE, 40)
    bench.driver.recover()
    assert bench.phase is Phase.HOLDING


def test_a_low_supply_is_a_warning() -> None:
    bench = Bench().start()
    bench.bus.servos.servo(9).put(xl330.INPUT_VOLTAGE, 41)
    bench.run(0.3, 0.3)
    assert "supply of rf_mcp (motor 9) is 4.1 V, below 4.3 V" in bench.reason
    assert bench.phase is Phase.FOLLOWING


def test_there_is_nothing_to_recover_without_a_fault() -> None:
    with pytest.raises(DriverError, match="nothing to recover from"):
        Bench().start().driver.recover()


def test_where_a_servo_is_silent_the_others_go_limp_and_it_is_named() -> None:
    bench = Bench().start()
    silent = bench.bus.servos.servo(13)
    silent.present = False
    said = bench.driver.disable()
    assert said == (
        "torque could not be taken off: th_axl (motor 13) does not answer; that of the other 15 is off"
    )
    silent.present = True
    torque = dict(zip(ALL, bench.registers(xl330.TORQUE_ENABLE), strict=True))
    assert torque == {**dict.fromkeys(ALL, 0), 13: 1}
    watchdogs = dict(zip(ALL, bench.registers(xl330.BUS_WATCHDOG), strict=True))
    assert {watchdogs[motor] for motor in ALL if motor != 13} == {0}  # they were told that this is the end


# Torque is on only where the driver says so ----------------------------------------------------------------


def test_torque_that_comes_on_for_some_servos_only_goes_off_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.driver.connect()
    write = bench.bus.write_all

    def supply_dips(register: xl330.Register, values: dict[int, int]) -> None:
        write(register, values)
        if register is xl330.TORQUE_ENABLE and 1 in values.values():
            bench.bus.servos.servo(3).reboot(bench.bus.now, 0.001)

    monkeypatch.setattr(bench.bus, "write_all", supply_dips)
    with pytest.raises(DriverError, match=r"if_dip \(motor 3\) did not take torque enable"):
        bench.driver.enable()
    assert bench.phase is Phase.READY
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16


def test_torque_that_could_not_be_taken_off_goes_off_with_recovery() -> None:
    bench = Bench().start()
    for servo in bench.bus.servos.servos.values():
        servo.present = False
    assert "torque could not be taken off" in bench.driver.disable()
    assert bench.phase is Phase.FAULT
    for servo in bench.bus.servos.servos.values():
        servo.present = True
    assert bench.registers(xl330.TORQUE_ENABLE) == [1] * 16
    assert bench.driver.recover() == "recovered: the hand is ready"
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16
    assert bench.registers(xl330.BUS_WATCHDOG) == [0] * 16


def test_recovery_of_a_hand_that_is_off_makes_it_limp_whatever_else_is_wrong() -> None:
    bench = Bench().start()
    for servo in bench.bus.servos.servos.values():
        servo.present = False
    bench.driver.disable()
    for servo in bench.bus.servos.servos.values():
        servo.present = True
    bench.bus.servos.servo(2).overloaded = True
    bench.run(0.5)
    with pytest.raises(DriverError):
        bench.driver.recover()
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16


def test_a_hand_that_was_unplugged_when_it_was_switched_off_is_not_said_to_be_limp() -> None:
    bench = Bench().start()
    bench.bus.unplugged = True
    bench.run(0.1)
    assert "its torque stays as it is" in bench.driver.disable()
    bench.bus.unplugged = False
    bench.run(2.0)
    assert bench.registers(xl330.TORQUE_ENABLE) == [1] * 16
    bench.driver.close()
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16


def test_the_end_takes_torque_off_where_switching_off_had_failed() -> None:
    bench = Bench().start()
    bench.bus.damaged_in = 1  # every answer
    assert "torque could not be taken off" in bench.driver.disable()
    bench.bus.damaged_in = 0
    bench.driver.close()
    assert bench.registers(xl330.TORQUE_ENABLE) == [0] * 16


def test_a_refused_recovery_leaves_the_watchdogs_of_the_others_on() -> None:
    bench = Bench().start()
    bench.bus.servos.servo(2).overloaded = True
    bench.run(0.5, 0.5)
    before = bench.registers(xl330.BUS_WATCHDOG)
    assert min(before) > 0
    with pytest.raises(DriverError, match="overload again after a restart"):
        bench.driver.recover()
    # Motor 2 has restarted: no torque, no watchdog.
    assert bench.registers(xl330.TORQUE_ENABLE) == [0 if motor == 2 else 1 for motor in ALL]
    watched = bench.registers(xl330.BUS_WATCHDOG)
    assert [steps for motor, steps in zip(ALL, watched, strict=True) if motor != 2] == before[1:]
