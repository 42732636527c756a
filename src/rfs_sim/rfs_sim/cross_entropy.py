"""The cross-entropy method: candidates around a mean, the best eighth gives the next mean and spread.

Rubinstein and Kroese, "The cross-entropy method" (2004).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

Array = NDArray[np.float64]

Score = Callable[[int, Array], tuple[Array, float]]
"""Generation and candidates (C, P) -> their values (C,) and a rate for the bar, such as their success."""


def search(
    score: Score, mean: Array, deviation: Array, iterations: int, candidates: int, seed: int, spread: float
) -> Array:
    """Runs the method and returns the last mean.

    Args:
        score: plays the candidates of a generation.
        mean: the first one. Shape: (P,)
        deviation: first standard deviations; a twentieth of them is always kept. Shape: (P,)
        iterations: generations.
        candidates: C, of a generation.
        seed: of the candidates.
        spread: factor on the first spread.
    """
    rng = np.random.default_rng(seed)
    now = spread * deviation
    bar = tqdm(range(iterations), unit="iteration")
    for i in bar:
        samples = mean + now * rng.standard_normal((candidates, len(mean)))
        value, success = score(i, samples)
        best = samples[np.argsort(value)[-max(4, candidates // 8) :]]
        mean = 0.3 * mean + 0.7 * best.mean(axis=0)
        now = 0.3 * now + 0.7 * np.maximum(best.std(axis=0), 0.05 * deviation)
        bar.set_postfix(value=f"{value.mean():.1f}", best=f"{value.max():.1f}", success=f"{success:.2f}")
    return mean
