"""Ages and orders of stamps."""

import pytest

from rfs_core.staleness import Now, Order, age_problem, order, steady_stamp, to_ns

MS = 1_000_000


@pytest.mark.parametrize(
    ("stamp", "newest", "expected"),
    [
        (5, None, Order.NEWER),
        (6, 5, Order.NEWER),
        (5, 5, Order.SAME),
        (4, 5, Order.OLDER),
        (1000 * MS, 2000 * MS, Order.OLDER),
        (1000 * MS - 1, 2000 * MS, Order.RESTARTED),
    ],
)
def test_order_of_stamps(stamp, newest, expected):
    assert order(stamp, newest) is expected


def test_an_age_that_reaches_the_limit_is_stale():
    assert age_problem(0, 199 * MS, 200 * MS, 0, "observation") == ""
    assert age_problem(0, 200 * MS, 200 * MS, 0, "observation") == (
        "observation is 200 ms old, allowed: less than 200 ms"
    )


def test_a_stamp_from_the_future_is_named():
    assert age_problem(50 * MS, 0, 200 * MS, 50 * MS, "state") == ""
    assert "state is stamped 51 ms in the future, allowed: 50 ms" in age_problem(
        51 * MS, 0, 200 * MS, 50 * MS, "state"
    )


def test_ages_on_the_steady_clock_do_not_follow_a_jump_of_the_ros_clock():
    # Stamped at ROS 1000 ms, received at ROS 1030 ms = steady 7 ms: stamped at steady -23 ms, for ever after.
    assert steady_stamp(1000 * MS, Now(7 * MS, 1030 * MS)) == -23 * MS


def test_durations_become_whole_nanoseconds():
    assert to_ns(0.15) == 150_000_000
