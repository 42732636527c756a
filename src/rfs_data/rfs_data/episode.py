"""A recorded episode as arrays, one row per decision of the policy.

    episode = read_episode(Path("bags/20260101-120000-000"))
    episode.observation[d], episode.executed[d], episode.reward[d], episode.observation[d + 1]

Step i of decision d was executed at stamp[d] + i * control_dt and led to the state that reward[d, i] scores.
In simulation every message carries the stamp of its control tick, and rows are put together by stamp exactly;
on a robot, where devices do not share a clock edge, the newest sample at the time counts, as for the policy.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.config import describe, from_mapping
from rfs_core.errors import ConfigError, SpecError
from rfs_core.gate_config import GateConfig
from rfs_core.specs import ActionSpec, ObservationSpec, require_same
from rfs_data import executed, parts
from rfs_data.bag_reader import Bag
from rfs_data.collected import (
    NS_PER_S,
    STALE_NS,
    Collected,
    collect,
    end_of,
    nanoseconds,
    observation_at,
    observed_stamps,
)
from rfs_data.errors import BagError, Reason
from rfs_data.executed import AGREEMENT, GateRule, Recorded

_SHOWN = 10

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Episode:
    """D decisions of H control steps. Actions are in physical units, of size A; observations of size O."""

    path: Path
    header: dict[str, Any]
    stamp: NDArray[np.int64]
    """ROS time of every decision's observation, and of the end (ns). Shape: (D + 1,)."""
    observation: NDArray[np.float32]
    """Shape: (D + 1, O); the last row is what was seen at the end."""
    a_0: NDArray[np.float32]
    """Noise the flow started from, dimensionless. Shape: (D, H, A), like the five below."""
    a_b: FloatArray
    """Base action."""
    a_r: FloatArray
    """Residual of the policy."""
    human: FloatArray
    """Residual of the human as the gate added it: clipped, or fading after release."""
    executed: FloatArray
    """Composed and clipped by the gate: what the robot was told."""
    a: FloatArray
    """The policy's own action, a_b + a_r clipped."""
    engaged: BoolArray
    """The human was correcting. Shape: (D, H), like the five below."""
    mask: BoolArray
    """The step was executed; False at the end of a chunk that an episode's end cut short."""
    own: BoolArray
    """What was executed is this decision's step, corrected or not; False where the decision came late: the
    gate kept its target, or was still at an earlier step."""
    verified: BoolArray
    """The composed action leads exactly to the target that the gate sent."""
    reward: FloatArray
    """Of the state after the step; 0 where it was not executed."""
    reward_valid: BoolArray
    """The object was seen."""
    terminated: BoolArray
    """The task could not go on after this decision. Shape: (D,), like the two below."""
    truncated: BoolArray
    """The episode ended after this decision though the task could have gone on."""
    success: BoolArray
    """The task's success condition held after this decision."""
    marks: tuple[tuple[str, str], ...] = field(default=())
    """Remarks of operator and nodes on it, as in rfs_msgs/EpisodeMark: the mark and its reason."""
    warnings: tuple[tuple[Reason, str], ...] = field(default=())
    """What is not as it should be, though every step is there."""

    @property
    def discarded(self) -> bool:
        """The operator does not want it to be learned from."""
        return any(mark == "discard" for mark, _ in self.marks)

    @property
    def steps(self) -> int:
        """Executed control steps."""
        return int(self.mask.sum())

    @property
    def outcome(self) -> str:
        """success, failure, aborted or none."""
        return str(self.header["episode"]["outcome"])

    @property
    def corrected_steps(self) -> int:
        """Control steps in which the human was correcting."""
        return int((self.engaged & self.mask).sum())


def read_episode(
    path: Path,
    action_spec: ActionSpec | None = None,
    observation_spec: ObservationSpec | None = None,
    *,
    shortest: int = 2,
) -> Episode:
    """Read and prove an episode.

    Args:
        path: Folder of a bag.
        action_spec, observation_spec: What the caller can use; None takes what the bag has.
        shortest: Decisions an episode must have.

    Raises:
        BagError: damaged, of another spec, or not complete; `reason` names which.
    """
    bag = Bag(path)
    _same(bag, action_spec, bag.action_spec, "action")
    _same(bag, observation_spec, bag.observation_spec, "observation")
    return _assemble(bag, shortest)


def _same(bag: Bag, wanted: Any, found: Any, what: str) -> None:
    if wanted is None:
        return
    try:
        require_same(
            found, wanted, f"{what} of bag {bag.path} and the one asked for (other)", "Leave it out."
        )
    except SpecError as error:
        raise BagError(Reason.OTHER_SPEC, str(error)) from error


def _assemble(bag: Bag, shortest: int) -> Episode:
    action_spec, observation_spec = bag.action_spec, bag.observation_spec
    dt_ns = round(action_spec.control_dt * NS_PER_S)
    horizon, size = action_spec.horizon, action_spec.size
    period_ns = horizon * dt_ns
    started = int(bag.episode["started_ns"])
    gate = _gate_config(bag)
    by_stamp = gate.tick_source == "state"
    sources = parts.sources_of(observation_spec)
    got = collect(bag, sources, started, dt_ns if by_stamp else 0)
    if not got.actions:
        raise BagError(Reason.NO_STEPS, f"{bag.path}: no decision of the policy in it")
    if not got.rewards:
        raise BagError(Reason.NO_REWARD, f"{bag.path}: no reward in it")
    decisions = sorted(got.actions.values(), key=lambda m: m.sequence)
    limit = started + int(bag.episode["max_steps"]) * dt_ns if bag.episode["max_steps"] else 2**62
    end, terminated = end_of(bag, got.rewards, limit)

    def see(at_ns: int, seen: Mapping[str, int] | None = None) -> NDArray[np.float32] | list[str]:
        return observation_at(got, sources, observation_spec, at_ns, by_stamp, seen)

    if by_stamp:
        if not terminated and end != limit and isinstance(see(end), list):
            end -= (end - started) % period_ns or period_ns  # cut short: as far as it was seen
        starts = [
            started + k * horizon * dt_ns for k in range(math.ceil((end - started) / (horizon * dt_ns)))
        ]
        answered = {nanoseconds(m.observation_stamp): m for m in reversed(decisions)}
        if not terminated and end != limit:
            starts = [start for start in starts if start <= max(answered)]
            end = min(end, max(answered) + period_ns)
        missing = [k for k, start in enumerate(starts) if start not in answered]
        decisions = [answered[start] for start in starts if start in answered]
    else:
        decisions = [m for m in decisions if nanoseconds(m.header.stamp) < end]
        starts = [nanoseconds(m.header.stamp) for m in decisions]
        missing = [
            k for k in range(1, len(decisions)) if decisions[k].sequence != decisions[k - 1].sequence + 1
        ]
    if missing:
        raise BagError(
            Reason.MISSING_STEPS, f"{bag.path}: decisions {_list(missing)} of {len(starts)} are not there"
        )
    if not decisions:
        raise BagError(Reason.NO_STEPS, f"{bag.path}: the episode ended before its first step")
    if len(decisions) < shortest:
        raise BagError(
            Reason.ONE_STEP, f"{bag.path}: {len(decisions)} decision, at least {shortest} are needed"
        )
    count = len(decisions)
    stamps = np.array([*starts, end], dtype=np.int64)
    seen = [None if by_stamp else observed_stamps(m) or None for m in decisions] + [None]
    observation = np.stack(
        [_seen(bag, see(int(t), s), k) for k, (t, s) in enumerate(zip(stamps, seen, strict=True))]
    )
    chunks = {
        name: np.stack([_chunk(bag, m, name, horizon, size) for m in decisions])
        for name in ("a_0", "a_b", "a_r", "a")
    }
    begin = stamps[:-1, None] + np.arange(horizon) * dt_ns
    mask = begin + (dt_ns if by_stamp else 1) <= end
    rewards = _rewards(bag, got.rewards, begin, mask, dt_ns, by_stamp)
    flat = mask.ravel()
    ticks = [int(t) for t in begin.ravel()[flat]]
    done = executed.compose(
        ticks if by_stamp else list(itertools.compress(_commands(starts, end, horizon, got, dt_ns), flat)),
        chunks["a_b"].reshape(-1, size)[flat],
        chunks["a_r"].reshape(-1, size)[flat],
        Recorded(
            sorted(got.corrections, key=lambda c: c[0]),
            got.palm_targets,
            got.hand_targets,
            got.palms,
            {t: p["hand_position"] for t, p in got.parts.get("hand/joint_states", {}).items()},
            measured_ns=0 if by_stamp else round(gate.stale_state_s * NS_PER_S),
        ),
        _gate_rule(gate, action_spec),
        action_spec,
    )

    def spread(values: NDArray[Any], fill: Any = 0) -> NDArray[Any]:
        whole = np.full((count * horizon, *values.shape[1:]), fill, dtype=values.dtype)
        whole[flat] = values
        return whole.reshape(count, horizon, *values.shape[1:])

    verified = spread(done.difference <= AGREEMENT)
    ended = np.zeros(count, dtype=bool)
    ended[-1] = True
    episode = Episode(
        path=bag.path,
        header=bag.header,
        stamp=stamps,
        observation=observation,
        a_0=chunks["a_0"].astype(np.float32),
        a_b=chunks["a_b"],
        a_r=chunks["a_r"],
        a=chunks["a"],
        human=spread(done.human),
        executed=spread(done.action),
        engaged=spread(done.engaged),
        mask=mask,
        own=spread(done.own),
        verified=verified,
        reward=rewards["total"],
        reward_valid=rewards["valid"].astype(bool),
        terminated=ended & terminated,
        truncated=ended & (not terminated),
        success=np.array([row[m][-1] for row, m in zip(rewards["success"], mask, strict=True)], dtype=bool)
        & ~(ended & terminated),
        marks=tuple(got.marks),
        warnings=(*_warnings(bag, mask, verified), *_silences(got.corrections, end, gate)),
    )
    _require_finite(episode)
    return episode


def _seen(bag: Bag, found: NDArray[np.float32] | list[str], k: int) -> NDArray[np.float32]:
    if isinstance(found, list):
        raise BagError(
            Reason.MISSING_STEPS, f"{bag.path}: at step {k} there is no message on {', '.join(found)}"
        )
    return found


def _chunk(bag: Bag, message: Any, name: str, horizon: int, size: int) -> NDArray[Any]:
    values = np.asarray(getattr(message, name), dtype=np.float64)
    if (message.horizon, message.dimension) != (horizon, size) or values.size != horizon * size:
        raise BagError(
            Reason.OTHER_SPEC,
            f"{bag.path}: decision {message.sequence} has {name} of {values.size} values, horizon "
            f"{message.horizon} and dimension {message.dimension}; its spec says {horizon} and {size}",
        )
    return values.reshape(horizon, size)


def _rewards(
    bag: Bag,
    rewards: Mapping[int, Any],
    begin: NDArray[np.int64],
    mask: BoolArray,
    dt_ns: int,
    by_stamp: bool,
) -> dict[str, NDArray[Any]]:
    """Reward, validity and success after every step: of its very end, or on a robot the newest by then."""
    known = sorted(rewards)
    out = {name: np.zeros(mask.shape) for name in ("total", "valid", "success")}
    missing = []
    for d, i in zip(*np.nonzero(mask), strict=True):
        ended = int(begin[d, i]) + dt_ns
        before = bisect_right(known, ended) - 1
        if before < 0 or ended - known[before] > (0 if by_stamp else STALE_NS):
            missing.append(int(d))
            continue
        message = rewards[known[before]]
        for name, values in out.items():
            values[d, i] = float(getattr(message, name))
    if missing:
        raise BagError(
            Reason.NO_REWARD, f"{bag.path}: no reward after a step of decisions {_list(sorted(set(missing)))}"
        )
    return out


def _list(numbers: list[int]) -> str:
    """The first few of them."""
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return shown if len(numbers) <= _SHOWN else f"{shown} and {len(numbers) - _SHOWN} more"


def _commands(starts: list[int], end: int, horizon: int, got: Collected, dt_ns: int) -> list[int]:
    """On a robot: stamps of the targets that answer each decision, or of its steps where there are none.

    The gate executes a decision when it comes, a little later than the policy stamped it, on a clock that may
    be a little behind the policy's; and the next step when the last one has had its time.
    """
    known = sorted(got.palm_targets.keys() & got.hand_targets.keys())
    found = []
    for start, until in itertools.pairwise([*starts, end]):
        first = bisect_right(known, start - dt_ns // 4)
        answers = known[first : bisect_right(known, until - dt_ns // 4)][:horizon]
        steps = [start + i * dt_ns for i in range(len(answers), horizon)]
        found += [*answers, *steps]
    return found


def _gate_config(bag: Bag) -> GateConfig:
    """The gate's configuration during the episode; defaults where it was not recorded."""
    recorded = bag.header.get("parameters", {}).get("gate_node", {})
    known = {field.name for field in describe(GateConfig)}
    asked = {name: value for name, value in recorded.items() if name in known}
    asked.setdefault("tick_source", "state" if bag.header.get("clock") == "simulated" else "timer")
    try:
        return from_mapping(GateConfig, asked)
    except ConfigError as error:
        raise BagError(
            Reason.FORMAT_VERSION, f"{bag.path}: the gate's parameters cannot be used: {error}"
        ) from error


def _gate_rule(gate: GateConfig, spec: ActionSpec) -> GateRule:
    return GateRule(
        residual_bounds=gate.residual_bounds().vector(spec),
        limits=gate.step_limits(),
        ramp_steps=round(gate.correction_ramp_s / spec.control_dt),
        stale_correction_ns=round(gate.stale_correction_s * NS_PER_S),
        future_ns=round(gate.future_tolerance_s * NS_PER_S),
    )


def _warnings(bag: Bag, mask: BoolArray, verified: BoolArray) -> Iterable[tuple[Reason, str]]:
    for topic, flow in bag.header.get("flows", {}).items():
        if flow["lost"] and not bag.header["topics"][topic]["latched"]:
            yield (
                Reason.LOST_MESSAGES,
                f"{topic}: {flow['received']} of {flow['expected']} messages were received",
            )
        if flow["dropped"]:
            yield Reason.LOST_MESSAGES, f"{topic}: {flow['dropped']} messages were dropped by the recorder"
    for sentence in bag.header.get("marks", []):
        yield Reason.UNFINISHED, sentence
    unverified = int((mask & ~verified).sum())
    if unverified:
        yield (
            Reason.MISSING_STEPS,
            f"{unverified} of {int(mask.sum())} steps: the target that the gate sent is not the one that "
            "the recorded actions lead to",
        )


def _silences(
    corrections: list[tuple[int, FloatArray, bool]], end: int, gate: GateConfig
) -> Iterable[tuple[Reason, str]]:
    """Times at which a device that was correcting was not heard any more."""
    stale_ns = round(gate.stale_correction_s * NS_PER_S)
    during = sorted((c for c in corrections if c[0] < end), key=lambda c: c[0])
    next_ns = [*(c[0] for c in during[1:]), end]
    silent = [(c[0], n) for c, n in zip(during, next_ns, strict=False) if c[2] and n - c[0] > stale_ns]
    if silent:
        since, until = silent[0]
        yield (
            Reason.CORRECTION_LOST,
            f"correction/residual fell silent while a human corrected, {len(silent)} times, first for "
            f"{(until - since) / NS_PER_S:.2f} s: its residual faded out; was the device unplugged?",
        )


def _require_finite(episode: Episode) -> None:
    check: Callable[[NDArray[Any]], Any] = np.isfinite
    for name in ("observation", "a_0", "a_b", "a_r", "a", "executed", "reward"):
        if not check(getattr(episode, name)).all():
            raise BagError(Reason.NOT_FINITE, f"{episode.path}: {name} is not finite")
