"""The velocity field v(a_t, t, s) of the flow base policy as a multi-layer perceptron.

It works in normalised coordinates: a_t is a flattened action chunk, s an observation, both standardised by
`rfs_learning.normalizer.Normalizer`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from rfs_core.errors import RfsError

_LARGEST = {"hidden_width": 8192, "hidden_layers": 32, "time_features": 1024, "observation_clip": 1000}
"""Beyond these a header is damaged or hostile, not a network of this project."""

_JACOBIAN_ROWS = 64
"""Rows of a Jacobian that are worked out together: 64 x 44 x 256 values are 3 MB."""

_SLOWEST_RAD, _FASTEST_RAD = 1.0, 100.0
"""Angles that t = 1 is mapped to by the slowest and fastest pair of the time embedding. Faster ones than
about 2 pi * steps would only add noise to an Euler integration of that many steps."""


def whole_numbers(what: str, values: dict[str, Any], largest: dict[str, int]) -> None:
    """Raise RfsError where a value is no whole number from 1 to its largest one (65536 if none is named)."""
    for name, value in values.items():
        most = largest.get(name, 65536)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise RfsError(f"{what}: {name} is {value!r}, allowed are whole numbers from 1 to {most}")


@dataclasses.dataclass(frozen=True)
class MlpArchitecture:
    """Size of a velocity field; stored in every checkpoint."""

    observation_size: int
    """Values in one observation."""
    chunk_size: int
    """Values in one action chunk: horizon times action size."""
    hidden_width: int = 256
    """Units of every hidden layer."""
    hidden_layers: int = 3
    """Number of hidden layers."""
    time_features: int = 32
    """Length of the sinusoidal embedding of t; even."""
    observation_clip: int = 5
    """Normalised observations are clipped to +- this: a contact that hardly occurs in the demonstrations has
    a small standard deviation, and would otherwise drive the network far outside what it has seen."""

    def __post_init__(self) -> None:
        whole_numbers("architecture", dataclasses.asdict(self), _LARGEST)
        if self.time_features % 2:
            raise RfsError(f"architecture: time_features is {self.time_features}, allowed are even numbers")

    @property
    def feature_size(self) -> int:
        """What the velocity field and a modulation see of an observation: all of it."""
        return self.observation_size

    @property
    def field(self) -> MlpArchitecture:
        """The velocity field's own part: itself."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """As stored in a checkpoint's header."""
        return {"type": "mlp", **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MlpArchitecture:
        """The inverse of `to_dict`.

        Raises:
            RfsError: another type of network, or missing or unknown keys.
        """
        if data.get("type") != "mlp":
            raise RfsError(f"architecture: type is {data.get('type')!r}, this version knows 'mlp'")
        sizes = {key: value for key, value in data.items() if key != "type"}
        names = {field.name for field in dataclasses.fields(cls)}
        if set(sizes) != names:
            raise RfsError(f"architecture: has {sorted(sizes)}, needs exactly {sorted(names)}")
        return cls(**sizes)


class SinusoidalEmbedding(nn.Module):
    """t in [0, 1] -> [sin(w_1 t), ..., cos(w_1 t), ...] with angular frequencies in geometric progression."""

    frequencies: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        frequencies = torch.logspace(math.log10(_SLOWEST_RAD), math.log10(_FASTEST_RAD), features // 2)
        # A constant of the architecture, not a weight: it is not stored.
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """Shape: t (N, 1) -> (N, features)."""
        angle = t * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


def multi_layer_perceptron(inputs: int, hidden_width: int, hidden_layers: int, outputs: int) -> nn.Sequential:
    """Linear layers with SiLU between them."""
    layers: list[nn.Module] = []
    width = inputs
    for _ in range(hidden_layers):
        layers += [nn.Linear(width, hidden_width), nn.SiLU()]
        width = hidden_width
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class VelocityField(nn.Module):
    """v(a_t, t, s): where the flow carries a chunk a_t at flow time t under observation s."""

    def __init__(self, architecture: MlpArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.time_embedding = SinusoidalEmbedding(architecture.time_features)
        self.layers = multi_layer_perceptron(
            architecture.chunk_size + architecture.time_features + architecture.observation_size,
            architecture.hidden_width,
            architecture.hidden_layers,
            architecture.chunk_size,
        )

    def forward(self, a_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Shape: a_t (N, chunk_size), t (N, 1), s (N, observation_size) -> (N, chunk_size)."""
        velocity: Tensor = self.layers(torch.cat([a_t, self.time_embedding(t), s], dim=-1))
        return velocity

    @torch.no_grad()
    def jacobian(self, a_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """d v / d a_t by the chain rule, some rows at a time so that it stays in the processor's cache.

        Shape: as `forward` -> (N, chunk_size, chunk_size), indexed [row, of v, of a_t].
        """
        x = torch.cat([a_t, self.time_embedding(t), s], dim=-1)
        blocks = torch.split(x, _JACOBIAN_ROWS)
        return torch.cat([self._jacobian(rows, a_t.shape[1]) for rows in blocks])

    def _jacobian(self, x: Tensor, size: int) -> Tensor:
        first, *rest = list(self.layers)
        assert isinstance(first, nn.Linear)
        z, d = first(x), first.weight[:, :size].T.expand(len(x), -1, -1)
        for layer in rest:
            if isinstance(layer, nn.Linear):
                # One product of matrices for all rows: d is [row, of a_t, unit].
                z, d = layer(z), nn.functional.linear(d, layer.weight)
            else:
                gate = z.sigmoid()
                d = d * (gate * (1 + z * (1 - gate)))[:, None]  # SiLU'
                z = z * gate
        return d.transpose(1, 2)
