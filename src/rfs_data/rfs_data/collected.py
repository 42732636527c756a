"""What the steps of an episode are made of: the messages of a bag, decoded, by their time stamps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot
from rfs_core.errors import CommandError
from rfs_core.se3 import Pose
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import parts as task_parts
from rfs_data import parts
from rfs_data.bag_reader import Bag
from rfs_data.errors import BagError, Reason
from rfs_data.schema import STEP_TOPICS, stamp_ns

NS_PER_S = 1_000_000_000
STALE_NS = 300_000_000
"""On a robot: age of a sample beyond which there is no observation."""

SEEN_NS = 2_000_000
"""A policy counts on its steady clock: it tells what it has seen to within less than this, and no topic has
two messages within it."""

FloatArray = NDArray[np.float64]


@dataclass
class Collected:
    """Messages of an episode by what they are; samples by stamp (ns)."""

    actions: dict[int, Any] = field(default_factory=dict)
    """By sequence."""
    rewards: dict[int, Any] = field(default_factory=dict)
    corrections: list[tuple[int, FloatArray, bool]] = field(default_factory=list)
    parts: dict[str, dict[int, Mapping[str, NDArray[Any]]]] = field(default_factory=dict)
    """By topic."""
    palm_targets: dict[int, Pose] = field(default_factory=dict)
    hand_targets: dict[int, FloatArray] = field(default_factory=dict)
    palms: dict[int, Pose] = field(default_factory=dict)
    marks: list[tuple[str, str]] = field(default_factory=list)


def collect(bag: Bag, sources: Iterable[parts.Source], started: int, grid_ns: int) -> Collected:
    """Decode what the steps are made of; with a grid, only what is stamped on it."""
    got = Collected()
    index = int(bag.episode["index"])
    by_topic = {source.topic: source for source in sources}
    topics = STEP_TOPICS | {"correction/residual", "episode/mark"} | set(by_topic)
    # The first targets of the gate start at the measured palm and fingers, whatever the policy looks at.
    by_topic.setdefault("hand/joint_states", parts.SOURCES[1])
    for raw in bag.messages(topics):
        stamp = stamp_ns(raw.data)
        if stamp is None:
            raise BagError(Reason.DAMAGED, f"{bag.path}: a message on {raw.topic} is not little-endian CDR")
        dense = raw.topic not in ("policy/action", "correction/residual", "episode/mark", "perception/points")
        if grid_ns and dense and (stamp < started or (stamp - started) % grid_ns):
            continue
        message = bag.decode(raw)
        try:
            match raw.topic:
                case "policy/action":
                    if (
                        message.episode == index
                        and nanoseconds(message.observation_stamp) >= started - STALE_NS
                    ):
                        got.actions.setdefault(int(message.sequence), message)
                    continue
                case "correction/residual":
                    residual = np.asarray(message.residual, dtype=np.float64)
                    if residual.shape != (bag.action_spec.size,) or not np.isfinite(residual).all():
                        # As the gate does: a correction that cannot be used releases.
                        residual, message.engaged = np.zeros(bag.action_spec.size), False
                    got.corrections.append((stamp, residual, bool(message.engaged)))
                    continue
                case "episode/mark":
                    if message.episode == bag.episode["id"]:
                        got.marks.append((str(message.mark), str(message.reason)))
                    continue
                case "reward":
                    if stamp > started:
                        got.rewards[stamp] = message
                    continue
                case "arm/target_pose":
                    got.palm_targets[stamp] = parts.pose(message, raw.topic)
                    continue
                case "hand/target":
                    got.hand_targets[stamp] = parts.by_name(
                        message.name, message.position, robot.HAND_JOINT_NAMES, raw.topic
                    )
                    continue
                case "arm/current_pose":
                    got.palms[stamp] = parts.pose(message, raw.topic)
            if raw.topic in by_topic:
                got.parts.setdefault(raw.topic, {})[stamp] = by_topic[raw.topic].convert(message)
        except CommandError as error:
            reason = Reason.NOT_FINITE if "finite" in str(error) else Reason.OTHER_SPEC
            raise BagError(reason, f"{bag.path}: {error}") from error
    return got


def end_of(bag: Bag, rewards: Mapping[int, Any], limit: int) -> tuple[int, bool]:
    """Stamp of the last state of the episode, and whether it was terminal."""
    stamps = sorted(stamp for stamp in rewards if stamp <= limit)
    for stamp in stamps:
        if rewards[stamp].terminated:
            return stamp, True
    if limit in rewards:
        return limit, False
    finished = bag.episode.get("finished_ns")
    if finished is not None:
        stamps = [stamp for stamp in stamps if stamp <= int(finished)]
    if not stamps:
        raise BagError(Reason.NO_REWARD, f"{bag.path}: no reward between its beginning and its end")
    return stamps[-1], False


def observed_stamps(action: Any) -> dict[str, int]:
    """Stamp (ns) of what a decision has seen of every topic; empty in bags that do not tell."""
    topics = getattr(action, "observed_topics", ())
    stamps = getattr(action, "observed_stamps", ())
    return {str(topic): nanoseconds(stamp) for topic, stamp in zip(topics, stamps, strict=True)}


def observation_at(
    got: Collected,
    sources: Iterable[parts.Source],
    spec: ObservationSpec,
    at_ns: int,
    by_stamp: bool,
    seen: Mapping[str, int] | None = None,
) -> NDArray[np.float32] | list[str]:
    """What the policy saw at a time; the topics that are to blame where it saw nothing. Shape: (O,).

    Args:
        got: What was recorded.
        sources: Topics of the observation.
        spec: What it is made of.
        at_ns: The time.
        by_stamp: In simulation: samples of that very time. On a robot: the newest ones.
        seen: On a robot: stamps of the samples that it saw, by topic, where it said so.
    """
    values: dict[str, NDArray[np.float32]] = {}
    missing = []
    for source in sources:
        samples = got.parts.get(source.topic, {})
        if by_stamp and source.exact:
            found = samples.get(at_ns)
        else:
            found = _sample(samples, at_ns, None if seen is None else seen.get(source.topic))
        if found is None:
            missing.append(source.topic)
        else:
            for name, value in found.items():
                values[name] = np.asarray(value, dtype=np.float32).reshape(1, -1)
    if missing:
        return missing
    row: NDArray[np.float32] = task_parts.complete(spec, values)[0]
    if row.shape != (spec.size,):
        raise BagError(Reason.OTHER_SPEC, f"an observation has {row.size} values, its spec says {spec.size}")
    return row


def _sample(
    samples: Mapping[int, Mapping[str, NDArray[Any]]], at_ns: int, seen_ns: int | None
) -> Mapping[str, NDArray[Any]] | None:
    """The sample that was seen; where that is not known, or not there, the newest that is not too old."""
    known = sorted(samples)
    if seen_ns is not None and known:
        nearest = min(known, key=lambda stamp: abs(stamp - seen_ns))
        if abs(nearest - seen_ns) <= SEEN_NS:
            return samples[nearest]
    before = bisect_right(known, at_ns) - 1
    return samples[known[before]] if before >= 0 and at_ns - known[before] <= STALE_NS else None


def nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time as ns."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)
