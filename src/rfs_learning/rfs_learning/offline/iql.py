"""Implicit Q-learning over (a_0, a_r): values from the data's own actions only (Kostrikov et al., 2021).

V(o) is an expectile of min_k Q_k'(o, a) over the data's actions; Q(o, a) follows r + gamma V(o'). No action
that was not executed is ever valued, which holds on narrow human data where TD3+BC may not. The policy is
extracted either by advantage-weighted regression of (a_0, a_r) on the recorded ones, or not at all:
`best_of_n` draws N noises when it acts and takes the one whose action Q likes best.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rfs_core.config import param
from rfs_data.offline import OfflineData
from rfs_learning.best_of_n import BestOfN
from rfs_learning.checkpoint import Checkpoint
from rfs_learning.critic import CriticEnsemble, critic_input, critic_inputs, follow
from rfs_learning.offline import actor as actors
from rfs_learning.offline import saved_critic
from rfs_learning.offline.config import ValueConfig
from rfs_learning.offline.replay import Batch, Replay, layout_for
from rfs_learning.steering import base_of

_LARGEST_WEIGHT = 100.0


@dataclasses.dataclass(frozen=True)
class IqlConfig(ValueConfig):
    """Implicit Q-learning."""

    extract: str = param(
        "regression",
        doc="How a policy is made of the values: advantage-weighted regression of (a_0, a_r), or the best of "
        "several drawn a_0 when it acts",
        choices=("regression", "best_of_n"),
    )
    candidates: int = param(32, doc="best_of_n: noises drawn per decision", low=1, high=1024)
    expectile: float = param(0.7, doc="Expectile of V", low=0.5, high=0.999)
    beta: float = param(
        3.0, doc="Inverse temperature of the advantages, in deviations of the returns", low=0.0
    )

    @property
    def method(self) -> str:
        """Short name of what is trained."""
        return "best_of_n" if self.extract == "best_of_n" else f"{self.modulation}_iql".replace("both", "rfs")


class Iql:
    """Values, critics with a target, and the actor that follows them."""

    def __init__(self, config: IqlConfig, replay: Replay) -> None:
        """Torch's global generator draws the initial weights."""
        self.config, self.replay, self.layout = config, replay, replay.layout
        normalizer, chunk = replay.observation_normalizer, self.layout.horizon * self.layout.action_size
        self.actor = actors.make_head(
            self.layout, config.actor_width, config.actor_layers, normalizer, config.base_a0
        )
        # What acts does not know how much time has passed.
        self._timed = not config.bootstrap and config.extract != "best_of_n"
        seen = len(normalizer.mean) + self._timed
        self.critic = CriticEnsemble(
            critic_inputs("composed", seen, chunk), config.critic_width, config.critic_layers
        )
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.value = CriticEnsemble(seen, config.critic_width, config.critic_layers, 1)
        with torch.no_grad():
            self._features = actors.normalized(self.actor, replay.seen)
        self._where = torch.tensor(self.layout.residual_values, dtype=torch.long)
        self._noise_where = torch.tensor(self.layout.noise_values, dtype=torch.long)
        groups = [{"params": list(module.parameters())} for module in (self.critic, self.value, self.actor)]
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
        self.updates = 0

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that changes, for the training state."""
        return {
            "actor": self.actor,
            "critic": self.critic,
            "target_critic": self.target_critic,
            "value": self.value,
        }

    def update(self, generator: torch.Generator) -> dict[str, float]:
        """One gradient step of values, critics and actor; they share no weights, so one backward serves
        all."""
        batch = self.replay.draw(self.config.batch_size, generator)
        losses, figures = self.losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        follow(self.target_critic, self.critic, self.config.tau)
        self.updates += 1
        return {name: float(value.detach()) for name, value in (figures | losses).items()}

    def losses(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses and figures by name."""
        config, replay, at = self.config, self.replay, batch.at
        o, o_next = self._features[at], self._features[at + 1]
        now, after = self._with_time(o, batch.time[:, 0]), self._with_time(o_next, batch.time[:, 1])
        seen = critic_input("composed", now, batch.a_b, batch.a, replay.mean, replay.std, replay.bound)
        with torch.no_grad():
            best = self.target_critic(seen).amin(0)
            target = batch.reward + batch.discount * self.value.first(after)
            if config.value_clip:
                target = target.clamp(*replay.value_range)
        value = self.value.first(now)
        advantage = best - value
        weight = torch.where(advantage > 0, config.expectile, 1 - config.expectile)
        q = self.critic(seen)
        losses = {
            "value/loss": (weight * advantage**2).mean(),
            "critic/loss": ((q - target) ** 2).mean(1).sum(),
        }
        if config.extract == "regression":
            weight = (config.beta * advantage.detach()).exp().clamp(max=_LARGEST_WEIGHT)
            losses["actor/loss"] = (weight * self._distance(o, batch)).mean()
        return losses, {"critic/q": q.mean(), "value/advantage": advantage.mean()}

    def checkpoint(self, base: Checkpoint, **header: Any) -> Checkpoint:
        """The actor as a policy of kind "rfs", or flow and critics as one of kind "best_of_n"."""
        if self.config.extract == "regression":
            return self.actor.to_checkpoint(base_of(base), **header)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            best = BestOfN.make(
                self.replay.flow, self.critic, self.actor.observation_normalizer, self.config.candidates
            )
        return best.to_checkpoint(base_of(base), **header)

    def save_critic(self, path: Path) -> None:
        """Write the critics, for those who look at episodes."""
        config = self.config
        saved_critic.save(path, self.critic, "composed", self._timed, config.gamma, self.replay, self.actor)

    def facts(self) -> list[str]:
        """Where a_0 is from."""
        return [str(self.replay.noise), f"policy by {self.config.extract}"]

    def _distance(self, o: Tensor, batch: Batch) -> Tensor:
        """Squared distance of the actor's (a_0, a_r) to the recorded ones, means of each. Shape: (B,)."""
        noise, residual = actors.decode(self.actor, o)
        total = torch.zeros(len(o))
        if noise.shape[1]:
            total = total + ((noise - batch.a_0[..., self._noise_where].flatten(1)) ** 2).mean(1)
        if residual.shape[1]:
            total = total + batch.own * ((residual - batch.residual[:, self._where]) ** 2).mean(1)
        return total

    def _with_time(self, o: Tensor, time: Tensor) -> Tensor:
        return torch.cat([o, time[:, None]], dim=1) if self._timed else o


def make(config: IqlConfig, data: OfflineData, base: Checkpoint) -> Iql:
    """The algorithm on a data set, for `rfs_learning.offline.runner`."""
    return Iql(config, Replay(data, base, layout_for(data, config), config))
