"""Checkpoints for tests: a small untrained policy that moves gently, and ways to spoil it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rfs_core import robot
from rfs_core.specs import ActionSpec, ObservationSpec, Part
from rfs_core.tasks import grasp, points
from rfs_learning import checkpoint
from rfs_learning.checkpoint import Checkpoint, CheckpointHeader
from rfs_learning.flow import Architecture, FlowBase
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture
from rfs_learning.point_encoder import PointsArchitecture


def gentle(seed: int = 0, **changes: Any) -> Checkpoint:
    """An untrained policy for grasp: steps of millimetres, fingers near the open hand.

    Args:
        changes: fields of the header to replace.
    """
    fields: dict[str, Any] = {
        "kind": "flow_base",
        "name": "gentle",
        "task": "grasp",
        "action_spec": robot.DEFAULT_ACTION_SPEC,
        "observation_spec": grasp.OBSERVATION_SPEC,
        "integrator": Integrator("euler", 10),
        "seed": seed,
        "command": "test/checkpoints.py",
        "config": {},
        **changes,
    }
    action, observation = fields["action_spec"], fields["observation_spec"]
    field = {"chunk_size": action.horizon * action.size}
    field |= {"hidden_width": 32, "hidden_layers": 2, "time_features": 8}
    architecture: Architecture = MlpArchitecture(observation.size, **field)
    if observation.names[-1] == "points":
        architecture = PointsArchitecture.of(observation, field, point_width=32, point_features=16)
    torch.manual_seed(seed)
    flow = FlowBase(architecture, fields["integrator"], action.horizon)
    mean, std = torch.zeros(action.size), torch.full((action.size,), 0.002)
    if "hand_target" in action.names:
        hand = action.slice("hand_target")
        mean[hand] = torch.tensor(robot.HAND_OPEN, dtype=torch.float32)
        std[hand] = 0.05
    flow.action_normalizer.mean.copy_(mean)
    flow.action_normalizer.std.copy_(std)
    return flow.to_checkpoint(CheckpointHeader(architecture=architecture.to_dict(), **fields))


def write(path: Path, seed: int = 0, **changes: Any) -> Path:
    """`gentle` as a file."""
    checkpoint.save(path, gentle(seed, **changes))
    return path


def write_points(path: Path, count: int = 256, **changes: Any) -> Path:
    """A gentle policy that sees a cloud of `count` points."""
    return write(path, name="cloudy", observation_spec=points.observation_spec("grasp", count), **changes)


def missing(folder: Path) -> Path:
    """No file at all."""
    return folder / "missing.safetensors"


def truncated(folder: Path) -> Path:
    """The first 70 % of a file."""
    path = write(folder / "truncated.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    return path


def bit_flipped(folder: Path) -> Path:
    """One bit of the last tensor is another one."""
    path = write(folder / "bit_flipped.safetensors")
    data = bytearray(path.read_bytes())
    data[-20] ^= 0x10
    path.write_bytes(bytes(data))
    return path


def pickled(folder: Path) -> Path:
    """A pickle with the right name; whoever loads it opens the file `trap_sprung` for writing."""
    path = folder / "pickled.safetensors"
    path.write_bytes(b"\x80\x02" + f"cbuiltins\nopen\n(V{folder / 'trap_sprung'}\nVw\ntR.".encode())
    return path


def foreign_action(folder: Path) -> Path:
    """A policy for a robot with 23 action values."""
    spec = ActionSpec(
        (Part("arm_target", (7,), "rad", -3.0, 3.0), Part("hand_target", (16,), "rad", -1.0, 2.0)), 0.05, 2
    )
    return write(folder / "foreign_action.safetensors", action_spec=spec)


def foreign_observation(folder: Path) -> Path:
    """A policy that sees less than this robot shows."""
    parts = tuple(part for part in grasp.OBSERVATION_SPEC.parts if part.name != "contacts")
    return write(folder / "foreign_observation.safetensors", observation_spec=ObservationSpec(parts))


def foreign_task(folder: Path) -> Path:
    """A policy for another task."""
    return write(folder / "foreign_task.safetensors", task="juggle")


def two_step_integrator(folder: Path) -> Path:
    """A policy that integrates in two steps."""
    return write(folder / "two_steps.safetensors", integrator=Integrator("euler", 2))
