"""Residual bounds: defaults, hard ends, and the composition a = clip(a_b + a_r + a_r)."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rfs_core.bounds import ResidualBounds, compose, hard_bounds, ramp_out
from rfs_core.config import from_mapping
from rfs_core.errors import ConfigError, SpecError
from rfs_core.robot import DEFAULT_ACTION_SPEC as SPEC
from rfs_core.specs import ActionSpec, Part

BOUNDS = ResidualBounds().vector(SPEC)
anything = arrays(np.float64, 22, elements=st.floats(-1e6, 1e6))


def test_default_bounds_are_15_mm_and_50_mrad():
    np.testing.assert_array_equal(BOUNDS, [0.015] * 3 + [0.05] * 3 + [0.05] * 16)


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(ResidualBounds)])
def test_no_configuration_gets_past_the_hard_limits(key):
    hard = {"arm_delta_position": 0.03, "arm_delta_rotation": 0.1, "hand_target": 0.3}[key]
    assert from_mapping(ResidualBounds, {key: hard}) is not None
    with pytest.raises(ConfigError, match="allowed"):
        from_mapping(ResidualBounds, {key: hard * 1.001})


def test_a_part_without_a_bound_is_refused():
    spec = ActionSpec((Part("gripper", (1,), "m", 0, 1),), 0.05, 2)
    with pytest.raises(SpecError, match="no residual bound for part 'gripper'"):
        ResidualBounds().vector(spec)


def test_residuals_are_bounded_each_and_the_sum_is_clipped():
    base, policy, human = np.zeros(22), np.zeros(22), np.zeros(22)
    base[0], policy[0], human[0] = 0.01, 1.0, 0.004  # 0.01 + 0.015 + 0.004
    base[1], policy[1], human[1] = 0.0, 1.0, 1.0  # 0.015 + 0.015
    base[2], policy[2], human[2] = 0.025, 0.01, 0.0  # 0.035, clipped to 0.03
    composed = compose(base, policy, human, BOUNDS, SPEC)
    np.testing.assert_allclose(composed[:3], [0.029, 0.03, 0.03], atol=1e-15)


@given(anything, anything, anything)
def test_a_composed_action_is_always_within_the_spec(base, policy, human):
    composed = compose(base, policy, human, BOUNDS, SPEC)
    assert (composed >= SPEC.low).all()
    assert (composed <= SPEC.high).all()


@given(anything, anything)
def test_residuals_move_a_valid_base_action_by_at_most_both_bounds(policy, human):
    base = (SPEC.low + SPEC.high) / 2
    assert (np.abs(compose(base, policy, human, BOUNDS, SPEC) - base) <= 2 * BOUNDS + 1e-12).all()


def test_a_released_residual_fades_in_the_given_number_of_steps():
    residual = -BOUNDS
    sizes = []
    for _ in range(5):
        residual = ramp_out(residual, BOUNDS, 4)
        sizes.append(residual[0] / BOUNDS[0])
    np.testing.assert_allclose(sizes, [-0.75, -0.5, -0.25, 0, 0], atol=1e-12)


def test_a_ramp_of_no_steps_drops_the_residual_at_once():
    np.testing.assert_array_equal(ramp_out(BOUNDS, BOUNDS, 0), np.zeros(22))


def test_no_configuration_may_allow_more_than_the_hard_bounds():
    hard = hard_bounds(SPEC)
    np.testing.assert_array_equal(hard, [0.03] * 3 + [0.1] * 3 + [0.3] * 16)
    with pytest.raises(ConfigError):
        from_mapping(ResidualBounds, {"hand_target": float(hard[6]) + 1e-6})
