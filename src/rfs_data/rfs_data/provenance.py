"""Where a recording comes from: software, checkpoint, calibration, robot."""

from __future__ import annotations

import hashlib
import json
import platform
import struct
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from rfs_core import robot, tasks
from rfs_core.errors import RfsError
from rfs_data.schema import canonical_json, file_sha256

_PACKAGES = ("numpy", "torch", "mujoco", "rosbags", "mcap", "ros-rclpy")
_OUR_PACKAGES = ("rfs_core", "rfs_learning", "rfs_control", "rfs_sim", "rfs_drivers", "rfs_data")
_LARGEST_HEADER = 100_000_000  # bytes; as in safetensors itself
_GIT_TIMEOUT_S = 5.0


def software() -> dict[str, Any]:
    """Versions of what decides the robot's motion, and the revision of the source."""
    versions = {"python": platform.python_version()}
    for name in (*_OUR_PACKAGES, *_PACKAGES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"versions": versions, "git": git_revision(Path(__file__).resolve().parent)}


def git_revision(folder: Path) -> dict[str, Any]:
    """Revision of the work tree that `folder` lies in, and whether files differ from it."""

    def git(*words: str) -> str:
        command = ("git", "-C", str(folder), *words)
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_GIT_TIMEOUT_S
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {"revision": git("rev-parse", "HEAD"), "changed": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"revision": "", "changed": None}


def specs(task: str, checkpoint_header: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the arrays of an episode mean.

    Args:
        task: Name of the task.
        checkpoint_header: Of the policy that acts; where it is not known, the task's own observation counts.
    """
    policy = checkpoint_header or {}
    return {
        "action_spec": policy.get("action_spec", robot.DEFAULT_ACTION_SPEC.to_dict()),
        "observation_spec": policy.get("observation_spec", tasks.load(task).OBSERVATION_SPEC.to_dict()),
        "robot": {
            "base_frame": robot.BASE_FRAME,
            "arm_joints": list(robot.ARM_JOINT_NAMES),
            "hand_joints": list(robot.HAND_JOINT_NAMES),
            "contacts": list(robot.CONTACT_NAMES),
        },
    }


def calibration(path: str) -> dict[str, Any]:
    """Where the hand is mounted, and the calibration file of camera and robot, word by word.

    Args:
        path: Calibration file; empty where there is none, as in simulation.

    Raises:
        RfsError: it cannot be read.
    """
    mount = robot.PALM_IN_FLANGE
    found: dict[str, Any] = {
        "palm_in_flange": {
            "position": mount.position[0].tolist(),
            "quaternion_wxyz": mount.quaternion[0].tolist(),
        },
        "file": path,
    }
    if path:
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RfsError(f"calibration file {path} cannot be read: {error}") from error
        found |= {"text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return found


def checkpoint(path: str) -> dict[str, Any]:
    """Header and digest of a checkpoint file, without loading its tensors.

    Args:
        path: A .safetensors file; empty for an unknown one.

    Raises:
        RfsError: it is not a checkpoint.
    """
    if not path:
        return {"id": "", "file": "", "file_sha256": "", "header": None}
    file_path = Path(path).expanduser()
    try:
        with file_path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LARGEST_HEADER:
                raise ValueError(f"its header claims {length} bytes")
            header = json.loads(json.loads(file.read(length))["__metadata__"]["rfs"])
        identity = _checkpoint_id(header)
        digest = file_sha256(file_path)
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        raise RfsError(f"{path} is not a checkpoint whose header can be recorded: {error}") from error
    return {"id": identity, "file": file_path.name, "file_sha256": digest, "header": header}


def _checkpoint_id(header: dict[str, Any]) -> str:
    """The id that `rfs_learning.checkpoint` gives it: a digest of what decides actions."""
    keys = ("kind", "action_spec", "observation_spec", "architecture", "integrator", "tensors_sha256")
    digest = hashlib.sha256(canonical_json({key: header[key] for key in keys})).hexdigest()
    return f"{header['name']}@{digest[:12]}"
