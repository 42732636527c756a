"""Offline RFS: TD3+BC over (a_0, a_r), with a critic on the executed action (paper, Eq. 10 and 11).

Eq. 10   y = r + gamma min_k Q_k'(o', a'),  a' = Push(o', a_0'(o'), v) + clip(a_r'(o') + smoothing)
Eq. 11   maximise Q(o, a_hat) - lambda_BC ||a_hat_r - a_r||^2,  a_hat = Push(o, a_hat_0(o), v) + a_hat_r(o)

a_r = a - a_b is what was added to the base action in the data. Of Eq. 11 there are two forms: normalised as
in TD3+BC, Q divided by its mean size so that one alpha fits any reward, and as printed. Residuals are
measured in their bounds. The base action at what followed is integrated anew for all of the data every
`refresh` updates, where that is cheaper than for every batch: the target policy lags behind by tau anyway,
and the smoothing, which must be fresh, is on the residual.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rfs_core.config import param
from rfs_data.offline import OfflineData, OfflineDataError
from rfs_learning.checkpoint import Checkpoint
from rfs_learning.critic import INPUTS, CriticEnsemble, critic_input, critic_inputs, follow
from rfs_learning.offline import actor as actors
from rfs_learning.offline import saved_critic
from rfs_learning.offline.config import ValueConfig
from rfs_learning.offline.replay import Batch, Replay, layout_for
from rfs_learning.steering import SteeringHead, base_of


@dataclasses.dataclass(frozen=True)
class Td3BcConfig(ValueConfig):
    """Offline RFS."""

    steps: int = param(400, doc="Updates; enough for 50 episodes", low=1)
    start: str = param(
        "auto",
        doc="Where training starts: at a steered checkpoint's head, or at the base policy (zero); auto: at "
        "the head where there is one and both noise and residual are trained",
        choices=("auto", "head", "zero"),
    )
    learning_rate: float = param(1e-3, doc="Learning rate of Adam", low=1e-7, high=1.0)
    critic_input: str = param("composed", doc="What the critic sees beside the observation", choices=INPUTS)
    alpha: float = param(
        0.05,
        doc="Normalised form: weight of Q over mean |Q|, against imitation; TD3+BC has 2.5, on large data",
        low=0.0,
    )
    q_floor: float = param(
        1.0,
        doc="Normalised form: least mean |Q| to divide by, in standard deviations of the returns",
        low=1e-6,
    )
    normalize_q: bool = param(
        True, doc="Normalised form of Eq. 11, as in TD3+BC; false: as printed, with lambda_bc"
    )
    lambda_bc: float = param(
        1.0, doc="Weight of imitation in Eq. 11 as printed; 1 in the normalised form", low=0.0
    )
    noise_bc: float = param(
        0.1, doc="Weight of the term on a_0; Eq. 11 has none, which is 0: then a_0 drifts away", low=0.0
    )
    noise_bc_target: str = param(
        "recorded",
        doc="Where that term draws a_0: to what was recorded, or to 0",
        choices=("recorded", "zero"),
    )
    imitate: str = param(
        "all",
        doc="Episodes whose residual and recorded a_0 are imitated; the critic learns from all",
        choices=("all", "successful"),
    )
    critic_warmup: int = param(
        300,
        doc="Updates in which the weight of Q rises from 0, while the critics are not worth following",
        low=0,
    )
    policy_noise: float = param(
        0.2, doc="Standard deviation of target smoothing, in bounds of the residual", low=0.0, high=1.0
    )
    policy_noise_clip: float = param(0.5, doc="Bound of that smoothing", low=0.0, high=1.0)
    policy_delay: int = param(2, doc="Updates of the critics per update of the actor", low=1, high=1000)
    refresh: int = param(50, doc="Updates between integrations of the target's base actions", low=1)


class Td3Bc:
    """Actor, critics and their targets."""

    def __init__(self, config: Td3BcConfig, replay: Replay, trained: SteeringHead | None = None) -> None:
        """Torch's global generator draws the initial weights.

        Args:
            trained: A head to start from; None: the base policy.
        """
        self.config, self.replay, self.layout = config, replay, replay.layout
        layout = self.layout
        normalizer = replay.observation_normalizer
        if trained is None:
            self.actor = actors.make_head(
                layout, config.actor_width, config.actor_layers, normalizer, config.base_a0
            )
        else:
            self.actor = actors.continued(trained, layout)
        self._started_at = "the base policy" if trained is None else "the checkpoint's head"
        seen = len(normalizer.mean) + (0 if config.bootstrap else 1)
        chunk = layout.horizon * layout.action_size
        self.critic = CriticEnsemble(
            critic_inputs(config.critic_input, seen, chunk), config.critic_width, config.critic_layers
        )
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        with torch.no_grad():
            self.features = actors.normalized(self.actor, replay.seen)
            """Observations as the actor sees them. Shape: (T + E, F)."""
        self._where = torch.tensor(layout.residual_values, dtype=torch.long)
        self._noise_where = torch.tensor(layout.noise_values, dtype=torch.long)
        self._kept = config.refresh * config.batch_size > len(replay)
        """Whether base actions of all rows are kept between refreshes."""
        self._cache = nn.Module()
        if self._kept:
            for name in ("next", "now"):
                self._cache.register_buffer(name, torch.zeros_like(replay.a_b))
        groups = [{"params": list(self.critic.parameters())}, {"params": list(self.actor.parameters())}]
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
        self.updates = 0

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that changes, for the training state."""
        return {
            "actor": self.actor,
            "critic": self.critic,
            "target_actor": self.target_actor,
            "target_critic": self.target_critic,
            "cache": self._cache,
        }

    def checkpoint(self, base: Checkpoint, **header: Any) -> Checkpoint:
        """The actor as a policy of kind "rfs"."""
        return self.actor.to_checkpoint(base_of(base), **header)

    def save_critic(self, path: Path) -> None:
        """Write the critics, for those who look at episodes."""
        config = self.config
        timed = not config.bootstrap
        saved_critic.save(
            path, self.critic, config.critic_input, timed, config.gamma, self.replay, self.actor
        )

    def facts(self) -> list[str]:
        """Where a_0 is from, and what the critic sees."""
        config, residual = self.config, self.replay.residual[:, self._where]
        size = float(residual.abs().mean()) if residual.numel() else 0.0
        return [
            str(self.replay.noise),
            f"trained: {config.modulation}, from {self._started_at}; the critic sees the observation and "
            f"{config.critic_input}; "
            f"reward times {self.replay.reward_scale:.3g}; mean |a_r| {size:.3f} of its bound",
        ]

    def update(self, generator: torch.Generator) -> dict[str, float]:
        """One gradient step of the critics and, every `policy_delay`, one of the actor."""
        if self._kept and self.updates % self.config.refresh == 0:
            self._refresh(generator)
        batch = self.replay.draw(self.config.batch_size, generator)
        loss, figures = self.critic_loss(batch, generator)
        self._step(loss, list(self.critic.parameters()))
        follow(self.target_critic, self.critic, self.config.tau)
        if self.updates % self.config.policy_delay == 0:
            loss, more = self.actor_loss(batch, generator)
            self._step(loss, list(self.actor.parameters()))
            follow(self.target_actor, self.actor, self.config.tau)
            figures |= more
        self.updates += 1
        return {name: float(value) for name, value in figures.items()}

    def critic_loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 10."""
        config, at = self.config, batch.at
        with torch.no_grad():
            o_next = self.features[at + 1]
            noise, residual = actors.decode(self.target_actor, o_next)
            if self._kept:
                a_b = self._buffer("next")[batch.rows]
            else:
                a_b = self.replay.frozen.push(batch.context_next, self._full_noise(noise, generator))
            if residual.shape[1]:
                smoothing = torch.randn(residual.shape, generator=generator) * config.policy_noise
                limit = config.policy_noise_clip
                residual = (residual + smoothing.clamp(-limit, limit)).clamp(-1, 1)
            q = self.target_critic(self._seen(o_next, batch.time[:, 1], a_b, self._compose(a_b, residual)))
            target = batch.reward + batch.discount * q.amin(0)
            if config.value_clip:
                target = target.clamp(*self.replay.value_range)
        o = self.features[at]
        q = self.critic(self._seen(o, batch.time[:, 0], batch.a_b, batch.a))
        loss = ((q - target) ** 2).mean(1).sum()
        return loss, {
            "critic/loss": loss.detach(),
            "critic/q": q.detach().mean(),
            "critic/target": target.mean(),
        }

    def actor_loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 11. With a steered a_0, a decision that was drawn twice is worked out once and counts twice."""
        config = self.config
        share = torch.full((len(batch.rows),), 1 / len(batch.rows))
        if self.layout.steers:
            rows, counts = torch.unique(batch.rows, return_counts=True)
            batch, share = self.replay.take(rows), counts / len(batch.rows)
        o = self.features[batch.at]
        noise, residual = actors.decode(self.actor, o)
        if self.layout.steers:
            a_b = self.replay.frozen.push(batch.context, self._full_noise(noise, generator))
        elif self._kept:
            a_b = self._buffer("now")[batch.rows]
        else:
            with torch.no_grad():
                a_b = self.replay.frozen.push(batch.context, self._full_noise(noise, generator))
        a = self._compose(a_b, residual)
        q = self.critic.first(self._seen(o, batch.time[:, 0], a_b, a))
        mean_q = share @ q
        imitated = share * batch.successful if config.imitate == "successful" else share
        imitation = torch.zeros(())
        if residual.shape[1]:
            apart = ((residual - batch.residual[:, self._where]) ** 2).mean(1)
            imitation = imitated @ (batch.own * apart)
        size = share @ q.detach().abs()
        trust = min(1.0, self.updates / config.critic_warmup) if config.critic_warmup else 1.0
        if config.normalize_q:
            loss = -(trust * config.alpha / size.clamp(min=config.q_floor)) * mean_q + imitation
        else:
            loss = -trust * mean_q + config.lambda_bc * imitation
        figures = {
            "actor/q": mean_q.detach(),
            "actor/imitation": imitation.detach(),
            "actor/residual": share @ residual.detach().abs().mean(1)
            if residual.shape[1]
            else torch.zeros(()),
        }
        if self.layout.steers:
            if config.noise_bc > 0:
                wanted, weight = torch.zeros_like(noise), share
                if config.noise_bc_target == "recorded":
                    wanted, weight = batch.a_0[..., self._noise_where].flatten(1), imitated
                loss = loss + config.noise_bc * (weight @ ((noise - wanted) ** 2).mean(1))
            figures["actor/a0_norm"] = share @ noise.detach().norm(dim=1)
        return loss, {"actor/loss": loss.detach(), **figures}

    # --- parts ---

    def _step(self, loss: Tensor, parameters: list[nn.Parameter]) -> None:
        # Parameters without a gradient are left alone by Adam, moments included.
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _buffer(self, name: str) -> Tensor:
        return self._cache.get_buffer(name)

    @torch.no_grad()
    def _refresh(self, generator: torch.Generator) -> None:
        """Base actions of the target policy at all that followed; without steering also of the base policy
        now."""
        replay = self.replay
        noise, _ = actors.decode(self.target_actor, self.features[replay.at + 1])
        self._buffer("next").copy_(
            replay.push(replay.context[replay.at + 1], self._full_noise(noise, generator))
        )
        if not self.layout.steers:
            drawn = self._full_noise(noise, generator)
            self._buffer("now").copy_(replay.push(replay.context[replay.at], drawn))

    def _full_noise(self, steered: Tensor, generator: torch.Generator) -> Tensor:
        """a_0 of every value: steered, drawn, or 0. Shape: (N, H x steered values) -> (N, H, A)."""
        shape = (len(steered), self.layout.horizon, self.layout.action_size)
        if self.layout.steers:
            return steered.view(shape)
        if self.config.base_a0 == "zero":
            return torch.zeros(shape)
        return torch.randn(shape, generator=generator)

    def _compose(self, a_b: Tensor, residual: Tensor) -> Tensor:
        """a_b + a_r, clipped as the gate does it. Shape: (N, H, A), (N, residual values) -> (N, H, A)."""
        return self.replay.compose(a_b, residual)

    def _seen(self, o: Tensor, time: Tensor, a_b: Tensor, a: Tensor) -> Tensor:
        if not self.config.bootstrap:
            o = torch.cat([o, time[:, None]], dim=1)
        replay = self.replay
        a_b = a_b.clamp(replay.low, replay.high)
        return critic_input(self.config.critic_input, o, a_b, a, replay.mean, replay.std, replay.bound)


def make(config: Td3BcConfig, data: OfflineData, base: Checkpoint) -> Td3Bc:
    """The algorithm on a data set, for `rfs_learning.offline.runner`."""
    layout = layout_for(data, config)
    has_head = base.header.kind == "rfs"
    if config.start == "head" and not has_head:
        raise OfflineDataError(
            f"checkpoint {base.id}: is of kind {base.header.kind} and has no head to start at: pass "
            f"start:=zero"
        )
    at_head = config.start == "head" or (config.start == "auto" and has_head and config.modulation == "both")
    trained = SteeringHead.from_checkpoint(base, config.base_a0) if at_head else None
    return Td3Bc(config, Replay(data, base, layout, config), trained)
