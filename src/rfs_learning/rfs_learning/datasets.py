"""Demonstrations on disk: a .npz of observations and actions, one row per control step, episodes end to end.

Arrays: observation (T, O) float32, action (T, A) float32 in physical units, episode_start (E + 1,) int64,
success (E,) bool, header: a 0-d unicode array with JSON {task, action_spec, observation_spec, seed, command,
physics_dt, control_dt}.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_data import npz
from rfs_data.npz import NpzError
from rfs_learning.container import file_sha256

_DTYPES = {
    "observation": ("f", 2),
    "action": ("f", 2),
    "episode_start": ("i", 1),
    "success": ("b", 1),
    "header": ("U", 0),
}


class DatasetError(RfsError):
    """Demonstrations that cannot be trained on, with the reason."""


@dataclasses.dataclass(frozen=True)
class Demonstrations:
    """Validated demonstrations."""

    path: Path
    sha256: str
    """Digest of the file."""
    task: str
    action_spec: ActionSpec
    observation_spec: ObservationSpec
    observation: NDArray[np.float32]
    """Shape (T, O)."""
    action: NDArray[np.float32]
    """Shape (T, A), physical units."""
    episode_start: NDArray[np.int64]
    """Shape (E + 1,): episode e is rows episode_start[e] to episode_start[e + 1]."""
    success: NDArray[np.bool_]
    """Shape (E,)."""
    header: dict[str, Any]
    """As stored."""

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.success)

    def window_starts(self, episodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """First rows of all windows of `horizon` rows that lie within one of `episodes`.

        Episodes shorter than the horizon have none.
        """
        horizon = self.action_spec.horizon
        ranges = [np.arange(self.episode_start[e], self.episode_start[e + 1] - horizon + 1) for e in episodes]
        return np.concatenate(ranges).astype(np.int64) if ranges else np.zeros(0, np.int64)

    def chunks(self, starts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Action chunks that begin at rows `starts`. Shape (len(starts), H, A)."""
        rows: NDArray[np.int64] = starts[:, None] + np.arange(self.action_spec.horizon)
        chunks: NDArray[np.float32] = self.action[rows]
        return chunks


def load(path: Path | str) -> Demonstrations:
    """Read and validate a demonstration file.

    Raises:
        DatasetError: missing, not such a file, empty, values that are not finite, or sizes that
            contradict the specs in the header.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; write one with `ros2 run rfs_sim collect_demonstrations`")
    try:
        arrays = npz.read(path)
    except NpzError as error:
        raise DatasetError(
            f"{path}: is not a readable .npz of plain arrays ({error}): collect it anew"
        ) from error
    if set(arrays) != set(_DTYPES):
        raise DatasetError(f"{path}: has the arrays {sorted(arrays)}, needs exactly {sorted(_DTYPES)}")
    for name, (kind, dimensions) in _DTYPES.items():
        array = arrays[name]
        if array.dtype.kind != kind or array.ndim != dimensions:
            raise DatasetError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}, needs kind {kind!r} "
                f"and {dimensions} dimensions"
            )
    try:
        header = json.loads(str(arrays["header"]))
        action_spec = ActionSpec.from_dict(header["action_spec"])
        observation_spec = ObservationSpec.from_dict(header["observation_spec"])
        task = str(header["task"])
    except (ValueError, KeyError, TypeError, RfsError) as error:
        raise DatasetError(f"{path}: header: {type(error).__name__}: {error}") from error
    demonstrations = Demonstrations(
        path,
        file_sha256(path),
        task,
        action_spec,
        observation_spec,
        arrays["observation"].astype(np.float32),
        arrays["action"].astype(np.float32),
        arrays["episode_start"].astype(np.int64),
        arrays["success"],
        header,
    )
    _validate(demonstrations)
    return demonstrations


def _validate(demos: Demonstrations) -> None:
    """Raise DatasetError where the arrays contradict the specs or each other."""
    start, rows = demos.episode_start, len(demos.observation)
    if demos.episodes == 0 or rows == 0:
        raise DatasetError(f"{demos.path}: holds {demos.episodes} episodes and {rows} steps: collect some")
    for name, array, spec in (
        ("observation", demos.observation, demos.observation_spec),
        ("action", demos.action, demos.action_spec),
    ):
        if array.shape != (rows, spec.size):
            raise DatasetError(
                f"{demos.path}: {name} has shape {array.shape}, its header's spec needs {(rows, spec.size)}"
            )
        finite = np.isfinite(array)
        if not finite.all():
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            episode = int(np.searchsorted(start, row, side="right")) - 1
            raise DatasetError(
                f"{demos.path}: {name} at row {row} (episode {episode}), column {column} is "
                f"{array[row, column]}; only finite values can be learned: collect it anew"
            )
    if len(start) != demos.episodes + 1 or start[0] != 0 or start[-1] != rows or (np.diff(start) < 1).any():
        raise DatasetError(
            f"{demos.path}: episode_start must be {demos.episodes + 1} increasing numbers from 0 to {rows}; "
            f"it is {len(start)}: {np.array2string(start, threshold=6)}: collect it anew"
        )
