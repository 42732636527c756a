"""What a run knows besides tensors, and what it counts within an iteration."""

from __future__ import annotations

import dataclasses

from rfs_learning.rl.distributed import Ranks


@dataclasses.dataclass
class Counters:
    """What a run knows besides tensors; part of the training state."""

    iteration: int = 0
    """Iterations made."""
    step: int = 0
    """Control steps made."""
    learning_rate: float = 0.0
    best_success: float = -1.0
    """Success of the best deterministic evaluation; -1 before the first."""
    best_step: int = 0
    evaluated_at: int = 0
    """Control steps at the last evaluation."""
    cpu_s: float = 0.0
    """CPU time of this process and its threads, summed over resumed parts."""


@dataclasses.dataclass
class Rollout:
    """Sums over one iteration, for the log."""

    episodes: int = 0
    successes: int = 0
    steps: int = 0
    """Control steps executed."""
    reward: float = 0.0
    a0_norm: float = 0.0
    residual_saturated: float = 0.0
    decisions: int = 0

    def over(self, ranks: Ranks) -> Rollout:
        """The sums over all processes."""
        total = ranks.sums({name: float(value) for name, value in dataclasses.asdict(self).items()})
        kinds = {field.name: type(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return Rollout(**{name: kinds[name](value) for name, value in total.items()})
