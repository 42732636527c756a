"""check_bag: green or red, and an exit code that scripts can use."""

import json

import handmade_bags as handmade
import pytest
from handmade_bags import Script

from rfs_data import check
from rfs_data.recover import recover
from rfs_data.schema import mcap_name


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        check.main([str(argument) for argument in arguments])
    return ended.value.code, capsys.readouterr().out


def test_whole_bags_are_green_and_end_with_0(tmp_path, capsys):
    handmade.write(tmp_path, Script(corrections={2: (0.01, True)}), name="a")
    handmade.write(tmp_path, Script(), name="b")
    code, said = run(capsys, tmp_path)
    assert code == 0
    assert "2 of 2 bags are whole" in said
    code, said = run(capsys, tmp_path, "--json")
    first = json.loads(said)[0]
    assert (first["ok"], first["decisions"], first["steps"], first["outcome"]) == (True, 4, 8, "failure")
    # In force at steps 2, 3, 4 and 5.
    assert first["corrected"] == 4
    # Rewards of the states 1 to 8: 0.5 * (1 + ... + 8).
    assert first["reward"] == 18.0
    assert first["checkpoint"] == "handmade@0123456789ab"


def test_one_damaged_bag_is_red_named_and_ends_with_3(tmp_path, capsys):
    handmade.write(tmp_path, name="a")
    file = handmade.write(tmp_path, name="b") / mcap_name("b")
    data = bytearray(file.read_bytes())
    data[1000] ^= 4
    file.write_bytes(data)
    code, said = run(capsys, tmp_path)
    assert code == 3
    assert "damaged" in said
    assert "1 of 2 bags are whole" in said
    code, said = run(capsys, tmp_path, "--json")
    assert code == 3
    assert [(f["ok"], f["reason"]) for f in json.loads(said)] == [(True, ""), (False, "damaged")]


def test_lost_messages_end_with_3_though_the_bag_can_be_read(tmp_path, capsys):
    flow = {"type": "", "received": 97, "expected": 100, "lost": 3, "dropped": 0}
    handmade.write(tmp_path, Script(header={"flows": {"camera/depth": flow}}))
    code, said = run(capsys, tmp_path)
    assert code == 3
    assert "camera/depth: 97 of 100 messages were received" in said


def test_a_bag_whose_episode_was_not_recorded_to_its_end_is_red(tmp_path, capsys):
    handmade.write(tmp_path, Script(), name="a")
    full = "recording stopped: 0.50 GB are free at /bags, recording needs 1 GB: make room"
    handmade.write(tmp_path, Script(header={"complete": False, "marks": [full]}), name="b")
    code, said = run(capsys, tmp_path)
    assert code == 3
    assert "1 of 2 bags are whole" in said
    assert "recording stopped: 0.50 GB are free" in said
    code, said = run(capsys, tmp_path, "--json")
    assert [(f["ok"], f["complete"]) for f in json.loads(said)] == [(True, True), (False, False)]


def test_a_recovered_bag_speaks_for_what_it_was_recovered_from(tmp_path, capsys):
    file = handmade.write(tmp_path, name="a") / mcap_name("a")
    file.write_bytes(file.read_bytes()[:-2000])
    assert run(capsys, tmp_path)[0] == 3
    recover(tmp_path / "a")
    code, said = run(capsys, tmp_path)
    assert code == 0
    assert "1 of 1 bags are whole" in said
    assert "recovered from a" in said


def test_a_folder_without_bags_is_an_error_of_usage(tmp_path, capsys):
    code, _ = run(capsys, tmp_path)
    assert code == 2
