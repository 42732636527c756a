"""Noise inversion: exact where the inverse is known, and honest where it is not."""

import numpy as np
import pytest
import torch
from toy_offline import base, fingers_only

from rfs_learning.flow import FlowBase
from rfs_learning.integrator import Integrator
from rfs_learning.inversion import InversionError, invert, invert_push, optimize

EULER, MIDPOINT = Integrator("euler", 5), Integrator("midpoint", 5)


def affine(seed=0, size=6):
    """v = M x + c t + s with a rather large M, and its inverse step by step."""
    generator = torch.Generator().manual_seed(seed)
    m = torch.randn(size, size, generator=generator, dtype=torch.float64)
    c = torch.randn(size, generator=generator, dtype=torch.float64)

    def field(x, t, s):
        return x @ m.T.to(x.dtype) + c.to(x.dtype) * t + s

    return field, m, c


@pytest.mark.parametrize("integrator", [EULER, MIDPOINT])
def test_an_affine_flow_is_inverted_to_1e_8_whose_inverse_is_known(integrator):
    field, m, c = affine()
    s = torch.randn(40, 6, dtype=torch.float64)
    a_0 = torch.randn(40, 6, dtype=torch.float64)
    a = integrator.push(lambda x, t: field(x, t, s), a_0)
    # By hand: Euler x' = (1 + hM) x + h (c t + s); midpoint x' = (1 + hM + h^2/2 M^2) x
    # + h (c (t + h/2) + s) + h^2/2 M (c t + s). Solved backwards, step by step.
    x, h, one = a.clone(), 1 / 5, torch.eye(6, dtype=torch.float64)
    for k in reversed(range(5)):
        t = k * h
        if integrator is EULER:
            matrix, rest = one + h * m, h * (c * t + s)
        else:
            matrix = one + h * m + h**2 / 2 * m @ m
            rest = h * (c * (t + h / 2) + s) + h**2 / 2 * (c * t + s) @ m.T
        x = torch.linalg.solve(matrix, (x - rest).T).T
    np.testing.assert_allclose(x, a_0, atol=1e-8)
    found = invert_push(field, integrator, s, a)
    np.testing.assert_allclose(found, x, atol=1e-8)


def test_reverse_time_euler_is_not_the_inverse():
    field, _, _ = affine()
    s, a_0 = torch.zeros(40, 6, dtype=torch.float64), torch.randn(40, 6, dtype=torch.float64)
    a = EULER.push(lambda x, t: field(x, t, s), a_0)
    x = a
    for k in reversed(range(5)):
        x = x - (1 / 5) * field(x, torch.full((40, 1), (k + 1) / 5, dtype=torch.float64), s)
    assert float((x - a_0).abs().max()) > 0.1
    assert float((invert_push(field, EULER, s, a) - a_0).abs().max()) < 1e-8


def test_a_flow_that_folds_space_in_its_last_step_still_gets_a_noise_that_leads_there():
    # v = -4 tanh(2 x): over one step of 0.2 the slope at 0 is 1 - 1.6 < 0, so three points lead to most
    # places.
    def field(x, t, s):
        return -4.0 * torch.tanh(2.0 * x) + s

    s = torch.zeros(200, 3, dtype=torch.float64)
    a = EULER.push(lambda x, t: field(x, t, s), torch.randn(200, 3, dtype=torch.float64))
    found = invert_push(field, EULER, s, a, tolerance=1e-9)
    again = EULER.push(lambda x, t: field(x, t, s), found)
    reached = (again - a).abs().amax(1) < 1e-7
    assert float(reached.double().mean()) > 0.95


@pytest.mark.parametrize("integrator", [Integrator("euler", 10), MIDPOINT])
def test_actions_of_a_base_policy_are_pushed_again_to_within_1e_5(integrator):
    flow = FlowBase.from_checkpoint(base(integrator=integrator))
    o, a_0 = torch.randn(50, 4), torch.randn(50, 2, 2)
    found = invert(flow, flow.features(o), flow.push(o, a_0))
    assert bool(found.converged.all())
    assert float(found.repush_error.max()) < 1e-5
    np.testing.assert_allclose(found.a_0, a_0, atol=1e-3)
    np.testing.assert_allclose(found.norm, a_0.flatten(1).norm(dim=1), atol=1e-3)
    assert "50 of 50 actions inverted" in str(found)


def test_what_is_not_finite_or_not_there_is_refused():
    flow = FlowBase.from_checkpoint(base())
    with pytest.raises(InversionError, match="only finite"):
        invert(flow, torch.zeros(2, 4), torch.full((2, 2, 2), float("nan")))
    with pytest.raises(InversionError, match="0 actions"):
        invert(flow, torch.zeros(0, 4), torch.zeros(0, 2, 2))


@pytest.mark.parametrize("way", [invert, optimize])
def test_a_flow_that_leaves_out_values_is_refused(way):
    flow = FlowBase.from_checkpoint(fingers_only())
    with pytest.raises(InversionError, match="leaves out 6 of 22 values of an action"):
        way(flow, torch.zeros(2, 4), torch.zeros(2, 2, 22))


def test_optimisation_comes_close_and_a_prior_keeps_the_noise_small():
    flow = FlowBase.from_checkpoint(base())
    o, a_0 = torch.randn(10, 4), torch.randn(10, 2, 2)
    free = optimize(flow, flow.features(o), flow.push(o, a_0), iterations=200)
    assert float(free.repush_error.max()) < 1e-2
    kept = optimize(flow, flow.features(o), flow.push(o, a_0), iterations=200, prior=10.0)
    assert float(kept.norm.mean()) < 0.5 * float(free.norm.mean())


def test_the_chain_rule_s_jacobian_is_that_of_automatic_differentiation():
    velocity = FlowBase.from_checkpoint(base()).velocity.double()
    generator = torch.Generator().manual_seed(0)
    chunk, seen = velocity.architecture.chunk_size, velocity.architecture.observation_size
    x = torch.randn(70, chunk, generator=generator, dtype=torch.float64)  # more rows than one block
    s = torch.randn(70, seen, generator=generator, dtype=torch.float64)
    t = torch.full((70, 1), 0.3, dtype=torch.float64)
    found = velocity.jacobian(x, t, s)
    for row in (0, 69):
        one = slice(row, row + 1)
        expected = torch.autograd.functional.jacobian(lambda z, i=one: velocity(z, t[i], s[i])[0], x[one])
        torch.testing.assert_close(found[row], expected[:, 0], atol=1e-12, rtol=1e-10)
