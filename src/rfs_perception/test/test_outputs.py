"""A command refuses a file that it cannot write before it has worked for minutes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rfs_perception.errors import PerceptionError
from rfs_perception.outputs import prepare


def test_folders_are_made_and_files_are_not(tmp_path: Path) -> None:
    table, picture = tmp_path / "new" / "deep" / "reward.csv", tmp_path / "other" / "reward.png"
    prepare(table, None, picture)
    assert table.parent.is_dir()
    assert picture.parent.is_dir()
    assert not table.exists()


def test_what_cannot_be_written_is_named_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(
        PerceptionError, match=f"{re.escape(str(tmp_path))} cannot be written: it is a folder"
    ):
        prepare(tmp_path)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(PerceptionError, match=r"reward\.csv cannot be written: .*; name another file"):
        prepare(tmp_path / "file" / "reward.csv")
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("option", ["--plot", "--csv"])
def test_replay_reward_refuses_before_it_starts_a_node(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")
    from rfs_perception.nodes import replay_reward

    monkeypatch.setattr(replay_reward, "Replay", started)
    given = ["--recording", "none.db3", "--calibration", "none.json", option, str(tmp_path)]
    assert replay_reward.main(given) == 1
    assert f"replay_reward: {tmp_path} cannot be written: it is a folder" in capsys.readouterr().err


def test_replay_reward_refuses_a_picture_that_opencv_does_not_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")
    from rfs_perception.nodes import replay_reward

    monkeypatch.setattr(replay_reward, "Replay", started)
    plot = tmp_path / "reward.docx"
    given = ["--recording", "none.db3", "--calibration", "none.json", "--plot", str(plot)]
    assert replay_reward.main(given) == 1
    assert f"{plot} cannot be written: use .png or .jpg" in capsys.readouterr().err


def test_benchmark_camera_refuses_before_it_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rfs_perception.nodes import benchmark_camera

    monkeypatch.setattr(benchmark_camera, "run", started)
    monkeypatch.setattr(benchmark_camera.signal, "signal", lambda *_: None)  # this process keeps its own
    assert benchmark_camera.main(["--json", str(tmp_path)]) == 1
    assert f"benchmark_camera: {tmp_path} cannot be written: it is a folder" in capsys.readouterr().err


def started(*_: object) -> None:
    raise AssertionError("the work began before its file was looked at")
