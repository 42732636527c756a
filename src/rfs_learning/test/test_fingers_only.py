"""Promises of a flow that makes the fingers only and leaves the arm to whoever learns it directly."""

import dataclasses
import json
import types

import numpy as np
import pytest
import torch

from rfs_core.robot import DEFAULT_ACTION_SPEC as ACTION
from rfs_core.specs import ObservationSpec, Part
from rfs_learning import checkpoint
from rfs_learning.base_runner import BaseRunner, BaseTrainerConfig
from rfs_learning.checkpoint import Checkpoint, CheckpointError
from rfs_learning.flow import FlowBase, values_left_out
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture
from rfs_learning.policy import Policy
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.rl.ppo_runner import PpoError, PpoRunner
from rfs_learning.steering import SteeringLayout

OBSERVATION = ObservationSpec((Part("position", (2,), "m", -1.0, 1.0),))


def architecture(values: int) -> MlpArchitecture:
    return MlpArchitecture(2, 2 * values, hidden_width=8, hidden_layers=1, time_features=4)


@pytest.fixture
def demonstrations(tmp_path):
    """The arm moves by what the observation says, the fingers go to half of their range."""
    rng = np.random.default_rng(0)
    observation = rng.uniform(-1, 1, (200, 2)).astype(np.float32)
    action = np.zeros((200, ACTION.size), np.float32)
    action[:, :3] = 0.02 * observation[:, :1]
    action[:, 6:] = 0.5 * ACTION.high[6:]
    header = {
        "task": "point",
        "action_spec": ACTION.to_dict(),
        "observation_spec": OBSERVATION.to_dict(),
        "seed": 0,
        "command": "test",
        "physics_dt": 0.01,
        "control_dt": 0.05,
    }
    path = tmp_path / "demos.npz"
    np.savez(
        path,
        observation=observation,
        action=action,
        episode_start=np.arange(0, 201, 10, dtype=np.int64),
        success=np.ones(20, bool),
        header=np.array(json.dumps(header)),
    )
    return path


@pytest.fixture
def trained(demonstrations, tmp_path):
    config = BaseTrainerConfig(
        demonstrations=str(demonstrations),
        run_dir=str(tmp_path / "run"),
        over="hand",
        steps=300,
        batch_size=64,
        hidden_width=32,
        hidden_layers=2,
        learning_rate=3e-3,
    )
    runner = BaseRunner(config, "train")
    path = runner.run()
    runner.close()
    return path


def test_a_flow_trained_over_the_hand_makes_16_values_a_step_and_leaves_the_arm_at_rest(trained):
    loaded = checkpoint.load(trained)
    assert loaded.header.action_spec == ACTION  # it still drives the whole robot
    assert loaded.header.architecture["chunk_size"] == 2 * 16
    policy = Policy.load(trained, ACTION, OBSERVATION)
    observation = np.array([[1.0, 0.0], [-1.0, 0.5]], np.float32)
    noise = np.random.default_rng(0).standard_normal((2, 2, 22)).astype(np.float32)
    output = policy.act(observation, noise)
    np.testing.assert_array_equal(output.a[..., :6], 0.0)
    np.testing.assert_allclose(
        output.a[..., 6:], np.broadcast_to(0.5 * ACTION.high[6:], (2, 2, 16)), atol=0.2
    )


def test_the_arm_s_noise_does_not_reach_the_fingers(trained):
    policy = Policy.load(trained)
    observation, noise = np.zeros((1, 2), np.float32), np.zeros((1, 2, 22), np.float32)
    still = policy.act(observation, noise).a
    noise[..., :6] = 2.0
    np.testing.assert_array_equal(policy.act(observation, noise).a, still)
    noise[..., 6:] = 2.0
    assert np.abs(policy.act(observation, noise).a - still).max() > 1e-3


def test_steering_over_the_hand_learns_6_arm_values_32_noises_and_16_residuals(trained):
    layout = SteeringLayout.of(ACTION, "both", "hand")
    assert layout.groups == {"noise": 32, "residual": 16, "direct": 6}

    class Given:
        noise_source = "steered"

        def __call__(self, observation, noise):
            z = torch.zeros(len(noise), layout.size)
            z[:, -6] = 1.0  # the palm forward, as far as a step goes
            return layout.decode(z, noise)

    policy = Policy.load(trained).with_modulation(Given())
    output = policy.act(np.zeros((1, 2), np.float32), np.zeros((1, 2, 22), np.float32))
    np.testing.assert_allclose(output.a[0, :, :6], [[0.03, 0, 0, 0, 0, 0]] * 2, atol=1e-7)


def test_a_flow_over_the_hand_is_not_steered_without_somebody_who_moves_the_arm(trained, tmp_path):
    env = types.SimpleNamespace(num_envs=1, action_spec=ACTION, observation_spec=OBSERVATION)
    config = PpoTrainerConfig(task="point", base_checkpoint=str(trained), run_dir=str(tmp_path / "rl"))
    with pytest.raises(PpoError, match=r"makes the fingers only, and over is 'hand_and_arm': .* over:=hand"):
        PpoRunner(config, "train", env)
    assert not (tmp_path / "rl").exists()


def test_loss_of_a_flow_over_the_hand_does_not_look_at_the_arm():
    torch.manual_seed(0)
    flow = FlowBase(architecture(16), Integrator("euler", 3), 2, left_out=6)
    observation, chunk, a_0 = torch.randn(4, 2), torch.randn(4, 2, 22), torch.randn(4, 2, 22)
    t = torch.rand(4, 1)
    loss = flow.loss(observation, chunk, a_0, t)
    chunk[..., :6] += 1.0
    a_0[..., :6] -= 1.0
    assert torch.equal(flow.loss(observation, chunk, a_0, t), loss)
    chunk[..., 6] += 1.0
    assert not torch.equal(flow.loss(observation, chunk, a_0, t), loss)


def test_only_whole_parts_can_be_left_out():
    assert values_left_out(architecture(22), ACTION) == 0
    assert values_left_out(architecture(19), ACTION) == 3  # the palm's displacement
    assert values_left_out(architecture(16), ACTION) == 6
    flow = FlowBase(architecture(16), Integrator("euler", 3), 2, left_out=6)
    header = checkpoint.CheckpointHeader(
        kind="flow_base",
        name="toy",
        task="point",
        action_spec=ACTION,
        observation_spec=OBSERVATION,
        architecture=architecture(15).to_dict(),
        integrator=Integrator("euler", 3),
        seed=0,
        command="test",
        config={},
    )
    made = flow.to_checkpoint(header)
    with pytest.raises(CheckpointError, match=r"has chunk_size 30, its specs have 44; or, .*, 38, 32"):
        FlowBase.from_checkpoint(Checkpoint(made.header, made.tensors))
    right = dataclasses.replace(header, architecture=architecture(16).to_dict())
    assert FlowBase.from_checkpoint(Checkpoint(right, made.tensors)).left_out == 6
