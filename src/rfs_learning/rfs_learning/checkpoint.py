"""Checkpoints that describe themselves: specs, architecture, integrator, origin, results beside the weights.

A checkpoint is a `rfs_learning.container` file. Whoever loads one compares its specs with those of the robot;
nothing about a policy is configured twice.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor

from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_learning import container
from rfs_learning.container import CheckpointError
from rfs_learning.integrator import Integrator

FORMAT_VERSION = 1
KINDS = ("flow_base", "rfs", "best_of_n")
"""A flow base policy alone; one with a trained `rfs_learning.steering.SteeringHead` on top; one whose noise
is chosen among several by a critic, `rfs_learning.best_of_n`."""

__all__ = ["FORMAT_VERSION", "KINDS", "Checkpoint", "CheckpointError", "CheckpointHeader", "load", "save"]


@dataclasses.dataclass(frozen=True)
class CheckpointHeader:
    """What a checkpoint says of itself."""

    kind: str
    """What the tensors are: one of `KINDS`."""
    name: str
    """Name a person gave it; with digits of its digest it is the checkpoint's id."""
    task: str
    """Task it was trained on."""
    action_spec: ActionSpec
    """Actions it outputs."""
    observation_spec: ObservationSpec
    """Observations it wants."""
    architecture: dict[str, Any]
    """Network, see `rfs_learning.networks` and `rfs_learning.steering`."""
    integrator: Integrator
    """How Push integrates; part of the policy, because the noise means something else under another one."""
    seed: int
    """Seed of the training run."""
    command: str
    """Command line that made it."""
    config: dict[str, Any]
    """Configuration of the trainer."""
    parents: tuple[dict[str, Any], ...] = ()
    """What it was made from: [{"path", "sha256", "kind"}], demonstrations and checkpoints."""
    results: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Measured results, each with the command that printed it."""
    format_version: int = FORMAT_VERSION
    """Version of this header."""

    def to_dict(self) -> dict[str, Any]:
        """As stored."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **fields,
            "action_spec": self.action_spec.to_dict(),
            "observation_spec": self.observation_spec.to_dict(),
            "integrator": self.integrator.to_dict(),
            "parents": list(self.parents),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CheckpointHeader:
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: another version, an unknown kind, keys or types that are not those above.
        """
        version = data.get("format_version")
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"header format_version is {version!r}, this version reads {FORMAT_VERSION}: "
                f"use the release that wrote it, or retrain"
            )
        if data.get("kind") not in KINDS:
            raise CheckpointError(f"header kind is {data.get('kind')!r}, known are {', '.join(KINDS)}")
        types: dict[str, type] = {
            "name": str,
            "task": str,
            "action_spec": dict,
            "observation_spec": dict,
            "architecture": dict,
            "integrator": dict,
            "seed": int,
            "command": str,
            "config": dict,
            "parents": list,
            "results": dict,
        }
        expected = {"format_version", "kind", *types}
        if set(data) != expected:
            raise CheckpointError(
                f"header misses {sorted(expected - set(data))} and has unknown {sorted(set(data) - expected)}"
            )
        for key, wanted in types.items():
            if not isinstance(data[key], wanted):
                raise CheckpointError(
                    f"header {key} is {data[key]!r} ({type(data[key]).__name__}), needs {wanted.__name__}"
                )
        try:
            return cls(
                **{
                    **data,
                    "action_spec": ActionSpec.from_dict(data["action_spec"]),
                    "observation_spec": ObservationSpec.from_dict(data["observation_spec"]),
                    "integrator": Integrator.from_dict(data["integrator"]),
                    "parents": tuple(data["parents"]),
                }
            )
        except CheckpointError:
            raise
        except (RfsError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"header: {error}") from error


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Header and tensors."""

    header: CheckpointHeader
    tensors: dict[str, Tensor]
    """All weights and the normalisers' mean and std, by name."""

    @property
    def id(self) -> str:
        """`<name>@<12 hex digits>`.

        The digits are of the digest over what decides actions: tensors, specs, architecture, integrator.
        Results added later do not change it; another integrator does.
        """
        stored = self.header.to_dict()
        deciding = {
            key: stored[key]
            for key in ("kind", "action_spec", "observation_spec", "architecture", "integrator")
        }
        deciding["tensors_sha256"] = container.tensors_sha256(self.tensors)
        return f"{self.header.name}@{hashlib.sha256(container.canonical_json(deciding)).hexdigest()[:12]}"


def save(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    container.write(Path(path), checkpoint.header.to_dict(), checkpoint.tensors)


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint and prove it intact.

    Raises:
        CheckpointError: missing, truncated, altered, of another format, version or kind, or with values
            in its tensors that are not finite; the sentence says what to do.
    """
    path = Path(path)
    stored, tensors = container.read(path)
    try:
        header = CheckpointHeader.from_dict(
            {key: value for key, value in stored.items() if key not in ("tensors_sha256", "header_sha256")}
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{path}: tensor {name} has values that are not finite: retrain it")
    return Checkpoint(header, tensors)
