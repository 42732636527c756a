"""The flow base policy: flow matching over action chunks (paper, Eq. 2 and 3).

a_t = (1 - t) a_0 + t a with a_0 ~ N(0, I) and t ~ U[0, 1]; v(a_t, t, s) is regressed on a - a_0.
Integrating v from noise a_0 gives an action: Push(s, a_0, v).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rfs_core.errors import RfsError
from rfs_learning.checkpoint import Checkpoint, CheckpointError, CheckpointHeader
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture, VelocityField
from rfs_learning.normalizer import Normalizer


def flow_matching_loss(v: nn.Module, a: Tensor, s: Tensor, a_0: Tensor, t: Tensor) -> Tensor:
    """Eq. 3: mean squared error between v(a_t, t, s) and a - a_0.

    Shape: a, a_0 (N, D); s (N, O); t (N, 1), in [0, 1]; all normalised. Returns a scalar.
    """
    a_t = (1 - t) * a_0 + t * a
    error: Tensor = v(a_t, t, s) - (a - a_0)
    return (error**2).mean()


class FlowBase(nn.Module):
    """Velocity field, normalisers and integrator: all that turns (observation, a_0) into a_b."""

    def __init__(self, architecture: MlpArchitecture, integrator: Integrator, horizon: int) -> None:
        super().__init__()
        if architecture.chunk_size % horizon:
            raise RfsError(f"a chunk of {architecture.chunk_size} values cannot be {horizon} equal steps")
        self.integrator = integrator
        self.horizon = horizon
        self.action_size = architecture.chunk_size // horizon
        self._clip = float(architecture.observation_clip)
        self.velocity = VelocityField(architecture)
        self.observation_normalizer = Normalizer(architecture.observation_size)
        # Every step of a chunk has the same scale, so that noise means the same at each.
        self.action_normalizer = Normalizer(self.action_size)

    def loss(self, observation: Tensor, chunk: Tensor, a_0: Tensor, t: Tensor) -> Tensor:
        """Eq. 3 on data in physical units.

        Shape: observation (N, O), chunk (N, H, A), a_0 (N, H, A), t (N, 1). Returns a scalar.
        """
        a = self.action_normalizer.normalize(chunk).flatten(1)
        s = self.normalized(observation)
        return flow_matching_loss(self.velocity, a, s, a_0.flatten(1), t)

    def normalized(self, observation: Tensor) -> Tensor:
        """The observation as the network sees it. Shape (N, O)."""
        return self.observation_normalizer.normalize(observation).clamp(-self._clip, self._clip)

    def push(self, observation: Tensor, a_0: Tensor) -> Tensor:
        """a_b = Push(s, a_0, v) in physical units. Shape: observation (N, O), a_0 (N, H, A) -> (N, H, A)."""
        s = self.normalized(observation)
        a = self.integrator.push(lambda a_t, t: self.velocity(a_t, t, s), a_0.flatten(1))
        return self.action_normalizer.denormalize(a.view(-1, self.horizon, self.action_size))

    def to_checkpoint(self, header: CheckpointHeader) -> Checkpoint:
        """The checkpoint of these weights; `header` describes them."""
        return Checkpoint(header, {name: tensor.clone() for name, tensor in self.state_dict().items()})

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> FlowBase:
        """The policy that a checkpoint describes.

        Raises:
            CheckpointError: sizes in architecture, specs and tensors contradict each other.
        """
        header = checkpoint.header
        try:
            architecture = MlpArchitecture.from_dict(header.architecture)
            _compare("observation_size", architecture.observation_size, header.observation_spec.size)
            chunk = header.action_spec.horizon * header.action_spec.size
            _compare("chunk_size", architecture.chunk_size, chunk)
            with torch.device("meta"):  # learn the shapes without allocating what a header asks for
                wanted = _shapes(
                    cls(architecture, header.integrator, header.action_spec.horizon).state_dict()
                )
            got = _shapes(checkpoint.tensors)
            for name in sorted(set(wanted) | set(got)):
                if wanted.get(name) != got.get(name):
                    raise RfsError(
                        f"tensor {name} is {got.get(name, 'missing')}, its architecture needs "
                        f"{wanted.get(name, 'no such tensor')}"
                    )
            flow = cls(architecture, header.integrator, header.action_spec.horizon)
            flow.load_state_dict(checkpoint.tensors)
            flow.observation_normalizer.check()
            flow.action_normalizer.check()
        except RfsError as error:
            raise CheckpointError(f"checkpoint {header.name}: {error}; retrain it") from error
        return flow.eval().requires_grad_(False)


def _compare(what: str, architecture: int, spec: int) -> None:
    if architecture != spec:
        raise RfsError(f"its architecture has {what} {architecture}, its specs have {spec}")


def _shapes(tensors: dict[str, Any]) -> dict[str, str]:
    return {name: f"{tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors.items()}
