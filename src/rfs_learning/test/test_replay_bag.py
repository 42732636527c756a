"""Recorded episodes through a policy: errors, agreement, Q and what the gate would do, by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_offline import BOUND, base, recorded

from rfs_core.errors import RfsError
from rfs_data.episode import Episode
from rfs_learning import container
from rfs_learning.offline import replay_bag, td3bc
from rfs_learning.offline.saved_critic import SavedCritic
from rfs_learning.offline.td3bc import Td3BcConfig
from rfs_learning.policy import Policy

CHECKPOINT = base()


def episode(**changes):
    """One recorded episode of 5 decisions as a bag gives it."""
    data = recorded(CHECKPOINT, episodes=1)
    output = Policy.from_checkpoint(CHECKPOINT).act(data.seen[data.at], data.a_0)
    last = data.truncated
    fields = {
        "path": Path("bags/one"),
        "header": {"episode": {"outcome": "failure"}},
        "stamp": np.arange(6, dtype=np.int64),
        "observation": data.seen,
        "a_0": data.a_0,
        "a_b": output.a_b,
        "a_r": output.a_r,
        "human": data.human.astype(np.float64),
        "executed": data.executed.astype(np.float64),
        "a": output.a,
        "engaged": data.engaged,
        "mask": data.mask,
        "own": data.own,
        "verified": data.mask,
        "reward": data.reward.astype(np.float64),
        "reward_valid": data.mask,
        "terminated": data.terminated,
        "truncated": last,
        "success": np.zeros(5, bool),
    }
    return Episode(**{**fields, **changes})


def test_the_policy_that_acted_errs_by_what_the_human_added_and_explains_nothing():
    one = episode()
    replayed = replay_bag.replay(Policy.from_checkpoint(CHECKPOINT), one)
    expected = np.abs(one.executed - one.a).mean(axis=(1, 2))
    np.testing.assert_allclose(replayed.error[:, 0], expected, atol=1e-6)
    assert replayed.corrected.all()
    assert replayed.explained == pytest.approx(0.0, abs=1e-4)
    assert replayed.summary()["decisions"] == 5


def test_a_policy_that_does_what_the_human_did_explains_all_of_it():
    td3 = td3bc.make(
        Td3BcConfig(actor_width=8, critic_width=8, modulation="residual"), recorded(CHECKPOINT), CHECKPOINT
    )
    with torch.no_grad():  # always the whole bound along both values
        td3.actor.layers[-1].bias.fill_(1.0)
    policy = Policy.from_checkpoint(td3.checkpoint(CHECKPOINT))
    plain = episode(a_b=np.zeros((5, 2, 2)))
    flow = Policy.from_checkpoint(CHECKPOINT).act(plain.observation[:5], plain.a_0)
    done = np.clip(flow.a_b + BOUND, -0.1, 0.1)
    one = episode(a_b=flow.a_b, executed=done)
    replayed = replay_bag.replay(policy, one)
    np.testing.assert_allclose(replayed.error, 0.0, atol=1e-6)
    assert replayed.explained == pytest.approx(1.0)
    assert np.nanmin(replayed.cosine) == pytest.approx(1.0)


def test_steps_that_were_not_executed_do_not_count():
    one = episode()
    mask = one.mask.copy()
    mask[-1, 1] = False
    executed = one.executed.copy()
    executed[-1, 1] = 0.09
    replayed = replay_bag.replay(Policy.from_checkpoint(CHECKPOINT), episode(mask=mask, executed=executed))
    assert replayed.error[-1, 0] == pytest.approx(np.abs(one.executed - one.a)[-1, 0].mean(), abs=1e-6)


def test_the_gate_is_told_of_clipped_actions():
    one = episode()
    replayed = replay_bag.replay(Policy.from_checkpoint(CHECKPOINT), one)
    beyond = (np.abs(one.a_b) > 0.1 + 1e-6).any(axis=-1)
    assert replayed.gate["action clipped"] == int(beyond.sum())
    assert replayed.gate["refused, not finite"] == 0


def test_a_saved_critic_answers_as_the_trained_one_in_units_of_the_reward(tmp_path):
    data = recorded(CHECKPOINT)
    for what in ("composed", "residual_and_base"):
        torch.manual_seed(1)
        config = Td3BcConfig(actor_width=8, critic_width=8, critic_input=what, bootstrap=False)
        td3 = td3bc.make(config, data, CHECKPOINT)
        td3.save_critic(tmp_path / "critic.safetensors")
        saved = SavedCritic(tmp_path / "critic.safetensors")
        features = Policy.from_checkpoint(CHECKPOINT).encode(data.seen[data.at])
        ours = saved.q(features, data.a_b, data.executed, data.elapsed)
        batch = td3.replay.take(torch.arange(len(data.at)))
        seen = td3._seen(td3.features[td3.replay.at], batch.time[:, 0], batch.a_b, batch.a)
        wanted = td3.critic(seen).amin(0).detach().numpy() / td3.replay.reward_scale
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)
    container.write(tmp_path / "other.safetensors", {"kind": "x"}, {"a": torch.zeros(1)})
    with pytest.raises(RfsError, match=r"needs 'offline_critic': give RUN_DIR/critic.safetensors"):
        SavedCritic(tmp_path / "other.safetensors")


def steered():
    """A checkpoint with a head whose normaliser is not that of the recorded observations."""
    torch.manual_seed(2)
    td3 = td3bc.make(Td3BcConfig(actor_width=8, critic_width=8), recorded(CHECKPOINT), CHECKPOINT)
    td3.actor.observation_normalizer.mean.fill_(1.0)
    td3.actor.observation_normalizer.std.fill_(2.0)
    return td3.checkpoint(CHECKPOINT, name="steered")


def test_a_critic_trained_from_a_head_is_saved_with_that_heads_normaliser(tmp_path):
    data, start = recorded(CHECKPOINT), steered()
    torch.manual_seed(1)
    td3 = td3bc.make(Td3BcConfig(actor_width=8, critic_width=8), data, start)
    td3.save_critic(tmp_path / "critic.safetensors")
    saved = SavedCritic(tmp_path / "critic.safetensors")
    # The head sees (s - 1) / 2; the action stands beside it normalised by the flow, nothing is timed.
    seen = torch.from_numpy(data.seen[data.at])
    action = (torch.from_numpy(data.executed) - td3.replay.mean) / td3.replay.std
    q = td3.critic(torch.cat([(seen - 1) / 2, action.flatten(1)], dim=1))
    wanted = q.amin(0).detach().numpy() / td3.replay.reward_scale
    ours = saved.q(data.seen[data.at], data.a_b, data.executed, data.elapsed)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)


def test_a_critic_of_another_format_task_or_spec_is_refused(tmp_path):
    path = tmp_path / "critic.safetensors"
    td3 = td3bc.make(Td3BcConfig(actor_width=8, critic_width=8), recorded(CHECKPOINT), CHECKPOINT)
    td3.save_critic(path)
    saved = SavedCritic(path)
    saved.require_fits(CHECKPOINT.header)
    with pytest.raises(RfsError, match=r"is of task 'point', the policy of 'pour': give the critic"):
        saved.require_fits(dataclasses.replace(CHECKPOINT.header, task="pour"))
    longer = dataclasses.replace(CHECKPOINT.header.action_spec, horizon=3)
    with pytest.raises(RfsError, match=r"action of .* and the policy .*horizon"):
        saved.require_fits(dataclasses.replace(CHECKPOINT.header, action_spec=longer))
    header, tensors = container.read(path)
    container.write(path, {**header, "format_version": 1}, tensors)
    with pytest.raises(RfsError, match=r"format_version 1, this program reads 2: .* resume:=true"):
        SavedCritic(path)


def test_a_picture_is_drawn_with_and_without_a_critic(tmp_path):
    td3 = td3bc.make(Td3BcConfig(actor_width=8, critic_width=8), recorded(CHECKPOINT), CHECKPOINT)
    td3.save_critic(tmp_path / "critic.safetensors")
    policy, critic = Policy.from_checkpoint(CHECKPOINT), SavedCritic(tmp_path / "critic.safetensors")
    replay_bag.plot([replay_bag.replay(policy, episode(), critic)], tmp_path / "with.png")
    replay_bag.plot([replay_bag.replay(policy, episode())] * 5, tmp_path / "without.png")
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("with.png", "without.png"))


def test_a_folder_without_a_bag_for_the_policy_is_one_sentence(tmp_path, capsys):
    from rfs_learning import checkpoint

    checkpoint.save(tmp_path / "base.safetensors", CHECKPOINT)
    with pytest.raises(SystemExit) as ended:
        replay_bag.main([str(tmp_path), "--checkpoint", str(tmp_path / "base.safetensors")])
    assert ended.value.code == 1
    assert "no bag that this policy can be played through" in capsys.readouterr().err
