"""The trainer as a user runs it: a process of its own, interrupted by a real signal."""

import random
import signal
import subprocess
import sys
import time

import pytest

from rfs_learning import checkpoint, container

pytest.importorskip("rclpy")

SETTINGS = {
    "steps": 1200,
    "batch_size": 64,
    "hidden_width": 32,
    "hidden_layers": 2,
    "log_every": 100,
    "checkpoint_every": 100,
    "seed": 5,
}


def _start(**parameters):
    given = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    code = "from rfs_learning.nodes.base_trainer import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "--ros-args", *given],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _end(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def test_a_run_stopped_by_sigint_resumes_to_the_very_same_weights(tmp_path, toy_demos):
    demos = str(toy_demos())
    whole = _start(demonstrations=demos, run_dir=tmp_path / "whole", **SETTINGS)
    code, text = _end(whole)
    assert code == 0, text

    cut = _start(demonstrations=demos, run_dir=tmp_path / "cut", **SETTINGS)
    first = tmp_path / "cut" / "checkpoints" / "step_000100.safetensors"
    deadline = time.monotonic() + 60
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.uniform(0.0, 0.2))
    cut.send_signal(signal.SIGINT)
    code, text = _end(cut)
    assert code == 0, text
    stopped_at = container.read(tmp_path / "cut" / "training_state.safetensors")[0]["step"]
    assert 100 <= stopped_at <= 1200
    if stopped_at < 1200:  # a busy machine may let it end first
        assert "interrupted" in text

    resumed = _start(demonstrations=demos, run_dir=tmp_path / "cut", resume="true", **SETTINGS)
    code, text = _end(resumed)
    assert code == 0, text
    name = "checkpoints/step_001200.safetensors"
    one, other = (checkpoint.load(tmp_path / run / name) for run in ("whole", "cut"))
    difference = max(float((one.tensors[n] - other.tensors[n]).abs().max()) for n in one.tensors)
    assert difference == 0.0, f"stopped at step {stopped_at}"


def test_an_unknown_parameter_is_an_error_that_lists_the_known_ones(tmp_path, toy_demos):
    code, text = _end(_start(demonstrations=toy_demos(), run_dir=tmp_path / "run", learnin_rate=0.1))
    assert code == 1
    assert "learnin_rate" in text
    assert "learning_rate" in text
    assert "Traceback" not in text


def test_missing_demonstrations_end_it_with_one_sentence(tmp_path):
    code, text = _end(_start(demonstrations=tmp_path / "absent.npz", run_dir=tmp_path / "run"))
    assert code == 1
    assert "absent.npz: no such file" in text
    assert "Traceback" not in text
