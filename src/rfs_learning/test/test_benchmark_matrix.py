"""The matrix as a user runs it: bad arguments, kills, cells that go on, losers with more budget."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rfs_learning import checkpoint
from rfs_learning.benchmark import cell as cells
from rfs_learning.benchmark import cli, matrix
from rfs_learning.benchmark.cell import Cell
from rfs_learning.benchmark.executor import Outcome
from rfs_learning.benchmark.matrix import Matrix
from rfs_learning.benchmark.settings import BenchmarkError
from rfs_learning.rl import ppo_runner
from rfs_learning.run_folder import RunFolder

sys.path.insert(0, str(Path(__file__).parent))
import toy_engine

PATIENCE_S = 200
"""For what takes seconds on an idle machine."""


@pytest.fixture
def base(tmp_path, toy_checkpoint):
    """A base policy of grasp, which is the task that the engine of these tests plays."""
    path = tmp_path / "base.safetensors"
    checkpoint.save(path, toy_checkpoint(task="grasp", action_spec=toy_engine.ACTION))
    return path


@pytest.fixture
def bases(tmp_path, toy_checkpoint):
    """Base policies of two tasks, for cells that are planned and not made."""
    paths = {task: tmp_path / f"{task}_base.safetensors" for task in ("stack", "place")}
    for task, path in paths.items():
        checkpoint.save(path, toy_checkpoint(task=task, action_spec=toy_engine.ACTION))
    return paths


def until(condition):
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


# --- bad input ---


def said(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--no-figures"])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_unknown_task_and_method_list_the_known_ones(capsys, tmp_path):
    error = said(capsys, "--tasks", "stak", "--out", str(tmp_path))
    assert "task 'stak' does not exist; did you mean 'stack'? known: grasp, kit," in error
    error = said(capsys, "--methods", "rsf", "--out", str(tmp_path))
    assert "method 'rsf' does not exist; did you mean 'rfs'? known: base, noise," in error
    assert not list(tmp_path.iterdir())


def test_a_base_that_is_missing_or_misspelt_is_named(capsys, tmp_path):
    error = said(capsys, "--tasks", "stack", "--base", f"stack={tmp_path}/none", "--out", str(tmp_path))
    assert f"{tmp_path}/none: there is no base policy of stack; name one with --base stack=PATH" in error
    for wrong in ("stack", "place=x"):
        error = said(capsys, "--tasks", "stack", "--base", wrong, "--out", str(tmp_path))
        assert f"--base {wrong}: must be TASK=PATH, TASK one of stack" in error


def test_a_base_of_another_task_is_refused_before_any_cell_is_made(capsys, tmp_path, base):
    out = tmp_path / "cells"
    error = said(capsys, "--tasks", "stack", "--base", f"stack={base}", "--out", str(out))
    assert f"{base}: was trained on task 'grasp', not on 'stack'; name one of stack with --base" in error
    assert not out.exists()


def test_a_seed_that_is_no_number_is_told_what_it_must_be(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--seeds", "x"])
    assert ended.value.code == 2
    assert "is 'x', must be a whole number >= 0" in capsys.readouterr().err


def test_a_budget_of_nothing_is_refused(capsys, tmp_path):
    assert "--budget is 0, must be at least 1" in said(capsys, "--budget", "0", "--out", str(tmp_path))


def test_a_report_of_nothing_says_so(capsys, tmp_path):
    assert "no cell has a result yet" in said(capsys, "--report-only", "--out", str(tmp_path))


# --- order ---


class Instantly:
    """An executor that makes nothing and fails what it is told to."""

    def __init__(self, *failing):
        self.failing, self.ran = failing, []

    def run(self, jobs):
        for job in jobs:
            name = f"{job.folder.parent.parent.name} {job.folder.parent.name} {job.folder.name} {job.stage}"
            self.ran.append(name)
            yield Outcome(job, "broken" if name in self.failing else "")


def matrix_of(tmp_path, bases, **changes):
    given = {"tasks": ("stack", "place"), "methods": ("base", "rfs"), "seeds": (0, 1)}
    return Matrix(**{**given, **changes}, out=tmp_path, bases=bases)


def test_every_task_has_its_first_seed_before_any_has_its_second(tmp_path, bases):
    ran = Instantly()
    matrix.make(matrix_of(tmp_path, bases).cells(), ran, ["run"])
    assert ran.ran == [
        f"{task} {method} seed_{seed} run"
        for seed in (0, 1)
        for task in ("stack", "place")
        for method in ("base", "rfs")
    ]


def test_a_base_policy_that_was_replaced_is_not_mixed_with_the_old_one(tmp_path, bases, toy_checkpoint):
    (cell,) = matrix_of(tmp_path, bases, tasks=("stack",), methods=("base",), seeds=(0,)).cells()
    (cell.path / "evaluation.json").touch()
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, toy_checkpoint(seed=5, task="stack", action_spec=toy_engine.ACTION))
    with pytest.raises(BenchmarkError, match=f"base_id {cell.config.base_id}, asked for is toy@"):
        matrix_of(tmp_path, {"stack": other}, tasks=("stack",), methods=("base",), seeds=(0,)).cells()
    # The same policy in another file is the same.
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(bases["stack"].read_bytes())
    (cell,) = matrix_of(tmp_path, {"stack": copy}, tasks=("stack",), methods=("base",), seeds=(0,)).cells()
    assert cell.config.base_checkpoint == str(copy)


def test_settings_of_a_task_and_of_the_command_line_reach_its_cells(tmp_path, base):
    given = ["--tasks", "grasp", "--base", f"grasp={base}", "--out", str(tmp_path), "--seeds", "2"]
    (cell, *_) = cli.matrix_of(cli.parser().parse_args(given)).cells()
    assert (cell.config.noise_std, cell.config.budget, cell.config.train_dt) == (0.5, 600_000, 0.01)
    given += ["--budget", "7", "--train-dt", "0.005", "--methods", "noise", "--out", str(tmp_path / "other")]
    (cell,) = cli.matrix_of(cli.parser().parse_args(given)).cells()
    assert (cell.config.budget, cell.config.train_dt, cell.config.evaluate_dt) == (7, 0.005, 0.005)
    assert (cell.config.method, cell.config.seed) == ("noise", 2)


def test_stages_are_made_in_their_order(tmp_path, bases):
    ran = Instantly()
    cells_of = matrix_of(tmp_path, bases, tasks=("stack",), methods=("base",), seeds=(0,)).cells()
    matrix.make(cells_of, ran, ["film", "run"])
    assert ran.ran == ["stack base seed_0 run", "stack base seed_0 film"]


def test_a_folder_that_cannot_be_written_is_one_line(capsys, tmp_path, bases):
    (tmp_path / "file").touch()
    arguments = ["--tasks", "stack", "--base", f"stack={bases['stack']}", "--out", str(tmp_path / "file")]
    assert "Not a directory" in said(capsys, *arguments)


def test_a_cell_that_fails_is_left_alone_afterwards(tmp_path, bases):
    ran = Instantly("stack rfs seed_0 run")
    failed = matrix.make(matrix_of(tmp_path, bases, tasks=("stack",), seeds=(0,)).cells(), ran)
    assert [outcome.error for outcome in failed] == ["broken"]
    assert ran.ran == [
        "stack base seed_0 run",
        "stack rfs seed_0 run",
        "stack base seed_0 diagnose",
        "stack base seed_0 film",
    ]


def test_losers_go_on_from_what_they_have_in_a_cell_of_their_own(tmp_path, bases):
    made = matrix_of(
        tmp_path, bases, tasks=("stack",), methods=("base", "noise", "residual", "rfs"), seeds=(0,)
    )
    rates = {"base": 0.1, "noise": 0.9, "residual": 0.95, "rfs": 0.95}
    for cell in made.cells():
        config = cell.config
        (cell.path / "train").mkdir()
        (cell.path / "train" / "state").write_text(config.method)
        told = {"budget": config.budget, "episodes": 1024, "success_rate": rates[config.method]}
        (cell.path / "evaluation.json").write_text(json.dumps(told))
    (loser,) = made.losers(3)  # residual is not behind, base is not trained
    assert loser.path == tmp_path / "stack" / "noise" / "seed_0_x3"
    assert loser.config.budget == 3 * 430_000
    assert (loser.path / "train" / "state").read_text() == "noise"
    (loser.path / "train" / "state").write_text("further")
    (again,) = made.losers(3)
    assert (again.path / "train" / "state").read_text() == "further"
    # Longer is for everybody who is trained.
    assert [cell.path.parent.name for cell in made.longer(2)] == ["noise", "residual", "rfs"]
    assert {cell.path.name for cell in made.longer(2)} == {"seed_0_x2"}
    assert (tmp_path / "stack" / "rfs" / "seed_0_x2" / "train" / "state").read_text() == "rfs"


# --- kills ---


BUDGET = 64 * 11 * 8
"""Control steps of eight iterations, or a few more where an episode ends early."""


def command(base, out):
    return [
        sys.executable, "-m", "rfs_learning.benchmark.cli", "--tasks", "grasp", "--methods", "rfs",
        "--base", f"grasp={base}", "--out", str(out), "--budget", str(BUDGET), "--num-envs", "64",
        "--engine", "toy", "--episodes", "64", "--stages", "run", "--workers", "1", "--no-figures",
    ]  # fmt: skip


def started(base, out, engine):
    """The matrix, and the process of its cell; environments wait within the fourth iteration from here."""
    environment, holding = toy_engine.install(engine), engine / "holding"
    holding.unlink(missing_ok=True)
    (engine / "hold").touch()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(command(base, out), env=environment, **quiet)
    until(lambda: holding.exists() and holding.read_text().isdigit())
    return running, int(holding.read_text())


@pytest.mark.timeout(6 * PATIENCE_S)
def test_after_kill_9_of_cell_and_matrix_the_same_command_goes_on_to_the_same_end(
    tmp_path, base, monkeypatch
):
    engine, out = tmp_path / "engine", tmp_path / "out"
    cell = Cell(out / "grasp" / "rfs" / "seed_0")
    train = RunFolder(cell.path / "train")

    running, child = started(base, out, engine)
    os.kill(child, signal.SIGKILL)
    assert running.wait(PATIENCE_S) == 1  # the matrix says which cell failed
    assert not cell.done("run")
    assert len(train.metrics()) == 1 + 3  # before the first iteration, and after each that is complete

    running, child = started(base, out, engine)
    running.kill()
    running.wait(PATIENCE_S)
    until(lambda: not Path(f"/proc/{child}").exists())  # its orphan sees that, and leaves
    assert not cell.done("run")
    kept = [row["step"] for row in train.metrics()]
    assert len(kept) == 1 + 3 + 3

    (engine / "hold").unlink()
    subprocess.run(command(base, out), env=toy_engine.install(engine), check=True, timeout=PATIENCE_S)
    assert cell.done("run")
    steps = [row["step"] for row in train.metrics()]
    assert steps[: len(kept)] == kept
    assert steps == sorted(set(steps))

    def make_env(engine, task, num_envs, **options):
        return toy_engine.make_env(task, num_envs, **options)

    monkeypatch.setattr(cells, "make_env", make_env)
    monkeypatch.setattr(ppo_runner, "make_env", make_env)
    straight = Cell.create(tmp_path / "straight", cell.config)
    straight.make("run")
    one, other = cell.result(), straight.result()
    for measured in (one["evaluation"], other["evaluation"], *one["curve"], *other["curve"]):
        measured.pop("cpu_s")
    for wanted in ("evaluation", "curve", "steps"):
        assert one[wanted] == other[wanted], wanted
