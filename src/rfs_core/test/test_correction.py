"""The law of human corrections."""

import numpy as np
import pytest

from rfs_core import robot
from rfs_core.correction import FLEXION, CorrectionConfig, CorrectionLaw, Reading

SPEC = robot.DEFAULT_ACTION_SPEC
NEAR, FAR = 0.10, 0.40  # of the palm above the table; the fingers are 0.085 lower, the zone ends at 0.10
DT = 0.05
AT_ONCE = CorrectionConfig(ramp_s=0.0)


def push(at_s=0.0, enable=False, lift=False, **axes):
    values = np.array([axes.get(name, 0.0) for name in ("x", "y", "z", "roll", "pitch", "yaw")])
    return Reading(at_s, values, enable, lift)


def residual_of(reading, config=AT_ONCE, height=NEAR):
    return CorrectionLaw(config).step(reading.at_s, reading, height).residual


def part(residual, name):
    return residual[SPEC.slice(name)]


def test_a_full_push_is_the_bound_and_no_more():
    np.testing.assert_allclose(
        part(residual_of(push(x=1.0, y=-7.0)), "arm_delta_position"), [0.015, -0.015, 0.0]
    )


def test_what_is_beyond_the_dead_band_grows_from_zero():
    """Dead-band .1: at .1 nothing, at .55 half of what is left, (.55 - .1) / .9."""
    for deflection, share in ((0.1, 0.0), (0.55, 0.5), (-0.55, -0.5), (1.0, 1.0)):
        moved = part(residual_of(push(x=deflection)), "arm_delta_position")[0]
        assert moved == pytest.approx(0.015 * share), deflection


def test_z_closes_the_hand_when_the_cap_is_pushed_down():
    residual = residual_of(push(z=-1.0))
    expected = [0.05 if name in FLEXION else 0.0 for name in robot.HAND_JOINT_NAMES]
    np.testing.assert_allclose(part(residual, "hand_target"), expected)
    assert not part(residual, "arm_delta_position").any()
    assert sum(name in FLEXION for name in robot.HAND_JOINT_NAMES) == 11  # three fingers' three, thumb's two


def test_all_16_joints_move_alike_where_that_is_asked_for():
    config = CorrectionConfig(ramp_s=0.0, finger_joints="all")
    np.testing.assert_allclose(part(residual_of(push(z=1.0), config), "hand_target"), np.full(16, -0.05))


def test_with_the_second_button_z_moves_the_palm_and_not_the_fingers():
    residual = residual_of(push(z=1.0, lift=True))
    np.testing.assert_allclose(part(residual, "arm_delta_position"), [0.0, 0.0, 0.015])
    assert not part(residual, "hand_target").any()


def test_rotation_is_off_until_it_is_asked_for():
    turned = push(roll=1.0, pitch=-1.0, yaw=0.55)
    assert not residual_of(turned).any()
    config = CorrectionConfig(ramp_s=0.0, rotate=True)
    np.testing.assert_allclose(part(residual_of(turned, config), "arm_delta_rotation"), [0.05, -0.05, 0.025])


def test_a_correction_acts_near_the_table_only_or_by_button():
    """The fingers are 8.5 cm below the palm: at .185 they are 10 cm above the table, and the zone ends."""
    assert residual_of(push(x=1.0), height=0.184).any()
    assert not residual_of(push(x=1.0), height=0.186).any()
    assert residual_of(push(x=1.0, enable=True), height=FAR).any()


def test_where_the_palm_is_not_known_only_the_button_enables():
    assert not residual_of(push(x=1.0), height=None).any()
    assert residual_of(push(x=1.0, enable=True), height=None).any()


def test_it_is_ramped_in_and_out_over_200_ms():
    """From nothing to the bound in four steps of 50 ms, and back."""
    law = CorrectionLaw(CorrectionConfig())
    seen = []
    for i in range(11):
        reading = push(at_s=i * DT, x=1.0 if i < 6 else 0.0)
        corrected = law.step(i * DT, reading, NEAR)
        seen.append((corrected.residual[0], corrected.engaged))
    expected = 0.015 * np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0])
    np.testing.assert_allclose([x for x, _ in seen], expected, atol=1e-12)
    assert [engaged for _, engaged in seen] == [True] * 9 + [False] * 2


def test_a_device_that_falls_silent_fades_and_is_told_of_once():
    """Readings stop at .3 s. At .5 s the newest is 200 ms old, more than 190: it counts as none."""
    law = CorrectionLaw(CorrectionConfig(stale_s=0.19))
    reading, lost, residual = None, [], []
    for i in range(16):
        if i <= 6:
            reading = push(at_s=i * DT, x=1.0)
        corrected = law.step(i * DT, reading, NEAR)
        residual.append(corrected.residual[0])
        if corrected.lost:
            lost.append(i)
    assert lost == [10]
    np.testing.assert_allclose(residual[6:10], 0.015)
    np.testing.assert_allclose(residual[10:14], 0.015 * np.array([0.75, 0.5, 0.25, 0.0]), atol=1e-12)
    assert not any(residual[14:])


def test_a_device_that_falls_silent_at_rest_is_no_loss():
    law = CorrectionLaw(CorrectionConfig())
    law.step(0.0, push(at_s=0.0), NEAR)
    assert not law.step(1.0, push(at_s=0.0), NEAR).lost


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reading_that_is_not_finite_moves_nothing(bad):
    assert not residual_of(push(x=1.0, y=bad)).any()


def test_a_reading_of_the_wrong_length_moves_nothing():
    assert not residual_of(Reading(0.0, np.ones(5))).any()


def test_a_reading_from_the_future_counts_as_none():
    law = CorrectionLaw(AT_ONCE)
    assert not law.step(0.0, push(at_s=0.1, x=1.0), NEAR).residual.any()


def test_whatever_comes_the_residual_is_bounded_and_never_jumps():
    """Per step of dt it may change by bound * dt / 200 ms, up or down, also where time goes backwards."""
    rng = np.random.default_rng(0)
    law, now, before = CorrectionLaw(CorrectionConfig(rotate=True)), 0.0, np.zeros(SPEC.size)
    bounds = CorrectionConfig().bounds().vector(SPEC)
    for _ in range(3000):
        passed = float(rng.choice([0.0, 0.01, 0.05, 0.3, -0.02]))
        now += passed
        axes = rng.normal(scale=2.0, size=6) * rng.choice([0.0, 1.0, np.nan, 1e300], p=[0.2, 0.7, 0.05, 0.05])
        reading = Reading(now - float(rng.choice([0.0, 0.1, 0.5, -0.1])), axes, bool(rng.random() < 0.5))
        corrected = law.step(now, reading, float(rng.uniform(0.0, 0.4)))
        assert np.isfinite(corrected.residual).all()
        assert (np.abs(corrected.residual) <= bounds).all()
        assert (np.abs(corrected.residual - before) <= bounds * max(passed, 0.0) / 0.2 + 1e-12).all()
        before = corrected.residual
