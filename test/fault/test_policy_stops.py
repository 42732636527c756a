"""The policy stops or is slow: the gate holds, repeats nothing old, and does not re-arm by itself."""

from __future__ import annotations

import numpy as np
from promises import cases
from timed_gate import MS, S, TimedGate

from rfs_core.gate import Mode

ON_A_ROBOT = "gate with a timer, simulated clocks, steady time from the stop to HOLD; looks up to 0.5 ms late"


def test_on_a_robot_the_gate_holds_within_200_ms_of_the_moment_at_which_the_policy_stops(promised):
    promise = promised(
        "policy stops at a random moment",
        "HOLD within 200 ms; good actions do not re-arm it",
        ON_A_ROBOT,
        allowed=200.0,
        unit="ms",
    )
    for seed in range(cases(200, 1000)):
        rng = np.random.default_rng(seed)
        rig = TimedGate(rng, inference_ms=lambda rng=rng: rng.uniform(2.0, 60.0)).start()
        rig.run(int(rng.integers(0, 300 * MS)))
        promise.check(rig.gate.mode is Mode.ACTIVE, f"seed {seed}: {rig.gate.status} before the stop")
        stopped, rig.policy_alive = rig.at, False
        held = rig.run_until(Mode.HOLD, 300 * MS)
        promise.case(np.inf if held is None else (held - stopped) / MS, f"seed {seed}")
        rig.policy_alive = True
        rig.run(300 * MS)
        promise.check(rig.gate.mode is Mode.HOLD, f"seed {seed}: left HOLD for {rig.gate.mode}")
    promise.kept(200)


def test_on_a_robot_the_gate_holds_within_150_ms_when_the_measured_state_stops(promised):
    promise = promised(
        "measured states stop at a random moment", "HOLD within 150 ms", ON_A_ROBOT, allowed=150.0, unit="ms"
    )
    for seed in range(cases(100, 300)):
        rng = np.random.default_rng(seed)
        rig = TimedGate(rng).start()
        rig.run(int(rng.integers(0, 300 * MS)))
        stopped, rig.robot_alive = rig.at, False
        held = rig.run_until(Mode.HOLD, 300 * MS)
        promise.case(np.inf if held is None else (held - stopped) / MS, f"seed {seed}")
    promise.kept(100)


def test_a_policy_that_takes_300_ms_makes_the_gate_hold_and_no_old_action_is_executed_again(promised):
    promise = promised(
        "inference takes 300 ms, at once or from a random moment on",
        "every accepted step is executed once at most, then HOLD; nothing that is 200 ms old is accepted",
        "gate with a timer, simulated clocks; steps recognised by their size",
    )
    for seed in range(cases(100, 400)):
        rng = np.random.default_rng(seed)
        slow_from = 10 * S + int(rng.integers(0, S))
        rig = TimedGate(rng)
        rig.inference_ms = lambda rig=rig, at=slow_from: 300.0 if rig.at >= at else 20.0
        # Decision k moves the target by (1 + k) micrometres a step: the steps of a target tell who moved it.
        rig.delta = lambda decision: 1e-6 * (1 + decision)
        rig.run(200 * MS)
        assert rig.gate.arm(rig.now).success
        rig.run(2 * S)
        xs = np.array([command.palm.position[0, 0] for _, command in rig.commands])
        executed = np.rint(np.diff(xs) * 1e6).astype(int) if xs.size else np.array([])
        moved = executed[executed > 0]
        counts = np.bincount(moved) if moved.size else np.zeros(1)
        promise.case()
        promise.check(counts.max(initial=0) <= 2, f"seed {seed}: a chunk of 2 steps ran {counts.max()} times")
        promise.check(bool((np.diff(moved) >= 0).all()), f"seed {seed}: an older action after a newer one")
        promise.check(rig.gate.mode in (Mode.HOLD, Mode.ARMED), f"seed {seed}: {rig.gate.status}")
        newest = [command.palm.position[0, 0] for _, command in rig.commands[-5:]]
        promise.check(not newest or np.ptp(newest) == 0.0, f"seed {seed}: the held target moves")
    promise.kept(100)
