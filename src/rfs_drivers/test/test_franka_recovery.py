"""The recovery ladder."""

from __future__ import annotations

import pytest

from rfs_drivers.franka_faults import Cause, Fault
from rfs_drivers.franka_recovery import RecoveryLadder, Step

REFLEX = Fault(Cause.REFLEX, "reflex")
NETWORK = Fault(Cause.NETWORK, "network")


def ladder(fault: Fault | None = None, now: float = 0.0) -> RecoveryLadder:
    steps = RecoveryLadder(first_wait=0.2, longest_wait=1.0)
    if fault is not None:
        steps.failed(fault, now)
    return steps


def test_nothing_is_done_without_a_fault() -> None:
    steps = ladder()
    steps.request()
    assert steps.next(0.0, False) is Step.NONE


@pytest.mark.parametrize("cause", [Cause.REFLEX, Cause.COMMUNICATION, Cause.USER_STOP, Cause.OTHER])
def test_control_never_comes_back_by_itself(cause: Cause) -> None:
    steps = ladder(Fault(cause, ""))
    assert all(steps.next(0.1 * k, False) is Step.WAIT for k in range(10_000))


def test_errors_are_cleared_on_request() -> None:
    steps = ladder(REFLEX)
    steps.request()
    assert steps.next(1.0, False) is Step.CLEAR
    steps.cleared()
    assert steps.next(1.0, False) is Step.NONE


def test_a_request_while_the_user_stop_is_pressed_is_not_remembered() -> None:
    steps = ladder(Fault(Cause.USER_STOP, ""))
    steps.request()
    assert steps.next(1.0, user_stopped=True) is Step.WAIT
    assert steps.next(2.0, user_stopped=False) is Step.WAIT
    steps.request()
    assert steps.next(3.0, user_stopped=False) is Step.CLEAR


def test_a_request_while_disconnected_is_not_remembered() -> None:
    steps = ladder(NETWORK)
    steps.request()
    assert steps.next(0.1, False) is Step.WAIT
    steps.connected_anew()
    assert steps.next(5.0, False) is Step.WAIT


def test_a_request_before_another_fault_is_not_remembered() -> None:
    steps = ladder(REFLEX)
    steps.request()
    steps.failed(Fault(Cause.COMMUNICATION, ""), 1.0)
    assert steps.next(2.0, False) is Step.WAIT


def test_connecting_waits_twice_as_long_each_time_up_to_the_longest() -> None:
    steps, now, waits = ladder(NETWORK), 0.0, []
    for _ in range(6):
        begun = now
        while steps.next(now, False) is Step.WAIT:
            now += 0.001
        waits.append(round(now - begun, 2))
        assert steps.next(now, False) is Step.CONNECT
        steps.not_connected(NETWORK, now)
    assert waits == [0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_a_new_connection_still_waits_for_a_person() -> None:
    steps = ladder(NETWORK)
    assert steps.next(0.3, False) is Step.CONNECT
    steps.connected_anew()
    assert steps.next(0.3, False) is Step.WAIT
    steps.request()
    assert steps.next(0.3, False) is Step.CLEAR


def test_errors_that_cannot_be_cleared_twice_lead_to_a_new_connection() -> None:
    steps = ladder(REFLEX)
    for _ in range(2):
        steps.request()
        assert steps.next(1.0, False) is Step.CLEAR
        steps.not_cleared(Fault(Cause.OTHER, "no"), 1.0)
    assert steps.next(1.0, False) is Step.WAIT
    assert steps.next(1.3, False) is Step.CONNECT


def test_one_request_is_one_attempt() -> None:
    steps = ladder(REFLEX)
    steps.request()
    steps.not_cleared(Fault(Cause.OTHER, "no"), 1.0)
    assert steps.next(1.1, False) is Step.WAIT


def test_a_connection_lost_while_clearing_is_made_anew() -> None:
    steps = ladder(REFLEX)
    steps.request()
    steps.not_cleared(NETWORK, 1.0)
    assert steps.next(1.3, False) is Step.CONNECT


@pytest.mark.parametrize("cause", [Cause.VERSION, Cause.REALTIME])
def test_what_cannot_be_mended_is_not_tried(cause: Cause) -> None:
    steps = ladder(Fault(cause, ""))
    steps.request()
    assert all(steps.next(float(k), False) is Step.GIVE_UP for k in range(100))
