"""The clock of the command gate and its control ticks. What the gate does at them: test_gate.py."""

import pytest

from rfs_core.gate_clock import GateClock
from rfs_core.staleness import Now

MS = 1_000_000
DT = 50 * MS


def by_state() -> GateClock:
    return GateClock(True, DT, 100 * MS)


def by_timer() -> GateClock:
    return GateClock(False, DT, 100 * MS)


def at(steady_ms: int) -> Now:
    """The ROS clock is 7 s ahead."""
    return Now(steady_ms * MS, (steady_ms + 7000) * MS)


def incomplete(stamp_ns: int) -> bool:
    return False


def complete(stamp_ns: int) -> bool:
    return True


def test_in_simulation_it_is_as_late_as_the_newest_tick_and_stamps_are_its_own() -> None:
    clock = by_state()
    assert clock.now(at(1000)) == 0
    clock.tick_ns = 200 * MS
    assert clock.now(at(1000)) == 200 * MS
    assert clock.at(180 * MS, at(1000)) == 180 * MS


def test_with_a_timer_it_is_the_steady_clock_and_stamps_are_placed_by_their_age() -> None:
    clock = by_timer()
    assert clock.now(at(1000)) == 1000 * MS
    # Stamped 30 ms ago.
    assert clock.at(7970 * MS, at(1000)) == 970 * MS


def test_a_step_of_the_ros_clock_that_was_seen_makes_no_message_older() -> None:
    clock = by_timer()
    clock.observe(at(1000))
    stepped = Now(1010 * MS, (1010 + 7000 + 5000) * MS)
    clock.observe(stepped)
    # Stamped before the step, 20 ms ago.
    assert clock.at((990 + 7000) * MS, stepped) == 990 * MS


def test_ticks_are_multiples_of_the_control_step_at_which_the_state_is_complete() -> None:
    clock = by_state()
    assert clock.due_ticks(110 * MS, complete) == []
    assert clock.due_ticks(150 * MS, incomplete) == []
    assert clock.due_ticks(None, incomplete) == []
    assert clock.due_ticks(None, complete) == [150 * MS]
    assert clock.due_ticks(None, complete) == []


def test_a_tick_that_was_never_complete_is_due_when_the_next_begins() -> None:
    clock = by_state()
    assert clock.due_ticks(150 * MS, incomplete) == []
    assert clock.due_ticks(200 * MS, incomplete) == [150 * MS]
    assert clock.due_ticks(250 * MS, complete) == [200 * MS, 250 * MS]


def test_no_tick_is_due_twice_nor_one_before_the_newest() -> None:
    clock = by_state()
    clock.tick_ns = 200 * MS
    assert clock.due_ticks(200 * MS, complete) == []
    assert clock.due_ticks(150 * MS, complete) == []
    clock.forget()
    assert clock.tick_ns is None
    assert clock.due_ticks(150 * MS, complete) == [150 * MS]


def test_a_tick_that_waits_is_forgotten_with_the_clock() -> None:
    clock = by_state()
    clock.due_ticks(150 * MS, incomplete)
    clock.forget()
    assert clock.due_ticks(None, complete) == []


@pytest.mark.parametrize(("later_ms", "early"), [(24, True), (25, False), (50, False)])
def test_a_timer_is_early_within_half_a_control_step(later_ms: int, early: bool) -> None:
    clock = by_timer()
    assert not clock.is_early(at(1000))
    clock.tick_ns = 1000 * MS
    assert clock.is_early(at(1000 + later_ms)) is early


@pytest.mark.parametrize(("later_ms", "may"), [(39, False), (40, True)])
def test_the_next_step_of_an_action_comes_after_four_fifths_of_a_control_step(
    later_ms: int, may: bool
) -> None:
    clock = by_timer()
    assert clock.may_step(at(1000))
    clock.stepped_ns = 1000 * MS
    assert clock.may_step(at(1000 + later_ms)) is may
