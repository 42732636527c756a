"""Frames for lerobot: every value under its name, and a clear word where lerobot is not there."""

import sys

import handmade_bags as handmade
import numpy as np
import pytest
from handmade_bags import SPEC, A, H, Script

from rfs_data import export_lerobot, lerobot_writer, offline


def arrays_and_header(tmp_path):
    handmade.write(tmp_path / "bags", Script(decisions=3, corrections={2: (0.01, True)}), name="a")
    handmade.write(tmp_path / "bags", Script(decisions=2), name="b")
    data = offline.from_bags(tmp_path / "bags")
    header = {
        "task": data.task,
        "action_spec": SPEC.to_dict(),
        "observation_spec": data.observation_spec.to_dict(),
        "used": [{"success": source.success} for source in data.used],
    }
    return {name: getattr(data, name) for name in offline._ARRAYS}, header


def test_a_frame_is_a_decision_with_the_whole_chunk(tmp_path):
    arrays, header = arrays_and_header(tmp_path)
    columns = lerobot_writer.features(header)
    written = list(lerobot_writer.episodes(arrays, header))
    assert [len(frames) for frames in written] == [3, 2]
    for frame in (frame for frames in written for frame in frames):
        assert set(frame) == {*columns, "task"}
        for name, column in columns.items():
            assert frame[name].shape == column["shape"], name
            assert frame[name].dtype == np.dtype(column["dtype"]), name
    frame = written[0][1]
    # Steps 2 and 3; 0.01 m of the human along x, and what the policy adds along y.
    place = columns["action"]["names"].index("step1.arm_delta_position.0")
    assert place == A
    assert frame["action"][place] == pytest.approx(0.01)
    assert frame["action.human"][place] == pytest.approx(0.01)
    assert frame["human.engaged"].tolist() == [True] * H
    # Rewards of states 3 and 4.
    assert frame["next.reward"].tolist() == [1.5 + 2.0]
    assert [f["next.done"].item() for f in written[0]] == [False, False, True]
    assert not any(f["next.success"].item() for frames in written for f in frames)  # the header says failure


def test_without_lerobot_it_says_how_to_get_it(tmp_path, capfd):
    if "lerobot" in sys.modules:
        pytest.skip("lerobot is there")
    handmade.write(tmp_path / "bags", name="a")
    with pytest.raises(SystemExit) as ended:
        export_lerobot.main([str(tmp_path / "bags"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 1
    assert "pip install lerobot" in capfd.readouterr().err
    (tmp_path / "there").mkdir()
    with pytest.raises(SystemExit):
        export_lerobot.main([str(tmp_path / "bags"), "--out", str(tmp_path / "there")])
    assert "is there already" in capfd.readouterr().err


def test_lerobot_itself_reads_what_was_written(tmp_path):
    lerobot = pytest.importorskip("lerobot.datasets.lerobot_dataset")
    handmade.write(tmp_path / "bags", Script(decisions=3), name="a")
    export_lerobot.main([str(tmp_path / "bags"), "--out", str(tmp_path / "out")])
    read = lerobot.LeRobotDataset("local/rfs", root=tmp_path / "out")
    assert (read.num_episodes, read.num_frames) == (1, 3)
