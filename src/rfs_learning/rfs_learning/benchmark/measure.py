"""Figures of a policy: success, what its parts do, how much disturbance it bears.

Every function is a generator that yields between decisions, so that whoever runs it can stop there.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from rfs_learning.evaluate import Episode, play_by_decisions, summarize
from rfs_learning.policy import Policy
from rfs_learning.rl.diagnostics import Watched, switches
from rfs_learning.steering import SteeringLayout
from rfs_learning.vec_env import VecEnv

SWITCHES = {
    "base": ("base_zero",),
    "noise": ("base_normal", "base_zero"),
    "residual": ("noise_zero", "base_normal", "base_zero"),
    "both": ("residual_off", "noise_off", "noise_zero", "base_normal", "base_zero"),
}
"""What is compared with the full policy, by modulation; left out: what would be the same policy."""


def measure(
    policy: Policy, layout: SteeringLayout, env: VecEnv, seed: int, episodes: int
) -> Generator[None, None, tuple[dict[str, Any], list[Episode]]]:
    """Play episodes 0 to `episodes` - 1 of `seed`.

    Returns:
        The summary of `evaluate` with the norm of a_0 and the use of residuals; and the episodes.
    """
    watched = Watched(policy, layout)
    played: list[Episode] = []
    while len(played) < episodes:
        first, count = len(played), min(env.num_envs, episodes - len(played))
        played += yield from play_by_decisions(watched, env, seed, np.arange(first, first + count))
        yield
    return {**summarize(played), **watched.figures()}, played


def measure_switch(
    name: str, policy: Policy, layout: SteeringLayout, env: VecEnv, seed: int, episodes: int
) -> Generator[None, None, dict[str, Any]]:
    """`measure` with parts of the policy switched off; `name`: see `rfs_learning.rl.diagnostics.switches`."""
    switched = policy.with_modulation(switches(policy.modulation)[name])
    figures, _ = yield from measure(switched, layout, env, seed, episodes)
    return figures
