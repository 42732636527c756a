"""Recorded decisions as tensors to draw batches from, with all that does not change worked out once."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from rfs_data.offline import OfflineData, OfflineDataError
from rfs_learning.checkpoint import Checkpoint
from rfs_learning.flow import FlowBase
from rfs_learning.inversion import invert
from rfs_learning.normalizer import Normalizer
from rfs_learning.offline.config import ValueConfig
from rfs_learning.offline.frozen_push import FrozenPush
from rfs_learning.policy import Policy
from rfs_learning.steering import SteeringLayout, base_of

_CHUNK = 4096
_PUSHED = 256
"""Rows that are integrated together: what a layer makes of them stays in the processor's cache."""
_SAME_ACTION = 1e-3
"""Largest |Push(o, a_0) - a_b| in standard deviations of the actions at which a_0 counts as that of a_b;
float32 on another processor makes 1e-5."""
_CORRECTED = 1e-5
"""Residual (m or rad) from which a value counts as corrected; rounding makes less."""
_OBSERVATION_FLOOR = 0.1
"""Least standard deviation of an observation in the data, in those of the demonstrations: what hardly
varied in a few episodes must not be blown up."""


class Batch:
    """B decisions, of which only what is asked for is looked up. Actions in physical units."""

    def __init__(self, replay: Replay, rows: Tensor) -> None:
        """`rows`: which decisions. Shape: (B,)."""
        self._replay, self.rows = replay, rows
        self.at = replay.at[rows]
        """Rows of the observations; what followed is in the next ones. Shape: (B,)."""

    @property
    def context(self) -> Tensor:
        """For `FrozenPush`. Shape: (B, width)."""
        return self._replay.context[self.at]

    @property
    def context_next(self) -> Tensor:
        """The same of what followed. Shape: (B, width)."""
        return self._replay.context[self.at + 1]

    @property
    def a_0(self) -> Tensor:
        """Shape: (B, H, A), like a_b and a."""
        return self._replay.a_0[self.rows]

    @property
    def a_b(self) -> Tensor:
        """Base action."""
        return self._replay.a_b[self.rows]

    @property
    def a(self) -> Tensor:
        """Executed."""
        return self._replay.a[self.rows]

    @property
    def residual(self) -> Tensor:
        """a_r = a - a_b, mean over the decision's own steps, in shares of its bound, -1 to 1. Shape:
        (B, A)."""
        return self._replay.residual[self.rows]

    @property
    def own(self) -> Tensor:
        """1 where a step of the decision was executed, otherwise 0: no a_r to imitate. Shape: (B,)."""
        return self._replay.own[self.rows]

    @property
    def successful(self) -> Tensor:
        """1 where the decision's episode succeeded, otherwise 0. Shape: (B,)."""
        return self._replay.successful[self.rows]

    @property
    def reward(self) -> Tensor:
        """Of the chunk, scaled. Shape: (B,), like discount."""
        return self._replay.reward[self.rows]

    @property
    def discount(self) -> Tensor:
        """Of the value of what followed."""
        return self._replay.discount[self.rows]

    @property
    def time(self) -> Tensor:
        """Elapsed share of the longest episode, now and next. Shape: (B, 2)."""
        return self._replay.time[self.rows]


@dataclasses.dataclass(frozen=True)
class NoiseFacts:
    """Where the a_0 of the data are from."""

    recorded: int
    """Decisions whose recorded a_0 leads to their a_b."""
    inverted: int
    """Decisions whose a_0 was found by inversion."""
    error: float
    """Largest |Push(o, a_0) - a_b| after that, in standard deviations of the actions."""
    norm: float
    """Mean ||a_0||; N(0, I) has about sqrt(H A)."""

    def __str__(self) -> str:
        return (
            f"a_0: {self.recorded} recorded, {self.inverted} by inversion; re-push error {self.error:.1e} "
            f"standard deviations; mean ||a_0|| {self.norm:.2f}"
        )


def layout_for(data: OfflineData, config: ValueConfig) -> SteeringLayout:
    """What is trained on these data: noise and residual as configured.

    Raises:
        OfflineDataError: a residual alone is to be trained, and nobody ever corrected.
    """
    spec = data.action_spec
    layout = SteeringLayout.of(
        spec, config.modulation, "hand_and_arm", config.noise_clip, config.residual_bounds
    )
    if config.only_corrected:
        added = np.abs(data.executed - spec.clip(data.a_b)) * (data.mask & data.own)[..., None]
        corrected = added.max(axis=(0, 1)) > _CORRECTED
        bound = np.where(corrected, layout.residual_bound, 0.0)
        layout = dataclasses.replace(layout, residual_bound=tuple(bound.tolist()))
    if layout.size == 0:
        raise OfflineDataError(
            f"{len(data.used)} episodes: nobody corrected, there is no residual to train: record "
            f"corrections, "
            f"train the noise (modulation:=both), or pass only_corrected:=false"
        )
    return layout


class Replay:
    """T decisions in memory."""

    def __init__(
        self, data: OfflineData, base: Checkpoint, layout: SteeringLayout, config: ValueConfig
    ) -> None:
        """
        Raises:
            OfflineDataError: a_0 is not that of this base policy, and config.missing_noise says refuse.
        """
        self.flow = FlowBase.from_checkpoint(base_of(base))
        self.frozen = FrozenPush(self.flow)
        self.layout = layout
        self.task, self.action_spec = data.task, data.action_spec
        self.observation_spec = data.observation_spec
        policy = Policy.from_checkpoint(base_of(base))
        blocks = [data.seen[i : i + _CHUNK] for i in range(0, len(data.seen), _CHUNK)]
        self.seen = torch.from_numpy(np.concatenate([policy.encode(block) for block in blocks]))
        """Features of the observations, as the modulation sees them. Shape: (T + E, F)."""
        self.context = self.frozen.context(self.flow.clip(self.seen))
        self.observation_normalizer = Normalizer(self.seen.shape[1])
        self.observation_normalizer.mean.copy_(self.seen.mean(0))
        self.observation_normalizer.std.copy_(self.seen.std(0).clamp(min=_OBSERVATION_FLOOR))
        self.at = torch.from_numpy(data.at)
        self.a_b, self.a = torch.from_numpy(data.a_b), torch.from_numpy(data.executed)
        self.a_0, self.noise = self._noise(data, config.missing_noise)
        self.mean, self.std = self.flow.action_normalizer.mean, self.flow.action_normalizer.std
        bound = torch.tensor(layout.residual_bound)
        self.bound = torch.where(bound > 0, bound, self.std)
        """Scale of residuals, shape (A,): their bound; without one, what actions vary by."""
        self._spread = torch.diag(bound)[layout.residual_values]
        self.low = torch.from_numpy(np.asarray(data.action_spec.low, np.float32))
        self.high = torch.from_numpy(np.asarray(data.action_spec.high, np.float32))
        steps = torch.from_numpy(data.mask & data.own).float()
        self.own = (steps.sum(1) > 0).float()
        self.residual = self._residual(steps)
        lengths = np.diff(data.episode_start)
        self.successful = torch.from_numpy(np.repeat(data.success, lengths).astype(np.float32))
        self._values(data, config)
        self.longest = int(lengths.max())
        """Decisions of the longest episode."""
        elapsed = torch.from_numpy(data.elapsed)
        self.time = torch.stack([elapsed, elapsed + 1], dim=1) / self.longest

    def __len__(self) -> int:
        return len(self.at)

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        """A batch with replacement."""
        return self.take(torch.randint(len(self), (count,), generator=generator))

    def take(self, rows: Tensor) -> Batch:
        """These decisions."""
        return Batch(self, rows)

    def _residual(self, steps: Tensor) -> Tensor:
        """`steps`: 1 for those that count. Shape: (T, H)."""
        # Against the base action within the spec's bounds: that the gate clips is nobody's correction.
        added = self.a - self.a_b.clamp(self.low, self.high)
        mean = (added * steps[..., None]).sum(1) / steps.sum(1, keepdim=True).clamp(min=1)
        return (mean / self.bound).clamp(-1, 1)

    def compose(self, a_b: Tensor, residual: Tensor) -> Tensor:
        """a_b + a_r, clipped as the gate does it.

        Args:
            a_b: Shape (N, H, A), physical units.
            residual: Of the values that have one, in shares of their bound. Shape: (N, values).
        """
        a_r = residual @ self._spread
        return torch.clamp(a_b + a_r[:, None], self.low, self.high)

    def _values(self, data: OfflineData, config: ValueConfig) -> None:
        """Rewards and discounts; scaled so that the returns of the data have standard deviation 1."""
        gamma, ends = config.gamma, not config.bootstrap
        reward = data.reward_of_chunk(gamma)
        last = data.episode_start[1:] - 1
        reward[last] += config.success_reward * data.success
        discount = data.discount(gamma, time_limit_ends=ends)
        returns = np.zeros_like(reward)
        for first, after in zip(data.episode_start[:-1], data.episode_start[1:], strict=True):
            ahead = 0.0
            for d in range(after - 1, first - 1, -1):
                ahead = reward[d] + gamma * ahead
                returns[d] = ahead
        self.reward_scale = 1.0 / max(float(returns.std()), 1e-3)
        self.reward = torch.from_numpy(reward * self.reward_scale)
        self.discount = torch.from_numpy(discount)
        lowest, highest = float(self.reward.min()), float(self.reward.max())
        # As long as an episode at most, or without end.
        steps = int(np.diff(data.episode_start).max())
        horizon = (1 - gamma**steps) / (1 - gamma) if ends else 1 / (1 - gamma)
        self.value_range = (min(lowest, lowest * horizon), max(highest, highest * horizon))
        """Least and largest value that the rewards make possible."""

    @torch.no_grad()
    def push(self, context: Tensor, a_0: Tensor) -> Tensor:
        """a_b of many rows, in blocks. Shape: context (N, width), a_0 (N, H, A) -> (N, H, A)."""
        blocks = zip(torch.split(context, _PUSHED), torch.split(a_0, _PUSHED), strict=True)
        return torch.cat([self.frozen.push(*block) for block in blocks])

    def _noise(self, data: OfflineData, missing: str) -> tuple[Tensor, NoiseFacts]:
        a_0 = torch.from_numpy(data.a_0).clone()
        error = self._push_error(a_0)
        # NaN where an enormous a_0 overflows: not that of a_b.
        wrong = ~(error <= _SAME_ACTION)
        count = int(wrong.sum())
        if count and missing == "refuse":
            raise OfflineDataError(
                f"{count} of {len(a_0)} decisions: their a_0 does not lead to their a_b in this base "
                f"policy; they "
                f"were made by {', '.join(sorted({source.checkpoint for source in data.used}))}: give the "
                f"checkpoint that was deployed, or pass missing_noise:=invert"
            )
        if count:
            found = invert(self.flow, self.seen[self.at][wrong], self.a_b[wrong])
            a_0[wrong] = found.a_0.float()
            error = self._push_error(a_0)
        norm = float(a_0.flatten(1).norm(dim=1).mean())
        return a_0, NoiseFacts(len(a_0) - count, count, float(error.max()), norm)

    def _push_error(self, a_0: Tensor) -> Tensor:
        """Largest difference to a_b of each decision, in standard deviations of the actions. Shape: (T,)."""
        a_b = self.push(self.context[self.at], a_0)
        error: Tensor = ((a_b - self.a_b) / self.flow.action_normalizer.std).abs().flatten(1).amax(1)
        return error
