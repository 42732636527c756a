"""The table of offline methods: what `--set` says to whom, and that no cell or data of another table is
used."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
from toy_offline import base, recorded

from rfs_core.errors import RfsError
from rfs_data import offline
from rfs_learning import checkpoint
from rfs_learning.offline.table import Table, _parser, settings_for

PUBLISHED = Path(__file__).parents[3] / "results" / "offline"
NAME = ["ros2", "run", "rfs_learning", "offline_table"]


def test_a_setting_goes_to_the_trainers_that_have_it():
    given = ["learning_rate=0.001", "noise_bc=0.1", 'noise_bc_target="zero"']
    assert settings_for("td3bc", given) == {
        "learning_rate": 0.001,
        "noise_bc": 0.1,
        "noise_bc_target": "zero",
    }
    # Implicit Q-learning has no term on a_0; imitation keeps its own learning rate.
    assert settings_for("iql", given) == {"learning_rate": 0.001}
    assert settings_for("bc", given) == {}


def test_a_setting_with_a_trainers_name_is_its_alone():
    given = ['bc.episodes="all"']
    assert settings_for("bc", given) == {"episodes": "all"}
    assert settings_for("td3bc", given) == {}


@pytest.mark.parametrize("given", ["nose_bc=1", "bc.noise_bc=1", "ppo.gamma=1", "noise_bc", "gamma=half"])
def test_a_setting_that_nobody_has_or_that_cannot_be_read_is_refused(given):
    with pytest.raises(RfsError, match=given):
        settings_for("td3bc", [given])


@pytest.fixture
def asked(tmp_path):
    """Arguments of a table of 100 updates on 6 recorded episodes; other ones as words."""
    checkpoint.save(tmp_path / "base.safetensors", base())
    checkpoint.save(tmp_path / "other.safetensors", base(seed=1))

    def parse(*words, base="base"):
        folders = ["--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
        given = ["--base", str(tmp_path / f"{base}.safetensors"), *folders, "--steps", "100", *words]
        return _parser().parse_args(["--recorded", "6", *given]), shlex.join([*NAME, *given])

    return parse


def cell_of(table, method, **more):
    """A cell as `Table.cell` writes it, with figures that nobody measured."""
    arguments = table.arguments
    figures = {"successes": 1, "episodes": arguments.episodes, "objects": {}}
    cell = {
        "command": table.command,
        "method": method,
        "seed": 0,
        "base": table.base.checkpoint_id,
        "checkpoint": "x",
        "world": arguments.world,
        "evaluation_seed": arguments.evaluation_seed,
        "recorded": arguments.recorded,
        "train_cpu_s": 1.0,
        "seen": figures,
        "unseen": figures,
        **more,
    }
    path = arguments.out / "cells" / f"{method}_0.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(cell))
    return cell


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--steps", "200"), "settings.steps was 100, is 200"),
        (("--set", "alpha=0.3"), "settings.alpha was 'the default', is 0.3"),
        (("--recorded", "50"), "recorded was 6, is 50"),
        (("--episodes", "64"), "episodes was 256, is 64"),
        (("--world", "training"), "world was 'gap', is 'training'"),
        (("--evaluation-seed", "7"), "evaluation_seed was 5000003, is 7"),
        (None, "base was 'toy@"),
    ],
)
def test_a_cell_that_was_made_otherwise_is_refused(asked, words, sentence):
    table = Table(*asked())
    made = cell_of(table, "rfs", settings={"modulation": "both", "seed": 0, "steps": 100})
    assert table.cell("rfs", 0) == Table(*asked()).cell("rfs", 0) == made
    with pytest.raises(RfsError, match=f"rfs_0.json: was made otherwise .*{sentence}.* name another --out"):
        Table(*asked(base="other") if words is None else asked(*words))


def test_what_nothing_is_trained_for_does_not_depend_on_data_and_settings(asked):
    made = cell_of(Table(*asked()), "human")
    again = Table(*asked("--recorded", "50", "--steps", "7", "--set", "alpha=0.3"))
    assert again.cell("human", 0) == made


@pytest.mark.parametrize("folder", ["grasp", "grasp_points", "place", "place_chosen"])
def test_published_cells_are_those_of_the_command_above_their_table(folder):
    # They were written before cells held the world, the seed and the number of episodes.
    (command,) = [
        line for line in (PUBLISHED / folder / "table.md").read_text().splitlines() if line.startswith("    ")
    ]
    words = shlex.split(command)[len(NAME) :]
    at = {"--base": PUBLISHED.parents[1], "--out": PUBLISHED.parents[1]}
    words = [
        str(at[before] / word) if before in at else word
        for before, word in zip(["", *words], words, strict=False)
    ]
    table = Table(_parser().parse_args(words), "test")
    cell = table.cell("rfs", 0)
    assert cell["settings"]["steps"] == 600
    with pytest.raises(RfsError, match=r"settings\.alpha was 'the default', is 0.3"):
        Table(_parser().parse_args([*words, "alpha=0.3"]), "test")


def test_data_of_another_policy_number_or_world_are_refused(asked, tmp_path):
    table, path = Table(*asked()), tmp_path / "runs" / "point" / "corrections_0.npz"
    data = recorded(base())
    offline.save(data, path, {"world": "gap"})
    assert table._data(0) == path
    offline.save(data, path, {"world": "training"})
    with pytest.raises(
        RfsError, match=r"other episodes .*: world was 'training', is 'gap': name another --runs"
    ):
        table._data(0)
    offline.save(recorded(base(), episodes=4), path, {"world": "gap"})
    with pytest.raises(RfsError, match="recorded was 4, is 6"):
        table._data(0)
    used = tuple(dataclasses.replace(source, checkpoint="late@1") for source in data.used[:1]) + data.used[1:]
    offline.save(dataclasses.replace(data, used=used), path, {"world": "gap"})
    with pytest.raises(RfsError, match=r"base was 'late@1, toy@\w+', is 'toy@"):
        table._data(0)


def test_a_run_with_more_updates_than_are_asked_for_is_refused(asked, tmp_path):
    offline.save(recorded(base()), tmp_path / "runs" / "point" / "corrections_0.npz", {"world": "gap"})
    Table(*asked("--steps", "4"))._policy("bc", 0)
    _, figures = Table(*asked("--steps", "6"))._policy("bc", 0)
    assert figures["updates"] == 6
    with pytest.raises(RfsError, match="has made 6 updates already, asked for are 4: name another --runs"):
        Table(*asked("--steps", "4"))._policy("bc", 0)
