"""Targets become goals within limits, at a bounded speed, and stop when they stop coming."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rfs_drivers import leap_table
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_targets import GoalStream, derating

CONFIG = LeapConfig(soft_start=1.0, max_speed=6.0, hold_after=0.15, stale_state=0.12)
DT = 1.0 / 60.0


def warm_stream() -> GoalStream:
    """Ten seconds after torque came on, at zero."""
    stream = GoalStream(CONFIG)
    stream.begin(np.zeros(16), 0.0)
    stream.step(10.0, 0.0)
    return stream


def test_a_goal_moves_no_faster_than_allowed() -> None:
    stream = warm_stream()
    stream.offer(np.full(16, 1.0), 10.0)
    goal = stream.step(10.0 + DT, 0.0)
    # 6 rad/s for a sixtieth of a second
    np.testing.assert_allclose(goal, 0.1)


def test_after_torque_comes_on_speed_and_current_begin_at_a_fifth() -> None:
    stream = GoalStream(CONFIG)
    stream.begin(np.zeros(16), 0.0)
    assert stream.softness(0.0) == pytest.approx(0.2)
    assert stream.softness(0.5) == pytest.approx(0.6)
    assert stream.softness(3.0) == 1.0
    stream.offer(np.full(16, 1.0), 0.0)
    # 6 rad/s * DT * (0.2 + 0.8 * DT)
    np.testing.assert_allclose(stream.step(DT, 0.0), 6.0 * DT * (0.2 + 0.8 * DT))


def test_fingers_stop_where_their_goal_is_when_targets_stop_for_150_ms() -> None:
    stream = warm_stream()
    stream.offer(np.full(16, 1.0), 10.0)
    for step in range(1, 9):  # to 133 ms
        stream.step(10.0 + step * DT, 0.0)
    assert stream.following
    reached = stream.goal.copy()
    for now in (10.16, 10.3, 11.0):
        np.testing.assert_array_equal(stream.step(now, 0.0), reached)
    assert not stream.following
    assert stream.why == "no target for 150 ms"
    assert stream.holds == 1


def test_a_target_from_before_a_hold_is_not_followed_when_the_cause_is_gone() -> None:
    stream = warm_stream()
    stream.offer(np.full(16, 1.0), 10.0)
    stream.step(10.01, 0.0, obstacle="2 publishers")
    goal = stream.goal.copy()
    np.testing.assert_array_equal(stream.step(10.02, 0.0), goal)
    assert stream.why == "2 publishers"
    stream.offer(np.full(16, 1.0), 10.03)
    assert (stream.step(10.04, 0.0) > goal).all()


def test_fingers_stop_when_the_measurement_is_old() -> None:
    stream = warm_stream()
    stream.offer(np.full(16, 1.0), 10.0)
    np.testing.assert_array_equal(stream.step(10.05, 0.13), np.zeros(16))
    assert "130 ms old" in stream.why


def test_after_a_stall_the_goal_does_not_leap() -> None:
    stream = warm_stream()
    stream.offer(np.full(16, 1.0), 12.0)
    # Two seconds were missed; at most 0.1 s of motion is made: 0.6 rad.
    np.testing.assert_allclose(stream.step(12.0, 0.0), 0.6)


def test_beyond_the_limits_is_clipped_to_them_exactly_and_three_times_beyond_is_refused() -> None:
    stream = warm_stream()
    high = leap_table.HIGH + 0.01
    assert stream.offer(high, 10.0) == ""
    for step in range(1, 9):
        stream.step(10.0 + step * DT, 0.0)
        stream.offer(high, 10.0 + step * DT)
    for step in range(9, 60):
        stream.offer(high, 10.0 + step * DT)
        stream.step(10.0 + step * DT, 0.0)
    np.testing.assert_array_equal(stream.goal, leap_table.HIGH)
    assert stream.clipped == 60
    far = np.zeros(16)
    far[0] = 3.2  # if_rot: middle 0, half range 1.047: allowed to be asked up to 3.141
    assert "if_rot is 3.2 rad, allowed: -1.05 to 1.05" in stream.offer(far, 10.5)
    assert stream.refused == 1


@settings(max_examples=200, deadline=None)
@given(
    target=arrays(np.float64, 16, elements=st.floats(allow_nan=True, allow_infinity=True, width=64)),
    dt=st.floats(0.0, 1.0),
)
def test_no_target_whatever_it_is_brings_a_goal_out_of_limits_or_beyond_the_speed(
    target: np.ndarray, dt: float
) -> None:
    stream = warm_stream()
    stream.offer(target, 10.0)
    goal = stream.step(10.0 + dt, 0.0)
    assert np.isfinite(goal).all()
    assert (goal >= leap_table.LOW).all()
    assert (goal <= leap_table.HIGH).all()
    assert np.abs(goal).max() <= 6.0 * min(dt, 0.1) + 1e-12


@pytest.mark.parametrize("bad", [np.zeros(15), np.zeros((2, 8)), np.full(16, np.nan), np.full(16, np.inf)])
def test_what_is_not_sixteen_finite_numbers_is_refused(bad: np.ndarray) -> None:
    stream = warm_stream()
    assert "16 finite" in stream.offer(bad, 10.0)
    assert (stream.refused, stream.accepted) == (1, 0)


def test_current_is_reduced_linearly_with_temperature() -> None:
    config = LeapConfig(derate_from=55.0, derate_to=65.0, derate_share=0.3)
    # 60 is halfway: 1 - 0.7 / 2
    np.testing.assert_allclose(
        derating(np.array([20.0, 55.0, 60.0, 65.0, 80.0]), config), [1, 1, 0.65, 0.3, 0.3]
    )
