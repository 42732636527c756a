import math

import pytest

from rfs_core.errors import RfsError
from rfs_learning.statistics import wilson_interval


def test_interval_is_wilsons_formula():
    # centre (p + z^2 / 2n) / (1 + z^2 / n), half width z sqrt(p q / n + z^2 / 4 n^2) / (1 + z^2 / n).
    n, p, z = 20, 0.3, 1.959963984540054
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert wilson_interval(6, n) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_interval_is_not_empty_where_everything_succeeded():
    # p = 1: lower bound n / (n + z^2) = 10 / 13.841.
    assert wilson_interval(10, 10) == pytest.approx((10 / (10 + 1.959963984540054**2), 1.0))


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(RfsError, match="needs 0 <= successes <= trials"):
        wilson_interval(successes, trials)
