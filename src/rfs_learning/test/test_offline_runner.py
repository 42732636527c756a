"""The loop of the offline trainers: what is refused, what is written, and that it can be left at any time."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_offline import base, changed, fingers_only, recorded

from rfs_core.errors import RfsError
from rfs_data import offline
from rfs_learning import checkpoint, container
from rfs_learning.offline import bc, invert_noise, iql, td3bc
from rfs_learning.offline.bc import BcConfig
from rfs_learning.offline.iql import IqlConfig
from rfs_learning.offline.runner import OfflineRunner, OfflineTrainingError
from rfs_learning.offline.td3bc import Td3BcConfig
from rfs_learning.policy import Policy
from rfs_learning.steering import HeadArchitecture, SteeringHead, SteeringLayout

SMALL = {
    "actor_width": 16,
    "critic_width": 16,
    "batch_size": 8,
    "log_every": 5,
    "checkpoint_every": 10,
    "refresh": 7,
}


@pytest.fixture
def files(tmp_path):
    """A base policy and recorded episodes on disk."""
    base_path, data_path = tmp_path / "base.safetensors", tmp_path / "data.npz"
    checkpoint.save(base_path, base())
    offline.save(recorded(base()), data_path, {"command": "test"})
    return {"checkpoint": str(base_path), "bags": str(data_path)}


def start(files, folder, **settings):
    config = Td3BcConfig(**{**SMALL, "steps": 40, "run_dir": str(folder), **files, **settings})
    return OfflineRunner(config, td3bc.make, "test")


@pytest.mark.parametrize("settings", [{}, {"modulation": "residual"}, {"modulation": "noise", "refresh": 1}])
def test_a_run_that_was_interrupted_and_resumed_ends_with_the_same_bits(tmp_path, files, settings):
    whole = start(files, tmp_path / "whole", **settings)
    path = whole.run()
    whole.close()
    cut = start(files, tmp_path / "cut", **settings)
    cut.advance(23)
    cut.save()
    cut.close()
    again = start(files, tmp_path / "cut", resume=True, **settings)
    assert again.step == 23
    other = again.run()
    again.close()
    one, two = checkpoint.load(path), checkpoint.load(other)
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    assert one.id == two.id
    rows = [[(r["step"], r["critic/loss"]) for r in run.folder.metrics()] for run in (whole, again)]
    assert rows[0] == rows[1]


def test_a_run_that_was_killed_before_its_first_checkpoint_goes_on_to_the_same_bits(tmp_path, files):
    whole = start(files, tmp_path / "whole")
    path = whole.run()
    whole.close()
    killed = start(files, tmp_path / "killed")
    killed.advance(9)  # the first checkpoint would be at 10
    killed.close()
    again = start(files, tmp_path / "killed", resume=True)
    assert again.step == 0
    other = again.run()
    again.close()
    one, two = checkpoint.load(path), checkpoint.load(other)
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)


def test_the_last_good_state_of_a_run_that_fails_at_once_can_be_resumed_from(tmp_path, files):
    runner = start(files, tmp_path / "run")
    with torch.no_grad():
        runner.algorithm.critic.biases[-1].fill_(float("nan"))
    with pytest.raises(OfflineTrainingError, match=r"update 0: .*the last good state in .*state.safetensors"):
        runner.advance(1)
    runner.close()
    again = start(files, tmp_path / "run", resume=True)
    again.advance(1)
    again.close()


def test_the_product_describes_itself_and_is_run_by_policy_unchanged(tmp_path, files):
    runner = start(files, tmp_path / "run")
    path = runner.run()
    runner.close()
    loaded = checkpoint.load(path)
    assert (loaded.header.kind, loaded.header.name, loaded.header.task) == (
        "rfs",
        "point_rfs_offline",
        "point",
    )
    kinds = [parent["kind"] for parent in loaded.header.parents]
    assert kinds == ["flow_base", "bag"]
    assert loaded.header.parents[0]["id"] == base().id
    assert loaded.header.parents[1]["sha256"] == offline.file_sha256(tmp_path / "data.npz")
    assert loaded.header.config["alpha"] == 0.05
    output = Policy.load(path).act(np.zeros((3, 4), np.float32), np.ones((3, 2, 2), np.float32))
    assert np.isfinite(output.a).all()
    assert (np.abs(output.a_r) <= 0.05 + 1e-7).all()
    report = (tmp_path / "run" / "report.md").read_text()
    assert "used: 6 episodes, 3 successful" in report
    assert "| toy#0 | toy@" in report


@pytest.mark.parametrize(("log_every", "steps"), [(1, 4), (5, 6)])
def test_a_row_without_an_update_of_the_actor_is_a_dash_in_the_report(tmp_path, files, log_every, steps):
    # The actor is updated in updates 1, 3, 5; those after them alone in a row leave its figures out.
    runner = start(files, tmp_path / "run", log_every=log_every, steps=steps)
    runner.run()
    runner.close()
    rows = [line for line in (tmp_path / "run" / "report.md").read_text().splitlines() if line[2:3].isdigit()]
    without = {int(row.split("|")[1]) for row in rows if "| - |" in row}
    assert without == {step for step in range(log_every, steps + 1) if step % 2 == 0}


def test_before_the_first_update_the_policy_is_the_base_policy_bit_for_bit(tmp_path, files):
    runner = start(files, tmp_path / "run")
    policy = Policy.from_checkpoint(runner.checkpoint())
    runner.close()
    o = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    noise = np.ones((5, 2, 2), np.float32)
    ours = policy.act(o, noise)
    np.testing.assert_array_equal(ours.a, Policy.load(files["checkpoint"], a0="zero").act(o, noise).a)
    assert not ours.a_r.any()


def test_a_value_that_is_not_finite_ends_the_run_and_leaves_the_last_good_state(tmp_path, files):
    runner = start(files, tmp_path / "run")
    runner.advance(20)
    good = runner.folder.state_path.read_bytes()
    with torch.no_grad():
        runner.algorithm.critic.biases[-1].fill_(float("nan"))
    with pytest.raises(
        OfflineTrainingError, match=r"update 20: critic/\w+ is nan.*training_state.safetensors"
    ):
        runner.advance(1)
    runner.close()
    assert runner.folder.state_path.read_bytes() == good
    assert (tmp_path / "run" / "not_finite.safetensors").exists()
    assert not runner.whole
    with pytest.raises(OfflineTrainingError, match="cut in half"):
        runner.save()


def test_a_setting_that_is_gone_does_not_keep_a_run_from_being_resumed(tmp_path, files):
    runner = start(files, tmp_path / "run")
    runner.advance(10)
    runner.close()
    header, tensors = container.read(runner.folder.state_path)
    header["config"]["gone"] = "auto"
    container.write(runner.folder.state_path, header, tensors)
    again = start(files, tmp_path / "run", resume=True)
    assert again.step == 10
    again.close()


def test_resuming_with_other_settings_data_or_base_is_refused(tmp_path, files):
    runner = start(files, tmp_path / "run")
    runner.advance(10)
    runner.close()
    with pytest.raises(RfsError, match=r"alpha was 0.05, is 1.0"):
        start(files, tmp_path / "run", resume=True, alpha=1.0)
    offline.save(recorded(base(), seed=1), tmp_path / "other.npz", {})
    with pytest.raises(RfsError, match="episodes were used"):
        start({**files, "bags": str(tmp_path / "other.npz")}, tmp_path / "run", resume=True)
    checkpoint.save(tmp_path / "other.safetensors", base(seed=3))
    with pytest.raises(RfsError, match=r"base policy was toy@"):
        start({**files, "checkpoint": str(tmp_path / "other.safetensors")}, tmp_path / "run", resume=True)
    with pytest.raises(RfsError, match="nothing to resume"):
        start(files, tmp_path / "nowhere", resume=True)
    with pytest.raises(RfsError, match="holds a run already"):
        start(files, tmp_path / "run")


def test_what_is_missing_or_of_another_task_is_one_sentence(tmp_path, files):
    with pytest.raises(RfsError, match="bags is empty; pass it"):
        start({**files, "bags": ""}, tmp_path / "a")
    with pytest.raises(RfsError, match=r"no such file or folder|holds no bag"):
        start({**files, "bags": str(tmp_path / "absent")}, tmp_path / "b")
    checkpoint.save(tmp_path / "pour.safetensors", base(task="pour"))
    with pytest.raises(RfsError, match="is of task 'point', needed is 'pour'"):
        start({**files, "checkpoint": str(tmp_path / "pour.safetensors")}, tmp_path / "c")


def test_one_decision_episodes_without_success_or_spread_stay_finite(tmp_path, files):
    data = recorded(base(), episodes=1, decisions=1)
    used = (dataclasses.replace(data.used[0], success=False),)
    offline.save(changed(data, reward=np.zeros_like(data.reward), used=used), tmp_path / "flat.npz", {})
    runner = start({**files, "bags": str(tmp_path / "flat.npz")}, tmp_path / "run")
    assert any("none of 1 episodes succeeded" in doubt for doubt in runner.doubts)
    path = runner.run()
    runner.close()
    assert all(tensor.isfinite().all() for tensor in checkpoint.load(path).tensors.values())


@pytest.mark.parametrize(
    ("config", "make"), [(Td3BcConfig, td3bc.make), (IqlConfig, iql.make), (BcConfig, bc.make)]
)
@pytest.mark.parametrize("steered", [False, True])
def test_a_flow_over_the_fingers_is_refused_by_every_trainer(tmp_path, files, config, make, steered):
    policy = fingers_only()
    if steered:
        layout = SteeringLayout.of(policy.header.action_spec, "both", "hand")
        policy = SteeringHead(HeadArchitecture(4, 8, 1), layout).to_checkpoint(policy)
    checkpoint.save(tmp_path / "fingers.safetensors", policy)
    given = {**files, "checkpoint": str(tmp_path / "fingers.safetensors"), "run_dir": str(tmp_path / "run")}
    # Of 22 values the 6 of the arm are not the flow's.
    with pytest.raises(RfsError, match=r"its flow makes 16 of 22 values .* over:=hand_and_arm"):
        OfflineRunner(config(**given), make, "test")
    assert not (tmp_path / "run").exists()


def test_the_noise_of_a_flow_over_the_fingers_is_not_looked_for(tmp_path, files, capsys):
    checkpoint.save(tmp_path / "fingers.safetensors", fingers_only())
    with pytest.raises(SystemExit) as ended:
        invert_noise.main([files["bags"], "--checkpoint", str(tmp_path / "fingers.safetensors")])
    assert ended.value.code == 1
    assert "its flow makes 16 of 22 values" in capsys.readouterr().err
