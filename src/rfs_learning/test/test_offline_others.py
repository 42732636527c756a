"""IQL, imitation and best of N: their losses by hand, and that their products are policies."""

import numpy as np
import pytest
import torch
from test_point_encoder import observations, points_checkpoint
from toy_offline import base, changed, recorded, toy

from rfs_core.config import from_mapping
from rfs_core.errors import RfsError
from rfs_data import offline
from rfs_data.offline import OfflineDataError
from rfs_learning import checkpoint
from rfs_learning.best_of_n import BestOfN
from rfs_learning.checkpoint import CheckpointError
from rfs_learning.offline import bc, benchmark, iql, td3bc
from rfs_learning.offline.bc import BcConfig
from rfs_learning.offline.iql import IqlConfig
from rfs_learning.offline.runner import OfflineRunner
from rfs_learning.offline.td3bc import Td3BcConfig
from rfs_learning.policy import Policy

SMALL = {"actor_width": 16, "critic_width": 16, "batch_size": 8, "gamma": 0.81}


def make_iql(data=None, **settings):
    torch.manual_seed(0)
    return iql.make(IqlConfig(**{**SMALL, **settings}), data or recorded(base()), base())


def constant(critic, values):
    with torch.no_grad():
        critic.weights[-1].zero_()
        critic.biases[-1].copy_(torch.tensor(values).view(-1, 1, 1))


def test_iql_values_are_an_expectile_and_critics_follow_them():
    learner = make_iql(expectile=0.7, beta=2.0, value_clip=False)
    constant(learner.target_critic, [5.0, 3.0])
    constant(learner.value, [1.0])
    constant(learner.critic, [0.5, 0.0])
    batch = learner.replay.take(torch.tensor([0, 1]))
    losses, _ = learner.losses(batch)
    # The lesser target critic is 3, above V = 1: weight 0.7.
    assert losses["value/loss"].item() == pytest.approx(0.7 * 2.0**2)
    target = batch.reward.numpy() + 0.81 * 1.0
    assert losses["critic/loss"].item() == pytest.approx(
        ((0.5 - target) ** 2).mean() + (target**2).mean(), rel=1e-5
    )
    # The head starts at zero; exp(2 * 2) is below the largest weight of 100.
    distance = (batch.a_0.flatten(1).numpy() ** 2).mean(1) + (batch.residual.numpy() ** 2).mean(1)
    assert losses["actor/loss"].item() == pytest.approx((np.exp(4.0) * distance).mean(), rel=1e-5)
    constant(learner.value, [4.0])
    losses, _ = learner.losses(batch)
    assert losses["value/loss"].item() == pytest.approx(0.3 * 1.0**2, rel=1e-5)


def test_iql_does_not_regress_to_what_the_gate_held():
    data = recorded(base())
    own = np.ones_like(data.mask)
    own[0] = False
    learner = make_iql(changed(data, own=own), beta=0.0)
    batch = learner.replay.take(torch.tensor([0, 1]))
    # beta = 0: every weight is 1; the head puts out zeros, so that distances are mean squares.
    losses, _ = learner.losses(batch)
    noise = (batch.a_0.flatten(1).numpy() ** 2).mean(1)
    residual = (batch.residual.numpy() ** 2).mean(1)
    assert residual[0] == 0.0
    assert losses["actor/loss"].item() == pytest.approx((noise[0] + noise[1] + residual[1]) / 2, rel=1e-5)
    with torch.no_grad():  # a residual of half the bound: nothing pulls that of decision 0 back to 0
        learner.actor.layers[-1].bias[-2:] = 0.5
    away = ((0.5 - batch.residual[1].numpy()) ** 2).mean()
    losses, _ = learner.losses(batch)
    assert losses["actor/loss"].item() == pytest.approx((noise[0] + noise[1] + away) / 2, rel=1e-5)


def test_iql_has_no_setting_that_it_does_not_read():
    # It starts at the base policy always.
    with pytest.raises(RfsError, match="start"):
        from_mapping(IqlConfig, {"start": "head"})


def test_imitation_learns_what_was_executed_of_the_chosen_episodes():
    checkpoint_ = base()
    data = recorded(checkpoint_, episodes=8)
    learner = bc.make(BcConfig(batch_size=64, learning_rate=3e-3, ema_decay=0.9), data, checkpoint_)
    assert len(learner._real[0]) == 4 * 5  # every other episode succeeded
    generator = torch.Generator().manual_seed(0)
    losses = [learner.update(generator)["loss"] for _ in range(200)]
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])
    product = learner.checkpoint(checkpoint_, name="tuned")
    assert (product.header.kind, product.header.name) == ("flow_base", "tuned")
    assert set(product.tensors) == set(checkpoint_.tensors)
    unchanged = {n for n in product.tensors if torch.equal(product.tensors[n], checkpoint_.tensors[n])}
    assert unchanged == {n for n in checkpoint_.tensors if not n.startswith("velocity.")}


def test_imitation_leaves_out_chunks_that_were_cut_short_and_needs_something_to_imitate():
    data = recorded(base(), episodes=1)
    mask = data.mask.copy()
    mask[-1, 1] = False
    assert len(bc.make(BcConfig(), changed(data, mask=mask), base())._real[0]) == 4
    # Nor is what the gate held while a decision was late.
    assert len(bc.make(BcConfig(), changed(data, own=mask), base())._real[0]) == 4
    failed = changed(data, used=tuple(s.__class__(**{**s.__dict__, "success": False}) for s in data.used))
    with pytest.raises(OfflineDataError, match="nothing to imitate"):
        bc.make(BcConfig(), failed, base())
    assert len(bc.make(BcConfig(episodes="all"), failed, base())._real[0]) == 5


def test_co_training_takes_its_share_from_simulation(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "ACTION", base().header.action_spec)
    demos = toy.write_demos(tmp_path / "demos.npz")
    config = BcConfig(batch_size=8, simulation=str(demos), simulation_share=0.25)
    learner = bc.make(config, recorded(base()), base())
    learner._real[1].fill_(0.0)
    learner._simulated[1].fill_(1.0)
    _, a = learner._draw(torch.Generator().manual_seed(0))
    assert a[:, 0].tolist() == [0.0] * 6 + [1.0] * 2
    assert config.method == "co_training"
    with pytest.raises(RfsError, match="no such file"):
        bc.make(BcConfig(simulation="absent.npz"), recorded(base()), base())


def best_of(critic_likes, candidates=16):
    """A chooser whose critic is the given direction of the normalised chunk."""
    learner = make_iql(extract="best_of_n", critic_width=4, critic_layers=1, candidates=candidates)
    product = learner.checkpoint(base(), name="best")
    best = BestOfN.from_checkpoint(product)
    best.critic.forward = lambda x: (x[:, -4:] @ critic_likes)[None]
    return best, product


def test_best_of_n_takes_the_candidate_that_the_critic_likes_best_and_the_given_noise_is_one():
    likes = torch.tensor([1.0, 0.0, 0.0, 0.0])
    best, _ = best_of(likes)
    o, noise = torch.randn(6, 4), torch.randn(6, 2, 2)
    chosen = best(o, noise)
    candidates = best.candidates(noise)
    assert candidates.shape == (6, 16, 2, 2)
    assert torch.equal(candidates[:, 0], noise)
    flow = best._flow[0]
    for i in range(6):
        pushed = flow.push_features(o[i].expand(16, -1), candidates[i])
        wanted = int((flow.action_normalizer.normalize(pushed).flatten(1) @ likes).argmax())
        torch.testing.assert_close(chosen.a_0[i], candidates[i, wanted])
    assert not chosen.a_r.any()
    # N(0, I) again: sums of two over the root of two.
    many = best.candidates(torch.randn(4000, 2, 2))[:, 5]
    assert float(many.var()) == pytest.approx(0.5 + float(best.draws[5].var(unbiased=False)) / 2, abs=0.1)


def test_best_of_n_is_a_checkpoint_that_policy_runs_and_a_tampered_one_is_refused(tmp_path):
    _, product = best_of(torch.ones(4))
    path = tmp_path / "best.safetensors"
    checkpoint.save(path, product)
    policy = Policy.load(path)
    o, noise = np.zeros((3, 4), np.float32), np.ones((3, 2, 2), np.float32)
    first, again = policy.act(o, noise), policy.act(o, noise)
    np.testing.assert_array_equal(first.a, again.a)
    assert policy.noise_source == "best of N"
    architecture = {**product.header.architecture, "best_of_n": {**product.header.architecture["best_of_n"]}}
    architecture["best_of_n"]["width"] = 5
    header = product.header.__class__(**{**product.header.__dict__, "architecture": architecture})
    with pytest.raises(CheckpointError, match="not what its architecture needs"):
        Policy.from_checkpoint(checkpoint.Checkpoint(header, product.tensors))


@pytest.mark.parametrize(
    ("config", "make", "kind"),
    [
        (IqlConfig(**SMALL), iql.make, "rfs"),
        (IqlConfig(**SMALL, extract="best_of_n", candidates=4), iql.make, "best_of_n"),
        (BcConfig(batch_size=8), bc.make, "flow_base"),
    ],
)
def test_each_resumes_to_the_same_bits_and_is_run_by_policy(tmp_path, config, make, kind):
    checkpoint.save(tmp_path / "base.safetensors", base())
    offline.save(recorded(base()), tmp_path / "data.npz", {})
    given = {
        "bags": str(tmp_path / "data.npz"),
        "checkpoint": str(tmp_path / "base.safetensors"),
        "steps": 20,
    }

    def start(folder, **more):
        settings = {**config.__dict__, **given, "run_dir": str(tmp_path / folder), **more}
        return OfflineRunner(config.__class__(**settings), make, "test")

    whole = start("whole")
    path = whole.run()
    whole.close()
    cut = start("cut")
    cut.advance(13)
    cut.save()
    cut.close()
    again = start("cut", resume=True)
    other = again.run()
    again.close()
    one, two = checkpoint.load(path), checkpoint.load(other)
    assert one.header.kind == kind
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    output = Policy.load(path).act(np.zeros((3, 4), np.float32), np.ones((3, 2, 2), np.float32))
    assert np.isfinite(output.a).all()


@pytest.mark.parametrize(
    ("config", "make"),
    [
        (Td3BcConfig(**SMALL), td3bc.make),
        (IqlConfig(**SMALL, extract="best_of_n", candidates=3), iql.make),
        (BcConfig(batch_size=8), bc.make),
    ],
)
def test_clouds_are_encoded_once_and_train_like_states(config, make, monkeypatch):
    cloud = points_checkpoint()
    data = benchmark.made_up(cloud, episodes=2, decisions=3)
    data = changed(data, seen=observations(len(data.seen)))
    torch.manual_seed(0)
    learner = make(config, data, cloud)
    monkeypatch.setattr(Policy, "encode", lambda *_: pytest.fail("a cloud was encoded again"))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        figures = learner.update(generator)
    assert np.isfinite(list(figures.values())).all()
    policy = Policy.from_checkpoint(learner.checkpoint(cloud, name="cloud"))
    assert np.isfinite(policy.act(data.seen[:2], data.a_0[:2]).a).all()
