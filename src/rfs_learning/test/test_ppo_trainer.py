"""ppo_trainer as a user runs it: a process of its own, ended by a real signal; several that share a run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rfs_core.errors import RfsError
from rfs_learning import checkpoint, container
from rfs_learning.policy import Policy
from rfs_learning.rl import ppo_runner
from rfs_learning.rl.distributed import Ranks
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.run_folder import RunFolder

sys.path.insert(0, str(Path(__file__).parent))
import toy_engine

PATIENCE_S = 240
"""For what takes seconds on an idle machine."""
TRAINER = "from rfs_learning.nodes.ppo_trainer import main; main()"


@pytest.fixture
def settings(tmp_path, toy_checkpoint):
    path = tmp_path / "base.safetensors"
    checkpoint.save(path, toy_checkpoint(task="grasp", action_spec=toy_engine.ACTION))
    return {
        "task": "grasp", "base_checkpoint": path, "engine": "toy", "num_envs": 16, "budget": 1500,
        "minibatch": 96, "actor_width": 32, "critic_width": 32, "evaluate_every": 500,
        "evaluation_episodes": 16, "final_episodes": 16, "normalizer_steps": 600,
    }  # fmt: skip


def arguments(settings, **changes):
    given = {**settings, **changes}
    return ["--ros-args", *(word for name, value in given.items() for word in ("-p", f"{name}:={value}"))]


def environment(tmp_path):
    return toy_engine.install(tmp_path / "engine")


def alone(monkeypatch, settings, **changes):
    """The same run in this process; its runner."""
    monkeypatch.setattr(
        ppo_runner, "make_env", lambda engine, task, count, **_: toy_engine.make_env(task, count)
    )
    given = {**settings, **changes}
    given |= {name: str(value) for name, value in given.items() if isinstance(value, Path)}
    runner = ppo_runner.PpoRunner(PpoTrainerConfig(**given))
    runner.run()
    runner.close()
    return runner


def trained(tmp_path, *command):
    """What the command printed."""
    done = subprocess.run(
        [sys.executable, *command],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def weights(run):
    """Actor, critic and what resumes them; no generator."""
    _, tensors = container.read(run / "training_state.safetensors")
    return {name: value for name, value in tensors.items() if name != "generator" and "running" not in name}


def test_a_run_stopped_by_sigint_resumes_to_the_very_same_weights(tmp_path, settings, monkeypatch):
    pytest.importorskip("rclpy")
    variables = environment(tmp_path)
    hold, holding = tmp_path / "engine" / "hold", tmp_path / "engine" / "holding"
    hold.touch()  # environments wait in the fourth iteration of six decisions
    cut = arguments(settings, run_dir=tmp_path / "cut")
    process = subprocess.Popen([sys.executable, "-c", TRAINER, *cut], env=variables)
    deadline = time.monotonic() + PATIENCE_S
    while not holding.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    hold.unlink()
    assert process.wait(PATIENCE_S) == 0
    rows = RunFolder(tmp_path / "cut").metrics()
    assert len(rows) == 1 + 3  # the iteration that was cut is not there
    text = trained(tmp_path, "-c", TRAINER, *cut, "-p", "resume:=true")
    assert "z has 6 values {'noise': 4, 'residual': 2, 'direct': 0}; resuming at control step" in text
    best = Policy.load(tmp_path / "cut" / "checkpoints" / "best.safetensors")
    assert best.header.results["full"]["episodes"] == 16
    assert (tmp_path / "cut" / "report.md").exists()

    alone(monkeypatch, settings, run_dir=tmp_path / "whole")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_two_processes_learn_what_one_learns_from_the_joint_batch(tmp_path, settings, monkeypatch):
    pytest.importorskip("rclpy")
    # One minibatch: its shuffling cannot matter. Points leave the square now and then: autoreset is shared.
    # Exploration of the residual and a_0 of the base policy are drawn.
    settings = {**settings, "modulation": "residual", "minibatch": 10_000, "final_episodes": 0}
    shared = tmp_path / "shared"
    whole = alone(monkeypatch, settings, run_dir=tmp_path / "alone").folder
    module = ["-m", "rfs_learning.nodes.ppo_trainer"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    text = trained(tmp_path, *torchrun, *module, *arguments(settings, run_dir=shared))
    rows, others = whole.metrics(), RunFolder(shared).metrics()
    assert len(rows) == len(others) > 5, text
    for row, other in zip(rows, others, strict=True):
        assert row["step"] == other["step"]
        for name in ("ppo/value_loss", "ppo/surrogate_loss", "ppo/kl", "train/reward", "evaluation/return"):
            assert other[name] == pytest.approx(row[name], rel=2e-3, abs=2e-5, nan_ok=True), name
        assert other["ppo/learning_rate"] == row["ppo/learning_rate"]
        assert other["ppo/return_scale"] == pytest.approx(row["ppo/return_scale"], rel=1e-4)
    one, other = weights(whole.path), weights(shared)
    for name, value in one.items():
        if not name.startswith("optimizer"):
            torch.testing.assert_close(other[name], value, rtol=2e-3, atol=2e-4, msg=name)
    # Not because nothing was learned.
    moved = max(float(value.abs().max()) for name, value in one.items() if name == "actor.mlp.4.weight")
    assert moved > 1e-3
    header, _ = container.read(shared / "training_state.safetensors")
    assert header["processes"] == 2


def test_environments_that_cannot_be_shared_evenly_are_refused():
    assert Ranks(1, 2).share(16) == slice(8, 16)
    with pytest.raises(
        RfsError, match="num_envs is 15, cannot be shared by 2 processes: choose a multiple of 2"
    ):
        Ranks(1, 2).share(15)


def test_half_a_torchrun_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RfsError, match="RANK, MASTER_ADDR, MASTER_PORT not set: start with torchrun"):
        Ranks.join()
