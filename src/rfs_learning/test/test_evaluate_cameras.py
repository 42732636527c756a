import dataclasses
import json

import pytest

from rfs_core.errors import RfsError
from rfs_core.tasks import points as points_task
from rfs_learning import evaluate_cameras
from rfs_learning.evaluate_cameras import CELLS, Cell


@pytest.fixture
def measured(monkeypatch, toy_checkpoint, tmp_path):
    """The command with a checkpoint of points and an evaluation that is told apart by its camera; returns the
    cells that were played and a function that runs the command."""
    header = toy_checkpoint().header
    seeing = dataclasses.replace(header, observation_spec=points_task.observation_spec("grasp", 16))
    made = dataclasses.replace(toy_checkpoint(), header=seeing)
    monkeypatch.setattr(evaluate_cameras.checkpoint, "load", lambda path: made)
    played = []

    def run(arguments, command):
        played.append(
            Cell(
                arguments.viewpoint,
                arguments.camera_position_error,
                arguments.camera_rotation_error,
                arguments.point_noise,
            )
        )
        assert (arguments.episodes, arguments.seed) == (8, 3)
        return {
            "command": command,
            "successes": 6,
            "success_rate": 0.75,
            "interval_95": [0.409, 0.929],
            "outcomes": {"success": 6, "dropped": 2},
        }

    monkeypatch.setattr(evaluate_cameras.evaluate, "run", run)
    out = tmp_path / "cameras.json"

    def command(*more):
        given = ["--checkpoint", "some.safetensors", "--episodes", "8", "--seed", "3", "--out", str(out)]
        evaluate_cameras.main([*given, *more])

    return played, command, out


def test_every_camera_is_played_once_and_kept_with_its_command(measured, capsys):
    played, command, out = measured
    command()
    assert played == list(CELLS)
    rows = json.loads(out.read_text())["rows"]
    assert [Cell(**row["cell"]) for row in rows] == list(CELLS)
    assert "--viewpoint left --camera-position-error 0.01 --camera-rotation-error 1.0" in rows[3]["command"]
    table = capsys.readouterr().out
    assert "| left | 1 cm, 1° | 3 mm | .750 | .409 - .929 | 2 dropped |" in table
    assert "| low (not in training) | nothing | 0 mm |" in table


def test_an_interrupted_command_goes_on_with_the_rows_that_are_missing(measured):
    played, command, out = measured
    command()
    stored = json.loads(out.read_text())
    gone = stored["rows"].pop(2)
    out.write_text(json.dumps(stored))
    played.clear()
    command()
    assert played == [Cell(**gone["cell"])]
    assert [Cell(**row["cell"]) for row in json.loads(out.read_text())["rows"]] == list(CELLS)


def test_rows_of_another_seed_or_a_foreign_file_are_refused(measured, capsys):
    _, command, out = measured
    command()
    with pytest.raises(SystemExit):
        command("--seed", "4")
    assert "'seed': 3" in capsys.readouterr().err
    out.write_text("[]")
    with pytest.raises(SystemExit):
        command()
    assert "no file that evaluate_cameras wrote" in capsys.readouterr().err


def test_a_policy_that_sees_the_state_is_refused(monkeypatch, toy_checkpoint, tmp_path):
    monkeypatch.setattr(evaluate_cameras.checkpoint, "load", lambda path: toy_checkpoint())
    arguments = evaluate_cameras._parser().parse_args(["--checkpoint", "a", "--out", str(tmp_path / "b")])
    with pytest.raises(RfsError, match="sees no points"):
        evaluate_cameras.run(arguments)


def test_cells_cover_every_viewpoint_with_and_without_errors():
    for name in (*evaluate_cameras.TRAINED, *evaluate_cameras.NEW):
        assert Cell(name) in CELLS
        assert Cell(name, 0.01, 1.0, 0.003) in CELLS
    assert len(set(CELLS)) == len(CELLS)
