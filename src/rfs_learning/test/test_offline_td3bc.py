"""Offline RFS: Eq. 10 and 11 by hand, the frozen flow, and where a gradient goes."""

import math

import numpy as np
import pytest
import torch
from toy_offline import base, changed, recorded

from rfs_data.offline import OfflineDataError
from rfs_learning.critic import CriticEnsemble, critic_input
from rfs_learning.flow import FlowBase
from rfs_learning.integrator import Integrator
from rfs_learning.offline import actor, td3bc
from rfs_learning.offline.frozen_push import FrozenPush
from rfs_learning.offline.td3bc import Td3BcConfig
from rfs_learning.policy import Policy

SMALL = {"actor_width": 16, "critic_width": 16, "batch_size": 8, "gamma": 0.81}


def make(data=None, checkpoint=None, **settings):
    checkpoint = checkpoint or base()
    torch.manual_seed(0)
    return td3bc.make(
        Td3BcConfig(**{"critic_warmup": 0, "alpha": 2.5, "noise_bc": 0.0, **SMALL, **settings}),
        data or recorded(checkpoint),
        checkpoint,
    )


def constant(critic, values):
    """Make each critic of an ensemble the constant that stands for it in `values`."""
    with torch.no_grad():
        critic.weights[-1].zero_()
        critic.biases[-1].copy_(torch.tensor(values).view(-1, 1, 1))


@pytest.mark.parametrize(
    "integrator", [Integrator("euler", 10), Integrator("midpoint", 5), Integrator("euler", 1)]
)
def test_the_frozen_push_is_the_flows_own(integrator):
    flow = FlowBase.from_checkpoint(base(integrator=integrator))
    o, a_0 = torch.randn(7, 4), torch.randn(7, 2, 2)
    frozen = FrozenPush(flow)
    ours = frozen.push(frozen.context(flow.normalized(o)), a_0)
    torch.testing.assert_close(ours, flow.push(o, a_0), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "integrator", [Integrator("euler", 10), Integrator("midpoint", 5), Integrator("euler", 1)]
)
def test_the_frozen_push_has_the_gradient_of_automatic_differentiation(integrator):
    flow = FlowBase.from_checkpoint(base(integrator=integrator))
    o, a_0 = torch.randn(7, 4), torch.randn(7, 2, 2)
    weight = torch.randn(7, 2, 2)
    frozen = FrozenPush(flow)
    context = frozen.context(flow.normalized(o))
    gradients = []
    for push in (lambda noise: frozen.push(context, noise), lambda noise: flow.push(o, noise)):
        noise = a_0.clone().requires_grad_(True)
        (push(noise) * weight).sum().backward()
        gradients.append(noise.grad)
    assert float(gradients[1].abs().max()) > 0.01
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


def test_eq_10_bootstraps_from_the_lesser_target_critic_and_not_beyond_a_terminal_state():
    data = recorded(base(), episodes=1, decisions=3)
    terminated = np.array([False, False, True])
    td3 = make(changed(data, terminated=terminated, truncated=~terminated & False), value_clip=False)
    constant(td3.target_critic, [5.0, 3.0])
    constant(td3.critic, [1.0, 2.0])
    batch = td3.replay.take(torch.arange(3))
    loss, _ = td3.critic_loss(batch, torch.Generator())
    scale = td3.replay.reward_scale
    reward = [scale * (r[0] + math.sqrt(0.81) * r[1]) for r in data.reward.tolist()]
    target = np.array([reward[0] + 0.81 * 3.0, reward[1] + 0.81 * 3.0, reward[2]])
    expected = sum(((q - target) ** 2).mean() for q in (1.0, 2.0))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_time_limit_is_bootstrapped_unless_it_is_said_to_end_the_return():
    data = recorded(base(), episodes=2, decisions=3)
    assert data.truncated[[2, 5]].all()
    assert make(data).replay.discount.tolist() == pytest.approx([0.81] * 6)
    assert make(data, bootstrap=False).replay.discount.tolist() == pytest.approx([0.81, 0.81, 0.0] * 2)


def test_targets_are_clipped_to_what_the_rewards_make_possible():
    td3 = make()
    constant(td3.target_critic, [1e6, 1e6])
    _, figures = td3.critic_loss(td3.replay.take(torch.arange(4)), torch.Generator())
    # No reward is larger than the largest, for ever: r / (1 - gamma).
    highest = float(td3.replay.reward.max()) / (1 - 0.81)
    assert float(figures["critic/target"]) == pytest.approx(highest, rel=1e-5)


class _Linear:
    """Q = w . (composed action, normalised), for the first critic."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, seen):
        return seen[:, -4:] @ self.weight


def test_eq_11_divides_by_mean_q_with_a_floor_and_has_the_printed_form():
    for settings, factor in (
        ({"q_floor": 0.1}, lambda q: -2.5 / np.abs(q).mean()),
        ({"q_floor": 50.0}, lambda q: -2.5 / 50.0),
        ({"normalize_q": False, "lambda_bc": 3.0}, lambda q: -1.0),
    ):
        td3 = make(**settings)
        batch = td3.replay.take(torch.arange(8))
        td3.critic.first = _Linear(torch.tensor([1.0, -2.0, 3.0, 0.5]))
        loss, figures = td3.actor_loss(batch, torch.Generator())
        # The head starts at z = 0: a_hat = Push(o, 0, v), a_hat_r = 0.
        policy = Policy.from_checkpoint(base(), a0="zero")
        rows = td3.replay.at[:8]
        a_b = policy.act_on(td3.replay.seen[rows].numpy(), np.zeros((8, 2, 2), np.float32)).a
        q = (
            (a_b - td3.replay.mean.numpy()).reshape(8, 4)
            / np.tile(td3.replay.std.numpy(), 2)
            @ [1, -2, 3, 0.5]
        )
        imitation = float((batch.residual**2).mean())
        weight = settings.get("lambda_bc", 1.0)
        assert loss.item() == pytest.approx(factor(q) * q.mean() + weight * imitation, rel=1e-4)
        assert float(figures["actor/imitation"]) == pytest.approx(imitation, rel=1e-5)


@pytest.mark.parametrize("modulation", ["both", "noise", "residual"])
def test_a_decision_that_was_drawn_twice_counts_twice(modulation):
    # As printed, Eq. 11 is a mean over the batch: that of decisions 0, 0, 1 is a third of 2 L(0) + L(1).
    settings = {"normalize_q": False, "modulation": modulation, "noise_bc": 0.3, "base_a0": "zero"}
    td3 = make(**settings)
    with torch.no_grad():  # away from the zero initialisation, so that decisions differ
        for parameter in td3.actor.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    parameters = list(td3.actor.parameters())

    def loss_and_gradient(*rows):
        loss, _ = td3.actor_loss(td3.replay.take(torch.tensor(rows)), torch.Generator())
        return [loss.detach(), *torch.autograd.grad(loss, parameters)]

    both, first, second = loss_and_gradient(0, 1, 0), loss_and_gradient(0), loss_and_gradient(1)
    assert abs(first[0] - second[0]) > 1e-3
    for got, one, other in zip(both, first, second, strict=True):
        torch.testing.assert_close(got, (2 * one + other) / 3, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("what", ["composed", "residual", "residual_and_base"])
def test_the_critic_sees_what_it_is_told_to(what):
    o, a_b, a = torch.zeros(1, 1), torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[1.5], [2.0]]])
    mean, std, bound = torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([0.5])
    expected = {
        "composed": [0.0, 0.25, 0.5],
        "residual": [0.0, 1.0, 0.0],
        "residual_and_base": [0.0, 1.0, 0.0, 0.0, 0.5],
    }
    assert critic_input(what, o, a_b, a, mean, std, bound).tolist() == [expected[what]]


@pytest.mark.parametrize("what", ["composed", "residual", "residual_and_base"])
@pytest.mark.parametrize("modulation", ["both", "residual", "noise"])
def test_only_what_is_trained_gets_a_gradient(modulation, what):
    td3 = make(modulation=modulation, critic_input=what, alpha=1.0)
    with torch.no_grad():  # away from the zero initialisation, so that every layer can have a gradient
        for parameter in td3.actor.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    loss, _ = td3.actor_loss(td3.replay.take(torch.arange(8)), torch.Generator().manual_seed(0))
    last = td3.actor.layers[-1].weight
    (gradient,) = torch.autograd.grad(loss, [last])
    noise, residual, _ = torch.split(gradient.abs().sum(1), list(td3.layout.groups.values()))
    # A critic that does not see the base action can teach little about the noise: only where actions are
    # clipped.
    assert bool((noise > 0).all()) or what == "residual"
    assert bool((residual > 0).all())
    assert (len(noise), len(residual)) == {"both": (4, 2), "residual": (0, 2), "noise": (4, 0)}[modulation]
    assert all(not p.requires_grad for p in td3.replay.flow.parameters())


def test_a_step_of_the_actor_leaves_the_critics_alone_and_the_other_way_round():
    td3 = make(policy_delay=2)
    generator = torch.Generator().manual_seed(0)
    td3.update(generator)  # critics and actor
    actor_before = [p.clone() for p in td3.actor.parameters()]
    critic_before = [p.clone() for p in td3.critic.parameters()]
    td3.update(generator)  # critics only
    assert all(torch.equal(a, b) for a, b in zip(actor_before, td3.actor.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(critic_before, td3.critic.parameters(), strict=True))


def test_the_residual_of_the_data_is_what_was_added_within_the_specs_bounds():
    checkpoint = base()
    data = recorded(checkpoint, episodes=1, decisions=1)
    # The base asks for 0.2 where 0.1 is the limit, the human adds nothing: no residual to imitate.
    a_b = np.full_like(data.a_b, 0.2)
    executed = np.full_like(data.executed, 0.1)
    td3 = make(changed(data, a_b=a_b, executed=executed), checkpoint, missing_noise="invert")
    assert td3.replay.residual.tolist() == [[0.0, 0.0]]
    # A correction of -0.02 and -0.04 of a bound of 0.05: -0.4 and -0.8, their mean.
    executed = np.array([[[0.08, 0.1], [0.06, 0.1]]], np.float32)
    td3 = make(changed(data, a_b=np.full_like(a_b, 0.1), executed=executed), checkpoint)
    np.testing.assert_allclose(td3.replay.residual.numpy(), [[-0.6, 0.0]], atol=1e-6)


def held():
    """Two decisions: a person adds 0.01 to the first value, then the gate holds at 0 for three steps."""
    data = recorded(base(), episodes=1, decisions=2)
    a_b = np.array([[[0.05, 0.06], [0.05, 0.06]], [[0.05, 0.06], [0.05, 0.06]]], np.float32)
    executed = np.array([[[0.06, 0.06], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    own = np.array([[True, False], [False, False]])
    return changed(data, a_b=a_b, executed=executed, own=own)


def test_what_the_gate_held_is_nobodys_correction_and_is_not_imitated():
    data = held()
    td3 = make(data)
    # Only the first value was ever corrected; -0.06 of the other was the gate's.
    assert td3.layout.residual_values == [0]
    assert make(changed(data, own=data.mask)).layout.residual_values == [0, 1]
    # 0.01 of a bound of 0.05 in the only step of the decision's own.
    np.testing.assert_allclose(td3.replay.residual[:, 0].numpy(), [0.2, 0.0], atol=1e-6)
    # A head that has learned nothing puts out a_r = 0: of two decisions one is imitated, 0.2 away.
    _, figures = td3.actor_loss(td3.replay.take(torch.arange(2)), torch.Generator())
    assert float(figures["actor/imitation"]) == pytest.approx(0.2**2 / 2, rel=1e-5)
    with torch.no_grad():  # now it puts out 0.5 of the bound: 0.3 away in the first, nowhere in the second
        td3.actor.layers[-1].bias[-1] = 0.5
    _, figures = td3.actor_loss(td3.replay.take(torch.arange(2)), torch.Generator())
    assert float(figures["actor/imitation"]) == pytest.approx(0.3**2 / 2, rel=1e-5)


def test_the_critic_learns_from_what_the_gate_held():
    td3, data = make(held()), held()
    np.testing.assert_array_equal(td3.replay.take(torch.arange(2)).a.numpy(), data.executed)


def test_noise_of_another_base_policy_is_inverted_or_refused():
    recorded_with, trained_on = base(seed=0), base(seed=1)
    data = recorded(recorded_with)
    assert make(data, recorded_with).replay.noise.inverted == 0
    found = make(data, trained_on).replay
    assert found.noise.inverted == len(found)
    assert found.noise.error < 1e-5
    with pytest.raises(OfflineDataError, match=r"30 of 30 decisions.*toy@"):
        make(data, trained_on, missing_noise="refuse")


def test_a_steered_checkpoint_is_gone_on_from_within_the_new_bounds():
    checkpoint = base()
    first = make(recorded(checkpoint), checkpoint, residual_hand=0.1)
    with torch.no_grad():
        for parameter in first.actor.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    steered = first.checkpoint(checkpoint, name="first")
    again = make(recorded(checkpoint), steered)  # residual_hand 0.05
    o, noise = (
        np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32),
        np.zeros((9, 2, 2), np.float32),
    )
    one = Policy.from_checkpoint(steered).act(o, noise)
    two = Policy.from_checkpoint(again.checkpoint(steered, name="again")).act(o, noise)
    np.testing.assert_array_equal(two.a_0, one.a_0)
    np.testing.assert_allclose(two.a_r, np.clip(one.a_r, -0.05, 0.05), atol=1e-7)
    zero = make(recorded(checkpoint), steered, start="zero").checkpoint(steered, name="zero")
    assert not Policy.from_checkpoint(zero).act(o, noise).a_r.any()
    assert not make(recorded(checkpoint), steered, modulation="residual").actor.layers[-1].weight.any()
    with pytest.raises(OfflineDataError, match="has no head to start at"):
        make(recorded(checkpoint), checkpoint, start="head")


def test_what_has_run_past_a_bound_can_come_back():
    x = torch.tensor([2.0, 2.0, -2.0, -2.0, 0.5], requires_grad=True)
    y = actor.inward_clamp(x, 1.0)
    assert y.tolist() == [1.0, 1.0, -1.0, -1.0, 0.5]
    # Descent moves against the gradient: +1 pulls the first one back in, -1 would push the second further
    # out.
    y.backward(torch.tensor([1.0, -1.0, 1.0, -1.0, 3.0]))
    assert x.grad.tolist() == [1.0, 0.0, 0.0, -1.0, 3.0]


def test_the_ensemble_is_its_members():
    torch.manual_seed(0)
    critic, x = CriticEnsemble(5, 8, 2, count=3), torch.randn(6, 5)
    for k in range(3):
        y = x
        for w, b, g in zip(critic.weights[:-1], critic.biases[:-1], critic.gains, strict=True):
            y = torch.relu(torch.nn.functional.layer_norm(y @ w[k] + b[k], (8,)) * g[k])
        y = (y @ critic.weights[-1][k] + critic.biases[-1][k])[:, 0]
        torch.testing.assert_close(critic(x)[k], y)
    torch.testing.assert_close(critic.first(x), critic(x)[0])


def test_it_learns_to_walk_to_the_goal_from_corrections():
    # The base policy knows nothing; the human's residual leads half of the way to the goal at each step.
    checkpoint = base()
    td3 = make(recorded(checkpoint, episodes=40), checkpoint, batch_size=64, learning_rate=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        td3.update(generator)
    policy = Policy.from_checkpoint(td3.checkpoint(checkpoint), a0="zero")
    o = np.array([[-0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, -0.5]], np.float32)
    a_r = policy.act(o, np.zeros((2, 2, 2), np.float32)).a_r[:, 0]
    assert a_r[0, 0] > 0.03, a_r
    assert a_r[1, 1] < -0.03, a_r


@pytest.mark.parametrize("target", ["recorded", "zero"])
def test_the_term_on_a_0_is_its_mean_square_distance_to_where_it_is_drawn(target):
    free, drawn = (make(noise_bc=weight, noise_bc_target=target) for weight in (0.0, 0.5))
    batch = free.replay.take(torch.arange(4))
    losses = [td3.actor_loss(batch, torch.Generator().manual_seed(0))[0] for td3 in (free, drawn)]
    # A head that has learned nothing puts out a_0 = 0.
    expected = 0.5 * (batch.a_0**2).mean() if target == "recorded" else torch.zeros(())
    torch.testing.assert_close(losses[1] - losses[0], expected, atol=1e-6, rtol=1e-5)


def test_what_failed_is_not_imitated_where_only_successful_episodes_are():
    # Of these two episodes of five decisions the first succeeds: half of the batch is imitated.
    data = recorded(base(), episodes=2)
    settings = {"noise_bc": 0.5, "alpha": 0.0, "imitate": "successful"}
    td3 = make(data, **settings)
    batch = td3.replay.take(torch.arange(10))
    loss, figures = td3.actor_loss(batch, torch.Generator().manual_seed(0))
    # A head that has learned nothing puts out a_0 = 0 and a_r = 0.
    residual, noise = (batch.residual[:5] ** 2).mean() / 2, (batch.a_0[:5] ** 2).mean() / 2
    torch.testing.assert_close(figures["actor/imitation"], residual, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(loss, residual + 0.5 * noise, atol=1e-6, rtol=1e-5)
