"""What learns: actor, critic, rsl_rl's PPO, and all that must not change within one iteration of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import Tensor, nn

from rfs_core.errors import RfsError
from rfs_learning.rl import actor_critic, devices
from rfs_learning.rl.distributed import Ranks
from rfs_learning.rl.modulated_env import ModulatedEnv
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.rl.return_scale import ReturnScale
from rfs_learning.steering import SteeringLayout

_LEARNING_RATE_FACTOR = 1.5
_RATIO_TOLERANCE = 1e-2
"""|ratio - 1| before the first gradient step; rounding in batches of another size makes about 1e-4."""


class PpoError(RfsError):
    """Training that cannot start or go on, with the reason."""


class NotFiniteError(PpoError):
    """A parameter that is not finite after an update."""


class Learner:
    """Networks, optimiser and storage; `act` and `take` for every decision, then `finish` and `update`."""

    def __init__(
        self, config: PpoTrainerConfig, env: ModulatedEnv, layout: SteeringLayout, ranks: Ranks
    ) -> None:
        """Everything at step 0, drawn from the seed."""
        self.config, self.layout, self.ranks = config, layout, ranks
        self.device = device = env.device
        # rsl_rl samples from torch's global generator.
        torch.manual_seed(config.seed)
        observations = env.reset(config.seed, np.arange(env.num_envs))
        actor = actor_critic.make_actor(
            observations,
            layout,
            [config.actor_width] * config.actor_layers,
            (config.noise_std, *config.noise_std_range),
            (config.residual_std, *config.residual_std_range),
        )
        if not ranks.alone:
            actor_critic.distribution(actor).draw = lambda *shape: ranks.randn(*shape).to(device)
        critic = actor_critic.make_critic(observations, [config.critic_width] * config.critic_layers)
        for model in (actor, critic):
            actor_critic.freeze_normalizer_after(model, config.normalizer_steps // layout.horizon)
        decisions = int(env.max_episode_length)
        storage = RolloutStorage("rl", env.num_envs, decisions, observations, [env.num_actions], device)
        self.ppo = PPO(
            actor,
            critic,
            storage,
            num_learning_epochs=config.epochs,
            num_mini_batches=max(1, round(env.num_envs * ranks.world * decisions / config.minibatch)),
            clip_param=config.clip,
            gamma=config.gamma,
            lam=config.lam,
            value_loss_coef=config.value_loss,
            entropy_coef=config.entropy,
            learning_rate=config.learning_rate,
            max_grad_norm=config.gradient_clip,
            use_clipped_value_loss=False,
            # The rate is adapted here, once per iteration, to a band of the KL.
            schedule="fixed",
            device=device,
            multi_gpu_cfg=None
            if ranks.alone
            else {"global_rank": ranks.rank, "local_rank": ranks.rank, "world_size": ranks.world},
        )
        self.scale = ReturnScale(env.num_envs, config.gamma, ranks).to(device)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a resumed run needs of this, beside the optimiser."""
        return {"actor": self.ppo.actor, "critic": self.ppo.critic, "return_scale": self.scale}

    @property
    def std(self) -> Tensor:
        """Exploration of every value of z. Shape: (layout.size,)"""
        parameter: Tensor = actor_critic.distribution(self.ppo.actor).log_std_param
        return parameter.detach().exp()

    def begin(self) -> None:
        """Start an iteration: every environment starts an episode."""
        self.ranks.same_generator()
        devices.reseed(self.device)
        self.ppo.train_mode()
        self.ppo.storage.clear()
        self.scale.restart()

    def act(self, observations: TensorDict) -> Tensor:
        """z with exploration. Shape: (N, layout.size)"""
        z: Tensor = self.ppo.act(observations)
        return z

    def take(self, observations: TensorDict, reward: Tensor, done: Tensor, extras: dict[str, Any]) -> None:
        """What a decision led to; `extras` as `ModulatedEnv.step` gives them."""
        self.scale.observe(reward, done)
        scaled = reward / self.scale.scale.float()
        if self.config.bootstrap:
            value = self.ppo.critic(extras["final"]).squeeze(-1)
            discount = self.config.gamma ** (extras["executed"] / self.layout.horizon)
            scaled = scaled + extras["time_outs"] * discount * value
        # Without "time_outs", which rsl_rl would bootstrap from the value before the decision.
        self.ppo.process_env_step(observations, scaled, done, {})

    def finish(self, observations: TensorDict) -> None:
        """Returns and advantages, once every environment has decided for the last time."""
        self.ppo.compute_returns(observations)
        if self.ranks.alone:
            return
        storage = self.ppo.storage
        advantages = (storage.returns - storage.values).double()
        count, total = self.ranks.sum(
            torch.stack([torch.tensor(float(advantages.numel())), advantages.sum().cpu()])
        )
        mean = float(total / count)
        deviation = float((self.ranks.sum(((advantages - mean) ** 2).sum().cpu()) / (count - 1)).sqrt())
        storage.advantages = ((advantages - mean) / (deviation + 1e-8)).float()

    def update(self, iteration: int) -> dict[str, float]:
        """Gradient steps on the stored iteration; then everything that must not change within one.

        Raises:
            PpoError: a stored log-probability is not that of what was executed.
            NotFiniteError: a parameter is not finite afterwards.
        """
        ppo = self.ppo
        observations, mean, std = self.check_ratio(iteration)
        variance = self._explained_variance()
        ppo.eval_mode()  # keeps rsl_rl from updating the normalisers before the KL is measured
        before = torch.get_rng_state()
        losses = ppo.update()
        if not self.ranks.alone:
            self._draw_as_one(before)
        distribution = actor_critic.distribution(ppo.actor)
        distribution.clamp()
        ppo.train_mode()
        for model in (ppo.actor, ppo.critic):
            for name, parameter in model.named_parameters():
                if not bool(parameter.isfinite().all()):
                    raise NotFiniteError(f"{name} is not finite after the update")
        with torch.no_grad():
            self._distribution(observations)
            kl = float(distribution.kl_divergence((mean, std), distribution.params).mean())
        figures = {
            "kl": kl,
            "value_loss": float(losses["value"]),
            "surrogate_loss": float(losses["surrogate"]),
            "explained_variance": variance,
        }
        figures = {name: total / self.ranks.world for name, total in self.ranks.sums(figures).items()}
        self.adapt(figures["kl"])
        ppo.actor.update_normalization(observations)
        ppo.critic.update_normalization(observations)
        self.scale.commit()
        return figures

    def check_ratio(self, iteration: int = 0) -> tuple[TensorDict, Tensor, Tensor]:
        """Assert that every stored log-probability is that of the executed z under the present policy."""
        storage, actor = self.ppo.storage, self.ppo.actor
        observations = storage.observations.flatten(0, 1)
        assert storage.distribution_params is not None
        mean, std = (parameter.flatten(0, 1).clone() for parameter in storage.distribution_params)
        with torch.no_grad():
            self._distribution(observations)
            log_prob = actor.get_output_log_prob(storage.actions.flatten(0, 1))
            ratio = torch.exp(log_prob - storage.actions_log_prob.flatten())
        worst = float((ratio - 1).abs().max())
        if not worst <= _RATIO_TOLERANCE:
            raise PpoError(
                f"iteration {iteration}: the probability ratio before the first gradient step "
                f"is off by {worst:.3g}, must be 1: the log-probability is not that of the executed sample"
            )
        return observations, mean, std

    def adapt(self, kl: float) -> None:
        """Hold the KL of an update in its band."""
        (low, high), (least, most) = self.config.kl_band, self.config.learning_rate_range
        rate = self.ppo.learning_rate
        if kl > high:
            rate = max(least, rate / _LEARNING_RATE_FACTOR)
        elif kl < low:
            rate = min(most, rate * _LEARNING_RATE_FACTOR)
        self.set_learning_rate(rate)

    def set_learning_rate(self, rate: float) -> None:
        """Of Adam, from now on."""
        self.ppo.learning_rate = rate
        for group in self.ppo.optimizer.param_groups:
            group["lr"] = rate

    def _draw_as_one(self, before: Tensor) -> None:
        """Leave the generator as one process would that learned from the joint batch: rsl_rl shuffles it, and
        draws a sample of every minibatch that it does not use. On a GPU both have a generator of their own.

        Args:
            before: state of the generator before the update.
        """
        if self.device != "cpu":
            return
        ppo = self.ppo
        decisions = ppo.storage.num_envs * ppo.storage.num_transitions_per_env * self.ranks.world
        minibatch = decisions // ppo.num_mini_batches
        torch.set_rng_state(before)
        torch.randperm(minibatch * ppo.num_mini_batches)
        for _ in range(ppo.num_learning_epochs * ppo.num_mini_batches):
            torch.randn(minibatch, self.layout.size)

    def _distribution(self, observations: TensorDict) -> None:
        """Set the actor's distribution to the one under these observations."""
        actor = self.ppo.actor
        actor_critic.distribution(actor).update(actor.mlp(actor.get_latent(observations)))

    def _explained_variance(self) -> float:
        storage = self.ppo.storage
        variance = storage.returns.var()
        return (
            float(1 - (storage.returns - storage.values).var() / variance) if variance > 0 else float("nan")
        )
