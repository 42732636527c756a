"""From messages to bags: which messages belong to which episode, written by a thread of its own.

The caller's side (`message`, `episode`, `tick`) never touches the disk: it keeps the last messages of every
topic, because those of an episode's first moment come before the word that it began, counts what was lost on
the way, and puts the rest into a bounded queue. The thread writes, flushes every `chunk_s`, watches the free
space, and closes the bag when the episode has ended. What it has to say it leaves in `events`.

No ROS in here; the clock and the view of the disk are arguments.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosbags.typesys.store import Typestore

from rfs_core.errors import RfsError
from rfs_data.bag_writer import BagWriter
from rfs_data.recorder_config import RecorderConfig
from rfs_data.recording import (
    PHASE_FINISHED,
    PHASE_RUNNING,
    EpisodeInfo,
    Event,
    Flow,
    Sample,
    Status,
    episode_dict,
)
from rfs_data.schema import FORMAT, FORMAT_VERSION, STEP_TOPICS, Topic, stamp_ns

_KEPT, _KEPT_LARGE = 1024, 8
"""Messages of a topic that are kept while no episode runs."""
_BEFORE_NS = 500_000_000
"""Kept messages stamped this much before the first observation belong to the episode."""
_DISK_PERIOD_S = 1.0
_STRAGGLERS_S = 1.0
"""Beyond linger_s, how long an ended episode is kept open for topics that have not come to its end."""
_DECISION_NS = 160_000_000
"""The last decision and its targets are stamped this much before the end, at most."""
_BEFORE_THE_END = ("policy/action", "arm/target_pose", "hand/target")
_GB = 1e9


@dataclass
class _Episode:
    """The episode that is being recorded, as the caller's side sees it."""

    info: EpisodeInfo
    flows: dict[str, Flow] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    ending: EpisodeInfo | None = None
    close_at: float = 0.0


@dataclass(frozen=True)
class _Begin:
    name: str
    opening: dict[str, Any]
    episode: _Episode


@dataclass(frozen=True)
class _Message:
    topic: str
    sample: Sample


@dataclass(frozen=True)
class _Finish:
    closing: dict[str, Any]
    marks: list[str]


@dataclass(frozen=True)
class _Nothing:
    """It is time to flush, or to look at the disk."""


def free_bytes(folder: Path) -> int:
    """Free space for this user where `folder` is, or will be made."""
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class Recorder:
    """Records every episode into a bag of its own."""

    def __init__(
        self,
        config: RecorderConfig,
        topics: Iterable[Topic],
        typestore: Typestore,
        header: Callable[[EpisodeInfo], dict[str, Any]],
        *,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        """
        Args:
            config: Where to, and limits.
            topics: What is recorded.
            typestore: Knows the topics' types.
            header: What is known of an episode besides itself: specs, software, calibration, parameters.
            clock: Seconds of a steady clock.
            free: Free bytes of the disk of a folder.
        """
        self.config = config
        self.folder = Path(config.folder).expanduser().absolute()
        self.events: deque[Event] = deque(maxlen=1000)
        self.status = Status()
        self._topics = {topic.name: topic for topic in topics}
        self._typestore = typestore
        self._header = header
        self._clock, self._free = clock, free
        self._kept: dict[str, deque[Sample]] = {
            name: deque(maxlen=1 if topic.latched else _KEPT_LARGE if topic.large else _KEPT)
            for name, topic in self._topics.items()
        }
        self._episode: _Episode | None = None
        self._next: EpisodeInfo | None = None
        self._last_id = ""
        self._queue: queue.SimpleQueue[_Begin | _Message | _Finish | None] = queue.SimpleQueue()
        self._queued = 0
        self._lock = threading.Lock()
        self._bag: BagWriter | None = None
        self._opening: dict[str, Any] = {}
        self._written: _Episode | None = None
        """The episode of `_bag`, of which the thread reads flows and marks alone."""
        self._name = ""
        self._disk_at = -1.0
        self._look_at_disk()
        self._thread = threading.Thread(target=self._write_all, name="bag writer")
        self._thread.start()

    # The caller's side

    @property
    def recording(self) -> str:
        """Id of the episode that is being recorded; empty where none is."""
        return self._episode.info.id if self._episode is not None else ""

    def message(self, topic: str, sample: Sample) -> None:
        """A message has come."""
        self._kept[topic].append(sample)
        if self._episode is not None:
            self._record(self._episode, topic, sample)

    def episode(self, info: EpisodeInfo) -> None:
        """The episode manager has spoken."""
        episode = self._episode
        if info.phase == PHASE_RUNNING:
            waiting = self._next.id if self._next is not None else ""
            if not info.id or info.id in (self._last_id, self.recording, waiting):
                return
            self._begin_next()
            if self._episode is not None and self._episode.ending is not None and not self._due(True):
                # The one before has not come to its end; what comes meanwhile of this one is kept.
                self._next = info
                return
            self._next = info
            self._begin_next()
        elif self._next is not None:
            self._begin_next()
            self.episode(info)
        elif episode is None:
            return
        elif info.phase == PHASE_FINISHED and info.id == episode.info.id:
            if episode.ending is None:
                episode.ending, episode.close_at = info, self._clock() + self.config.linger_s
        elif episode.ending is None:
            self._end_unannounced(episode)

    def mark(self, sentence: str) -> None:
        """Something about the running episode that whoever reads it should know."""
        if self._episode is not None and sentence not in self._episode.marks:
            self._episode.marks.append(sentence)

    def tick(self) -> None:
        """Called now and then: closes the episode that has ended."""
        if self._episode is not None and self.due:
            self._close(self._episode)
            self._begin_next()

    @property
    def due(self) -> bool:
        """The episode has ended, and its last messages were waited for."""
        return self._due(self._next is not None)

    def _due(self, in_a_hurry: bool) -> bool:
        """Args: in_a_hurry: the next episode runs; linger no longer than the last messages need."""
        episode = self._episode
        if episode is None or episode.ending is None:
            return False
        late = self._clock() - episode.close_at
        return late >= _STRAGGLERS_S or ((in_a_hurry or late >= 0.0) and self._caught_up(episode))

    def _caught_up(self, episode: _Episode) -> bool:
        """Whether every topic that steps are made of has come to the end of the episode.

        A process that is short of processor time hears the end on one topic long before it hears the last
        messages on others.
        """
        if episode.ending is None:
            return False
        reward = episode.flows.get("reward", Flow())
        end = max(episode.ending.stamp_ns, reward.stamp_ns)
        return all(
            flow.stamp_ns >= end - (_DECISION_NS if name in _BEFORE_THE_END else 0)
            for name, flow in episode.flows.items()
            if name in STEP_TOPICS
        )

    def _begin_next(self) -> None:
        """Begin the episode that waits, if one does; the one before is closed."""
        info, self._next = self._next, None
        if info is None:
            return
        if self._episode is not None:
            self._end_unannounced(self._episode)
        self._begin(info)

    @property
    def alive(self) -> bool:
        """Whether the writing thread lives."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close what is open and write everything; returns when it is on the disk."""
        self._begin_next()
        if self._episode is not None:
            if self._episode.ending is None:
                self._episode.marks.append("the recorder was stopped before the end of the episode")
            self._close(self._episode)
        self._queue.put(None)
        self._thread.join()

    def _begin(self, info: EpisodeInfo) -> None:
        self._episode = episode = _Episode(info)
        self.status.recording = info.id
        opening = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "complete": False,
            "episode": episode_dict(info, None),
            "topics": {
                topic.name: {"name": topic.bag_name, "type": topic.type, "latched": topic.latched}
                for topic in self._topics.values()
            },
            "marks": [],
            **self._header(info),
        }
        self._queue.put(_Begin(info.id, opening, episode))
        kept = [
            (sample.log_ns, name, sample)
            for name, samples in self._kept.items()
            for sample in samples
            if self._belongs(self._topics[name], sample, info.started_ns)
        ]
        for _, name, sample in sorted(kept, key=lambda item: item[0]):
            self._record(episode, name, sample)

    def _belongs(self, topic: Topic, sample: Sample, started_ns: int) -> bool:
        if topic.latched or not topic.stamped:
            return True
        stamp = stamp_ns(sample.data)
        return stamp is None or stamp >= started_ns - _BEFORE_NS

    def _record(self, episode: _Episode, topic: str, sample: Sample) -> None:
        with self._lock:
            flow = episode.flows.setdefault(topic, Flow())
            flow.count(sample.sequence)
        if topic in STEP_TOPICS:
            flow.stamp_ns = max(flow.stamp_ns, stamp_ns(sample.data) or 0)
        limit = self.config.queue_mb * 1e6 * (0.5 if self._topics[topic].large else 1.0)
        with self._lock:
            full = self._queued + len(sample.data) > limit
            if not full:
                self._queued += len(sample.data)
        if full:
            flow.dropped += 1
            self.status.dropped += 1
            self.mark("messages were dropped because the disk was too slow")
            return
        self._queue.put(_Message(topic, sample))

    def _end_unannounced(self, episode: _Episode) -> None:
        """Something else has begun."""
        if episode.ending is None:
            episode.marks.append("its end was not announced")
        self._close(episode)

    def _close(self, episode: _Episode) -> None:
        """The episode is over, announced or not."""
        flows = self._flows(episode)
        self.status.lost += sum(flow["lost"] or 0 for flow in flows.values())
        closing = {
            "complete": episode.ending is not None,
            "episode": episode_dict(episode.info, episode.ending),
            "flows": flows,
            # The checkpoint's id and the nodes' parameters may have become known only meanwhile.
            **self._header(episode.info),
        }
        self._queue.put(_Finish(closing, episode.marks))
        self._last_id, self._episode = episode.info.id, None
        self.status.recording = ""

    def _flows(self, episode: _Episode) -> dict[str, dict[str, Any]]:
        """What came of every topic, as the header has it; for both sides."""
        with self._lock:
            return {name: flow.to_dict(self._topics[name]) for name, flow in episode.flows.items()}

    # The thread's side

    def _write_all(self) -> None:
        flush_at: float | None = None
        while True:
            wait = _DISK_PERIOD_S if flush_at is None else max(0.0, flush_at - self._clock())
            item: _Begin | _Message | _Finish | _Nothing | None = _Nothing()
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=wait)
            try:
                if isinstance(item, _Message):
                    self._write(item)
                    if flush_at is None and self._bag is not None:
                        flush_at = self._clock() + self.config.chunk_s
                elif isinstance(item, _Begin):
                    self._open(item)
                elif isinstance(item, _Finish):
                    self._finish(item.closing, item.marks)
                if flush_at is not None and self._clock() >= flush_at:
                    flush_at = None
                    if self._bag is not None:
                        self._bag.flush()
                self._guard_disk()
            except (OSError, RfsError) as error:
                flush_at = None
                self._fail(error)
            if item is None:
                return

    def _open(self, item: _Begin) -> None:
        self._look_at_disk()
        if self.status.stopped:
            self._say("error", f"episode {item.name} is not recorded: {self.status.problem}")
            return
        self._opening, self._name, self._written = item.opening, item.name, item.episode
        self._bag = BagWriter(
            self.folder,
            item.name,
            self._topics.values(),
            self._typestore,
            item.opening,
            self.config.compression,
        )
        self._bag.flush()

    def _write(self, item: _Message) -> None:
        sample = item.sample
        with self._lock:
            self._queued -= len(sample.data)
        if self._bag is not None:
            self._bag.write(item.topic, sample.log_ns, sample.publish_ns, sample.sequence, sample.data)

    def _finish(self, closing: dict[str, Any], marks: list[str]) -> None:
        bag = self._bag
        if bag is None:
            return
        path = bag.close({**self._opening, **closing, "marks": marks})
        self._bag = None
        self.status.episodes += 1
        self.status.finished_episode = path.name
        lost = sum(flow["lost"] or 0 for flow in closing.get("flows", {}).values())
        level = "warning" if lost or marks else "info"
        what = "; ".join([*([f"{lost} messages lost"] if lost else []), *marks])
        self._say(level, f"bag {path}: {bag.size / 1e6:.1f} MB" + (f", {what}" if what else ""))

    def _guard_disk(self) -> None:
        if self._clock() - self._disk_at < _DISK_PERIOD_S:
            return
        self._look_at_disk()
        if self.status.stopped and self._bag is not None and self._written is not None:
            marks = [*self._written.marks, f"recording stopped: {self.status.problem}"]
            self._finish({"complete": False, "flows": self._flows(self._written)}, marks)

    def _look_at_disk(self) -> None:
        """Free space, and what follows from it."""
        self._disk_at = self._clock()
        status, config = self.status, self.config
        before = status.problem
        status.free_gb = self._free(self.folder) / _GB
        status.stopped = status.free_gb < config.stop_free_gb
        place = f"{status.free_gb:.2f} GB are free at {self.folder}"
        if status.stopped:
            status.problem = f"{place}, recording needs {config.stop_free_gb:g} GB: make room"
        elif status.free_gb < config.warn_free_gb:
            status.problem = f"{place}; below {config.stop_free_gb:g} GB recording stops: make room"
        else:
            status.problem = ""
        if status.problem and not before:
            self._say("error" if status.stopped else "warning", status.problem)

    def _fail(self, error: Exception) -> None:
        """The bag cannot be written any further; the robot goes on, and so does the next episode."""
        bag, self._bag = self._bag, None
        where = ""
        if bag is not None:
            bag.abandon()
            where = f"; what was written is in {bag.part}, recover_bag makes a bag of it"
        self._say("error", f"episode {self._name} is not recorded any further: {error}{where}")

    def _say(self, level: str, sentence: str) -> None:
        self.events.append(Event(level, sentence))
