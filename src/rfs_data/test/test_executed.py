"""What a robot was told to do, found again from records whose clocks have no common edge."""

from __future__ import annotations

import dataclasses

import handmade_bags as handmade
import numpy as np
import pytest

from rfs_core import robot
from rfs_core.gate_config import GateConfig
from rfs_core.gate_motion import Motion
from rfs_core.gate_types import Action, Correction
from rfs_core.se3 import Pose
from rfs_data.executed import AGREEMENT, GateRule, Recorded, compose

A, H, SPEC, DT, START = handmade.A, handmade.H, handmade.SPEC, handmade.DT, handmade.START
MS = 1_000_000
STEPS = 12
RATE = 10 * MS
DOWN = np.array([[0.0, 1.0, 0.0, 0.0]])


def measured_palm(at_ns: int) -> Pose:
    """A palm that stays behind: 3 cm a second along y, where it is told 4."""
    return Pose(np.array([[0.5, 0.03 * (at_ns - START) / 1e9, 0.3]]), DOWN)


def measured_hand(at_ns: int) -> np.ndarray:
    return np.asarray(robot.HAND_OPEN) + 0.02 * (at_ns - START) / 1e9


def played(
    used_ms: float, waited_before: int = -1
) -> tuple[list[int], np.ndarray, np.ndarray, Recorded, GateRule]:
    """An episode as a gate with a timer executes it, with a leash that is always tight.

    Args:
        used_ms: age of the measured palm that the gate uses, ms; negative: stamped after the gate's step.
        waited_before: step before which the gate had nothing to execute, and sent what keeps its target.
    """
    config = GateConfig(tick_source="timer", leash_position=0.0005)
    limits, bounds = config.step_limits(), config.residual_bounds().vector(SPEC)
    motion = Motion(START, SPEC, bounds, limits, 4)
    samples = [START - 60 * MS + 3 * MS + i * RATE for i in range(90)]
    corrections = [(START + (21 + 50 * k) * MS, np.eye(A)[0] * 0.001 * k, 2 <= k <= 6) for k in range(STEPS)]
    ticks, palms, hands, base, policy = [], {}, {}, [], []
    for step in range(STEPS):
        tick = START + step * DT + 7 * MS
        seen = max(stamp for stamp in samples if stamp <= tick - used_ms * MS)
        if step % H == 0:
            chunk = [step + i for i in range(H)]
            a_b = np.array([handmade.base_action(s) for s in chunk])
            a_r = np.array([handmade.policy_residual(s) for s in chunk])
            motion.accept(Action(0, "", 0, 0, "", H, A, 0.05, a_b, a_b, a_r, a_b), tick)
            motion.begin_pending(tick)
            motion.begin_from(measured_palm(seen), measured_hand(seen))
            base.extend(a_b)
            policy.extend(a_r)
        if step == waited_before:
            palms[tick - 20 * MS], hands[tick - 20 * MS] = motion.keep(measured_palm(seen))
        past = [c for c in corrections if c[0] <= tick][-1:]
        held = Correction(*past[0]) if past and past[0][2] else None
        palms[tick], hands[tick] = motion.step(measured_palm(seen), held)
        ticks.append(tick)
    recorded = Recorded(
        corrections,
        palms,
        hands,
        {stamp: measured_palm(stamp) for stamp in samples},
        {stamp: measured_hand(stamp) for stamp in samples},
        measured_ns=150 * MS,
    )
    rule = GateRule(bounds, limits, 4, 200 * MS, 20 * MS)
    return ticks, np.array(base), np.array(policy), recorded, rule


@pytest.mark.parametrize("used_ms", [0.0, 15.0, -9.0])
def test_on_a_robot_every_step_is_found_from_the_measured_states_around_it(used_ms):
    ticks, base, policy, recorded, rule = played(used_ms)
    found = compose(ticks, base, policy, recorded, rule, SPEC)
    assert (found.difference <= AGREEMENT).all(), found.difference
    # In force at step k is the correction of 36 ms before it, stamped with k - 1; engaged are 2 to 6.
    assert found.engaged.tolist() == [3 <= step <= 7 for step in range(STEPS)]
    np.testing.assert_allclose(found.human[3:8, 0], [0.002, 0.003, 0.004, 0.005, 0.006], atol=1e-12)
    np.testing.assert_allclose(found.human[8:, 0], [0.00225, 0.0, 0.0, 0.0], atol=1e-12)  # bound / 4 a step


def test_what_the_gate_sent_while_it_waited_is_no_step_and_the_next_one_goes_on_from_there():
    ticks, base, policy, recorded, rule = played(0.0, waited_before=10)
    assert len(recorded.palm_targets) == len(ticks) + 1
    found = compose(ticks, base, policy, recorded, rule, SPEC)
    assert (found.difference <= AGREEMENT).all(), found.difference


def test_states_from_far_before_a_step_do_not_verify_it():
    ticks, base, policy, recorded, rule = played(0.0)
    old = {stamp - 200 * MS: palm for stamp, palm in recorded.palms.items()}
    found = compose(ticks, base, policy, dataclasses.replace(recorded, palms=old), rule, SPEC)
    assert not (found.difference[1:] <= AGREEMENT).any()
