import dataclasses

import numpy as np
import pytest
import torch

from rfs_core.errors import SpecError
from rfs_core.specs import ActionSpec, ObservationSpec, Part
from rfs_learning import checkpoint
from rfs_learning.checkpoint import CheckpointError
from rfs_learning.flow import FlowBase
from rfs_learning.integrator import Integrator
from rfs_learning.modulation import IdentityModulation
from rfs_learning.policy import Policy, PolicyError

RNG = np.random.default_rng(0)
OBSERVATION = RNG.uniform(-1, 1, (19, 4)).astype(np.float32)
NOISE = RNG.standard_normal((19, 2, 2)).astype(np.float32)


@pytest.fixture
def path(tmp_path, toy_checkpoint):
    checkpoint.save(tmp_path / "toy.safetensors", toy_checkpoint())
    return tmp_path / "toy.safetensors"


def test_loads_against_equal_specs_and_says_who_it_is(path, action_spec, observation_spec, toy_checkpoint):
    policy = Policy.load(path, action_spec, observation_spec, Integrator("euler", 10))
    assert policy.checkpoint_id == toy_checkpoint().id
    assert policy.header.task == "point"


def test_another_robot_is_refused_naming_both_values(path, observation_spec):
    other = ActionSpec((Part("step", (3,), "m", -0.1, 0.1),), control_dt=0.05, horizon=2)
    with pytest.raises(SpecError, match=r"\(2,\).*\(3,\)"):
        Policy.load(path, other, observation_spec)


def test_another_observation_is_refused_naming_both(path, action_spec):
    other = ObservationSpec((Part("position", (2,), "m", -1.0, 1.0), Part("target", (2,), "m", -1.0, 1.0)))
    with pytest.raises(SpecError, match=r"goal.*target"):
        Policy.load(path, action_spec, other)


def test_another_integrator_is_refused_naming_both(path):
    with pytest.raises(CheckpointError, match="euler with 10 steps, needed is midpoint with 5 steps"):
        Policy.load(path, integrator=Integrator("midpoint", 5))


def test_action_is_the_base_action_clipped_and_everything_is_reported(path, toy_checkpoint):
    made = toy_checkpoint()
    flow = FlowBase.from_checkpoint(made)
    output = Policy.load(path).act(OBSERVATION, NOISE)
    want = flow.push(torch.from_numpy(OBSERVATION), torch.from_numpy(NOISE)).numpy()
    np.testing.assert_allclose(output.a_b, want, atol=1e-6)
    assert np.abs(output.a_b).max() > 0.1, "otherwise nothing is clipped here"
    np.testing.assert_array_equal(output.a, np.clip(output.a_b, -0.1, 0.1))
    np.testing.assert_array_equal(output.a_r, 0.0)
    np.testing.assert_array_equal(output.a_0, NOISE)
    assert output.a.shape == (19, 2, 2)
    assert output.a.dtype == np.float64


def test_zero_noise_mode_ignores_the_noise(path):
    policy = Policy.load(path, a0="zero")
    output, other = policy.act(OBSERVATION, NOISE), policy.act(OBSERVATION, -NOISE)
    assert not output.a_0.any()
    np.testing.assert_array_equal(output.a, other.a)


def test_a_decision_can_be_repeated(path):
    policy = Policy.load(path)
    np.testing.assert_array_equal(policy.act(OBSERVATION, NOISE).a, policy.act(OBSERVATION, NOISE).a)


def test_a_decision_does_not_depend_on_who_else_is_in_the_batch(path):
    policy = Policy.load(path)
    together = policy.act(OBSERVATION, NOISE).a_b
    for i in (0, 7, 18):
        alone = policy.act(OBSERVATION[i : i + 1], NOISE[i : i + 1]).a_b
        np.testing.assert_allclose(alone[0], together[i], rtol=0, atol=1e-7)


def test_networks_only_ever_see_whole_blocks_of_rows(path, monkeypatch):
    policy, seen = Policy.load(path), []
    real = FlowBase.push_features
    monkeypatch.setattr(
        FlowBase, "push_features", lambda self, o, a: (seen.append(len(o)), real(self, o, a))[1]
    )
    for rows in (1, 8, 9, 19):
        assert policy.act(OBSERVATION[:rows], NOISE[:rows]).a.shape[0] == rows
    assert seen == [8, 8, 16, 24]


def test_a_residual_is_added_before_clipping(toy_checkpoint):
    made = toy_checkpoint()

    def modulation(observation, noise):
        identity = IdentityModulation()(observation, noise)
        return (identity[0], torch.tensor([0.02, 0.03]).expand(noise.shape), *identity[2:])

    policy = Policy(FlowBase.from_checkpoint(made), made.header, made.id, modulation, "cpu")
    output = policy.act(OBSERVATION, NOISE)
    np.testing.assert_allclose(output.a_r, np.broadcast_to([0.02, 0.03], (19, 2, 2)), rtol=1e-6)
    np.testing.assert_array_equal(output.a, np.clip(output.a_b + output.a_r, -0.1, 0.1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_where_they_are(path, value):
    policy, observation, noise = Policy.load(path), OBSERVATION.copy(), NOISE.copy()
    observation[2, 3] = value
    with pytest.raises(PolicyError, match=r"observation at \(2, 3\)"):
        policy.act(observation, NOISE)
    noise[1, 0, 1] = value
    with pytest.raises(PolicyError, match=r"noise at \(1, 0, 1\)"):
        policy.act(OBSERVATION, noise)


def test_wrong_shapes_are_refused_naming_both(path):
    policy = Policy.load(path)
    with pytest.raises(PolicyError, match=r"observation has shape \(19, 3\), this policy needs \(19, 4\)"):
        policy.act(OBSERVATION[:, :3], NOISE)
    with pytest.raises(PolicyError, match=r"noise has shape \(5, 2, 2\), this policy needs \(19, 2, 2\)"):
        policy.act(OBSERVATION, NOISE[:5])


def test_a_spec_that_contradicts_the_weights_is_refused(tmp_path, toy_checkpoint, action_spec):
    made = toy_checkpoint()
    longer = ActionSpec(action_spec.parts, action_spec.control_dt, horizon=4)
    bad = dataclasses.replace(made, header=dataclasses.replace(made.header, action_spec=longer))
    checkpoint.save(tmp_path / "bad.safetensors", bad)
    with pytest.raises(CheckpointError, match="chunk_size 4, its specs have 8"):
        Policy.load(tmp_path / "bad.safetensors")
