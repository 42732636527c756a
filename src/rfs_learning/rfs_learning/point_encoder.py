"""The encoder of point clouds: every point alone through one small network, the largest value of each channel
over all points, a projection (PointNet, Qi et al. 2017, with the layer norms of 3D Diffusion Policy, Ze et
al. 2024). The order of the points does not matter.

A point is shown in two frames, the base's and the palm's: what decides a grasp is where the object is from
the hand, and by the robot's own kinematics that is known for every point.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from rfs_core.errors import RfsError
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import points as points_task
from rfs_learning.networks import MlpArchitecture, whole_numbers
from rfs_learning.normalizer import Normalizer

PALM_SCALE_M = 0.1
"""Distance from the palm that becomes 1."""
_PALM_CLIP = 4.0
"""Beyond four times that a point's place seen from the palm is cut off; the base's frame still tells it."""
_PER_POINT_INPUTS = 6
_LARGEST = {"points": 65536, "own_size": 4096, "point_width": 2048, "point_features": 4096}


@dataclasses.dataclass(frozen=True)
class PointsArchitecture:
    """Size of a point encoder and of the velocity field behind it; stored in every checkpoint."""

    points: int
    """N, points of a cloud: the last 3 N values of an observation."""
    own_size: int
    """Values of an observation before the cloud."""
    palm_position_at: int
    """Index of the palm's position (3) among them."""
    palm_rotation_at: int
    """Index of the first two columns of the palm's rotation (6) among them."""
    field: MlpArchitecture
    """The velocity field; it sees the own values and the encoder's features."""
    point_width: int = 256
    """Channels of a point before the maximum; the two layers before have a quarter and half of it."""
    point_features: int = 128
    """What is left of a cloud."""

    def __post_init__(self) -> None:
        names = ("points", "own_size", "point_width", "point_features")
        whole_numbers("architecture", {name: getattr(self, name) for name in names}, _LARGEST)
        for name, length in (("palm_position_at", 3), ("palm_rotation_at", 6)):
            value = getattr(self, name)
            if (
                not isinstance(value, int)
                or isinstance(value, bool)
                or not 0 <= value <= self.own_size - length
            ):
                raise RfsError(
                    f"architecture: {name} is {value!r}, its {length} values must lie within the "
                    f"{self.own_size} before the cloud"
                )
        if self.point_width % 4:
            raise RfsError(f"architecture: point_width is {self.point_width}, allowed are multiples of 4")
        if self.field.observation_size != self.feature_size:
            raise RfsError(
                f"architecture: its velocity field sees {self.field.observation_size} values, the encoder "
                f"gives {self.feature_size}"
            )

    @classmethod
    def of(
        cls, spec: ObservationSpec, field: dict[str, Any], point_width: int = 256, point_features: int = 128
    ) -> PointsArchitecture:
        """The architecture for an observation whose last part is a cloud.

        Args:
            field: what `MlpArchitecture` takes beside the observation's size.

        Raises:
            RfsError: no cloud at the end of the observation, or no palm before it.
        """
        if spec.names[-1] != points_task.POINTS or not {"palm_position", "palm_rotation"} <= set(spec.names):
            raise RfsError(
                f"observation has the parts {', '.join(spec.names)}; a point encoder needs palm_position and "
                "palm_rotation, and points as the last part"
            )
        own = spec.slice(points_task.POINTS).start
        return cls(
            points_task.count_of(spec),
            own,
            spec.slice("palm_position").start,
            spec.slice("palm_rotation").start,
            MlpArchitecture(own + point_features, **field),
            point_width,
            point_features,
        )

    @property
    def observation_size(self) -> int:
        """Values in one observation."""
        return self.own_size + 3 * self.points

    @property
    def feature_size(self) -> int:
        """What the velocity field and a modulation see of an observation."""
        return self.own_size + self.point_features

    def to_dict(self) -> dict[str, Any]:
        """As stored in a checkpoint's header."""
        sizes = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "field"}
        return {"type": "points", **sizes, "field": self.field.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PointsArchitecture:
        """The inverse of `to_dict`.

        Raises:
            RfsError: another type of network, or missing or unknown keys.
        """
        if data.get("type") != "points":
            raise RfsError(f"architecture: type is {data.get('type')!r}, wanted is 'points'")
        sizes = {key: value for key, value in data.items() if key != "type"}
        names = {f.name for f in dataclasses.fields(cls)}
        if set(sizes) != names or not isinstance(sizes["field"], dict):
            raise RfsError(f"architecture: has {sorted(sizes)}, needs exactly {sorted(names)}")
        return cls(**{**sizes, "field": MlpArchitecture.from_dict(sizes["field"])})


class PointEncoder(nn.Module):
    """Own values and cloud -> largest value of each channel (`pool`) -> features (`project`)."""

    def __init__(self, architecture: PointsArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.point_normalizer = Normalizer(3)
        width = architecture.point_width
        layers: list[nn.Module] = []
        inputs = _PER_POINT_INPUTS
        for outputs in (width // 4, width // 2):
            layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU()]
            inputs = outputs
        self.per_point = nn.Sequential(*layers, nn.Linear(inputs, width))
        self.projection = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, architecture.point_features),
            nn.LayerNorm(architecture.point_features),
        )

    def pool(self, own: Tensor, points: Tensor) -> Tensor:
        """Shape: own (N, own_size), points (N, P, 3), both in physical units -> (N, point_width).

        P may be any number > 0: a part of a cloud is a cloud.
        """
        pooled: Tensor = self.per_point(self._two_frames(own, points)).amax(dim=1)
        return pooled

    def project(self, pooled: Tensor) -> Tensor:
        """Shape: (N, point_width) -> (N, point_features)."""
        features: Tensor = self.projection(pooled)
        return features

    def _two_frames(self, own: Tensor, points: Tensor) -> Tensor:
        """Normalised place in the base, and in the palm's frame. Shape: (N, P, 6)."""
        a = self.architecture
        palm = own[:, None, a.palm_position_at : a.palm_position_at + 3]
        columns = own[:, a.palm_rotation_at : a.palm_rotation_at + 6].view(-1, 2, 3)
        third = torch.linalg.cross(columns[:, 0], columns[:, 1])
        rotation = torch.stack([columns[:, 0], columns[:, 1], third], dim=2)
        seen = torch.bmm(points - palm, rotation) / PALM_SCALE_M
        base = self.point_normalizer.normalize(points)
        return torch.cat([base, seen.clamp(-_PALM_CLIP, _PALM_CLIP)], dim=2)
