"""The deployed policy: a = clip(Push(o, a_0, v) + a_r), the same object in `evaluate` and in the ROS node.

All randomness comes in as noise and nothing is remembered between calls, so that a decision can be repeated.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, ObservationSpec, require_same
from rfs_learning import checkpoint as checkpoints
from rfs_learning.best_of_n import BestOfN
from rfs_learning.checkpoint import Checkpoint, CheckpointError, CheckpointHeader
from rfs_learning.flow import FlowBase
from rfs_learning.integrator import Integrator
from rfs_learning.modulation import A0_CHOICES, A0_TRAINED, IdentityModulation, Modulation
from rfs_learning.steering import SteeringHead, base_of

_ROWS = 8
"""Batches are padded to a multiple of this many rows. Matrix products of one row and of many go through
different kernels, whose sums differ in the last bit; contact makes a centimetre of that within an episode.
With a multiple of 8 (4 suffices on AVX-512) a row's result does not depend on how many others are with it."""


_LARGEST_S = 10.0
"""Bound of the normalised observation that a modulation sees, in standard deviations of the demonstrations: a
world whose physics blows up must not spoil what is learned from the others."""


class PolicyError(RfsError):
    """An observation, a noise or a device that the policy cannot act on."""


def require_device(name: str) -> None:
    """Raises PolicyError where torch cannot use a device."""
    try:
        torch.zeros(1, device=name)
    except (AssertionError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise PolicyError(f"device is {name!r}, which torch cannot use here ({why}): use cpu") from error


@dataclasses.dataclass(frozen=True)
class PolicyOutput:
    """One decision for each of N environments; every array has shape (N, H, A)."""

    a_0: NDArray[np.float32]
    """Initial noise of the flow, dimensionless."""
    a_b: NDArray[np.float64]
    """Base action Push(o, a_0, v), physical units, not clipped."""
    a_r: NDArray[np.float64]
    """Residual, physical units."""
    a: NDArray[np.float64]
    """a_b + a_r, clipped to the action spec: what shall be executed."""


class Policy:
    """A frozen flow base policy with a modulation on top."""

    def __init__(
        self,
        flow: FlowBase,
        header: CheckpointHeader,
        checkpoint_id: str,
        modulation: Modulation,
        device: str,
    ) -> None:
        self._flow = flow.to(device)
        self._modulation = modulation
        self.device = device
        """Where its networks are, as torch names it."""
        self._low = np.asarray(header.action_spec.low, np.float64)
        self._high = np.asarray(header.action_spec.high, np.float64)
        self.header = header
        """The checkpoint's header: specs, integrator, origin."""
        self.checkpoint_id = checkpoint_id
        """`<name>@<12 hex digits>`."""

    @classmethod
    def load(
        cls,
        path: Path | str,
        action_spec: ActionSpec | None = None,
        observation_spec: ObservationSpec | None = None,
        integrator: Integrator | None = None,
        a0: str = A0_TRAINED,
        device: str = "cpu",
    ) -> Policy:
        """Load a checkpoint and compare it with the robot it shall move.

        Args:
            action_spec, observation_spec: Those of the robot or environment; None: not compared.
            integrator: The one that a critic or a noise policy was trained with; None: not compared.
            a0: "normal": the noise given to `act` is a_0; "zero": a_0 = 0; "trained": the one of both that a
                residual was trained with, "normal" for a base policy. A trained head that steers the noise
                decides a_0 itself.

        Raises:
            PolicyError: an unknown `a0`.
            CheckpointError: the file cannot be used, or its integrator is another one.
            SpecError: its specs differ from those given; every difference is named with both values.
        """
        loaded = checkpoints.load(path)
        hint = "choose a checkpoint trained for this robot and task, or retrain"
        if action_spec is not None:
            both = f"action of checkpoint {loaded.id} and of this robot (other)"
            require_same(loaded.header.action_spec, action_spec, both, hint)
        if observation_spec is not None:
            both = f"observation of checkpoint {loaded.id} and of this robot (other)"
            require_same(loaded.header.observation_spec, observation_spec, both, hint)
        if integrator is not None and integrator != loaded.header.integrator:
            raise CheckpointError(
                f"{path}: integrates the flow by {loaded.header.integrator}, needed is {integrator}: {hint}"
            )
        return cls.from_checkpoint(loaded, a0=a0, device=device)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, a0: str = A0_TRAINED, device: str = "cpu") -> Policy:
        """The policy of a checkpoint in memory, with its trained head if it has one; `a0` as for `load`."""
        require_device(device)
        if a0 not in A0_CHOICES:
            raise PolicyError(f"a0 is {a0!r}, known are {', '.join(A0_CHOICES)}")
        flow = FlowBase.from_checkpoint(base_of(checkpoint))
        modulation: Modulation = IdentityModulation("normal" if a0 == A0_TRAINED else a0)
        if checkpoint.header.kind == "rfs":
            modulation = SteeringHead.from_checkpoint(checkpoint, a0).to(device)
        elif checkpoint.header.kind == "best_of_n":
            modulation = BestOfN.from_checkpoint(checkpoint).to(device)
        return cls(flow, checkpoint.header, checkpoint.id, modulation, device)

    @torch.inference_mode()
    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> PolicyOutput:
        """Decide for N environments at once; N = 1 on the robot.

        Args:
            observation: Shape (N, O), in the units of the observation spec.
            noise: Shape (N, H, A), drawn from N(0, I).

        Raises:
            PolicyError: a wrong shape, or a value that is not finite.
        """
        _check("observation", observation, (len(observation), self.header.observation_spec.size))
        return self._decide(self._features(observation), len(observation), noise)

    @property
    def feature_size(self) -> int:
        """F: what a modulation, a critic or the velocity field see of an observation."""
        return self._flow.feature_size

    @torch.inference_mode()
    def encode(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of N observations: standardised values, with a cloud its encoding. Shape (N, O) -> (N, F).

        Training on stored observations encodes them once; `act_on` decides from what is returned here.

        Raises:
            PolicyError: a wrong shape, or a value that is not finite.
        """
        _check("observation", observation, (len(observation), self.header.observation_spec.size))
        return self._numpy(self._features(observation), len(observation))

    @torch.inference_mode()
    def act_on(self, features: NDArray[np.float32], noise: NDArray[np.float32]) -> PolicyOutput:
        """`act` from what `encode` returned. Shape: features (N, F), noise (N, H, A).

        Raises:
            PolicyError: a wrong shape, or a value that is not finite.
        """
        _check("features", features, (len(features), self.feature_size))
        return self._decide(self._padded(features), len(features), noise)

    def _features(self, observation: NDArray[np.float32]) -> Tensor:
        """Rows are a multiple of `_ROWS`. Clouds are condensed one by one: that stays in the processor's
        cache, costs nothing for padding, and each is the same whatever stands beside it."""
        if self._flow.encoder is None:
            condensed = self._padded(observation)
        else:
            given = torch.from_numpy(observation).to(self.device)
            condensed = torch.zeros((-(-len(given) // _ROWS) * _ROWS, self._flow.condensed_size))
            condensed = condensed.to(self.device)
            for i in range(len(given)):
                condensed[i : i + 1] = self._flow.condense(given[i : i + 1])
        return self._flow.features(condensed).clamp(-_LARGEST_S, _LARGEST_S)

    def _decide(self, s: Tensor, rows: int, noise: NDArray[np.float32]) -> PolicyOutput:
        """One decision from padded features."""
        spec = self.header.action_spec
        _check("noise", noise, (rows, spec.horizon, spec.size))
        a_0, a_r, direct, replaced = self._modulation(s, self._padded(noise))
        a_b = self._flow.push_features(s, a_0)
        if direct is not None and replaced is not None:
            a_b = torch.where(replaced, direct, a_b)
        base = self._numpy(a_b, rows).astype(np.float64)
        residual = self._numpy(a_r, rows).astype(np.float64)
        action = np.clip(base + residual, self._low, self._high)
        return PolicyOutput(self._numpy(a_0, rows), base, residual, action)

    def with_modulation(self, modulation: Modulation) -> Policy:
        """The same base policy under another modulation; the checkpoint's id and header stay."""
        return Policy(self._flow, self.header, self.checkpoint_id, modulation, self.device)

    @property
    def modulation(self) -> Modulation:
        """What steers the base policy."""
        return self._modulation

    @property
    def noise_source(self) -> str:
        """Where a_0 comes from: "normal" (N(0, I)), "zero", or "steered" by a trained head."""
        return str(getattr(self._modulation, "noise_source", "given"))

    @torch.inference_mode()
    def normalize(self, observation: NDArray[np.float32]) -> Tensor:
        """The observation as the modulation sees it. Shape (N, O), in the units of the spec -> (N, F)."""
        return self._features(observation)[: len(observation)]

    def _padded(self, array: NDArray[np.float32]) -> Tensor:
        """The array as a tensor whose number of rows is a multiple of `_ROWS`, zeros below."""
        rows = -(-len(array) // _ROWS) * _ROWS
        padded = np.zeros((rows, *array.shape[1:]), np.float32)
        padded[: len(array)] = array
        return torch.from_numpy(padded).to(self.device)

    @staticmethod
    def _numpy(tensor: Tensor, rows: int) -> NDArray[np.float32]:
        array: NDArray[np.float32] = tensor[:rows].cpu().numpy()
        return array


def _check(what: str, array: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise PolicyError(f"{what} has shape {array.shape}, this policy needs {shape}")
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise PolicyError(f"{what} at {index} is {array[index]}; only finite values can be acted on")
