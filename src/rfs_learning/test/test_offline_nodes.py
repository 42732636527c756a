"""The offline trainers as a user runs them: processes of their own, interrupted by a real signal."""

import signal
import subprocess
import sys
import time

import pytest
from toy_offline import base, recorded

from rfs_data import offline
from rfs_learning import checkpoint, container

pytest.importorskip("rclpy")

SETTINGS = {
    "steps": 400,
    "batch_size": 32,
    "actor_width": 16,
    "critic_width": 16,
    "log_every": 50,
    "checkpoint_every": 20,
    "seed": 5,
}


@pytest.fixture
def files(tmp_path):
    checkpoint.save(tmp_path / "base.safetensors", base())
    offline.save(recorded(base()), tmp_path / "data.npz", {"command": "test"})
    return {"checkpoint": tmp_path / "base.safetensors", "bags": tmp_path / "data.npz"}


def start(node, **parameters):
    given = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    code = f"from rfs_learning.nodes.{node} import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "--ros-args", *given],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out + err


def test_a_run_stopped_by_sigint_resumes_to_the_very_same_weights(tmp_path, files):
    whole = start("td3bc_trainer", **files, run_dir=tmp_path / "whole", **SETTINGS)
    code, text = end(whole)
    assert code == 0, text
    assert "used: 6 episodes, 3 successful" in text

    cut = start("td3bc_trainer", **files, run_dir=tmp_path / "cut", **SETTINGS)
    first = tmp_path / "cut" / "checkpoints" / "step_000020.safetensors"
    while not first.exists() and cut.poll() is None:
        time.sleep(0.01)
    cut.send_signal(signal.SIGINT)
    code, text = end(cut)
    assert code == 0, text
    stopped_at = container.read(tmp_path / "cut" / "training_state.safetensors")[0]["step"]
    assert 20 <= stopped_at <= 400
    if stopped_at < 400:
        assert "interrupted" in text

    resumed = start("td3bc_trainer", **files, run_dir=tmp_path / "cut", resume="true", **SETTINGS)
    code, text = end(resumed)
    assert code == 0, text
    name = "checkpoints/policy.safetensors"
    one, other = (checkpoint.load(tmp_path / run / name) for run in ("whole", "cut"))
    difference = max(float((one.tensors[n] - other.tensors[n]).abs().max()) for n in one.tensors)
    assert difference == 0.0, f"stopped at update {stopped_at}"


def test_bad_input_ends_it_with_one_sentence(tmp_path, files):
    for changes, sentence in (
        ({"bags": tmp_path / "absent"}, "holds no bag"),
        ({"alpah": 1.0}, "alpha"),
        ({"critic_input": "action"}, "residual_and_base"),
    ):
        code, text = end(start("td3bc_trainer", **{**files, "run_dir": tmp_path / "run", **changes}))
        assert code == 1, text
        assert sentence in text
        assert "Traceback" not in text
