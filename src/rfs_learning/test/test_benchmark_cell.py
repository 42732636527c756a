"""One cell of the matrix, on the toy task in this process."""

import concurrent.futures
import dataclasses
import json
import sys
from pathlib import Path

import pytest

from rfs_core.errors import ConfigError, RfsError
from rfs_learning import checkpoint
from rfs_learning.benchmark import cell as cells
from rfs_learning.benchmark import process
from rfs_learning.benchmark.cell import Cell, CellConfig
from rfs_learning.benchmark.settings import BenchmarkError
from rfs_learning.rl import ppo_runner

sys.path.insert(0, str(Path(__file__).parent))
import toy_engine


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    def make_env(engine, task, num_envs, **options):
        assert engine == "toy"
        return toy_engine.make_env(task, num_envs, **options)

    monkeypatch.setattr(cells, "make_env", make_env)
    monkeypatch.setattr(ppo_runner, "make_env", make_env)


@pytest.fixture
def base(tmp_path, toy_checkpoint):
    path = tmp_path / "base.safetensors"
    checkpoint.save(path, toy_checkpoint(task="grasp", action_spec=toy_engine.ACTION))
    return path


@pytest.fixture
def config(base):
    return CellConfig(
        task="grasp",
        base_checkpoint=str(base),
        budget=300,
        evaluate_every=100,
        choosing_episodes=8,
        num_envs=8,
        engine="toy",
        episodes=20,
        diagnostic_episodes=8,
        disturbances=(0.0, 3.0),
        films=0,
    )


def made(path, config, *stages):
    cell = Cell.create(path, config)
    for stage in stages or cells.STAGES:
        cell.make(stage)
    return cell


def test_a_cell_leaves_everything_that_the_table_needs(tmp_path, config):
    cell = made(tmp_path / "cell", config)
    result = json.loads((cell.path / "result.json").read_text())
    assert result["config"]["seed"] == 0
    assert result["config"]["base_checkpoint"] == "base.safetensors"  # no folder of this machine
    best = checkpoint.load(cell.checkpoint_path)
    assert result["evaluation"]["checkpoint"] == best.id
    assert result["evaluation"]["episodes"] == 20
    assert result["evaluation"]["seed"] == cells.EVALUATION_SEED
    assert result["evaluation"]["physics_dt"] == 0.005
    assert result["base"].startswith("toy@")
    assert set(result["diagnostics"]) == {
        "switch/residual_off", "switch/noise_off", "switch/noise_zero", "switch/base_normal",
        "switch/base_zero", "disturbance/0", "disturbance/3",
    }  # fmt: skip
    assert {part["part"] for part in result["revisions"]} == {"train", "evaluate", "diagnose"}
    # 8 environments x 11 steps an iteration: 88, 176, 264, 352; evaluated at 0 and where 100 more are done.
    assert [point["step"] for point in result["curve"]] == [0, 176, 352]
    assert result["curve"][0]["train/success"] is None
    assert result["steps"] == 352


def test_disturbances_reach_the_environment(tmp_path, config, monkeypatch):
    asked = []

    def make_env(engine, task, num_envs, **options):
        asked.append(options.get("disturbance", 1.0))
        return toy_engine.make_env(task, num_envs, **options)

    monkeypatch.setattr(cells, "make_env", make_env)
    made(tmp_path / "cell", dataclasses.replace(config, method="base"), "run", "diagnose")
    assert asked == [1.0, 1.0, 0.0, 3.0]  # the evaluation, the switches, the two disturbances


def test_base_is_evaluated_and_not_trained(tmp_path, config, base):
    cell = made(tmp_path / "cell", dataclasses.replace(config, method="base"))
    assert not (cell.path / "train").exists()
    assert cell.result()["evaluation"]["checkpoint"] == checkpoint.load(base).id
    assert set(cell.result()["diagnostics"]) == {"switch/base_zero", "disturbance/0", "disturbance/3"}


def test_a_complete_stage_is_not_done_again(tmp_path, config, monkeypatch):
    cell = made(tmp_path / "cell", config)
    before = (cell.path / "evaluation.json").stat().st_mtime_ns
    monkeypatch.setattr(cells, "PpoRunner", None)  # whoever trains again fails
    again = made(tmp_path / "cell", config)
    assert all(again.done(stage) for stage in cells.STAGES)
    assert (cell.path / "evaluation.json").stat().st_mtime_ns == before


def test_more_budget_goes_on_and_is_measured_again(tmp_path, config):
    made(tmp_path / "cell", config)
    cell = Cell.create(tmp_path / "cell", dataclasses.replace(config, budget=600))
    assert not cell.done("run")
    cell.make("run")
    straight = made(tmp_path / "straight", dataclasses.replace(config, budget=600), "run")
    assert [p["step"] for p in cell.result()["curve"]][-1] == straight.result()["curve"][-1]["step"] == 616
    last = [c.result()["curve"][-1]["evaluation/success"] for c in (cell, straight)]
    assert last[0] == last[1]


def test_a_diagnosis_that_was_interrupted_goes_on_with_what_is_left(tmp_path, config, monkeypatch):
    cell = made(tmp_path / "cell", config, "run")
    measured = []
    interrupted_after = 2
    real = cells.measure.measure_switch

    def measure_switch(name, *arguments):
        if len(measured) == interrupted_after:
            raise KeyboardInterrupt
        measured.append(name)
        return real(name, *arguments)

    monkeypatch.setattr(cells.measure, "measure_switch", measure_switch)
    with pytest.raises(KeyboardInterrupt):
        cell.make("diagnose")
    assert not cell.done("diagnose")
    measured.clear()
    interrupted_after = 99
    cell.make("diagnose")
    assert measured == ["noise_zero", "base_normal", "base_zero"]
    assert cell.done("diagnose")


def test_diagnostics_over_another_number_of_episodes_are_made_again(tmp_path, config):
    config = dataclasses.replace(config, method="base")
    made(tmp_path / "cell", config, "run", "diagnose")
    cell = Cell.create(tmp_path / "cell", dataclasses.replace(config, diagnostic_episodes=12))
    assert cell.done("run")
    assert not cell.done("diagnose")
    cell.make("diagnose")
    assert cell.done("diagnose")
    # base_zero and two disturbances
    assert [figures["episodes"] for figures in cell.result()["diagnostics"].values()] == [12, 12, 12]


def test_another_setting_in_the_same_folder_is_refused(tmp_path, config):
    for name in ("train", "evaluation.json"):
        cell = Cell.create(tmp_path / name, config)
        (cell.path / name).mkdir()
        with pytest.raises(BenchmarkError, match=r"noise_std 0.8, asked for is 0.5: name another --out"):
            Cell.create(cell.path, dataclasses.replace(config, noise_std=0.5))


def test_a_setting_out_of_range_is_refused_before_anything_is_written(tmp_path, config):
    with pytest.raises(ConfigError, match=r"train_dt of CellConfig is 0.1 s, allowed: 0.0005 to 0.05 s"):
        Cell.create(tmp_path / "cell", dataclasses.replace(config, train_dt=0.1))
    assert not (tmp_path / "cell").exists()


def test_a_cell_with_nothing_made_is_replaced_by_what_is_asked_for(tmp_path, config):
    cell = Cell.create(tmp_path / "cell", dataclasses.replace(config, engine="mujco"))
    with pytest.raises(AssertionError):  # there is no such engine; it is noticed when it is made
        cell.make("run")
    again = Cell.create(cell.path, config)
    assert again.config.engine == "toy"
    (cell.path / "cell.json").write_text('{"train_dt": 0.1}')  # what no cell can be
    assert Cell.create(cell.path, config).config == config


def test_a_cell_is_not_replaced_under_the_hands_of_who_makes_it(tmp_path, config):
    cell = Cell.create(tmp_path / "cell", dataclasses.replace(config, method="base"))
    with concurrent.futures.ThreadPoolExecutor(1) as other, process.locked(cell.path / "lock"):
        asked = other.submit(
            Cell.create, cell.path, dataclasses.replace(config, method="base", noise_std=0.5)
        )
        with pytest.raises(concurrent.futures.TimeoutError):
            asked.result(0.5)
        (cell.path / "evaluation.json").write_text("{}")
    with pytest.raises(BenchmarkError, match=r"noise_std 0.8, asked for is 0.5"):
        asked.result()


def test_less_budget_than_was_trained_is_refused(tmp_path, config):
    made(tmp_path / "cell", config, "run")
    with pytest.raises(BenchmarkError, match="for 300 control steps, asked for are 100, which is less"):
        Cell.create(tmp_path / "cell", dataclasses.replace(config, budget=100))


def test_a_base_of_another_task_is_refused(tmp_path, config, toy_checkpoint):
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, toy_checkpoint(task="stack", action_spec=toy_engine.ACTION))
    for method in ("base", "rfs"):
        wrong = dataclasses.replace(config, method=method, base_checkpoint=str(other))
        with pytest.raises(RfsError, match=r"was trained on task 'stack'"):
            made(tmp_path / method, wrong, "run")


def test_killed_before_its_first_state_it_starts_from_the_start(tmp_path, config):
    cell = Cell.create(tmp_path / "cell", config)
    (cell.path / "train" / "checkpoints").mkdir(parents=True)
    (cell.path / "train" / "config.json").write_text("{}")
    cell.make("run")
    assert cell.done("run")


def test_a_spoilt_result_is_named(tmp_path):
    (tmp_path / "evaluation.json").write_text('{"episodes": 1')
    with pytest.raises(BenchmarkError, match=r"evaluation.json: cannot be read .* remove it"):
        process.read_json(tmp_path / "evaluation.json")


def test_the_orphan_of_a_killed_matrix_ends(monkeypatch):
    process.end_with_parent()
    monkeypatch.setattr(process.os, "getppid", lambda: 1 + process._parent)
    with pytest.raises(SystemExit) as ended:
        process.finish(iter(()))
    assert ended.value.code == 1


def test_films_show_successes_and_failures_that_differ():
    episodes = [
        {"episode": i, "success": outcome == "success", "outcome": outcome}
        for i, outcome in enumerate(["dropped", "success", "dropped", "tipped", "success", "success"])
    ]
    assert [e["episode"] for e in cells._to_film(episodes, 2)] == [1, 4, 0, 3]
    assert [e["episode"] for e in cells._to_film(episodes, 3)] == [1, 4, 5, 0, 3, 2]
