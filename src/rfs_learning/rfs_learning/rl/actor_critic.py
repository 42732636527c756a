"""Actor and critic as rsl_rl models: training starts at the base policy, the actor's mean becomes a head."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules import MLP
from rsl_rl.modules.distribution import GaussianDistribution
from tensordict import TensorDict
from torch import Tensor, nn

from rfs_learning.rl.modulated_env import ACTOR_OBSERVATION, PRIVILEGED_OBSERVATION
from rfs_learning.steering import HeadArchitecture, SteeringHead, SteeringLayout

_ACTIVATION = "swish"
"""rsl_rl's name for SiLU, the activation of a deployed head."""
_CLIP = 5
"""Bound of normalised observations."""


class GroupGaussian(GaussianDistribution):  # type: ignore[misc]
    """A normal distribution; the standard deviations of each group of values start and stay in a range."""

    def __init__(self, output_dim: int, groups: list[tuple[int, float, float, float]]) -> None:
        """`groups`: size; initial, smallest, largest standard deviation of each, in order of the values."""
        super().__init__(output_dim, std_type="log")
        initial, low, high = (
            torch.cat([torch.full((size,), math.log(values[i])) for size, *values in groups])
            for i in range(3)
        )
        self.log_std_param.data.copy_(initial)
        self.register_buffer("log_std_low", low, persistent=False)
        self.register_buffer("log_std_high", high, persistent=False)
        self.draw: Callable[[int, int], Tensor] | None = None
        """Draws N(0, I), shape (N, size), for `sample`; None: torch's own sampling."""

    def sample(self) -> Tensor:
        """See rsl_rl."""
        if self.draw is None:
            sampled: Tensor = super().sample()
            return sampled
        mean, std = self.params
        drawn: Tensor = (mean + std * self.draw(*mean.shape)).detach()
        return drawn

    def clamp(self) -> None:
        """Move the parameter back into its range; to be called after every update.

        Clamping the parameter, and not only its use, keeps its gradient alive at the end of the range.
        """
        with torch.no_grad():
            self.log_std_param.copy_(torch.clamp(self.log_std_param, self.log_std_low, self.log_std_high))

    def init_mlp_weights(self, mlp: MLP) -> None:
        """Start at mean 0: the base policy."""
        last = mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)


class ClippedModel(MLPModel):  # type: ignore[misc]
    """A model whose observations are clipped after its normaliser, as a deployed head does it."""

    def get_latent(self, obs: TensorDict, masks: Tensor | None = None, hidden_state: Any = None) -> Tensor:
        """See rsl_rl."""
        latent: Tensor = super().get_latent(obs, masks, hidden_state)
        return latent.clamp(-_CLIP, _CLIP)


def observation_groups(observations: TensorDict) -> dict[str, list[str]]:
    """Which observations actor and critic see: the critic may see more."""
    critic = [name for name in (ACTOR_OBSERVATION, PRIVILEGED_OBSERVATION) if name in observations.keys()]  # noqa: SIM118
    return {"actor": [ACTOR_OBSERVATION], "critic": critic}


def make_actor(
    observations: TensorDict,
    layout: SteeringLayout,
    hidden: list[int],
    noise_std: tuple[float, float, float],
    residual_std: tuple[float, float, float],
) -> MLPModel:
    """The policy over z. `*_std`: initial, smallest, largest; direct values use the residual's."""
    sizes = layout.groups
    groups = [
        (sizes["noise"], *noise_std),
        (sizes["residual"], *residual_std),
        (sizes["direct"], *residual_std),
    ]
    return ClippedModel(
        observations,
        observation_groups(observations),
        "actor",
        layout.size,
        hidden_dims=hidden,
        activation=_ACTIVATION,
        obs_normalization=True,
        distribution_cfg={"class_name": GroupGaussian, "groups": groups},
    )


def make_critic(observations: TensorDict, hidden: list[int]) -> MLPModel:
    """The value function."""
    return ClippedModel(
        observations,
        observation_groups(observations),
        "critic",
        1,
        hidden_dims=hidden,
        activation=_ACTIVATION,
        obs_normalization=True,
    )


def freeze_normalizer_after(model: MLPModel, samples: int) -> None:
    """Let a model's observation normaliser learn from about that many samples, no more."""
    model.obs_normalizer.until = samples


def distribution(actor: MLPModel) -> GroupGaussian:
    """The actor's distribution."""
    assert isinstance(actor.distribution, GroupGaussian)
    return actor.distribution


def to_head(actor: MLPModel, layout: SteeringLayout, a0: str = "normal") -> SteeringHead:
    """The deployable mean of the actor, normaliser included."""
    linear = [module for module in actor.mlp if isinstance(module, nn.Linear)]
    architecture = HeadArchitecture(actor.obs_dim, linear[0].out_features, len(linear) - 1, _CLIP)
    head = SteeringHead(architecture, layout, a0)
    copied: dict[str, Tensor] = {f"layers.{name}": value for name, value in actor.mlp.state_dict().items()}
    normalizer: Any = actor.obs_normalizer
    copied["observation_normalizer.mean"] = normalizer.mean
    copied["observation_normalizer.std"] = normalizer.std + normalizer.eps
    head.load_state_dict(copied)
    return head.eval().requires_grad_(False)
