"""The flow base policy: flow matching over action chunks (paper, Eq. 2 and 3).

a_t = (1 - t) a_0 + t a with a_0 ~ N(0, I) and t ~ U[0, 1]; v(a_t, t, s) is regressed on a - a_0.
Integrating v from noise a_0 gives an action: Push(s, a_0, v).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_learning.checkpoint import Checkpoint, CheckpointError, CheckpointHeader
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture, VelocityField
from rfs_learning.normalizer import Normalizer
from rfs_learning.point_encoder import PointEncoder, PointsArchitecture


def flow_matching_loss(v: nn.Module, a: Tensor, s: Tensor, a_0: Tensor, t: Tensor) -> Tensor:
    """Eq. 3: mean squared error between v(a_t, t, s) and a - a_0.

    Shape: a, a_0 (N, D); s (N, O); t (N, 1), in [0, 1]; all normalised. Returns a scalar.
    """
    a_t = (1 - t) * a_0 + t * a
    error: Tensor = v(a_t, t, s) - (a - a_0)
    return (error**2).mean()


Architecture = MlpArchitecture | PointsArchitecture


def architecture_from_dict(data: dict[str, Any]) -> Architecture:
    """The architecture of a header, whatever its type.

    Raises:
        RfsError: an unknown type, or missing or unknown keys.
    """
    return (PointsArchitecture if data.get("type") == "points" else MlpArchitecture).from_dict(data)


class FlowBase(nn.Module):
    """Encoder, velocity field, normalisers and integrator: all that turns (observation, a_0) into a_b.

    An observation becomes features in two parts: `condense` looks at each observation alone (a cloud's
    largest values; nothing for a state), `features` at the batch. With a cloud the first costs most of a
    decision, and is made once for all steps of the integration.

    The flow may make the last values of an action only, such as the fingers' (`left_out` > 0): the values
    before them are 0 in a_b, for whoever learns them directly, and their noise is not looked at.
    """

    def __init__(
        self, architecture: Architecture, integrator: Integrator, horizon: int, left_out: int = 0
    ) -> None:
        """`left_out`: how many values at the beginning of an action the flow does not make."""
        super().__init__()
        field = architecture.field
        if field.chunk_size % horizon:
            raise RfsError(f"a chunk of {field.chunk_size} values cannot be {horizon} equal steps")
        self.architecture = architecture
        self.integrator = integrator
        self.horizon = horizon
        self.left_out = left_out
        made = field.chunk_size // horizon
        self.action_size = left_out + made
        self._clip = float(field.observation_clip)
        self.velocity = VelocityField(field)
        self.encoder = PointEncoder(architecture) if isinstance(architecture, PointsArchitecture) else None
        self._own_size = (
            architecture.own_size
            if isinstance(architecture, PointsArchitecture)
            else architecture.observation_size
        )
        self.observation_normalizer = Normalizer(self._own_size)
        # Every step of a chunk has the same scale, so that noise means the same at each.
        self.action_normalizer = Normalizer(made)

    @property
    def feature_size(self) -> int:
        """F, what the velocity field and a modulation see of an observation."""
        return self.architecture.feature_size

    @property
    def condensed_size(self) -> int:
        """Length of what `condense` returns."""
        return self._own_size + (self.encoder.architecture.point_width if self.encoder is not None else 0)

    def condense(self, observation: Tensor) -> Tensor:
        """The own values as they are, and the cloud's largest values. Shape (N, O) -> (N, any)."""
        if self.encoder is None:
            return observation
        own, points = observation[:, : self._own_size], observation[:, self._own_size :]
        return torch.cat([own, self.encoder.pool(own, points.reshape(len(points), -1, 3))], dim=1)

    def features(self, condensed: Tensor) -> Tensor:
        """What `condense` gave as the network sees it, not clipped. Shape (N, any) -> (N, F)."""
        own = self.observation_normalizer.normalize(condensed[:, : self._own_size])
        if self.encoder is None:
            return own
        return torch.cat([own, self.encoder.project(condensed[:, self._own_size :])], dim=1)

    def loss(self, observation: Tensor, chunk: Tensor, a_0: Tensor, t: Tensor) -> Tensor:
        """Eq. 3 on data in physical units.

        Shape: observation (N, O), chunk (N, H, A), a_0 (N, H, A), t (N, 1). Returns a scalar.
        """
        a = self.action_normalizer.normalize(chunk[..., self.left_out :]).flatten(1)
        s = self.normalized(observation)
        return flow_matching_loss(self.velocity, a, s, a_0[..., self.left_out :].flatten(1), t)

    def clip(self, features: Tensor) -> Tensor:
        """Features within the bounds that the velocity field was trained with. Shape (N, F)."""
        return features.clamp(-self._clip, self._clip)

    def normalized(self, observation: Tensor) -> Tensor:
        """The observation as the velocity field sees it. Shape (N, O) -> (N, F)."""
        return self.clip(self.features(self.condense(observation)))

    def push(self, observation: Tensor, a_0: Tensor) -> Tensor:
        """a_b = Push(s, a_0, v) in physical units. Shape: observation (N, O), a_0 (N, H, A) -> (N, H, A)."""
        return self.push_features(self.normalized(observation), a_0)

    def push_features(self, features: Tensor, a_0: Tensor) -> Tensor:
        """`push` from features, clipped here. Shape: features (N, F), a_0 (N, H, A) -> (N, H, A)."""
        s = self.clip(features)
        a = self.integrator.push(
            lambda a_t, t: self.velocity(a_t, t, s), a_0[..., self.left_out :].flatten(1)
        )
        made = self.action_normalizer.denormalize(a.view(len(a), self.horizon, -1))
        return nn.functional.pad(made, (self.left_out, 0)) if self.left_out else made

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
            architecture = architecture_from_dict(header.architecture)
            _compare("observation_size", architecture.observation_size, header.observation_spec.size)
            if isinstance(architecture, PointsArchitecture):
                _compare_cloud(architecture, header.observation_spec)
            horizon = header.action_spec.horizon
            left_out = values_left_out(architecture, header.action_spec)
            with torch.device("meta"):  # learn the shapes without allocating what a header asks for
                wanted = _shapes(cls(architecture, header.integrator, horizon, left_out).state_dict())
            got = _shapes(checkpoint.tensors)
            for name in sorted(set(wanted) | set(got)):
                if wanted.get(name) != got.get(name):
                    raise RfsError(
                        f"tensor {name} is {got.get(name, 'missing')}, its architecture needs "
                        f"{wanted.get(name, 'no such tensor')}"
                    )
            flow = cls(architecture, header.integrator, horizon, left_out)
            flow.load_state_dict(checkpoint.tensors)
            flow.observation_normalizer.check()
            flow.action_normalizer.check()
            if flow.encoder is not None:
                flow.encoder.point_normalizer.check()
        except RfsError as error:
            raise CheckpointError(f"checkpoint {header.name}: {error}; retrain it") from error
        return flow.eval().requires_grad_(False)


def values_left_out(architecture: Architecture, spec: ActionSpec) -> int:
    """How many values at the beginning of an action a flow does not make: none, or whole parts of the action.

    Raises:
        RfsError: the chunk it makes is not the action's last parts, for every step.
    """
    ends = [0, *(spec.slice(name).stop for name in spec.names[:-1])]
    makes = architecture.field.chunk_size
    for left_out in ends:
        if makes == spec.horizon * (spec.size - left_out):
            return int(left_out)
    raise RfsError(
        f"its architecture has chunk_size {makes}, its specs have {spec.horizon * spec.size}; or, where it "
        f"leaves out the first parts of {', '.join(spec.names)}, "
        f"{', '.join(str(spec.horizon * (spec.size - end)) for end in ends[1:])}"
    )


def _compare(what: str, architecture: int, spec: int) -> None:
    if architecture != spec:
        raise RfsError(f"its architecture has {what} {architecture}, its specs have {spec}")


def _compare_cloud(architecture: PointsArchitecture, spec: ObservationSpec) -> None:
    """The header's spec must say the same of the cloud and the palm as the architecture."""
    told = PointsArchitecture.of(
        spec,
        {"chunk_size": architecture.field.chunk_size},
        architecture.point_width,
        architecture.point_features,
    )
    for name in ("points", "own_size", "palm_position_at", "palm_rotation_at"):
        _compare(name, getattr(architecture, name), getattr(told, name))


def _shapes(tensors: dict[str, Any]) -> dict[str, str]:
    return {name: f"{tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors.items()}
