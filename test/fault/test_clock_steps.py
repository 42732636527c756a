"""Somebody sets the clock while the robot moves, by seconds or an hour: no false hold, no missed one."""

from __future__ import annotations

import numpy as np
import pytest
from promises import cases
from timed_gate import MS, S, TimedGate

from rfs_core.gate import Mode
from rfs_core.staleness import Now, SteadyStamps

STEPS = {"5 s ahead": 5 * S, "5 s back": -5 * S, "1 h ahead": 3600 * S, "1 h back": -3600 * S}
CLOCKS = "gate with a timer, simulated clocks; messages are on their way while the clock is set"


def step_clock(rig: TimedGate, ns: int) -> None:
    """As `date -s` does; whatever is on its way was stamped before."""
    rig.ros_offset += ns


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_clock_causes_no_hold(promised, step):
    promise = promised(
        f"the system clock is set {step} at a random moment",
        "no HOLD, no FAULT, no refusal",
        CLOCKS,
        allowed=0.0,
        unit="false holds",
    )
    for seed in range(cases(50, 200)):
        rng = np.random.default_rng(seed)
        rig = TimedGate(rng, inference_ms=lambda rng=rng: rng.uniform(2.0, 60.0)).start()
        rig.run(int(rng.integers(0, 200 * MS)))
        refused = rig.gate.statistics.refused
        step_clock(rig, STEPS[step])
        # Once in a while somebody sets it again, or back.
        if rng.random() < 0.3:
            rig.run(int(rng.integers(0, 300 * MS)))
            step_clock(rig, int(rng.choice(list(STEPS.values()))))
        rig.run(S)
        counts = rig.gate.statistics
        promise.case(float(counts.holds + counts.faults), f"seed {seed}: {rig.gate.status}")
        promise.check(rig.gate.mode is Mode.ACTIVE, f"seed {seed}: {rig.gate.status}")
        promise.check(counts.refused == refused and not counts.refused_states, f"seed {seed}: {counts}")
    promise.kept(50)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_clock_hides_no_policy_that_stopped(promised, step):
    promise = promised(
        f"the system clock is set {step} within 0.2 s of the moment at which the policy stops",
        "HOLD within 200 ms of the stop all the same",
        CLOCKS,
        allowed=200.0,
        unit="ms",
    )
    for seed in range(cases(50, 200)):
        rng = np.random.default_rng(seed)
        rig = TimedGate(rng, inference_ms=lambda rng=rng: rng.uniform(2.0, 60.0)).start()
        rig.run(int(rng.integers(0, 300 * MS)))
        rig.after(int(rng.integers(0, 200 * MS)), lambda rig=rig: step_clock(rig, STEPS[step]))
        rig.run(int(rng.integers(0, 200 * MS)))
        promise.check(rig.gate.mode is Mode.ACTIVE, f"seed {seed}: {rig.gate.status} before the stop")
        stopped, rig.policy_alive = rig.at, False
        held = rig.run_until(Mode.HOLD, 400 * MS)
        promise.case(np.inf if held is None else (held - stopped) / MS, f"seed {seed}")
    promise.kept(50)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_clock_hides_no_robot_that_stopped(promised, step):
    promise = promised(
        f"the system clock is set {step} within 0.2 s of the moment at which measured states stop",
        "HOLD within 150 ms of the stop all the same",
        CLOCKS,
        allowed=150.0,
        unit="ms",
    )
    for seed in range(cases(50, 100)):
        rng = np.random.default_rng(seed)
        rig = TimedGate(rng).start()
        rig.after(int(rng.integers(0, 200 * MS)), lambda rig=rig: step_clock(rig, STEPS[step]))
        rig.run(int(rng.integers(0, 200 * MS)))
        stopped, rig.robot_alive = rig.at, False
        held = rig.run_until(Mode.HOLD, 400 * MS)
        promise.case(np.inf if held is None else (held - stopped) / MS, f"seed {seed}")
    promise.kept(50)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_stamps_from_before_and_after_a_step_are_read_right(step):
    stamps = SteadyStamps(100 * MS)
    offset = 1_700_000_000 * S
    assert stamps.steady(offset + 990 * MS, Now(S, S + offset)) == 990 * MS
    # Stamped at 1.01 s before the step, received at 1.05 s after it; then one stamped after it.
    now = Now(1050 * MS, 1050 * MS + offset + step)
    assert stamps.steady(1010 * MS + offset, now) == 1010 * MS
    assert stamps.steady(1040 * MS + offset + step, now) == 1040 * MS
    # A message that is really old stays old, whichever clock stamped it.
    assert stamps.steady(50 * MS + offset, now) == 50 * MS
    assert stamps.steps == 1
    # A second later nothing stamped before the step can be on its way.
    late = Now(2100 * MS, 2100 * MS + offset + step)
    assert stamps.steady(2090 * MS + offset, late) == 2090 * MS - step
