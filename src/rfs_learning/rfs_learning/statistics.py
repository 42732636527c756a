"""Statistics of success rates."""

from __future__ import annotations

from scipy.stats import binomtest

from rfs_core.errors import RfsError


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a success rate; sensible at 0 and 1, where the normal one is empty.

    Raises:
        RfsError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise RfsError(
            f"success rate: {successes} successes of {trials} trials; needs 0 <= successes <= trials >= 1"
        )
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
