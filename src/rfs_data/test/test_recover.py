"""What a killed recorder left, or a damaged disk, becomes a whole bag beside the old one."""

import errno
import os
import random
import shutil
import struct

import handmade_bags as handmade
import numpy as np
import pytest
from handmade_bags import Script
from mcap.opcode import Opcode

from rfs_data import recover
from rfs_data.bag_reader import Bag, bags_in
from rfs_data.bag_writer import BagWriter
from rfs_data.definitions import typestore
from rfs_data.episode import read_episode
from rfs_data.errors import BagError, Reason
from rfs_data.schema import HEADER_FILE, TOPICS, mcap_name

DECISIONS = 6


def unfinished(folder, flushed_steps, name="bag"):
    """What is left of a recorder that was killed after it had flushed the first steps; one chunk a step."""
    script = Script(decisions=DECISIONS)
    opening = {**handmade.header(script, name), "complete": False}
    opening["episode"] = {**opening["episode"], "finished_ns": None, "outcome": "none"}
    writer = BagWriter(folder, name, TOPICS, typestore(), opening)
    last = None
    for topic, stamp, data in handmade.messages(script):
        if last is not None and stamp != last:
            writer.flush()
        last = stamp
        if stamp > handmade.START + flushed_steps * handmade.DT:
            break
        writer.write(topic, stamp, stamp, 0, data)
    writer.abandon()
    return folder / f"{name}.part"


def test_every_flushed_step_of_a_killed_recorder_is_recovered(tmp_path):
    part = unfinished(tmp_path, 7)
    before = {path.name: path.read_bytes() for path in part.iterdir()}
    done = recover.recover(part)
    assert done.result == tmp_path / "bag-recovered"
    assert {path.name: path.read_bytes() for path in part.iterdir()} == before  # nothing overwritten
    episode = read_episode(done.result)
    # States up to step 7 are there: seven steps, the last decision's second step among them.
    assert episode.steps == 7
    assert episode.reward[episode.mask].tolist() == [0.5 * step for step in range(1, 8)]
    assert episode.outcome == "none"
    assert episode.truncated.tolist() == [False, False, False, True]
    assert not episode.header["complete"]
    assert [sentence for _, sentence in episode.warnings] == ["recovered from bag.part"]


def test_a_cut_at_any_byte_loses_only_what_came_after_it(tmp_path):
    whole = unfinished(tmp_path / "whole", 2 * DECISIONS)
    data = next(whole.glob("*.mcap")).read_bytes()
    size = len(data)
    steps, reasons = [], set()
    for number, cut in enumerate(range(0, size, size // 12)):
        part = tmp_path / f"{number}.part"
        part.mkdir()
        (part / mcap_name(str(number))).write_bytes(data[:cut])
        try:
            steps.append(read_episode(recover.recover(part).result, shortest=1).steps)
        except BagError as error:
            reasons.add(error.reason)
            steps.append(0)
    assert reasons <= {Reason.NOT_A_BAG, Reason.EMPTY, Reason.NO_STEPS, Reason.NO_REWARD}
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] >= 2 * DECISIONS - 3


def test_a_truncated_finished_bag_is_recovered(tmp_path):
    path = handmade.write(tmp_path, Script(decisions=DECISIONS))
    file = path / mcap_name("handmade")
    # The tail holds the index and the closing header; the messages before it stay.
    file.write_bytes(file.read_bytes()[:-3000])
    assert list(recover.broken(tmp_path)) == [path]
    result = recover.recover(path).result
    assert result.name == "handmade-recovered"
    assert read_episode(result).steps == 2 * DECISIONS
    assert list(recover.broken(tmp_path)) == []  # not a second time


def test_a_damaged_chunk_is_left_out_and_the_rest_recovered(tmp_path):
    part = unfinished(tmp_path, 2 * DECISIONS)
    file = next(part.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    chunks = chunk_offsets(data)
    assert len(chunks) > 8
    data[chunks[-1] + 200] ^= 0x10
    file.write_bytes(data)
    done = recover.recover(part)
    assert done.damaged_chunks == 1
    # The last flushed chunk held the state of step 11: the state of step 10 is the last one left.
    assert read_episode(done.result).steps == 10


def chunk_offsets(data):
    """Where the chunks of an MCAP file begin."""
    offset, found = 8, []
    while offset + 9 <= len(data):
        if data[offset] == Opcode.CHUNK:
            found.append(offset)
        offset += 9 + int.from_bytes(data[offset + 1 : offset + 9], "little")
    return found


def test_the_header_beside_the_messages_serves_where_the_one_inside_is_gone(tmp_path):
    path = handmade.write(tmp_path, Script(decisions=DECISIONS))
    file = path / mcap_name("handmade")
    data = bytearray(file.read_bytes())
    for word in (b"rfs_episode_opening", b"rfs_episode"):
        at = data.find(word)
        while at >= 0:
            data[at] ^= 1
            at = data.find(word, at + 1)
    file.write_bytes(data)
    result = recover.recover(path).result
    assert Bag(result).episode["outcome"] == "failure"
    (path / HEADER_FILE).unlink()
    shutil.rmtree(result)
    with pytest.raises(BagError, match="no header of an episode"):
        recover.recover(path)


def test_the_command_recovers_a_folder_and_leaves_intact_bags_alone(tmp_path, capsys):
    handmade.write(tmp_path, name="good")
    unfinished(tmp_path, 5)
    with pytest.raises(SystemExit) as ended:
        recover.main([str(tmp_path)])
    assert ended.value.code == 0
    assert "bag-recovered" in capsys.readouterr().out.replace("\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag-recovered", "bag.part", "good"]
    with pytest.raises(SystemExit):
        recover.main([str(tmp_path)])
    assert "nothing to recover" in capsys.readouterr().out


def test_the_command_says_where_nothing_is_left(tmp_path, capsys):
    (tmp_path / "x.part").mkdir()
    (tmp_path / "x.part" / mcap_name("x")).write_bytes(np.zeros(100, dtype=np.uint8).tobytes())
    with pytest.raises(SystemExit) as ended:
        recover.main([str(tmp_path)])
    assert ended.value.code == 3
    assert "nothing recovered" in capsys.readouterr().out


def test_a_bag_that_is_being_recorded_is_left_alone(tmp_path):
    script = Script()
    writer = BagWriter(tmp_path, "live", TOPICS, typestore(), handmade.header(script, "live"))
    for topic, stamp, data in handmade.messages(script):
        writer.write(topic, stamp, stamp, 0, data)
    writer.flush()
    with pytest.raises(BagError, match="is being recorded"):
        recover.recover(tmp_path / "live.part")
    assert [path.name for path in tmp_path.iterdir()] == ["live.part"]
    writer.abandon()
    assert recover.recover(tmp_path / "live.part").result.exists()


def test_whatever_bits_are_flipped_recovery_ends_with_a_bag_or_a_sentence(tmp_path):
    whole = unfinished(tmp_path / "whole", 2 * DECISIONS)
    data = next(whole.glob("*.mcap")).read_bytes()
    chosen = random.Random(0)
    # A metadata record: one byte of kind, eight of length, four of the name's length, the name.
    name_at = data.find(b"rfs_episode_opening")
    (length,) = struct.unpack_from("<Q", data, name_at - 12)
    header_end = name_at - 4 + length
    results = []
    for number in range(40):
        flipped = bytearray(data)
        # In the header, where nothing but sense protects it; anywhere; in the messages, once.
        begin, end, flips = [(0, header_end, 3), (0, len(data), 3), (header_end, len(data), 1)][number % 3]
        for _ in range(flips):
            flipped[chosen.randrange(begin, end)] ^= 1 << chosen.randrange(8)
        part = tmp_path / f"{number}.part"
        part.mkdir()
        (part / mcap_name(str(number))).write_bytes(flipped)
        try:
            results.append(read_episode(recover.recover(part).result, shortest=1).steps)
        except BagError:
            results.append(0)
    assert max(results) > 0
    assert not list(tmp_path.glob("*-recovered.part"))


class Failing:
    """Stands in for `os.write`: raises from the n-th write of a chunk on."""

    def __init__(self, error, after):
        self.error, self.left, self.write = error, after, os.write

    def __call__(self, descriptor, data):
        if len(data) > 1000:
            self.left -= 1
            if self.left < 0:
                raise self.error
        return self.write(descriptor, data)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space left"), KeyboardInterrupt()])
def test_a_recovery_that_was_interrupted_can_be_made_again(tmp_path, monkeypatch, error):
    part = unfinished(tmp_path, 7)
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", Failing(error, after=1))
        with pytest.raises(type(error)):
            recover.recover(part)
    assert [path.name for path in tmp_path.iterdir()] == ["bag.part"]
    assert read_episode(recover.recover(part).result).steps == 7


def test_what_a_killed_recovery_left_is_no_bag_and_is_removed_by_the_next_one(tmp_path, capsys):
    unfinished(tmp_path, 7)
    left = unfinished(tmp_path, 3, "bag-recovered")
    assert left.name == "bag-recovered.part"
    assert [path.name for path in bags_in(tmp_path)] == ["bag.part"]
    assert bags_in(left) == []
    with pytest.raises(SystemExit) as ended:
        recover.main([str(tmp_path)])
    assert ended.value.code == 0, capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag-recovered", "bag.part"]
    assert read_episode(tmp_path / "bag-recovered").steps == 7


def test_a_bag_that_somebody_else_recovers_is_left_alone(tmp_path):
    part = unfinished(tmp_path, 7)
    script = Script()
    other = BagWriter(tmp_path, "bag-recovered", TOPICS, typestore(), handmade.header(script, "bag"))
    with pytest.raises(BagError, match="is being recovered; wait"):
        recover.recover(part)
    assert other.part.exists()
    other.abandon()


def test_a_bag_that_lost_its_header_file_is_recovered_from_the_one_inside(tmp_path, capsys):
    path = handmade.write(tmp_path, Script())
    (path / HEADER_FILE).unlink()
    with pytest.raises(SystemExit) as ended:
        recover.main([str(tmp_path)])
    assert ended.value.code == 0, capsys.readouterr().out
    read_episode(recover.recovered_as(path))
