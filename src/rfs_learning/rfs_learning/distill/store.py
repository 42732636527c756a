"""What a teacher would have done, and what its student saw then: rows on disk that grow episode by episode.

A folder with
    header.json     specs, task, seed, who taught, which arrays there are
    own.f32         what the robot knows of itself, or the whole observation where there is no cloud
    points.f16      the cloud minus `CENTRE`, which leaves half floats a quarter of a millimetre
    state.f32       what the teacher saw
    action.f32      the chunk that the teacher chose, physical units
    episodes.jsonl  a line for every episode that is whole, written after its rows

Several students may learn from one folder, one after the other: the teacher's episodes (round 0) are
everybody's, those in which a student acted name it and are its own.

The arrays are plain numbers, row after row, and are mapped into memory for training. What a crash leaves
behind the last line is cut off when the folder is opened again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_core.tasks import points as points_task
from rfs_learning.container import write_atomic

CENTRE = np.array([0.55, 0.0, 0.2])
"""m, base frame: about the middle of the workspace."""
_HEADER, _EPISODES = "header.json", "episodes.jsonl"


class StoreError(RfsError):
    """A folder that is no store, or the store of something else."""


@dataclasses.dataclass(frozen=True)
class StoreHeader:
    """What the rows are."""

    task: str
    """Name of the task."""
    action_spec: ActionSpec
    """Of the chunks."""
    observation_spec: ObservationSpec
    """What the student sees."""
    state_spec: ObservationSpec
    """What the teacher sees."""
    teacher: str
    """Id of its checkpoint."""
    seed: int
    """Of the episodes."""
    settings: dict[str, Any]
    """What else decided the rows: camera, noise, engine."""

    def to_dict(self) -> dict[str, Any]:
        """As stored."""
        specs = {
            name: getattr(self, name).to_dict() for name in ("action_spec", "observation_spec", "state_spec")
        }
        plain = {name: getattr(self, name) for name in ("task", "teacher", "seed", "settings")}
        return {**plain, **specs}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StoreHeader:
        """The inverse of `to_dict`. Raises RfsError or KeyError for anything else."""
        specs = {name: ObservationSpec.from_dict(data[name]) for name in ("observation_spec", "state_spec")}
        return cls(
            task=str(data["task"]),
            action_spec=ActionSpec.from_dict(data["action_spec"]),
            teacher=str(data["teacher"]),
            seed=int(data["seed"]),
            settings=dict(data["settings"]),
            **specs,
        )


@dataclasses.dataclass
class Rows:
    """Decisions, one a row."""

    own: NDArray[np.float32]
    """Shape (T, own size)."""
    points: NDArray[np.float32]
    """Shape (T, N, 3), m, base frame; N = 0 without a cloud."""
    state: NDArray[np.float32]
    """Shape (T, size of the state)."""
    action: NDArray[np.float32]
    """Shape (T, H, A)."""


class Store:
    """Rows on disk; `append` at the end of an episode, arrays for training."""

    def __init__(self, path: Path, header: StoreHeader) -> None:
        """Create the folder, or open the store of the same header that is in it.

        Raises:
            StoreError: the folder holds rows of something else.
        """
        self.path, self.header = path, header
        count = points_task.count_of(header.observation_spec)
        horizon, size = header.action_spec.horizon, header.action_spec.size
        self._shapes: dict[str, tuple[str, type[np.floating[Any]], tuple[int, ...]]] = {
            "own": ("own.f32", np.float32, (header.observation_spec.size - 3 * count,)),
            "points": ("points.f16", np.float16, (count, 3)),
            "state": ("state.f32", np.float32, (header.state_spec.size,)),
            "action": ("action.f32", np.float32, (horizon, size)),
        }
        if not count:
            del self._shapes["points"]
        self.episodes: list[dict[str, Any]] = []
        """Of every whole episode: `episode`, `round`, `success`, `rows` (0 where it was not kept); where a
        student acted also `student`, which older stores do not name."""
        path.mkdir(parents=True, exist_ok=True)
        if (path / _HEADER).exists():
            self._open()
        else:
            text = json.dumps(header.to_dict(), indent=1) + "\n"
            write_atomic(path / _HEADER, text.encode())

    @property
    def rows(self) -> int:
        """Rows of whole episodes."""
        return sum(int(line["rows"]) for line in self.episodes)

    @property
    def next_episode(self) -> int:
        """The first episode that was not played yet."""
        return max((int(line["episode"]) + 1 for line in self.episodes), default=0)

    def rows_of(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Which rows are of chosen episodes, ascending. Shape: (len(self.episodes),) -> (rows of them,)"""
        return np.flatnonzero(np.repeat(chosen, [int(line["rows"]) for line in self.episodes]))

    def append(self, played: list[tuple[dict[str, Any], Rows | None]]) -> None:
        """Write episodes: their rows first, then their lines.

        Args:
            played: line (`episode`, `round`, `success`, `student`) and rows of each; None: not kept.
        """
        lines = []
        files = {name: (self.path / shape[0]).open("ab") for name, shape in self._shapes.items()}
        try:
            for line, rows in played:
                lines.append({**line, "rows": 0 if rows is None else len(rows.own)})
                if rows is None:
                    continue
                for name, file in files.items():
                    values = getattr(rows, name)
                    if name == "points":
                        values = values - CENTRE.astype(np.float32)
                    file.write(np.ascontiguousarray(values, self._shapes[name][1]).tobytes())
        finally:
            for file in files.values():
                file.close()
        with (self.path / _EPISODES).open("a", encoding="utf-8") as log:
            log.writelines(json.dumps(line) + "\n" for line in lines)
        self.episodes += lines

    def array(self, name: str) -> NDArray[Any]:
        """One of the arrays, mapped into memory, read-only. Shape (rows, ...). `points` is minus `CENTRE`."""
        file, dtype, shape = self._shapes[name]
        if self.rows == 0:
            return np.zeros((0, *shape), dtype)
        return np.memmap(self.path / file, dtype, mode="r", shape=(self.rows, *shape))

    def digest(self, lines: list[dict[str, Any]]) -> str:
        """SHA-256 over header and some lines: which episodes under which settings, hence which rows."""
        text = json.dumps([self.header.to_dict(), lines], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _open(self) -> None:
        try:
            stored = StoreHeader.from_dict(json.loads((self.path / _HEADER).read_text()))
        except (ValueError, KeyError, TypeError, RfsError) as error:
            raise StoreError(f"{self.path}: its {_HEADER} cannot be read ({error}): collect anew") from error
        if stored.to_dict() != self.header.to_dict():
            was, now = stored.to_dict(), self.header.to_dict()
            different = [key for key in now if was.get(key) != now[key]]
            raise StoreError(
                f"{self.path}: holds rows of another {', '.join(different)} (teacher {stored.teacher}, seed "
                f"{stored.seed}): name another folder, or the settings it was collected with"
            )
        lines = self.path / _EPISODES
        whole: list[str] = []
        for line in lines.read_text(encoding="utf-8").splitlines() if lines.exists() else []:
            try:
                self.episodes.append(json.loads(line))
            except ValueError:
                break  # cut by a crash; whatever follows it cannot be trusted
            whole.append(line)
        write_atomic(lines, "".join(f"{line}\n" for line in whole).encode())
        for name, (file, dtype, shape) in self._shapes.items():
            path = self.path / file
            wanted = self.rows * int(np.prod(shape)) * np.dtype(dtype).itemsize
            has = path.stat().st_size if path.exists() else 0
            if has < wanted:
                raise StoreError(
                    f"{path}: has {has} bytes, its {len(self.episodes)} episodes need {wanted} of {name}: "
                    "collect anew"
                )
            if has > wanted:
                with path.open("r+b") as opened:
                    opened.truncate(wanted)
