"""What a recorder is told and what it says: samples, episodes, counts, events, its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rfs_data.schema import OUTCOMES, Topic

PHASE_RUNNING, PHASE_FINISHED = 2, 3
"""As in rfs_msgs/EpisodeState."""


@dataclass(frozen=True)
class Sample:
    """A message as it came."""

    log_ns: int
    """Receipt, ROS time (ns)."""
    publish_ns: int
    """Sending, clock of the sender (ns)."""
    sequence: int
    """Number among its publisher's messages, from 1; 0 where unknown."""
    data: bytes
    """CDR."""


@dataclass(frozen=True)
class EpisodeInfo:
    """What rfs_msgs/EpisodeState says."""

    id: str
    index: int
    count: int
    task: str
    seed: int
    phase: int
    started_ns: int
    max_steps: int
    outcome: int
    reason: str
    stamp_ns: int


@dataclass(frozen=True)
class Event:
    """Something to log."""

    level: str
    """info, warning or error."""
    sentence: str


@dataclass
class Flow:
    """Messages of one topic within one episode."""

    received: int = 0
    lost: int = 0
    dropped: int = 0
    last: int = 0
    stamp_ns: int = 0
    """Newest stamp."""
    mixed: bool = False
    """Sequence numbers went back: more than one publisher, or one that was started anew."""

    def count(self, sequence: int) -> None:
        """A message of this number has come; 0: unknown."""
        self.received += 1
        if sequence <= 0 or (self.last and sequence <= self.last):
            self.mixed = True
        elif self.last:
            self.lost += sequence - self.last - 1
        self.last = sequence

    def to_dict(self, topic: Topic) -> dict[str, Any]:
        """As the header of the bag has it."""
        # A latched topic keeps its last message only: what is skipped is not lost.
        known = topic.counted and not topic.latched and not self.mixed
        return {
            "type": topic.type,
            "received": self.received,
            "expected": self.received + self.lost if known else None,
            "lost": self.lost if known else None,
            "dropped": self.dropped,
        }


@dataclass
class Status:
    """What the recorder is doing, for /diagnostics."""

    recording: str = ""
    """Id of the running episode."""
    finished_episode: str = ""
    """Id of the last episode that is on the disk."""
    episodes: int = 0
    """Bags closed since the start."""
    lost: int = 0
    """Messages lost before they came here, in all closed bags."""
    dropped: int = 0
    """Messages given up because the disk was too slow."""
    free_gb: float = 0.0
    problem: str = ""
    """Why nothing is recorded, or soon will not be."""
    stopped: bool = False
    """The disk is full, or refuses."""


def episode_dict(info: EpisodeInfo, ending: EpisodeInfo | None) -> dict[str, Any]:
    """An episode as the header of its bag has it; `ending`: what was said at its end."""
    outcome = ending.outcome if ending is not None else 0
    return {
        "id": info.id,
        "index": info.index,
        "count": info.count,
        "task": info.task,
        "seed": info.seed,
        "max_steps": info.max_steps,
        "started_ns": info.started_ns,
        "finished_ns": ending.stamp_ns if ending is not None else None,
        "outcome": OUTCOMES[outcome] if outcome < len(OUTCOMES) else "none",
        "reason": ending.reason if ending is not None else "",
    }
