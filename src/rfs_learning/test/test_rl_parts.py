"""Distribution, scale of returns, guard, configuration and switches of the RL trainer."""

import math

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rfs_core.config import from_mapping
from rfs_core.errors import ConfigError
from rfs_learning.modulation import IdentityModulation, Steering
from rfs_learning.rl import actor_critic
from rfs_learning.rl.diagnostics import Switched, Watched, residual_share, switches
from rfs_learning.rl.nan_guard import NanGuard
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.rl.return_scale import ReturnScale
from rfs_learning.steering import SteeringLayout

LAYOUT = SteeringLayout("both", "hand_and_arm", 2, (0.01, 0.02), (0.0, 0.0), 2.5)  # z: 4 noise, 2 residual
OBSERVATIONS = TensorDict({"policy": torch.randn(8, 3), "privileged": torch.randn(8, 5)}, batch_size=[8])


def actor(layout=LAYOUT):
    torch.manual_seed(0)
    return actor_critic.make_actor(OBSERVATIONS, layout, [16, 16], (0.5, 0.1, 1.0), (0.12, 0.02, 0.3))


def test_actor_starts_at_mean_zero_with_a_std_per_group():
    made = actor()
    z = made(OBSERVATIONS, stochastic_output=True)
    assert z.shape == (8, 6)
    assert not made.output_mean.any()
    torch.testing.assert_close(made.output_std[0], torch.tensor([0.5] * 4 + [0.12] * 2))


def test_log_std_is_moved_back_into_its_range_and_keeps_its_gradient():
    made = actor()
    distribution = actor_critic.distribution(made)
    with torch.no_grad():
        distribution.log_std_param.copy_(torch.tensor([9.0, -9.0, 0.0, math.log(0.4), 9.0, -9.0]))
    distribution.clamp()
    expected = torch.tensor([1.0, 0.1, 1.0, 0.4, 0.3, 0.02])
    torch.testing.assert_close(distribution.log_std_param.exp(), expected)
    made(OBSERVATIONS, stochastic_output=True)
    made.get_output_log_prob(torch.zeros(8, 6)).sum().backward()
    assert bool((distribution.log_std_param.grad != 0).all())


def test_only_the_critic_sees_what_is_privileged():
    assert actor().obs_dim == 3
    assert actor_critic.make_critic(OBSERVATIONS, [16]).obs_dim == 8
    plain = OBSERVATIONS.select("policy")
    assert actor_critic.make_critic(plain, [16]).obs_dim == 3


def test_an_outlier_is_clipped_after_the_normaliser():
    made = actor()
    with torch.no_grad():
        made.obs_normalizer._std.fill_(0.01)
    latent = made.get_latent(TensorDict({"policy": torch.tensor([[0.02, 1.0, -1e9]])}, batch_size=[1]))
    torch.testing.assert_close(latent, torch.tensor([[1.0, 5.0, -5.0]]))  # 0.02 / (0.01 + eps 0.01) = 1


def test_the_deployed_head_is_the_actors_mean_bit_for_bit():
    made = actor()
    with torch.no_grad():
        made.mlp[-1].weight.normal_()
    made.update_normalization(OBSERVATIONS)
    seen = OBSERVATIONS.clone()
    seen["policy"][0, 0] = 1e6  # clipped by both
    head = actor_critic.to_head(made, LAYOUT)
    with torch.no_grad():
        z = made(seen)
        expected = LAYOUT.decode(z, torch.zeros(8, 2, 2))
        got = head(seen["policy"], torch.zeros(8, 2, 2))
    assert float(z.abs().max()) > 0.1
    assert torch.equal(got.a_0, expected.a_0)
    assert torch.equal(got.a_r, expected.a_r)


def test_normalizer_is_frozen_after_its_samples():
    made = actor()
    actor_critic.freeze_normalizer_after(made, 8)
    made.update_normalization(OBSERVATIONS)
    frozen = made.obs_normalizer.mean
    torch.testing.assert_close(frozen, OBSERVATIONS["policy"].mean(dim=0))
    made.update_normalization(OBSERVATIONS.apply(lambda x: x + 10))
    assert torch.equal(made.obs_normalizer.mean, frozen)


def test_return_scale_is_the_deviation_of_discounted_returns_that_end_with_episodes():
    scale = ReturnScale(2, gamma=0.5)
    scale.observe(torch.tensor([1.0, 2.0]), torch.tensor([False, True]))  # G: 1, 2; the second ends
    scale.observe(torch.tensor([1.0, 4.0]), torch.tensor([False, False]))  # G: 1 + .5 x 1 = 1.5, 4
    assert float(scale.scale) == 1.0  # not before commit
    scale.commit()
    # mean of 1, 2, 1.5, 4 is 2.125; squared deviations 1.265625 + .015625 + .390625 + 3.515625 = 5.1875
    assert float(scale.scale) == pytest.approx(math.sqrt(5.1875 / 4))
    scale.restart()
    scale.observe(torch.tensor([0.0, 0.0]), torch.tensor([False, False]))
    assert not scale.running.any()


def test_return_scale_survives_a_task_without_reward():
    scale = ReturnScale(2, gamma=0.5)
    scale.observe(torch.zeros(2), torch.zeros(2, dtype=torch.bool))
    scale.commit()
    assert float(scale.scale) == 1.0


def test_guard_names_the_value_and_dumps_the_last_decisions(tmp_path):
    guard = NanGuard(length=2)
    guard.remember(reward=np.array([0.0, 0.0]))
    guard.restart(episode=np.array([7, 8]))
    assert guard.remember(reward=np.array([1.0, 1.0])) == ""
    assert guard.remember(reward=np.array([2.0, 2.0])) == ""
    assert "reward at (1,) is inf, environment 1" in guard.remember(reward=np.array([3.0, np.inf]))
    with np.load(guard.dump(tmp_path / "dump.npz"), allow_pickle=False) as dump:
        np.testing.assert_array_equal(dump["reward"], [[2.0, 2.0], [3.0, np.inf]])
        np.testing.assert_array_equal(dump["episode"], [7, 8])


def test_switches_turn_off_one_part_and_keep_the_other():
    noise = torch.full((1, 2, 2), 7.0)

    def steer(observation, given):
        return Steering(torch.ones(1, 2, 2), torch.full((1, 2, 2), 0.01))

    a_0, a_r, *_ = Switched(steer, residual=False)(torch.zeros(1, 3), noise)
    assert (float(a_0.mean()), float(a_r.abs().max())) == (1.0, 0.0)
    a_0, a_r, *_ = Switched(steer, noise="normal")(torch.zeros(1, 3), noise)
    assert (float(a_0.mean()), float(a_r.mean())) == (7.0, pytest.approx(0.01))
    a_0, a_r, *_ = Switched(steer, noise="zero")(torch.zeros(1, 3), noise)
    assert (float(a_0.abs().max()), float(a_r.mean())) == (0.0, pytest.approx(0.01))
    assert list(switches(IdentityModulation())) == [
        "full", "residual_off", "noise_off", "noise_zero", "base_normal", "base_zero",
    ]  # fmt: skip


def test_watched_policy_counts_norms_and_saturation():
    class Fixed:
        def act(self, observation, noise):
            from rfs_learning.policy import PolicyOutput

            a_0 = np.full((1, 2, 2), 3.0, np.float32)  # norm sqrt(4 x 9) = 6
            a_r = np.tile([0.005, -0.02], (1, 2, 1))  # shares .5 and 1: one of two is saturated
            return PolicyOutput(a_0, np.zeros((1, 2, 2)), a_r, a_r)

    watched = Watched(Fixed(), LAYOUT)
    output = watched.act(np.zeros((1, 3), np.float32), np.zeros((1, 2, 2), np.float32))
    np.testing.assert_allclose(residual_share(output, LAYOUT), [[0.5, 1.0]])
    figures = watched.figures()
    assert figures["a0_norm"] == pytest.approx(6.0)
    assert figures["residual_share"] == pytest.approx(0.75)
    assert figures["residual_saturated"] == pytest.approx(0.5)


def test_configuration_refuses_a_std_outside_its_range():
    with pytest.raises(ConfigError, match=r"noise_std is 1\.5, must lie in noise_std_range"):
        PpoTrainerConfig(noise_std=1.5)
    with pytest.raises(ConfigError, match="kl_band"):
        PpoTrainerConfig(kl_band=(0.1, 0.01))


@pytest.mark.parametrize(
    ("name", "most", "unit"),
    [("residual_position", 0.03, "m"), ("residual_rotation", 0.1, "rad"), ("residual_hand", 0.3, "rad")],
)
def test_no_configuration_trains_a_residual_that_no_gate_lets_through(name, most, unit):
    assert getattr(from_mapping(PpoTrainerConfig, {name: most}), name) == most
    with pytest.raises(ConfigError, match=rf"{name} .* is 0.31 {unit}, allowed: 0.0 to {most} {unit}"):
        from_mapping(PpoTrainerConfig, {name: 0.31})


def test_names_say_task_and_method():
    assert PpoTrainerConfig().checkpoint_name == "grasp_rfs"
    assert PpoTrainerConfig(modulation="noise", over="hand").checkpoint_name == "grasp_noise_hand"
    assert PpoTrainerConfig(name="mine").checkpoint_name == "mine"
