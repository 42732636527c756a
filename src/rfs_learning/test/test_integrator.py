import pytest
import torch

from rfs_core.errors import RfsError
from rfs_learning.integrator import Integrator


def _push(integrator: Integrator, velocity, a_0: float) -> float:
    return integrator.push(velocity, torch.tensor([[a_0]], dtype=torch.float64)).item()


def test_euler_on_a_linear_field_is_the_compound_interest_formula():
    # v = -2 a, h = 1/4: each step multiplies by 1 - 2/4 = 1/2; four steps: 3 / 16.
    assert _push(Integrator("euler", 4), lambda a, t: -2 * a, 3.0) == pytest.approx(3 / 16, abs=1e-15)


def test_midpoint_on_a_linear_field_keeps_the_second_order_term():
    # Each of 4 steps multiplies by 1 - 2h + (2h)^2 / 2 with h = 1/4: 1 - 1/2 + 1/8 = 5/8.
    assert _push(Integrator("midpoint", 4), lambda a, t: -2 * a, 3.0) == pytest.approx(
        3 * 0.625**4, abs=1e-14
    )


def test_velocity_is_asked_at_the_start_of_each_euler_step():
    # v = 2 t: Euler sums 2 * (0 + 1/5 + ... + 4/5) / 5 = 2 * 2 / 5 = 0.8 where the integral is 1.
    assert _push(Integrator("euler", 5), lambda a, t: 2 * t, 0.0) == pytest.approx(0.8, abs=1e-15)


def test_midpoint_is_exact_for_a_field_linear_in_time():
    assert _push(Integrator("midpoint", 5), lambda a, t: 2 * t, 0.0) == pytest.approx(1.0, abs=1e-14)


def test_one_euler_step_of_the_exact_field_has_no_noise_authority():
    # The optimal field at t = 0 is E[a] - x: one step lands on E[a] from any noise.
    for a_0 in (-2.0, 0.0, 1.5):
        assert _push(Integrator("euler", 1), lambda a, t: 0.7 - a, a_0) == pytest.approx(0.7, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "steps", "names"),
    [
        ("rk4", 10, "'rk4', known are euler, midpoint"),
        ("euler", 0, "steps is 0"),
        ("euler", True, "steps is True"),
    ],
)
def test_an_integrator_that_does_not_exist_is_refused_with_what_does(name, steps, names):
    with pytest.raises(RfsError, match=names):
        Integrator(name, steps)


def test_dict_round_trip_and_foreign_keys():
    integrator = Integrator("midpoint", 5)
    assert Integrator.from_dict(integrator.to_dict()) == integrator
    with pytest.raises(RfsError, match="order"):
        Integrator.from_dict({"name": "euler", "steps": 5, "order": 1})
