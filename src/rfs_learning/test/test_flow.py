import dataclasses

import pytest
import torch
from torch import nn

from rfs_core.specs import ActionSpec
from rfs_learning.checkpoint import Checkpoint, CheckpointError
from rfs_learning.flow import FlowBase, flow_matching_loss
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture


class Recorder(nn.Module):
    """A velocity field that is 1 everywhere and remembers where it was asked."""

    def forward(self, a_t, t, s):
        self.asked = a_t, t, s
        return torch.ones_like(a_t)


def test_loss_is_the_mean_square_of_v_minus_a_minus_a_0():
    v = Recorder()
    a, a_0 = torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    t, s = torch.tensor([[0.25], [0.5]]), torch.tensor([[9.0], [8.0]])
    # a - a_0 = [[1, 1], [-1, 3]]; v - (a - a_0) = [[0, 0], [2, -2]]; mean of squares 8 / 4 = 2.
    assert flow_matching_loss(v, a, s, a_0, t).item() == pytest.approx(2.0)
    # a_t = (1 - t) a_0 + t a: row 0: .75 [0, 1] + .25 [1, 2]; row 1: .5 [1, 1] + .5 [0, 4].
    torch.testing.assert_close(v.asked[0], torch.tensor([[0.25, 1.25], [0.5, 2.5]]))
    assert torch.equal(v.asked[1], t)
    assert torch.equal(v.asked[2], s)


def _still_flow() -> FlowBase:
    """A flow whose velocity is 0 and whose actions have mean (1, 2) and std (10, 100)."""
    flow = FlowBase(MlpArchitecture(3, 4, hidden_width=4, hidden_layers=1), Integrator("euler", 3), horizon=2)
    last = flow.velocity.layers[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    flow.action_normalizer.mean.copy_(torch.tensor([1.0, 2.0]))
    flow.action_normalizer.std.copy_(torch.tensor([10.0, 100.0]))
    return flow


def test_push_without_velocity_is_the_noise_in_physical_units():
    a_0 = torch.tensor([[[1.0, -1.0], [0.5, 0.0]]])
    want = torch.tensor([[[11.0, -98.0], [6.0, 2.0]]])  # mean + std * a_0, step by step
    torch.testing.assert_close(_still_flow().push(torch.zeros(1, 3), a_0), want)


def test_loss_normalizes_the_chunk_before_comparing():
    # Chunk = mean + std * 1 everywhere, a_0 = 0, v = 0: error 1 in every value.
    chunk = torch.tensor([[[11.0, 102.0], [11.0, 102.0]]])
    loss = _still_flow().loss(torch.zeros(1, 3), chunk, torch.zeros(1, 2, 2), torch.tensor([[0.3]]))
    assert loss.item() == pytest.approx(1.0)


def test_a_trained_flow_reproduces_two_modes_that_the_noise_chooses_between():
    # One observation, two demonstrated actions -1 and +1: the sign of a_0 must decide, not their mean.
    torch.manual_seed(0)
    flow = FlowBase(
        MlpArchitecture(1, 1, hidden_width=64, hidden_layers=2), Integrator("euler", 20), horizon=1
    )
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    for _ in range(500):
        a = torch.sign(torch.randn(256, 1, 1))
        loss = flow.loss(torch.zeros(256, 1), a, torch.randn(256, 1, 1), torch.rand(256, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    a_0 = torch.tensor([-1.5, -0.7, 0.7, 1.5]).view(4, 1, 1)
    a = flow.push(torch.zeros(4, 1), a_0).flatten()
    torch.testing.assert_close(a, torch.tensor([-1.0, -1.0, 1.0, 1.0]), atol=0.2, rtol=0)


def test_a_checkpoint_gives_back_the_same_flow(toy_checkpoint):
    flow = FlowBase.from_checkpoint(toy_checkpoint())
    again = FlowBase.from_checkpoint(flow.to_checkpoint(toy_checkpoint().header))
    s, a_0 = torch.randn(5, 4), torch.randn(5, 2, 2)
    assert torch.equal(flow.push(s, a_0), again.push(s, a_0))
    assert not any(parameter.requires_grad for parameter in flow.parameters())


def test_tensors_that_do_not_fit_their_header_are_refused(toy_checkpoint, action_spec):
    checkpoint = toy_checkpoint()
    missing = {k: v for k, v in checkpoint.tensors.items() if k != "velocity.layers.0.bias"}
    with pytest.raises(CheckpointError, match=r"velocity.layers.0.bias is missing, .* needs \(16,\)"):
        FlowBase.from_checkpoint(Checkpoint(checkpoint.header, missing))
    longer = ActionSpec(action_spec.parts, action_spec.control_dt, horizon=3)
    header = dataclasses.replace(checkpoint.header, action_spec=longer)
    with pytest.raises(CheckpointError, match="chunk_size 4, its specs have 6"):
        FlowBase.from_checkpoint(Checkpoint(header, checkpoint.tensors))


def test_observations_far_outside_the_demonstrations_are_clipped():
    flow = _still_flow()
    got = flow.normalized(torch.tensor([[200.0, -200.0, 4.0]]))  # mean 0, std 1, clip 5
    assert torch.equal(got, torch.tensor([[5.0, -5.0, 4.0]]))
