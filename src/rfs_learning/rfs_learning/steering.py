"""The trained part of a Residual Flow Steering policy: from an observation to a_0 and a_r (paper, Eq. 9).

A head puts out one flat vector z of dimensionless numbers; `SteeringLayout` says what they mean:

    noise     a_0 = clip(z, -noise_clip, noise_clip), one number for every steered value of every chunk step
    residual  a_r = residual_bound * clip(z, -1, 1), the same for every step of the chunk
    direct    a_b = direct_bound * clip(z, -1, 1), where the head replaces the flow (the arm in "hand" mode)

z = 0 is the base policy with a_0 = 0, bit for bit (in "hand" mode: its fingers, with the arm at rest).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rfs_core.bounds import ResidualBounds
from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec
from rfs_learning.checkpoint import Checkpoint, CheckpointError
from rfs_learning.flow import architecture_from_dict
from rfs_learning.modulation import A0_MODES, A0_TRAINED, Steering
from rfs_learning.networks import multi_layer_perceptron
from rfs_learning.normalizer import Normalizer

MODULATIONS = ("none", "residual", "noise", "both")
"""What is trained on top of the base policy: nothing, a_r (residual RL), a_0 (as in DSRL), both (RFS)."""
OVER = ("hand_and_arm", "hand")
"""What the flow moves: everything, or the fingers, with the arm learned directly ("RFS w/ hand")."""

_ARM_PARTS = ("arm_delta_position", "arm_delta_rotation")
_LARGEST = {"hidden_width": 8192, "hidden_layers": 32}


@dataclasses.dataclass(frozen=True)
class SteeringLayout:
    """What the numbers of z mean, in this order: noise (H x steered values), residual, direct."""

    modulation: str
    """One of `MODULATIONS`."""
    over: str
    """One of `OVER`."""
    horizon: int
    """H, steps in a chunk."""
    residual_bound: tuple[float, ...]
    """Largest |a_r| per value of an action, physical units; 0: no residual there. Length A."""
    direct_bound: tuple[float, ...]
    """Largest |a_b| of values learned directly; 0: the flow's. Length A."""
    noise_clip: float
    """Largest |a_0| of a steered value."""

    def __post_init__(self) -> None:
        for field, known in (("modulation", MODULATIONS), ("over", OVER)):
            if getattr(self, field) not in known:
                raise RfsError(f"{field} is {getattr(self, field)!r}, known are {', '.join(known)}")
        if not isinstance(self.horizon, int) or not 1 <= self.horizon <= 1000:
            raise RfsError(f"steering: horizon is {self.horizon!r}, allowed are whole numbers from 1 to 1000")
        if not self.residual_bound or len(self.residual_bound) != len(self.direct_bound):
            raise RfsError(
                f"steering: residual_bound has {len(self.residual_bound)} values, direct_bound "
                f"{len(self.direct_bound)}; both need one per value of an action"
            )
        bounds = np.array([*self.residual_bound, *self.direct_bound, self.noise_clip])
        if not (np.isfinite(bounds).all() and (bounds >= 0).all() and self.noise_clip > 0):
            raise RfsError("steering: bounds must be finite and >= 0, noise_clip finite and > 0")

    @classmethod
    def of(
        cls,
        spec: ActionSpec,
        modulation: str,
        over: str = "hand_and_arm",
        noise_clip: float = 2.5,
        bounds: ResidualBounds | None = None,
    ) -> SteeringLayout:
        """The layout for a robot's actions.

        Raises:
            RfsError: unknown modulation or `over`.
            SpecError: "hand" for a robot without arm parts, or a part that has no bound.
        """
        residual = (bounds or ResidualBounds()).vector(spec)
        direct = np.zeros(spec.size)
        if over == "hand":
            for name in _ARM_PARTS:
                direct[spec.slice(name)] = np.minimum(-spec.low, spec.high)[spec.slice(name)]
        residual = np.where((direct > 0) | (modulation not in ("residual", "both")), 0.0, residual)
        return cls(
            modulation,
            over,
            spec.horizon,
            tuple(residual.tolist()),
            tuple(direct.tolist()),
            float(noise_clip),
        )

    @property
    def action_size(self) -> int:
        """A."""
        return len(self.residual_bound)

    @property
    def steers(self) -> bool:
        """Whether the noise is chosen by the head."""
        return self.modulation in ("noise", "both")

    @property
    def noise_values(self) -> list[int]:
        """Indices of an action's values whose noise is steered."""
        return [i for i, bound in enumerate(self.direct_bound) if bound == 0] if self.steers else []

    @property
    def residual_values(self) -> list[int]:
        """Indices of an action's values that have a residual."""
        return [i for i, bound in enumerate(self.residual_bound) if bound > 0]

    @property
    def direct_values(self) -> list[int]:
        """Indices of an action's values that are learned directly."""
        return [i for i, bound in enumerate(self.direct_bound) if bound > 0]

    @property
    def groups(self) -> dict[str, int]:
        """Sizes of the three groups of z, in order."""
        return {
            "noise": self.horizon * len(self.noise_values),
            "residual": len(self.residual_values),
            "direct": len(self.direct_values),
        }

    @property
    def size(self) -> int:
        """Length of z."""
        return sum(self.groups.values())

    def decode(self, z: Tensor, unsteered: Tensor) -> Steering:
        """What z asks for.

        Args:
            z: Shape (N, size), dimensionless, any value.
            unsteered: a_0 where the noise is not steered. Shape (N, H, A). The noise of values that the head
                replaces is 0, so that it cannot reach the other values through the flow.
        """
        count, step = len(z), (len(z), self.horizon, self.action_size)
        noise, residual, direct = torch.split(z, list(self.groups.values()), dim=1)
        a_0 = unsteered.clone()
        a_0[..., self.direct_values] = 0.0
        if self.steers:
            clipped = noise.clamp(-self.noise_clip, self.noise_clip)
            a_0[..., self.noise_values] = clipped.view(count, self.horizon, len(self.noise_values))
        a_r = self._spread(residual, self.residual_values, self.residual_bound).expand(step)
        if not self.direct_values:
            return Steering(a_0, a_r)
        replaced = torch.tensor(self.direct_bound, device=z.device) > 0
        a_direct = self._spread(direct, self.direct_values, self.direct_bound).expand(step)
        return Steering(a_0, a_r, a_direct, replaced)

    def _spread(self, z: Tensor, values: list[int], bound: tuple[float, ...]) -> Tensor:
        """bound * clip(z, -1, 1) at `values`, 0 elsewhere. Shape: (N, len(values)) -> (N, 1, A)."""
        full = torch.zeros((len(z), 1, self.action_size), dtype=z.dtype, device=z.device)
        scale = torch.tensor([bound[i] for i in values], dtype=z.dtype, device=z.device)
        full[:, 0, values] = scale * z.clamp(-1.0, 1.0)
        return full

    def to_dict(self) -> dict[str, Any]:
        """As stored in a checkpoint's header."""
        stored = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in stored.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SteeringLayout:
        """The inverse of `to_dict`. Raises RfsError for anything else."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(data, dict) or set(data) != names:
            got = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise RfsError(f"steering: has {got}, needs exactly {sorted(names)}")
        try:
            tuples = {
                key: tuple(float(value) for value in data[key]) for key in ("residual_bound", "direct_bound")
            }
            return cls(**{**data, **tuples, "noise_clip": float(data["noise_clip"])})
        except (TypeError, ValueError) as error:
            raise RfsError(f"steering: {error}") from error


@dataclasses.dataclass(frozen=True)
class HeadArchitecture:
    """Size of a head; stored in every checkpoint that has one."""

    observation_size: int
    """Features of one observation (`FlowBase.feature_size`); without a cloud its values."""
    hidden_width: int = 256
    """Units of every hidden layer."""
    hidden_layers: int = 2
    """Number of hidden layers."""
    observation_clip: int = 5
    """Bound of the observation after the head's own normaliser: what hardly varied must not drive it."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, most = getattr(self, field.name), _LARGEST.get(field.name, 65536)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise RfsError(f"head: {field.name} is {value!r}, allowed are whole numbers from 1 to {most}")

    def to_dict(self) -> dict[str, Any]:
        """As stored in a checkpoint's header."""
        return {"type": "mlp", **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> HeadArchitecture:
        """The inverse of `to_dict`. Raises RfsError for another type of network or other keys."""
        if not isinstance(data, dict) or data.get("type") != "mlp":
            raise RfsError(f"head: architecture is {data!r}, this version knows type 'mlp'")
        sizes = {key: value for key, value in data.items() if key != "type"}
        names = {field.name for field in dataclasses.fields(cls)}
        if set(sizes) != names:
            raise RfsError(f"head: architecture has {sorted(sizes)}, needs exactly {sorted(names)}")
        return cls(**sizes)


class SteeringHead(nn.Module):
    """The deployed modulation: the mean of the trained policy, without exploration. Zero-initialised."""

    def __init__(self, architecture: HeadArchitecture, layout: SteeringLayout, a0: str = "normal") -> None:
        """`a0`: where the noise is not steered, a_0 is what is drawn ("normal") or 0 ("zero")."""
        super().__init__()
        if a0 not in A0_MODES:
            raise RfsError(f"a0 is {a0!r}, known are {', '.join(A0_MODES)}")
        self.architecture, self.layout, self.a0 = architecture, layout, a0
        # The flow's normaliser has the demonstrations' range; the policy's own states go further.
        self.observation_normalizer = Normalizer(architecture.observation_size)
        self.layers = multi_layer_perceptron(
            architecture.observation_size, architecture.hidden_width, architecture.hidden_layers, layout.size
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @property
    def noise_source(self) -> str:
        """Where a_0 comes from: "steered", or as configured, "normal" or "zero"."""
        return "steered" if self.layout.steers else self.a0

    def forward(self, observation: Tensor, noise: Tensor) -> Steering:
        """See `rfs_learning.modulation.Modulation`."""
        clip = float(self.architecture.observation_clip)
        z: Tensor = self.layers(self.observation_normalizer.normalize(observation).clamp(-clip, clip))
        return self.layout.decode(z, noise if self.a0 == "normal" else torch.zeros_like(noise))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, a0: str = A0_TRAINED) -> SteeringHead:
        """The head of a checkpoint of kind "rfs".

        Args:
            a0: where the noise is not steered: "trained", as its header says; or "normal" or "zero".

        Raises:
            CheckpointError: sizes in architecture, specs and tensors contradict each other.
        """
        header = checkpoint.header
        try:
            if a0 == A0_TRAINED:
                a0 = header.config.get("base_a0", "normal")
            if set(header.architecture) != {"type", "flow", "head", "steering"}:
                raise RfsError(f"its architecture has {sorted(header.architecture)}")
            architecture = HeadArchitecture.from_dict(header.architecture["head"])
            layout = SteeringLayout.from_dict(header.architecture["steering"])
            for what, has, needed in (
                ("observation_size", architecture.observation_size, _feature_size(header.architecture)),
                ("horizon", layout.horizon, header.action_spec.horizon),
                ("action size", layout.action_size, header.action_spec.size),
            ):
                if has != needed:
                    raise RfsError(f"its head has {what} {has}, its specs have {needed}")
            tensors = part_of(checkpoint.tensors, "head.")
            with torch.device("meta"):  # learn the shapes without allocating what a header asks for
                wanted = _shapes(cls(architecture, layout).state_dict())
            got = _shapes(tensors)
            for name in sorted(set(wanted) | set(got)):
                if wanted.get(name) != got.get(name):
                    raise RfsError(
                        f"tensor head.{name} is {got.get(name, 'missing')}, its architecture needs "
                        f"{wanted.get(name, 'no such tensor')}"
                    )
            head = cls(architecture, layout, a0)
            head.load_state_dict(tensors)
            head.observation_normalizer.check()
        except RfsError as error:
            raise CheckpointError(f"checkpoint {header.name}: {error}; retrain it") from error
        return head.eval().requires_grad_(False)

    def to_checkpoint(self, base: Checkpoint, **changes: Any) -> Checkpoint:
        """A checkpoint of this head on top of its base policy; `changes`: other fields of the header.

        Where a_0 comes from goes with it, as `base_a0` of the configuration.
        """
        config = {**changes.pop("config", base.header.config), "base_a0": self.a0}
        header = dataclasses.replace(
            base.header,
            kind="rfs",
            config=config,
            architecture={
                "type": "rfs",
                "flow": base.header.architecture,
                "head": self.architecture.to_dict(),
                "steering": self.layout.to_dict(),
            },
            **changes,
        )
        tensors = {f"flow.{name}": tensor.clone() for name, tensor in base.tensors.items()}
        tensors |= {f"head.{name}": tensor.detach().clone() for name, tensor in self.state_dict().items()}
        return Checkpoint(header, tensors)


def base_of(checkpoint: Checkpoint) -> Checkpoint:
    """The base policy inside a checkpoint of something on top of it; a base policy as it is."""
    header = checkpoint.header
    if header.kind == "flow_base":
        return checkpoint
    if not isinstance(header.architecture.get("flow"), dict):
        raise CheckpointError(f"checkpoint {header.name}: its architecture has no flow; retrain it")
    inner = dataclasses.replace(header, kind="flow_base", architecture=header.architecture["flow"])
    return Checkpoint(inner, part_of(checkpoint.tensors, "flow."))


def _feature_size(architecture: dict[str, Any]) -> int:
    """What the flow of a steered policy leaves of an observation for the head."""
    if not isinstance(architecture["flow"], dict):
        raise RfsError("its architecture has no flow")
    return architecture_from_dict(architecture["flow"]).feature_size


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _shapes(tensors: dict[str, Any]) -> dict[str, str]:
    return {name: f"{tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors.items()}
