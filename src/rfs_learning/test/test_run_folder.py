import json
import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rfs_core.errors import RfsError
from rfs_learning.run_folder import RunFolder


def _logged(path, steps=(10, 20, 30)):
    folder = RunFolder.create(path, {"seed": 1}, "train --seed 1")
    for step in steps:
        folder.log(step, {"loss": 1.0 / step})
    folder.close()
    return folder


def test_a_run_keeps_its_configuration_and_command(tmp_path):
    _logged(tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored == {"command": "train --seed 1", "config": {"seed": 1}}


def test_metrics_are_in_the_csv_and_in_tensorboard(tmp_path):
    folder = _logged(tmp_path / "run")
    assert [row["step"] for row in folder.metrics()] == [10, 20, 30]
    assert [row["loss"] for row in folder.metrics()] == [0.1, 0.05, 1.0 / 30]
    board = EventAccumulator(str(folder.path)).Reload()
    assert [event.step for event in board.Scalars("loss")] == [10, 20, 30]


def test_what_was_not_measured_at_a_step_is_nan(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {}, "train")
    folder.log(1, {"critic": 0.5, "actor": 2.0})
    folder.log(2, {"critic": 0.25})
    folder.close()
    first, second = folder.metrics()
    assert first == {"step": 1, "critic": 0.5, "actor": 2.0}
    assert (second["step"], second["critic"]) == (2, 0.25)
    assert math.isnan(second["actor"])
    RunFolder.resume(folder.path, step=2).close()
    assert [row["step"] for row in folder.metrics()] == [1, 2]


def test_resuming_drops_what_was_logged_after_the_saved_step(tmp_path):
    folder = _logged(tmp_path / "run")
    with (folder.path / "metrics.csv").open("a") as file:
        file.write("4")  # a row cut by a crash
    again = RunFolder.resume(folder.path, step=20)
    again.log(30, {"loss": 7.0})
    again.close()
    assert [(row["step"], row["loss"]) for row in again.metrics()] == [(10, 0.1), (20, 0.05), (30, 7.0)]


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    _logged(tmp_path / "run")
    with pytest.raises(RfsError, match="holds a run already; pass resume:=true"):
        RunFolder.create(tmp_path / "run", {}, "train")


def test_what_a_run_left_that_had_not_begun_is_written_over(tmp_path):
    RunFolder.create(tmp_path / "run", {"seed": 1}, "train").close()
    RunFolder.create(tmp_path / "run", {"seed": 2}, "train").close()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"] == {"seed": 2}
    for name in ("checkpoints/step_000010.safetensors", "episodes.npz"):
        (tmp_path / "run" / name).touch()
        with pytest.raises(RfsError, match="holds a run already"):
            RunFolder.create(tmp_path / "run", {}, "train")
        (tmp_path / "run" / name).unlink()
