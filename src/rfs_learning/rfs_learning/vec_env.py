"""The one contract between learning and simulation: a vector environment, whatever engine runs it.

A package offers an engine through the entry point group `rfs.engines`, whose value is a function with the
signature of `EnvFactory`. Learning never imports an engine's package.
"""

from __future__ import annotations

import dataclasses
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, ObservationSpec

ENTRY_POINT_GROUP = "rfs.engines"


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What one decision of N environments led to; H control steps are a chunk.

    Any object with these attributes will do.
    """

    observation: NDArray[np.float32]
    """Shape (N, O); with autoreset the first one of the next episode where one ended."""
    reward: NDArray[np.floating]
    """Shape (N, H); 0 where nothing was executed."""
    executed: NDArray[np.bool_]
    """Shape (N, H): False for the steps of a chunk after its episode ended."""
    terminated: NDArray[np.bool_]
    """Shape (N,): the episode ended in a state from which nothing follows (a critic does not bootstrap)."""
    truncated: NDArray[np.bool_]
    """Shape (N,): the episode was cut at its time limit (a critic bootstraps from `final_observation`)."""
    success: NDArray[np.bool_]
    """Shape (N,): the episode that ended now succeeded."""
    final_observation: NDArray[np.float32]
    """Shape (N, O): the last observation before a reset; equal to `observation` where no episode ended."""
    log: dict[str, Any]
    """Further figures by name: `outcome` and `object`, words per environment; `final_privileged` (N, P), what
    `privileged` was before any reset."""


class VecEnv(Protocol):
    """N environments of one task, stepped by action chunks.

    It may also have `privileged() -> (N, P)` float32: what only a simulator knows of now, for critics; and
    `autoreset_stride`, by how much the number of an environment's episode grows at autoreset (N unless it is
    set), without which several processes cannot share a run.
    """

    num_envs: int
    """N."""
    action_spec: ActionSpec
    """Actions, physical units; `action_spec.horizon` is H."""
    observation_spec: ObservationSpec
    """Observations."""
    max_episode_steps: int
    """Time limit of an episode in control steps."""
    task: str
    """Name of the task."""

    def reset(self, seed: int, episodes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Start environment i on episode `episodes[i]` of `seed`; returns the observation (N, O).

        An episode is the same for the same (seed, episode), whatever N is. With autoreset environment i plays
        episodes[i] + N, + 2 N, ... afterwards.
        """
        ...

    def step(self, chunk: NDArray[np.float64]) -> Any:
        """Execute a chunk (N, H, A) and return the attributes of `StepResult`."""
        ...


class EnvFactory(Protocol):
    """What an engine's entry point is."""

    def __call__(
        self, task: str, num_envs: int, *, physics_dt: float = 0.01, autoreset: bool = True, **options: Any
    ) -> VecEnv:
        """Make `num_envs` environments of `task`; raises an RfsError that lists the known tasks."""
        ...


def make_env(engine: str, task: str, num_envs: int, **options: Any) -> VecEnv:
    """Make environments of `task` on `engine`.

    Raises:
        RfsError: an unknown engine or task; the sentence lists the known ones.
    """
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if engine not in found:
        raise RfsError(
            f"engine is {engine!r}, known are {', '.join(sorted(found)) or 'none'}: install the package that "
            f"offers it in the entry point group {ENTRY_POINT_GROUP}"
        )
    factory: EnvFactory = found[engine].load()
    return factory(task, num_envs, **options)
