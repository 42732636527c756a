import dataclasses

import numpy as np
import pytest
import torch

from rfs_core.errors import RfsError
from rfs_learning import checkpoint, container
from rfs_learning.base_runner import BaseRunner, BaseTrainerConfig, TrainingError
from rfs_learning.container import CheckpointError


@pytest.fixture
def config(tmp_path, toy_demos):
    return BaseTrainerConfig(
        demonstrations=str(toy_demos()),
        run_dir=str(tmp_path / "run"),
        name="toy",
        seed=3,
        steps=60,
        batch_size=32,
        hidden_width=16,
        hidden_layers=2,
        checkpoint_every=25,
        log_every=10,
        warmup_steps=5,
        observation_noise=0.1,
    )


def _finished(config):
    runner = BaseRunner(config, "train")
    path = runner.run()
    runner.close()
    return runner, path


def _largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def test_a_run_leaves_checkpoints_curves_state_and_report(config):
    runner, path = _finished(config)
    names = sorted(p.name for p in runner.folder.checkpoints.iterdir())
    assert names == ["step_000025.safetensors", "step_000050.safetensors", "step_000060.safetensors"]
    assert path.name == "step_000060.safetensors"
    assert [row["step"] for row in runner.folder.metrics()] == [10, 20, 30, 40, 50, 60]
    report = (runner.folder.path / "report.md").read_text()
    assert checkpoint.load(path).id in report
    header = checkpoint.load(path).header
    assert (header.task, header.seed, header.command) == ("point", 3, "train")
    assert header.parents[0]["sha256"] == container.file_sha256(runner.demos.path)
    assert header.config["steps"] == 60


@pytest.mark.parametrize("cut", [1, 13, 25, 47])
def test_an_interrupted_and_resumed_run_ends_with_the_very_same_state(config, tmp_path, cut):
    whole, path = _finished(config)
    cut_config = dataclasses.replace(config, run_dir=str(tmp_path / "cut"))
    runner = BaseRunner(cut_config, "train")
    runner.advance(cut)
    runner.save()
    runner.close()
    torch.manual_seed(99)  # a new process has other global random numbers
    resumed, resumed_path = _finished(dataclasses.replace(cut_config, resume=True))
    assert _largest_difference(checkpoint.load(path).tensors, checkpoint.load(resumed_path).tensors) == 0.0
    state, resumed_state = (container.read(r.folder.state_path)[1] for r in (whole, resumed))
    assert _largest_difference(state, resumed_state) == 0.0, "weights, optimiser, generator"
    assert whole.folder.metrics() == resumed.folder.metrics()
    assert checkpoint.load(path).id == checkpoint.load(resumed_path).id


def test_a_killed_run_resumes_from_its_last_checkpoint(config, tmp_path):
    _, path = _finished(config)
    killed_config = dataclasses.replace(config, run_dir=str(tmp_path / "killed"))
    runner = BaseRunner(killed_config, "train")
    runner.advance(43)  # saved by itself at 25; nothing is written after this
    runner.close()
    _, resumed_path = _finished(dataclasses.replace(killed_config, resume=True))
    assert _largest_difference(checkpoint.load(path).tensors, checkpoint.load(resumed_path).tensors) == 0.0


def test_a_run_that_was_killed_before_its_first_checkpoint_goes_on_to_the_same_weights(config, tmp_path):
    _, path = _finished(config)
    killed_config = dataclasses.replace(config, run_dir=str(tmp_path / "killed"))
    runner = BaseRunner(killed_config, "train")
    runner.advance(24)  # the first checkpoint would be at 25
    runner.close()
    resumed, resumed_path = _finished(dataclasses.replace(killed_config, resume=True))
    assert _largest_difference(checkpoint.load(path).tensors, checkpoint.load(resumed_path).tensors) == 0.0
    assert [row["step"] for row in resumed.folder.metrics()] == [10, 20, 30, 40, 50, 60]


def test_another_seed_gives_other_weights(config, tmp_path):
    _, path = _finished(config)
    _, other = _finished(dataclasses.replace(config, seed=4, run_dir=str(tmp_path / "other")))
    assert _largest_difference(checkpoint.load(path).tensors, checkpoint.load(other).tensors) > 0.0


def test_resume_refuses_another_configuration_naming_both_values(config):
    _finished(config)
    with pytest.raises(TrainingError, match=r"batch_size was 32, is 64"):
        BaseRunner(dataclasses.replace(config, resume=True, batch_size=64), "train")


def test_resume_refuses_other_demonstrations(config, toy_demos):
    _finished(config)
    other = str(toy_demos("other.npz", seed=1))
    with pytest.raises(TrainingError, match="demonstrations had sha256"):
        BaseRunner(dataclasses.replace(config, resume=True, demonstrations=other), "train")


def test_resume_refuses_a_damaged_state_and_a_missing_one(config, tmp_path):
    runner, _ = _finished(config)
    data = bytearray(runner.folder.state_path.read_bytes())
    data[-100] ^= 1
    runner.folder.state_path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        BaseRunner(dataclasses.replace(config, resume=True), "train")
    with pytest.raises(TrainingError, match="nothing to resume"):
        BaseRunner(dataclasses.replace(config, resume=True, run_dir=str(tmp_path / "absent")), "train")


def test_a_checkpoint_is_not_a_training_state(config):
    runner, path = _finished(config)
    path.rename(runner.folder.state_path)
    with pytest.raises(CheckpointError, match="'flow_base', resuming needs 'base_training_state'"):
        BaseRunner(dataclasses.replace(config, resume=True), "train")


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(config):
    runner = BaseRunner(config, "train")
    runner.advance(30)
    good = runner.folder.state_path.read_bytes()
    runner._chunk[:] = float("nan")
    with pytest.raises(TrainingError, match=r"step 30: loss is nan"):
        runner.advance(1)
    with pytest.raises(TrainingError, match="cannot be saved"):
        runner.save()
    runner.close()
    assert runner.folder.state_path.read_bytes() == good
    with np.load(runner.folder.path / "not_finite.npz") as batch:
        assert np.isnan(batch["chunk"]).all()


def test_learning_rate_warms_up_and_falls_to_zero_along_a_cosine(config):
    runner = BaseRunner(dataclasses.replace(config, learning_rate=1.0, steps=105), "train")
    runner.close()
    # 5 steps of warm-up: 1/5 ... 5/5; then cosine over 100 steps: half of it at 1/2.
    assert [runner.learning_rate(step) for step in (0, 4, 5)] == pytest.approx([0.2, 1.0, 1.0])
    assert runner.learning_rate(55) == pytest.approx(0.5)
    assert runner.learning_rate(105) == pytest.approx(0.0)


def test_training_learns_the_demonstrations(config):
    runner = BaseRunner(dataclasses.replace(config, steps=600, batch_size=128, learning_rate=5e-3), "train")
    before = runner.validation_loss()
    runner.run()
    runner.close()
    assert runner.validation_loss() < 0.75 * before


def test_failed_demonstrations_can_be_left_out(config, tmp_path):
    everything = BaseRunner(config, "train")
    successful = BaseRunner(
        dataclasses.replace(config, episodes="successful", run_dir=str(tmp_path / "good")), "train"
    )
    # 20 episodes of 10 rows, 9 windows each: 19 of 20 (5 % held out); 10 of the 10 that succeeded.
    assert (len(everything._chunk), len(successful._chunk)) == (19 * 9, 10 * 9)
    everything.close()
    successful.close()


def test_demonstrations_without_a_window_are_refused(config, toy_demos):
    short = toy_demos("short.npz", episodes=1, episode_start=np.arange(11), success=np.ones(10, bool))
    with pytest.raises(TrainingError, match="no window of 2 steps"):
        BaseRunner(dataclasses.replace(config, demonstrations=str(short)), "train")


def test_required_settings_are_asked_for(config):
    for field in ("demonstrations", "run_dir"):
        with pytest.raises(RfsError, match=f"{field} is empty"):
            BaseRunner(dataclasses.replace(config, **{field: ""}), "train")
