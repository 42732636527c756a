"""Recorded episodes as one data set for offline learning: what was used, what was left, and why.

    data = from_bags(Path("bags"), action_spec, observation_spec)
    print(data.summary())

Rows are decisions, chunks of H control steps. Observations stand episode after episode, one more than
decisions in each, so that row `at[d] + 1` is what followed decision d. A bag that cannot be used is left
out and named; nothing of it reaches the arrays. The same arrays are kept as .npz where an episode was
played without ROS.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, ObservationSpec, require_same
from rfs_data import npz
from rfs_data.bag_reader import Bag, bags_in
from rfs_data.episode import Episode, read_episode
from rfs_data.errors import BagError, Reason
from rfs_data.npz import NpzError
from rfs_data.recover import recovered_as
from rfs_data.schema import file_sha256

FORMAT_VERSION = 1

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]


class OfflineDataError(RfsError):
    """No data to learn from, with the reason."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One episode that was used."""

    name: str
    """Name of its bag's folder, or of its place in a file."""
    sha256: str
    """Digest of the bag's header, which has the digests of its files; of a file, that of the file."""
    checkpoint: str
    """Id of the policy that acted."""
    decisions: int
    corrected: int
    """Control steps in which a human corrected."""
    unverified: int
    """Control steps whose executed action could not be held against what the gate sent."""
    success: bool
    group: str = ""
    """What was handled, where it is known."""


@dataclasses.dataclass(frozen=True)
class Left:
    """One bag that was not used."""

    name: str
    reason: str
    """A `rfs_data.errors.Reason` by name, `other_task`, `duplicate` or `discarded`."""
    sentence: str


@dataclasses.dataclass(frozen=True)
class OfflineData:
    """T decisions in E episodes. Actions are in physical units, of size A; observations of size O."""

    task: str
    action_spec: ActionSpec
    observation_spec: ObservationSpec
    seen: F32
    """Observations, episode after episode. Shape: (T + E, O)."""
    at: NDArray[np.int64]
    """Row of `seen` at which decision d was made; what followed is in the next row. Shape: (T,)."""
    a_0: F32
    """Noise the flow started from. Shape: (T, H, A), like the three below."""
    a_b: F32
    """Base action."""
    executed: F32
    """What the robot was told; where a step was not executed any more, what it would have been told."""
    human: F32
    """Residual of the human."""
    engaged: Bools
    """The human was correcting. Shape: (T, H), like the three below."""
    mask: Bools
    """The step was executed."""
    own: Bools
    """What was executed is this decision's step, corrected or not; False where the decision came late and the
    gate kept its target, or was still at an earlier step: nobody chose that for what was seen."""
    reward: F32
    """Of the state after the step; 0 where not executed."""
    terminated: Bools
    """Nothing follows: a value is not bootstrapped. Shape: (T,), like the one below."""
    truncated: Bools
    """The episode ended here though the task could have gone on: a value is bootstrapped."""
    episode_start: NDArray[np.int64]
    """Episode e is decisions episode_start[e] to episode_start[e + 1]. Shape: (E + 1,)."""
    used: tuple[Source, ...]
    """Length E."""
    left: tuple[Left, ...] = ()

    @property
    def success(self) -> Bools:
        """Whether each episode succeeded. Shape: (E,)."""
        return np.array([source.success for source in self.used], dtype=bool)

    @property
    def residual(self) -> F32:
        """a_r = a - a_b, all that was added to the base action (paper, Eq. 11). Shape: (T, H, A)."""
        return self.executed - self.a_b

    @property
    def elapsed(self) -> F32:
        """Decisions made since the episode's beginning. Shape: (T,)."""
        first = np.repeat(self.episode_start[:-1], np.diff(self.episode_start))
        return (np.arange(len(self.at)) - first).astype(np.float32)

    def reward_of_chunk(self, gamma: float) -> F32:
        """Sum of a chunk's rewards, step h discounted by gamma^(h / H). Shape: (T,)."""
        horizon = self.mask.shape[1]
        discount = gamma ** (np.arange(horizon) / horizon)
        return (self.reward * self.mask * discount).sum(axis=1).astype(np.float32)

    def discount(self, gamma: float, *, time_limit_ends: bool = False) -> F32:
        """Factor of the value of what followed: gamma^(executed / H), 0 where nothing follows. Shape: (T,).

        Args:
            gamma: Discount per decision.
            time_limit_ends: The return ends where an episode was cut, too.
        """
        share = self.mask.sum(axis=1) / self.mask.shape[1]
        over = self.terminated | self.truncated if time_limit_ends else self.terminated
        return np.where(over, 0.0, gamma**share).astype(np.float32)

    def parents(self) -> list[dict[str, str]]:
        """Every episode by name and digest, as a checkpoint's header keeps it."""
        kept = {(source.name.split("#")[0], source.sha256) for source in self.used}
        return [{"kind": "bag", "path": name, "sha256": digest} for name, digest in sorted(kept)]

    def summary(self) -> str:
        """What was used and what was left, for people."""
        steps, corrected = int(self.mask.sum()), int((self.engaged & self.mask).sum())
        unverified = sum(source.unverified for source in self.used)
        late = int((self.mask & ~self.own).sum())
        lines = [
            f"used: {len(self.used)} episodes, {int(self.success.sum())} successful, {len(self.at)} "
            f"decisions, "
            f"{steps} control steps, {corrected} corrected ({corrected / max(steps, 1):.0%}), "
            f"{unverified} not verified{f', {late} held or late' if late else ''}"
        ]
        lines += [f"left: {left.name}: {left.reason}: {left.sentence}" for left in self.left]
        return "\n".join(lines)

    def warnings(self) -> list[str]:
        """What makes this data poor to learn from."""
        found = []
        if self.success.all():
            found.append(
                f"all {len(self.used)} episodes succeeded: without failures every action looks as good as "
                "another to the critic, and the policy will follow its errors; record episodes that fail too"
            )
        if not self.success.any():
            found.append(
                f"none of {len(self.used)} episodes succeeded: nothing shows the critic what success is "
                f"worth; "
                "correct more, or make the task easier"
            )
        if not (self.engaged & self.mask).any():
            found.append(
                "nobody corrected: a_r is what the policy added itself, and offline learning has nothing new "
                "to learn a residual from"
            )
        return found


def from_bags(
    folder: Path,
    action_spec: ActionSpec | None = None,
    observation_spec: ObservationSpec | None = None,
    task: str | None = None,
    progress: Callable[[Sequence[Path]], Sequence[Path]] = lambda paths: paths,
) -> OfflineData:
    """Everything usable in a folder of bags.

    Args:
        folder: Folder of bags, or one bag.
        action_spec, observation_spec, task: What the learner can use; None: those of the first good bag.
        progress: Wraps what is iterated over, e.g. tqdm.

    Raises:
        OfflineDataError: no bag, or none that can be used; every one is named with its reason.
    """
    found = bags_in(folder)
    if not found:
        raise OfflineDataError(
            f"{folder}: holds no bag; record some: ros2 launch rfs_bringup collect_corrections.launch.py"
        )
    episodes: list[tuple[Episode, Source]] = []
    left: list[Left] = []
    known: dict[str, str] = {}
    for path in progress(found):
        if recovered_as(path).exists():
            left.append(Left(path.name, Reason.UNFINISHED.value, "its recovered bag is used instead"))
            continue
        try:
            episode = read_episode(path, action_spec, observation_spec)
        except BagError as error:
            left.append(Left(path.name, error.reason.value, str(error)))
            continue
        has = str(episode.header["episode"]["task"])
        digest = _content(episode)
        if task is not None and has != task:
            left.append(Left(path.name, "other_task", f"{path}: is of task {has!r}, needed is {task!r}"))
        elif episode.discarded:
            left.append(Left(path.name, "discarded", f"{path}: the operator has discarded it"))
        elif digest in known:
            left.append(Left(path.name, "duplicate", f"{path}: the same episode as {known[digest]}"))
        else:
            known[digest] = path.name
            episodes.append((episode, _source(episode)))
            bag = Bag(path) if action_spec is None or observation_spec is None else None
            action_spec = action_spec or bag.action_spec  # type: ignore[union-attr]
            observation_spec = observation_spec or bag.observation_spec  # type: ignore[union-attr]
            task = task or has
    if not episodes:
        raise OfflineDataError(
            f"{folder}: none of {len(left)} bags can be used:\n"
            + "\n".join(f"  {bag.name}: {bag.reason}: {bag.sentence}" for bag in left)
        )
    assert action_spec is not None
    assert observation_spec is not None
    assert task is not None
    return _joined(
        [e for e, _ in episodes], [s for _, s in episodes], task, action_spec, observation_spec, left
    )


def _content(episode: Episode) -> str:
    """Digest of the messages, whatever the folder is called."""
    files = episode.header["files"]
    return str(next(file["sha256"] for name, file in files.items() if name.endswith(".mcap")))


def _source(episode: Episode) -> Source:
    said = {"success": True, "failure": False}
    return Source(
        name=episode.path.name,
        sha256=str(episode.header["header_sha256"]),
        checkpoint=str(episode.header.get("checkpoint", {}).get("id", "")),
        decisions=len(episode.a_b),
        corrected=episode.corrected_steps,
        unverified=int((episode.mask & ~episode.verified).sum()),
        # What was decided in the end, by a person or the task, counts; where nobody did, the last state.
        success=said.get(episode.outcome, bool(episode.success[-1])),
    )


def _joined(
    episodes: list[Episode],
    used: list[Source],
    task: str,
    action_spec: ActionSpec,
    observation_spec: ObservationSpec,
    left: list[Left],
) -> OfflineData:
    def rows(of: Callable[[Episode], NDArray[Any]], dtype: type) -> NDArray[Any]:
        return np.concatenate([of(episode) for episode in episodes]).astype(dtype)

    lengths = np.array([len(episode.a_b) for episode in episodes])
    data = OfflineData(
        task=task,
        action_spec=action_spec,
        observation_spec=observation_spec,
        seen=rows(lambda e: e.observation, np.float32),
        at=rows_of_decisions(lengths),
        a_0=rows(lambda e: e.a_0, np.float32),
        a_b=rows(lambda e: e.a_b, np.float32),
        executed=rows(lambda e: np.where(e.mask[..., None], e.executed, e.a), np.float32),
        human=rows(lambda e: e.human, np.float32),
        engaged=rows(lambda e: e.engaged, np.bool_),
        mask=rows(lambda e: e.mask, np.bool_),
        own=rows(lambda e: e.own, np.bool_),
        reward=rows(lambda e: e.reward, np.float32),
        terminated=rows(lambda e: e.terminated, np.bool_),
        truncated=rows(lambda e: e.truncated, np.bool_),
        episode_start=np.concatenate([[0], np.cumsum(lengths)]),
        used=tuple(used),
        left=tuple(left),
    )
    _validate(data, "bags")
    return data


def rows_of_decisions(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of `seen` of every decision, for episodes of these lengths: each has one row more. Shape: (T,)."""
    rows: NDArray[np.int64] = np.arange(lengths.sum()) + np.repeat(np.arange(len(lengths)), lengths)
    return rows


_ARRAYS = tuple(
    field.name
    for field in dataclasses.fields(OfflineData)
    if field.type in ("F32", "Bools", "NDArray[np.int64]")
)


def save(data: OfflineData, path: Path, header: dict[str, Any]) -> None:
    """Write a data set as .npz, whole or not at all.

    Args:
        header: Further JSON values: command, seed, world.
    """
    stored = {
        "format_version": FORMAT_VERSION,
        "task": data.task,
        "action_spec": data.action_spec.to_dict(),
        "observation_spec": data.observation_spec.to_dict(),
        "used": [dataclasses.asdict(source) for source in data.used],
        **header,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        arrays = {name: getattr(data, name) for name in _ARRAYS}
        np.savez_compressed(file, header=np.array(json.dumps(stored)), **arrays)
    partial.replace(path)


def read_header(path: Path) -> dict[str, Any]:
    """The header of a file that `save` wrote, with what its caller put in: command, seed, world.

    Raises:
        OfflineDataError: missing or damaged.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and header of a file, as they are in it."""
    if not path.is_file():
        raise OfflineDataError(f"{path}: no such file or folder; give a folder of bags or a .npz of episodes")
    try:
        arrays = npz.read(path)
        header = json.loads(str(arrays.pop("header")))
        version = header["format_version"]
    except (ValueError, LookupError, TypeError, NpzError) as error:
        raise OfflineDataError(f"{path}: is not a readable data set ({error!r}): collect it anew") from error
    if version != FORMAT_VERSION:
        raise OfflineDataError(f"{path}: format_version {version}, this version reads {FORMAT_VERSION}")
    return arrays, header


def load(
    path: Path, action_spec: ActionSpec | None = None, observation_spec: ObservationSpec | None = None
) -> OfflineData:
    """Read a file that `save` wrote.

    Raises:
        OfflineDataError: missing, damaged, of other specs, or values that contradict each other.
    """
    arrays, header = _read(path)
    try:
        # Files of earlier versions are of episodes that were played without a gate that waits.
        arrays.setdefault("own", np.ones_like(arrays["mask"]))
        digest = file_sha256(path)
        data = OfflineData(
            task=header["task"],
            action_spec=ActionSpec.from_dict(header["action_spec"]),
            observation_spec=ObservationSpec.from_dict(header["observation_spec"]),
            used=tuple(Source(**{**source, "sha256": digest}) for source in header["used"]),
            **arrays,
        )
    except (ValueError, LookupError, TypeError, OSError, RfsError) as error:
        raise OfflineDataError(f"{path}: is not a readable data set ({error!r}): collect it anew") from error
    for what, has, wanted in (
        ("action", data.action_spec, action_spec),
        ("observation", data.observation_spec, observation_spec),
    ):
        if wanted is not None:
            require_same(has, wanted, f"{what} of {path} and the one asked for (other)", "Collect it anew.")
    _validate(data, str(path))
    return data


def open_data(
    path: Path,
    action_spec: ActionSpec,
    observation_spec: ObservationSpec,
    task: str,
    progress: Callable[[Sequence[Path]], Sequence[Path]] = lambda paths: paths,
) -> OfflineData:
    """A folder of bags or a .npz file, whichever `path` is, for a learner of these specs and this task.

    Raises:
        RfsError: nothing in it can be used; the sentence says why.
    """
    if path.suffix != ".npz":
        return from_bags(path, action_spec, observation_spec, task, progress)
    data = load(path, action_spec, observation_spec)
    if data.task != task:
        raise OfflineDataError(f"{path}: is of task {data.task!r}, needed is {task!r}")
    return data


def _validate(data: OfflineData, what: str) -> None:
    """Raise OfflineDataError where arrays contradict the specs or each other, or are not finite."""
    count, episodes = len(data.at), len(data.used)
    horizon, size = data.action_spec.horizon, data.action_spec.size
    chunk, step = (count, horizon, size), (count, horizon)
    shapes = {
        "seen": (count + episodes, data.observation_spec.size),
        **dict.fromkeys(("a_0", "a_b", "executed", "human"), chunk),
        **dict.fromkeys(("engaged", "mask", "own", "reward"), step),
        **dict.fromkeys(("terminated", "truncated", "at"), (count,)),
        "episode_start": (episodes + 1,),
    }
    for name, shape in shapes.items():
        array = getattr(data, name)
        if array.shape != shape:
            raise OfflineDataError(f"{what}: {name} has shape {array.shape}, needs {shape}")
        bad = ~np.isfinite(array)
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            raise OfflineDataError(
                f"{what}: {name} at {index} is {array[index]}; only finite values can be learned"
            )
    lengths = np.diff(data.episode_start)
    if (
        not episodes
        or data.episode_start[0] != 0
        or data.episode_start[-1] != count
        or (lengths < 1).any()
        or not np.array_equal(data.at, rows_of_decisions(lengths))
    ):
        raise OfflineDataError(f"{what}: its {episodes} episodes do not cover its {count} decisions")
