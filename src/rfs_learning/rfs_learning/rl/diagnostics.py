"""Which part of a trained policy does the work: the same episodes with one part switched off.

A residual can mask that the steering has decayed, and the mean of a noise policy can win by its a_0 = 0
alone. So a result comes with the base policy at N(0, I) and at 0, and with noise or residual switched off.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rfs_learning.evaluate import Episode, play_by_decisions, summarize
from rfs_learning.modulation import IdentityModulation, Modulation, Steering
from rfs_learning.policy import Policy, PolicyOutput
from rfs_learning.steering import SteeringLayout
from rfs_learning.vec_env import VecEnv

SATURATED = 0.999
"""Share of its bound from which a residual counts as saturated."""


@dataclasses.dataclass(frozen=True)
class Switched:
    """A modulation with parts of it switched off."""

    modulation: Modulation
    noise: str = "kept"
    """kept, "normal": a_0 ~ N(0, I), "zero": a_0 = 0."""
    residual: bool = True
    """False: a_r = 0."""

    def __call__(self, observation: Tensor, noise: Tensor) -> Steering:
        """See `rfs_learning.modulation.Modulation`."""
        steering = self.modulation(observation, noise)
        if self.noise != "kept":
            steering = steering._replace(a_0=noise if self.noise == "normal" else torch.zeros_like(noise))
        if not self.residual:
            steering = steering._replace(a_r=torch.zeros_like(steering.a_r))
        return steering


def switches(modulation: Modulation) -> dict[str, Modulation]:
    """What is compared, by name; the first is the policy itself."""
    return {
        "full": modulation,
        "residual_off": Switched(modulation, residual=False),
        "noise_off": Switched(modulation, noise="normal"),
        "noise_zero": Switched(modulation, noise="zero"),
        "base_normal": IdentityModulation("normal"),
        "base_zero": IdentityModulation("zero"),
    }


class Watched:
    """A policy that keeps count of what it does."""

    def __init__(self, policy: Policy, layout: SteeringLayout) -> None:
        self._policy, self._layout = policy, layout
        self._norms: list[NDArray[np.float64]] = []
        self._shares: list[NDArray[np.float64]] = []

    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> PolicyOutput:
        """See `Policy.act`."""
        output = self._policy.act(observation, noise)
        self._norms.append(noise_norm(output))
        self._shares.append(residual_share(output, self._layout))
        return output

    def figures(self) -> dict[str, float]:
        """Of all decisions so far: norm of a_0, mean |a_r| / bound, share of saturated residuals."""
        norms, shares = np.concatenate(self._norms), np.concatenate(self._shares)
        return {
            "a0_norm": float(norms.mean()),
            "a0_norm_p99": float(np.quantile(norms, 0.99)),
            "residual_share": float(shares.mean()) if shares.size else 0.0,
            "residual_saturated": float((shares >= SATURATED).mean()) if shares.size else 0.0,
        }


def noise_norm(output: PolicyOutput) -> NDArray[np.float64]:
    """||a_0|| over the chunk; about sqrt(H A) for N(0, I). Shape: (N,)"""
    norm: NDArray[np.float64] = np.linalg.norm(output.a_0.reshape(len(output.a_0), -1), axis=1).astype(
        np.float64
    )
    return norm


def residual_share(output: PolicyOutput, layout: SteeringLayout) -> NDArray[np.float64]:
    """|a_r| / bound of the values that have a residual. Shape: (N, number of them)"""
    values = layout.residual_values
    share: NDArray[np.float64] = np.abs(output.a_r[:, 0, values]) / np.asarray(layout.residual_bound)[values]
    return share


def measure(
    policy: Policy, layout: SteeringLayout, env: VecEnv, seed: int, episodes: int
) -> Generator[None, None, dict[str, Any]]:
    """Play episodes 0 to `episodes` - 1; yields between decisions, returns the summary and the figures."""
    watched = Watched(policy, layout)
    played: list[Episode] = []
    while len(played) < episodes:
        count = min(env.num_envs, episodes - len(played))
        played += yield from play_by_decisions(
            watched, env, seed, np.arange(len(played), len(played) + count, dtype=np.int64)
        )
        yield
    return {**summarize(played), **watched.figures()}


def measure_switches(
    policy: Policy, layout: SteeringLayout, env: VecEnv, seed: int, episodes: int
) -> Generator[None, None, dict[str, dict[str, Any]]]:
    """`measure` with every switch, on the same episodes with the same noise."""
    results = {}
    for name, modulation in switches(policy.modulation).items():
        results[name] = yield from measure(policy.with_modulation(modulation), layout, env, seed, episodes)
    return results
