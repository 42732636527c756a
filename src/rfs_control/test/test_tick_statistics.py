"""TickStatistics: percentiles of what ticks cost."""

import math

import pytest

from rfs_control.tick_statistics import TickStatistics


def test_percentiles_are_those_of_the_ticks():
    statistics = TickStatistics()
    for ms in range(101):  # 0, 1, ..., 100 ms: the median is 50, the 99th percentile 99
        statistics.add(cpu_ns=ms * 1_000_000, wall_ns=2 * ms * 1_000_000)
    summary = statistics.summary()
    assert summary.count == 101
    assert (summary.cpu_ms_p50, summary.cpu_ms_p99) == pytest.approx((50.0, 99.0))
    assert (summary.wall_ms_p50, summary.wall_ms_p99) == pytest.approx((100.0, 198.0))


def test_without_ticks_there_are_no_numbers():
    summary = TickStatistics().summary()
    assert summary.count == 0
    assert math.isnan(summary.cpu_ms_p99)
