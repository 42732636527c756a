"""The trajectory of one simulated episode, collected step by step and written as one .npz file.

States have one row more than steps: row k of a state is what the world was like when the targets of row k
were applied, and the last row is where the episode ended.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_core.world_state import WorldState

FORMAT_VERSION = 1
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class EpisodeLogError(RfsError):
    """A trajectory that cannot be written."""


@dataclass
class EpisodeLog:
    """Rows of one episode.

    Arrays of the file (T steps):
        stamp (T + 1,) int64 ns; arm_position (T + 1, 7) rad; hand_position (T + 1, 16) rad;
        palm_position, object_position (T + 1, 3) m; palm_quaternion, object_quaternion (T + 1, 4) wxyz;
        goal_position (3,) m; arm_target_position (T, 3) m; arm_target_quaternion (T, 4) wxyz;
        hand_target (T, 16) rad; reward, success (T,): of the state after the step; missed (T,): the step was
        taken without its targets; header: JSON text. Poses are in the base frame.
    """

    header: dict[str, Any]
    """What the episode is: task, seed, episode, physics_dt, control_dt; the outcome is added at the end."""
    goal_position: NDArray[np.float64]
    """m. Shape: (3,)"""
    _states: dict[str, list[Any]] = field(default_factory=dict)
    _steps: dict[str, list[Any]] = field(default_factory=dict)

    def add_state(self, stamp_ns: int, state: WorldState) -> None:
        """Append the state of the first world."""
        row = {
            "stamp": stamp_ns,
            "arm_position": state.arm_position[0].copy(),
            "hand_position": state.hand_position[0].copy(),
            "palm_position": state.palm.position[0].copy(),
            "palm_quaternion": state.palm.quaternion[0].copy(),
            "object_position": state.object_pose.position[0].copy(),
            "object_quaternion": state.object_pose.quaternion[0].copy(),
        }
        for name, value in row.items():
            self._states.setdefault(name, []).append(value)

    def add_step(self, **values: Any) -> None:
        """Append the targets of a step and what came of it."""
        for name, value in values.items():
            self._steps.setdefault(name, []).append(np.array(value))

    @property
    def steps(self) -> int:
        """Control steps so far."""
        return len(next(iter(self._steps.values()), []))

    def save(self, folder: Path, name: str, **outcome: Any) -> Path:
        """Write `<folder>/<name>.npz` so that it is either complete or not there. Returns its path.

        Args:
            folder: Created where it does not exist.
            name: The episode's id.
            outcome: Added to the header.

        Raises:
            EpisodeLogError: `name` is not a plain file name, or the disk refuses.
        """
        if not _SAFE_NAME.fullmatch(name):
            raise EpisodeLogError(
                f"episode id {name!r} cannot name a file: allowed are letters, digits, '.', '_' and '-'"
            )
        header = {"format_version": FORMAT_VERSION, **self.header, **outcome}
        arrays = {key: np.array(rows) for key, rows in (self._states | self._steps).items()}
        buffer = io.BytesIO()
        np.savez(buffer, goal_position=self.goal_position, header=np.array(json.dumps(header)), **arrays)
        path = folder / f"{name}.npz"
        partial = folder / f".{name}.npz.partial"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(buffer.getvalue())
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise EpisodeLogError(f"{path}: cannot be written: {error}") from error
        return path


def load(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of a trajectory file.

    Raises:
        EpisodeLogError: not such a file, or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        header = json.loads(str(arrays.pop("header")))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise EpisodeLogError(f"{path}: not a trajectory of an episode: {error}") from error
    if header.get("format_version") != FORMAT_VERSION:
        raise EpisodeLogError(
            f"{path}: format version {header.get('format_version')}, this program reads {FORMAT_VERSION}"
        )
    return header, arrays
