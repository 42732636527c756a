"""The student while it learns: a flow base policy, its average, and a head that asks for the state.

The flow is trained as any base is (Eq. 3), on the chunks that the teacher chose. A cloud's features are
computed once for several noises and flow times. The state head exists in training only: it says what matters
in a cloud (where the object is, also as seen from the palm) long before actions alone would.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_core.tasks import points as points_task
from rfs_learning.distill.augment import Augmentation
from rfs_learning.distill.config import DistillConfig
from rfs_learning.flow import Architecture, FlowBase, flow_matching_loss
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture, multi_layer_perceptron
from rfs_learning.normalizer import Normalizer
from rfs_learning.point_encoder import PointsArchitecture

_PALM_SCALE_M = 0.05
"""Distance of the object from the palm that weighs as one standard deviation of the other values."""


class Student:
    """Networks, losses, average."""

    def __init__(
        self,
        config: DistillConfig,
        action_spec: ActionSpec,
        observation_spec: ObservationSpec,
        state_spec: ObservationSpec,
    ) -> None:
        self.config = config
        self.state_spec, self.observation_spec = state_spec, observation_spec
        self.own_size = observation_spec.size - 3 * points_task.count_of(observation_spec)
        field = {
            "chunk_size": action_spec.horizon * action_spec.size,
            "hidden_width": config.hidden_width,
            "hidden_layers": config.hidden_layers,
            "time_features": config.time_features,
            "observation_clip": config.observation_clip,
        }
        architecture: Architecture = MlpArchitecture(observation_spec.size, **field)
        if config.observation == "points":
            architecture = PointsArchitecture.of(
                observation_spec, field, config.point_width, config.point_features
            )
        self._asked = [
            i
            for part in state_spec.parts
            if part.name not in observation_spec.names
            for i in range(state_spec.slice(part.name).start, state_spec.slice(part.name).stop)
        ]
        asks = config.observation == "points" and config.state_weight > 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            integrator = Integrator(config.integrator, config.integrator_steps)
            self.flow = FlowBase(architecture, integrator, action_spec.horizon)
            outputs = len(self._asked) + (3 if self._tells_object else 0)
            self.state_head: nn.Module = (
                multi_layer_perceptron(architecture.feature_size, 128, 1, outputs) if asks else nn.Identity()
            )
        self._asks = asks
        self.state_normalizer = Normalizer(state_spec.size)
        self.augment = Augmentation(
            config.training_points, config.jitter, config.shift, config.crop_share, config.crop_radius
        )
        self._action_spec = action_spec
        self.average = copy.deepcopy(self.flow).eval().requires_grad_(False)

    @property
    def _tells_object(self) -> bool:
        names = set(self.state_spec.names)
        return {"object_position", "palm_position", "palm_rotation"} <= names

    def fit(
        self,
        own: NDArray[np.float32],
        points: NDArray[np.float32] | None,
        state: NDArray[np.float32],
        action: NDArray[np.float32],
    ) -> None:
        """Set the normalisers from rows. Shapes: (T, own), (any, 3), (T, S), (T, H, A)."""
        spec, a = self.observation_spec, self._action_spec
        low, high = np.asarray(spec.low)[: self.own_size], np.asarray(spec.high)[: self.own_size]
        self.flow.observation_normalizer = Normalizer.fit(own, low, high, 0.01)
        self.flow.action_normalizer = Normalizer.fit(
            action.reshape(-1, a.size), a.low, a.high, self.config.action_std_floor
        )
        s = self.state_spec
        self.state_normalizer = Normalizer.fit(state, np.asarray(s.low), np.asarray(s.high), 0.01)
        if self.flow.encoder is not None and points is not None:
            unbounded = np.full(3, np.inf)
            self.flow.encoder.point_normalizer = Normalizer.fit(points, -unbounded, unbounded, 1.0, 0.01)
        self.average = copy.deepcopy(self.flow).eval().requires_grad_(False)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that a resumed run needs."""
        return {
            "flow": self.flow,
            "average": self.average,
            "state_head": self.state_head,
            "state_normalizer": self.state_normalizer,
        }

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [*self.flow.parameters(), *self.state_head.parameters()]

    def losses(
        self,
        own: Tensor,
        points: Tensor | None,
        state: Tensor,
        chunk: Tensor,
        generator: torch.Generator,
        flow: FlowBase | None = None,
        augment: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Flow loss and mean squared error of the state, in standard deviations.

        Args:
            own, points, state, chunk: rows in physical units. Shapes: (B, own), (B, N, 3), (B, S), (B, H, A)
            generator: decides augmentation, noise and flow times.
            flow: whose losses; None: those of what is trained.
            augment: False: the rows as they are.
        """
        flow = self.flow if flow is None else flow
        config = self.config
        condensed = own
        if augment and config.own_noise > 0:
            # The palm that places the points stays exact: its sensor is.
            deviation = config.own_noise * flow.observation_normalizer.std
            condensed = own + deviation * torch.randn(own.shape, generator=generator)
        if flow.encoder is not None and points is not None:
            seen = self.augment(points, generator) if augment else points
            condensed = torch.cat([condensed, flow.encoder.pool(own, seen)], dim=1)
        features = flow.features(condensed)
        s = flow.clip(features).repeat_interleave(config.draws, dim=0)
        a = flow.action_normalizer.normalize(chunk).flatten(1).repeat_interleave(config.draws, dim=0)
        a_0 = torch.randn(a.shape, generator=generator)
        t = torch.rand((len(a), 1), generator=generator)
        loss = flow_matching_loss(flow.velocity, a, s, a_0, t)
        if not self._asks:
            return loss, torch.zeros(())
        told = self.state_head(features)
        return loss, ((told - self._wanted_state(state)) ** 2).mean()

    def _wanted_state(self, state: Tensor) -> Tensor:
        """What the state head shall say: the parts that the student is not given, and the object as seen from
        the palm. Shape: (B, S) -> (B, outputs)"""
        wanted = self.state_normalizer.normalize(state)[:, self._asked].clamp(-5.0, 5.0)
        if not self._tells_object:
            return wanted
        spec = self.state_spec
        columns = state[:, spec.slice("palm_rotation")].view(-1, 2, 3)
        third = torch.linalg.cross(columns[:, 0], columns[:, 1])
        rotation = torch.stack([columns[:, 0], columns[:, 1], third], dim=2)
        offset = state[:, spec.slice("object_position")] - state[:, spec.slice("palm_position")]
        seen = torch.bmm(offset[:, None], rotation)[:, 0] / _PALM_SCALE_M
        return torch.cat([wanted, seen.clamp(-5.0, 5.0)], dim=1)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average towards what is trained."""
        for averaged, current in zip(self.average.parameters(), self.flow.parameters(), strict=True):
            averaged.lerp_(current, 1 - decay)
