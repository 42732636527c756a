"""A bag is believed only when every byte is the one that was written."""

import random
import shutil
from pathlib import Path

import handmade_bags as handmade
import pytest
from handmade_bags import Script

from rfs_data.bag_reader import Bag, bags_in
from rfs_data.episode import read_episode
from rfs_data.errors import BagError, Reason
from rfs_data.schema import HEADER_FILE, METADATA_FILE, mcap_name

FLIPS = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return handmade.write(tmp_path_factory.mktemp("bags"), Script(decisions=2))


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / whole.name)


def reason_of(path):
    with pytest.raises(BagError) as caught:
        Bag(path)
    return caught.value.reason


def test_an_intact_bag_is_opened(whole):
    assert Bag(whole).episode["id"] == "handmade"


@pytest.mark.parametrize("name", [mcap_name("handmade"), METADATA_FILE, HEADER_FILE])
def test_a_flipped_bit_anywhere_is_found(copy, name):
    file = copy / name
    data = file.read_bytes()
    chosen = random.Random(0)
    for _ in range(FLIPS):
        position, bit = chosen.randrange(len(data)), chosen.randrange(8)
        flipped = bytearray(data)
        flipped[position] ^= 1 << bit
        file.write_bytes(flipped)
        assert reason_of(copy) in (Reason.DAMAGED, Reason.TRUNCATED), (name, position, bit)
    file.write_bytes(data)
    Bag(copy)


@pytest.mark.parametrize("name", [mcap_name("handmade"), METADATA_FILE])
@pytest.mark.parametrize("left", [0, 1, 8, 100, 2000, -1])
def test_a_truncated_file_is_found(copy, name, left):
    file = copy / name
    data = file.read_bytes()
    file.write_bytes(data[:left])
    assert reason_of(copy) is Reason.TRUNCATED


def test_a_file_that_grew_is_found(copy):
    with (copy / mcap_name("handmade")).open("ab") as file:
        file.write(b"\0")
    assert reason_of(copy) is Reason.TRUNCATED


def test_a_missing_file_is_found(copy):
    (copy / mcap_name("handmade")).unlink()
    assert reason_of(copy) is Reason.DAMAGED


def test_a_bag_that_was_not_closed_is_told_from_a_damaged_one(copy):
    part = copy.rename(copy.with_name("handmade.part"))
    assert reason_of(part) is Reason.UNFINISHED


def test_a_folder_that_is_no_bag_is_refused(tmp_path):
    assert reason_of(tmp_path) is Reason.NOT_A_BAG
    assert reason_of(tmp_path / "nothing") is Reason.NOT_A_BAG


def test_an_episode_without_a_message_is_empty(tmp_path):
    every = frozenset(topic for topic, _, _ in handmade.messages(Script()))
    path = handmade.write(tmp_path, Script(without_topics=every))
    assert reason_of(path) is Reason.EMPTY


def test_a_message_of_another_type_than_announced_is_damage_not_a_crash(tmp_path):
    topics = {**handmade.header(Script(), "x")["topics"]}
    topics["reward"] = {**topics["reward"], "type": "sensor_msgs/msg/PointCloud2"}
    path = handmade.write(tmp_path, Script(header={"topics": topics}))
    with pytest.raises(BagError) as caught:
        read_episode(path)
    assert caught.value.reason is Reason.DAMAGED


def test_bags_are_found_in_a_folder_finished_or_not(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "b")
    shutil.copytree(whole, tmp_path / "a.part")
    (tmp_path / "notes").mkdir()
    assert [path.name for path in bags_in(tmp_path)] == ["a.part", "b"]
    assert bags_in(whole) == [whole]
    assert bags_in(tmp_path / "notes") == []


def test_a_stray_file_beside_bags_and_a_folder_without_a_name_hide_none(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "a")
    (tmp_path / "stray.mcap").write_bytes(b"what is this")
    monkeypatch.chdir(tmp_path)
    assert bags_in(Path(".")) == [tmp_path / "a"]
    monkeypatch.chdir(tmp_path / "a")
    assert bags_in(Path(".")) == [tmp_path / "a"]
    assert bags_in(Path("..")) == [tmp_path / "a"]
