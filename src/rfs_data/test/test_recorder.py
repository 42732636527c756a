"""Which messages belong to which episode, what is lost, and what a full disk does."""

import errno
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import handmade_bags as handmade
import pytest
from handmade_bags import DT, START, Script

from rfs_data import check, provenance
from rfs_data.bag_reader import Bag
from rfs_data.definitions import typestore
from rfs_data.episode import read_episode
from rfs_data.errors import BagError, Reason
from rfs_data.recorder import Recorder
from rfs_data.recorder_config import RecorderConfig
from rfs_data.recording import PHASE_FINISHED, PHASE_RUNNING, EpisodeInfo, Sample
from rfs_data.recover import recover
from rfs_data.schema import TOPICS

GB = 1_000_000_000
DECISIONS = 4
END = START + 2 * DECISIONS * DT
IDLE = 0


class Bench:
    """A recorder, its disk, and an episode to play into it."""

    def __init__(self, folder, **config):
        self.free = 100 * GB
        self.hold = threading.Event()
        self.hold.set()
        self.held = threading.Event()
        config = {"folder": str(folder), "linger_s": 0.0, "chunk_s": 0.02, **config}
        self.folder = folder
        self.recorder = Recorder(
            RecorderConfig(**config),
            TOPICS,
            typestore(),
            lambda info: {**provenance.specs(info.task), "clock": "simulated"},
            free=self._look,
        )
        self.sequence = {}

    def _look(self, folder):
        if not self.hold.is_set():
            self.held.set()
        self.hold.wait()
        return self.free

    def say(self, phase, identity="one", **fields):
        info = EpisodeInfo(
            id=identity,
            index=3,
            count=1,
            task="grasp",
            seed=0,
            phase=phase,
            started_ns=START,
            max_steps=2 * DECISIONS,
            outcome=1 if phase == PHASE_FINISHED else 0,
            reason="",
            stamp_ns=END,
        )
        self.recorder.episode(replace(info, **fields))

    def send(self, first=0, last=2 * DECISIONS, **script):
        """Play the messages of the control steps from `first` to `last`."""
        for topic, stamp, data in handmade.messages(Script(decisions=DECISIONS, **script)):
            if first <= (stamp - START) // DT <= last:
                self.message(topic, stamp, data)

    def message(self, topic, stamp, data, skip=0):
        self.sequence[topic] = self.sequence.get(topic, 0) + 1 + skip
        self.recorder.message(topic, Sample(stamp, stamp, self.sequence[topic], data))

    def forget(self):
        """Time has passed: what was kept of the episode before is too old for the next one."""
        for kept in self.recorder._kept.values():
            kept.clear()

    def play(self, identity="one"):
        self.forget()
        self.say(PHASE_RUNNING, identity)
        self.send()
        self.say(PHASE_FINISHED, identity)
        self.recorder.tick()

    def until(self, condition):
        deadline = time.monotonic() + 120.0
        while not condition():
            assert time.monotonic() < deadline, list(self.recorder.events)
            time.sleep(0.01)

    def said(self):
        return " | ".join(event.sentence for event in self.recorder.events)

    def bag(self, identity="one"):
        return self.folder / identity


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(folder=tmp_path / "bags", **config):
        made.append(Bench(folder, **config))
        return made[-1]

    yield make
    for each in made:
        each.hold.set()
        if each.recorder.alive:
            each.recorder.stop()


def test_an_episode_is_on_the_disk_when_it_has_ended(bench):
    b = bench()
    b.play()
    b.until(lambda: b.recorder.status.finished_episode == "one")
    episode = read_episode(b.bag())
    assert (episode.steps, episode.outcome, episode.warnings) == (2 * DECISIONS, "success", ())
    assert episode.header["complete"]
    assert episode.verified.all()


def test_what_came_before_the_word_that_the_episode_began_is_in_it(bench):
    """The state of the first moment, and even the first actions, may overtake the announcement."""
    b = bench()
    b.send(last=3)
    b.say(PHASE_RUNNING)
    b.send(first=4)
    b.say(PHASE_FINISHED)
    b.recorder.stop()
    assert read_episode(b.bag()).steps == 2 * DECISIONS


def test_messages_of_the_time_before_the_episode_are_not_in_it(bench):
    b = bench()
    old = next(data for topic, _, data in handmade.messages(Script()) if topic == "reward")
    b.message("reward", START, old)  # stamped START: kept
    before = bytearray(old)
    before[4:8] = (START // GB - 5).to_bytes(4, "little")  # five seconds older
    b.message("reward", START, bytes(before))
    b.say(PHASE_RUNNING)
    b.recorder.stop()
    assert Bag(b.bag()).header["messages"] == {"reward": 1}


def test_the_last_messages_are_waited_for_after_the_end_was_announced(bench):
    b = bench(linger_s=0.2)
    b.say(PHASE_RUNNING)
    b.send(last=2 * DECISIONS - 1)
    b.say(PHASE_FINISHED)
    b.recorder.tick()
    assert b.recorder.recording == "one"
    b.send(first=2 * DECISIONS)
    time.sleep(0.25)
    b.recorder.tick()
    assert b.recorder.recording == ""
    b.recorder.stop()
    assert read_episode(b.bag()).steps == 2 * DECISIONS


def test_the_next_episode_begins_while_the_last_one_lingers(bench):
    b = bench(linger_s=5.0)
    b.play("one")
    b.say(PHASE_RUNNING, "two")
    b.recorder.stop()
    assert read_episode(b.bag("one")).steps == 2 * DECISIONS


def test_messages_that_come_after_the_next_episode_began_still_reach_the_last_one(bench):
    b = bench(linger_s=0.0)
    b.say(PHASE_RUNNING, "one")
    b.send(last=2 * DECISIONS - 1)
    b.say(PHASE_FINISHED, "one")
    b.say(PHASE_RUNNING, "two")
    assert b.recorder.recording == "one"
    b.send(first=2 * DECISIONS)
    b.recorder.tick()
    assert b.recorder.recording == "two"
    b.send()
    b.say(PHASE_FINISHED, "two")
    b.recorder.stop()
    assert read_episode(b.bag("one")).steps == 2 * DECISIONS
    assert read_episode(b.bag("two")).steps == 2 * DECISIONS


def test_messages_that_never_come_delay_the_next_episode_by_no_more_than_a_second(bench):
    b = bench(linger_s=0.0)
    b.say(PHASE_RUNNING, "one")
    b.send(last=4)
    b.say(PHASE_FINISHED, "one")
    b.say(PHASE_RUNNING, "two")
    b.recorder.tick()
    assert b.recorder.recording == "one"
    b.until(lambda: b.recorder.tick() or b.recorder.recording == "two")
    b.recorder.stop()
    assert read_episode(b.bag("one")).steps == 4


@pytest.mark.parametrize("follows", [(PHASE_RUNNING, "next"), (IDLE, "")], ids=["next", "idle"])
def test_an_episode_whose_end_was_not_announced_is_kept_and_marked(bench, follows):
    b = bench()
    b.say(PHASE_RUNNING)
    b.send()
    b.say(*follows)
    b.recorder.stop()
    bag = Bag(b.bag())
    assert not bag.header["complete"]
    assert "its end was not announced" in bag.header["marks"]


def test_lost_messages_are_counted_from_the_publishers_numbers(bench):
    b = bench()
    b.say(PHASE_RUNNING)
    data = next(data for topic, _, data in handmade.messages(Script()) if topic == "reward")
    for skip in (0, 0, 3, 0, 2):
        b.message("reward", START, data, skip=skip)
    b.say(PHASE_FINISHED)
    b.recorder.tick()
    b.recorder.stop()
    flow = Bag(b.bag()).header["flows"]["reward"]
    assert (flow["received"], flow["expected"], flow["lost"]) == (5, 10, 5)
    assert b.recorder.status.lost == 5
    assert "5 messages lost" in b.said()


def test_a_publisher_that_was_started_anew_makes_the_count_unknown_not_wrong(bench):
    b = bench()
    b.say(PHASE_RUNNING)
    data = next(data for topic, _, data in handmade.messages(Script()) if topic == "reward")
    for sequence in (100, 101, 1, 2):
        b.recorder.message("reward", Sample(START, START, sequence, data))
    b.say(PHASE_FINISHED)
    b.recorder.stop()
    flow = Bag(b.bag()).header["flows"]["reward"]
    assert (flow["received"], flow["expected"], flow["lost"]) == (4, None, None)


def test_messages_are_in_the_file_before_the_episode_ends(bench):
    b = bench(chunk_s=0.05)
    b.say(PHASE_RUNNING)
    b.send()
    file = b.folder / "one.part" / "one_0.mcap"
    b.until(file.exists)
    b.until(lambda: recovered_steps(b.folder / "one.part") == 2 * DECISIONS)


def recovered_steps(part):
    """Steps that a recovery would find in it now; it leaves nothing behind."""
    if not part.exists():
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(part, Path(folder) / part.name)
        try:
            return read_episode(recover(copy).result).steps
        except BagError:
            return 0


def test_five_gigabytes_left_are_warned_of(bench):
    b = bench()
    b.free = 4 * GB
    b.play()
    b.recorder.stop()
    assert "4.00 GB are free" in b.said()
    assert not b.recorder.status.stopped
    assert read_episode(b.bag()).steps == 2 * DECISIONS


def test_one_gigabyte_left_stops_recording_cleanly_and_room_starts_it_again(bench):
    b = bench()
    b.play("one")
    b.until(lambda: b.recorder.status.episodes == 1)
    b.forget()
    b.say(PHASE_RUNNING, "two")
    b.send(last=4)
    b.until(lambda: recovered_steps(b.folder / "two.part") == 4)
    b.free = GB - 1
    b.until(lambda: b.recorder.status.stopped)
    b.until(lambda: b.bag("two").exists())
    b.send(first=5)
    b.say(PHASE_FINISHED, "two")
    b.recorder.tick()
    b.play("three")
    b.until(lambda: "three is not recorded" in b.said())
    b.free = 100 * GB
    b.play("four")
    b.recorder.stop()
    assert read_episode(b.bag("one")).steps == read_episode(b.bag("four")).steps == 2 * DECISIONS
    stopped = read_episode(b.bag("two"))
    assert stopped.steps == 4
    assert not stopped.header["complete"]
    assert "recording stopped" in stopped.warnings[0][1]
    # The state before the first step, and one after each of the four.
    assert stopped.header["flows"]["hand/joint_states"]["received"] == 5
    assert [check.check(b.bag(name)).ok for name in ("one", "two", "four")] == [True, False, True]
    assert not b.bag("three").exists()


def test_a_disk_that_refuses_leaves_what_can_be_recovered_and_the_next_episode_is_recorded(
    bench, monkeypatch
):
    b = bench()
    b.play("one")
    b.until(lambda: b.recorder.status.episodes == 1)
    b.forget()
    b.say(PHASE_RUNNING, "two")
    b.send(last=4)
    b.until(lambda: recovered_steps(b.folder / "two.part") == 4)
    real = os.write

    def full(descriptor, data):
        if threading.current_thread().name == "bag writer":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    b.send(first=5)
    b.until(lambda: "No space left on device" in b.said())
    monkeypatch.undo()
    b.say(PHASE_FINISHED, "two")
    b.recorder.tick()
    b.play("three")
    b.recorder.stop()
    assert read_episode(b.bag("one")).steps == read_episode(b.bag("three")).steps == 2 * DECISIONS
    assert read_episode(recover(b.folder / "two.part").result).steps == 4


def test_a_file_system_that_is_really_full_costs_one_episode_and_no_other(bench, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)], check=False)
    if mount.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    b = bench(folder=small)
    try:
        for number in range(12):
            b.play(f"e{number:02d}")
        b.recorder.stop()
        assert "No space left on device" in b.said()
        closed = [path for path in sorted(small.iterdir()) if not path.name.endswith(".part")]
        assert len(closed) >= 2
        for path in closed:
            assert read_episode(path).steps == 2 * DECISIONS
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_images_are_dropped_before_anything_else_when_the_disk_is_slow(bench):
    b = bench(queue_mb=1.0)
    b.say(PHASE_RUNNING)
    b.until(lambda: (b.folder / "one.part").exists())
    b.hold.clear()
    assert b.held.wait(120.0)  # the thread looks at the disk once a second, and now waits there
    state = next(data for topic, _, data in handmade.messages(Script()) if topic == "reward")
    image = state + bytes(200_000)
    for _ in range(4):
        b.message("camera/depth", START, image)
    for _ in range(10):
        b.message("reward", START, state)
    b.hold.set()
    b.say(PHASE_FINISHED)
    b.recorder.stop()
    flows = Bag(b.bag()).header["flows"]
    # Half of 1 MB holds two images of 0.2 MB.
    assert (flows["camera/depth"]["received"], flows["camera/depth"]["dropped"]) == (4, 2)
    assert flows["reward"]["dropped"] == 0
    assert Bag(b.bag()).header["marks"] == ["messages were dropped because the disk was too slow"]


def test_a_name_that_is_taken_is_said_and_nothing_overwritten(bench):
    b = bench()
    b.bag().mkdir(parents=True)
    b.play()
    b.recorder.stop()
    assert "exists already" in b.said()
    assert list(b.bag().iterdir()) == []


def test_a_recorder_stopped_within_an_episode_keeps_it_and_says_so(bench):
    b = bench()
    b.say(PHASE_RUNNING)
    b.send(last=5)
    b.recorder.stop()
    episode = read_episode(b.bag())
    assert episode.steps == 5
    assert episode.warnings == (
        (Reason.UNFINISHED, "the recorder was stopped before the end of the episode"),
    )
