"""The improvement loop's commands and what it says."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest
from rich.console import Console

from rfs_control import improvement
from rfs_control.improvement import ImproveConfig, Round
from rfs_control.nodes.improve import ImproveNode
from rfs_core.errors import RfsError
from rfs_msgs.msg import EpisodeState

CONFIG = ImproveConfig(checkpoint="base.safetensors", run_dir="runs/x", seed=3, episodes=50)


def test_a_round_trains_on_all_bags_from_the_first_policy():
    config = dataclasses.replace(CONFIG, trainer_parameters=("steps:=5000", "name:=a:=b"))
    words = improvement.training_command(config, 2)
    assert words[:5] == ["ros2", "run", "rfs_learning", "td3bc_trainer", "--ros-args"]
    assert words[5::2] == ["-p"] * 6
    assert words[6::2] == [
        "bags:=runs/x/bags",
        "checkpoint:=base.safetensors",
        "run_dir:=runs/x/round_2",
        "seed:=3",
        "steps:=5000",
        "name:=a:=b",
    ]


def test_a_parameter_given_by_the_user_replaces_the_loops_own():
    config = dataclasses.replace(CONFIG, trainer_parameters=("checkpoint:=other.safetensors",))
    words = improvement.training_command(config, 1)
    assert "checkpoint:=other.safetensors" in words
    assert "checkpoint:=base.safetensors" not in words


def test_success_is_measured_on_episodes_that_were_not_corrected():
    words = improvement.evaluation_command(CONFIG, Path("new.safetensors"), 1)
    given = dict(zip(words[4::2], words[5::2], strict=True))
    assert given["--seed"] == str(3 + improvement.HELD_OUT_SEED) != "3"
    assert (given["--world"], given["--objects"], given["--checkpoint"]) == ("gap", "seen", "new.safetensors")


def test_a_training_that_left_nothing_is_told_with_where_its_output_is(tmp_path):
    config = dataclasses.replace(CONFIG, run_dir=str(tmp_path))
    with pytest.raises(RfsError, match=r"td3bc_trainer left no .*policy.safetensors.*train_1.log"):
        improvement.trained_checkpoint(config, 1)
    path = tmp_path / "round_1" / "checkpoints" / "policy.safetensors"
    path.parent.mkdir(parents=True)
    path.touch()
    assert improvement.trained_checkpoint(config, 1) == path


def test_a_measurement_is_read_as_evaluate_wrote_it(tmp_path):
    path = tmp_path / "e.json"
    path.write_text(json.dumps({"checkpoint": "p@1", "success_rate": 0.5, "episodes": 4}))
    assert improvement.read_evaluation(path) == ("p@1", 0.5)


@pytest.mark.parametrize("left", ["round_1", "improvement.json"])
def test_the_folder_of_another_improvement_is_refused_before_anything_is_collected(tmp_path, left):
    config = dataclasses.replace(CONFIG, run_dir=str(tmp_path / "x"))
    improvement.refuse_used_folder(config)
    # What the recorder of the same launch may have made before is no reason.
    (tmp_path / "x" / "bags").mkdir(parents=True)
    improvement.refuse_used_folder(config)
    (tmp_path / "x" / left).mkdir()
    with pytest.raises(RfsError, match=f"has {left} of another improvement: choose another run_dir"):
        improvement.refuse_used_folder(config)


def test_the_figures_of_a_round_are_on_the_disk_before_the_next_one_begins(tmp_path):
    """Rounds of 2 episodes: the second one's first episode is not played any more."""
    node = ImproveNode.__new__(ImproveNode)
    node.config = config = dataclasses.replace(CONFIG, run_dir=str(tmp_path), rounds=2, episodes=2)
    node.rounds = []
    node._episode = EpisodeState(outcome=EpisodeState.OUTCOME_SUCCESS)
    node.get_logger = lambda: logging.getLogger("improve")

    def run(command, name):
        kind, _, number = name.partition("_")
        if kind == "train":
            path = improvement.training_dir(config, int(number)) / "checkpoints" / "policy.safetensors"
            path.parent.mkdir(parents=True)
            path.touch()
        else:
            figures = {"checkpoint": f"p@{number}", "success_rate": 0.25 * (1 + int(number))}
            improvement.evaluation_file(config, int(number)).write_text(json.dumps(figures))
        yield from ()

    def play(index):
        if index == 2:
            raise RfsError("episode 2 was not started")
        yield from ()

    node._run, node._play, node._swap = run, play, lambda path: iter(())
    with pytest.raises(RfsError, match="episode 2"):
        list(node._rounds())
    figures = json.loads((tmp_path / "improvement.json").read_text())
    assert figures["config"]["episodes"] == 2
    assert figures["rounds"] == [
        {"number": 0, "checkpoint": "p@0", "success": 0.25, "collected": 0, "collected_successes": 0},
        {"number": 1, "checkpoint": "p@1", "success": 0.5, "collected": 2, "collected_successes": 2},
    ]


def test_the_table_has_a_row_per_round():
    rounds = [
        Round(0, "grasp_rfs@0", 0.4),
        Round(1, "offline@1", 0.625, collected=50, collected_successes=29),
    ]
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(improvement.table(CONFIG, rounds))
    lines = console.export_text().splitlines()
    assert any("0.400" in line and "grasp_rfs@0" in line for line in lines)
    assert any("0.625" in line and "29 of 50" in line and "offline@1" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"checkpoint": ""}, "improve needs checkpoint"),
        ({"run_dir": ""}, "improve needs run_dir"),
        ({"trainer_parameters": ("steps=5",)}, "'steps=5', needs name:=value"),
    ],
)
def test_what_cannot_work_is_refused(changes, sentence):
    with pytest.raises(RfsError, match=sentence):
        dataclasses.replace(CONFIG, **changes)
