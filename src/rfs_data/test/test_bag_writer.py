"""Bags that appear whole or not at all, and that other programs read."""

import contextlib
import json
import subprocess

import handmade_bags as handmade
import pytest
import yaml
from handmade_bags import Script
from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader, make_reader
from rosbags.rosbag2 import Reader

from rfs_data.bag_writer import BagWriter
from rfs_data.definitions import typestore
from rfs_data.errors import BagError
from rfs_data.schema import CLOSING_RECORD, HEADER_FILE, OPENING_RECORD, TOPICS, mcap_name, seal_holds


def new_writer(folder, name="bag"):
    return BagWriter(folder, name, TOPICS, typestore(), handmade.header(Script(), name))


def test_a_bag_has_its_name_only_when_it_is_whole(tmp_path):
    writer = new_writer(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bag.part"]
    writer.write("reward", 1, 1, 1, handmade.messages(Script(decisions=1))[6][2])
    assert writer.close(handmade.header(Script(), "bag")) == tmp_path / "bag"
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    files = sorted(path.name for path in (tmp_path / "bag").iterdir())
    assert files == ["bag_0.mcap", "episode.json", "metadata.yaml"]


def test_flushed_messages_are_in_the_file_of_a_writer_that_never_closed(tmp_path):
    writer = new_writer(tmp_path)
    data = handmade.messages(Script(decisions=1))[6][2]
    for sequence in range(1, 6):
        writer.write("reward", sequence, sequence, sequence, data)
    writer.flush()
    writer.write("reward", 6, 6, 6, data)  # never flushed
    with (tmp_path / "bag.part" / "bag_0.mcap").open("rb") as file:
        found = []
        with contextlib.suppress(EndOfFile):
            for _, channel, message in NonSeekingReader(file).iter_messages(log_time_order=False):
                found.append((channel.topic, message.sequence))
    assert found == [("/reward", sequence) for sequence in range(1, 6)]
    writer.abandon()


@pytest.mark.parametrize("taken", ["bag", "bag.part"])
def test_nothing_is_overwritten(tmp_path, taken):
    (tmp_path / taken).mkdir()
    with pytest.raises(BagError, match="never overwritten"):
        new_writer(tmp_path)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "../up", "x.part"])
def test_an_id_that_names_no_folder_is_refused(tmp_path, name):
    with pytest.raises(BagError, match="cannot name a bag"):
        new_writer(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_rosbags_reads_it(tmp_path):
    path = handmade.write(tmp_path)
    with Reader(path) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        # 4 decisions of 2 steps: 9 states, 8 targets.
        assert (counts["/reward"], counts["/policy/action"], counts["/hand/target"]) == (9, 4, 8)
        assert counts["/perception/points"] == 0
        connection = next(c for c in reader.connections if c.topic == "/reward")
        rewards = [
            typestore().deserialize_cdr(data, connection.msgtype).total
            for _, _, data in reader.messages([connection])
        ]
    assert rewards == [handmade.reward_of(step) for step in range(9)]


def test_mcap_reads_it_and_finds_the_header_in_it(tmp_path):
    path = handmade.write(tmp_path)
    with (path / mcap_name("handmade")).open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        records = {record.name: record.metadata for record in reader.iter_metadata()}
        assert sum(1 for _ in reader.iter_messages()) == 9 * 7 + 8 * 2 + 4
    assert set(records) == {OPENING_RECORD, CLOSING_RECORD, "rosbag2"}
    inside, beside = (
        json.loads(records[CLOSING_RECORD]["header"]),
        json.loads((path / HEADER_FILE).read_bytes()),
    )
    assert seal_holds(inside)
    assert seal_holds(beside)
    # Digests of the files can only stand beside them.
    del beside["files"], beside["header_sha256"], inside["header_sha256"]
    assert inside == beside
    information = yaml.safe_load(records["rosbag2"]["serialized_metadata"])
    assert information == yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["custom_data"]["rfs_outcome"] == "failure"


def test_the_ros2_command_describes_it(tmp_path):
    path = handmade.write(tmp_path)
    done = subprocess.run(["ros2", "bag", "info", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Messages:          83" in done.stdout
    assert "/policy/action | Type: rfs_msgs/msg/PolicyAction | Count: 4" in done.stdout
