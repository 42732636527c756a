"""Best of N: of several noises the one whose action a critic likes best; the base policy is not trained at
all.

The N candidates are a function of the one noise that a decision is given, so that it can be repeated: the
noise itself, and its sums with N - 1 fixed draws, each over the root of two, which again are N(0, I).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from rfs_core.errors import RfsError
from rfs_learning.checkpoint import Checkpoint, CheckpointError
from rfs_learning.critic import CriticEnsemble, critic_inputs
from rfs_learning.flow import FlowBase
from rfs_learning.modulation import Steering
from rfs_learning.normalizer import Normalizer
from rfs_learning.steering import base_of, part_of

_LARGEST = {"width": 8192, "layers": 32, "count": 16, "candidates": 1024}
_CLIP = 5.0
"""Bound of the normalised observation, as in a head."""


class BestOfN(nn.Module):
    """Chooses a_0; see `rfs_learning.modulation.Modulation`."""

    draws: Tensor
    noise_source = "best of N"

    def __init__(self, flow: FlowBase, sizes: dict[str, int]) -> None:
        """`sizes`: width, layers and count of the critics, candidates."""
        super().__init__()
        for name, most in _LARGEST.items():
            value = sizes.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise RfsError(f"best_of_n: {name} is {value!r}, allowed are whole numbers from 1 to {most}")
        self.sizes = {name: sizes[name] for name in _LARGEST}
        self._flow = [flow]  # in a list: its weights are kept once, with the base policy
        self.observation_normalizer = Normalizer(flow.feature_size)
        chunk = flow.horizon * flow.action_size
        inputs = critic_inputs("composed", flow.feature_size, chunk)
        self.critic = CriticEnsemble(inputs, sizes["width"], sizes["layers"], sizes["count"])
        self.register_buffer("draws", torch.zeros(sizes["candidates"], flow.horizon, flow.action_size))

    @classmethod
    def make(cls, flow: FlowBase, critic: CriticEnsemble, normalizer: Normalizer, candidates: int) -> BestOfN:
        """On a trained critic of the composed action; torch's global generator makes the draws."""
        width, layers = critic.weights[0].shape[2], len(critic.weights) - 1
        best = cls(flow, {"width": width, "layers": layers, "count": critic.count, "candidates": candidates})
        best.critic.load_state_dict(critic.state_dict())
        best.observation_normalizer.load_state_dict(normalizer.state_dict())
        best.draws.copy_(torch.randn(best.draws.shape))
        return best.eval().requires_grad_(False)

    def candidates(self, noise: Tensor) -> Tensor:
        """The noises to choose from, the given one first. Shape: (N, H, A) -> (N, candidates, H, A)."""
        mixed = (noise[:, None] + self.draws) / math.sqrt(2.0)
        mixed[:, 0] = noise
        return mixed

    def forward(self, observation: Tensor, noise: Tensor) -> Steering:
        """See `rfs_learning.modulation.Modulation`."""
        flow, count = self._flow[0], len(self.draws)
        a_0 = self.candidates(noise)
        a_b = flow.push_features(observation.repeat_interleave(count, 0), a_0.flatten(0, 1))
        a = flow.action_normalizer.normalize(a_b).flatten(1)
        o = self.observation_normalizer.normalize(observation).clamp(-_CLIP, _CLIP)
        q = self.critic(torch.cat([o.repeat_interleave(count, 0), a], dim=1)).amin(0)
        chosen = q.view(-1, count).argmax(1)
        return Steering(a_0[torch.arange(len(a_0)), chosen], torch.zeros_like(noise))

    def to_checkpoint(self, base: Checkpoint, **changes: Any) -> Checkpoint:
        """A checkpoint of kind "best_of_n"; `changes`: other fields of the header."""
        architecture = {"type": "best_of_n", "flow": base.header.architecture, "best_of_n": self.sizes}
        header = dataclasses.replace(base.header, kind="best_of_n", architecture=architecture, **changes)
        tensors = {f"flow.{name}": tensor.clone() for name, tensor in base.tensors.items()}
        tensors |= {f"best.{name}": tensor.detach().clone() for name, tensor in self.state_dict().items()}
        return Checkpoint(header, tensors)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> BestOfN:
        """Raises CheckpointError where sizes in architecture and tensors contradict each other."""
        flow = FlowBase.from_checkpoint(base_of(checkpoint))
        try:
            sizes = checkpoint.header.architecture.get("best_of_n")
            if not isinstance(sizes, dict):
                raise RfsError("its architecture says nothing of best_of_n")
            with torch.device("meta"):  # learn the shapes without allocating what a header asks for
                wanted = {name: value.shape for name, value in cls(flow, sizes).state_dict().items()}
            tensors = part_of(checkpoint.tensors, "best.")
            got = {name: value.shape for name, value in tensors.items()}
            if got != wanted:
                names = sorted(name for name in set(wanted) | set(got) if wanted.get(name) != got.get(name))
                raise RfsError(f"tensors best.{', best.'.join(names)} are not what its architecture needs")
            best = cls(flow, sizes)
            best.load_state_dict(tensors)
            best.observation_normalizer.check()
        except RfsError as error:
            raise CheckpointError(f"checkpoint {checkpoint.header.name}: {error}; retrain it") from error
        return best.eval().requires_grad_(False)
