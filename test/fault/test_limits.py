"""Actions out of range are clipped to the spec exactly or refused; joints stay within their limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from promises import cases

from rfs_core import control, robot, se3
from rfs_core.gate import Action, Gate, Mode, Now
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose

MS = 1_000_000
SPEC = robot.DEFAULT_ACTION_SPEC
HOME = ArmKinematics().forward(robot.ARM_HOME[None])
FINGERS = (robot.HAND_LIMITS[0] + robot.HAND_LIMITS[1]) / 2
MIDDLE, HALF = (SPEC.low + SPEC.high) / 2, (SPEC.high - SPEC.low) / 2
PURE = "the gate's state machine, simulated clock"


class Gated:
    """A gate before a robot at rest."""

    def __init__(self) -> None:
        self.gate, self.at, self.sequence = Gate(), 1000 * MS, 0

    @property
    def now(self) -> Now:
        return Now(self.at, self.at)

    def states(self) -> list:
        """The next control tick."""
        self.at += 50 * MS
        gate, at, now = self.gate, self.at, self.now
        return [
            *gate.arm_state(at, robot.ARM_HOME, now),
            *gate.palm_state(at, HOME, now),
            *gate.hand_state(at, FINGERS, now),
        ]

    def execute(self, base: np.ndarray, residual: np.ndarray) -> list:
        """The command that answers an action given right after arming. Shapes: (22,)."""
        self.gate.stop(self.now)
        self.states()
        assert self.gate.arm(self.now).success
        self.sequence += 1
        chunk = np.tile(base, (2, 1))
        action = Action(
            self.at, "policy", self.sequence, 0, "test@0", 2, 22, 0.05, 0 * chunk, chunk, 0 * chunk, 0 * chunk
        )
        # The policy's own sum is not executed; it is within its bounds here.
        action = replace(action, a_r=np.tile(residual, (2, 1)), a=np.tile(MIDDLE, (2, 1)))
        return self.gate.policy_action(action, self.now)


def test_actions_out_of_range_are_clipped_to_the_spec_exactly_and_refused_three_times_over(promised):
    promise = promised(
        "action values up to four times their range, residuals up to four times their hard bound",
        "clipped to the spec to the last bit; beyond three times refused, HOLD",
        PURE,
        allowed=0.0,
        unit="m, rad off the clipped value",
    )
    gated, rng = Gated(), np.random.default_rng(0)
    hard = np.concatenate([np.full(3, 0.03), np.full(3, 0.1), np.full(16, 0.3)])
    bounds = np.concatenate([np.full(3, 0.015), np.full(3, 0.05), np.full(16, 0.05)])
    refused = 0
    for _ in range(cases(3000, 20_000)):
        share, most = rng.uniform(-1, 1, 22), rng.choice([1.0, 2.9, 4.0])
        base = MIDDLE + most * HALF * share
        residual = rng.choice([0.0, 1.0, 2.9, 4.0]) * hard * rng.uniform(-1, 1, 22)
        far = bool((np.abs(base - MIDDLE) > 3 * HALF).any() or (np.abs(residual) > 3 * hard).any())
        commands = gated.execute(base, residual)
        promise.case()
        if far:
            refused += 1
            at_rest = [c for c in commands if np.abs(c.palm.position - HOME.position).max() == 0.0]
            promise.check(gated.gate.mode is Mode.HOLD, f"{gated.gate.status}")
            promise.check(len(commands) == len(at_rest) == 1, "the held pose is not the measured one")
            continue
        # a = clip(a_b + clip(a_r)); the palm from its measured pose, fingers at most 0.3 rad a step.
        action = np.clip(base + np.clip(residual, -bounds, bounds), SPEC.low, SPEC.high)
        palm = control.step_target(HOME, action[None, :6], HOME)
        fingers = np.clip(FINGERS + np.clip(action[6:] - FINGERS, -0.3, 0.3), *robot.HAND_LIMITS)
        (command,) = commands
        off = max(
            float(np.abs(command.palm.position - palm.position).max()),
            float(np.abs(command.palm.quaternion - palm.quaternion).max()),
            float(np.abs(command.hand - fingers).max()),
        )
        promise.worst = max(promise.worst or 0.0, off)
        promise.check(off == 0.0, f"{off} off")
        moved = np.abs(command.palm.position - HOME.position).max()
        promise.check(bool(moved <= 0.03 + 1e-12), f"{moved} m in a step")
    assert refused > 500
    promise.kept(3000)


def test_joint_targets_never_leave_the_joints_limits_nor_run_away_from_the_joints(promised):
    promise = promised(
        "random palm targets on the leash, arms that follow, lag or are blocked",
        "joint targets within the joints' limits and 0.15 rad of the joints, finite",
        "the control law of simulation and learning, 1,000 arms side by side",
        allowed=0.0,
        unit="rad outside",
    )
    rng, kinematics, arms = np.random.default_rng(1), ArmKinematics(), 1000
    low, high = robot.ARM_LIMITS
    q = rng.uniform(low, high, (arms, 7))
    commanded = q.copy()
    palm = kinematics.forward(q)
    target, follows = palm, rng.choice([0.0, 0.3, 1.0], (arms, 1))
    # Each arm is pushed one way for long, so that it comes to the end of its joints.
    push = rng.normal(size=(arms, 6)) * np.array([0.03] * 3 + [0.1] * 3)
    for step in range(cases(10, 200)):
        if step % 20 == 0:
            push = rng.normal(size=(arms, 6)) * np.array([0.03] * 3 + [0.1] * 3)
        target = control.step_target(target, np.clip(push, SPEC.low[:6], SPEC.high[:6]), palm)
        commanded = control.track(kinematics, commanded, q, target)
        outside = np.maximum(low - commanded, commanded - high).max(axis=1)
        lead = np.abs(commanded - q).max(axis=1)
        for i in range(arms):
            promise.case(max(float(outside[i]), 0.0))
        promise.check(bool(np.isfinite(commanded).all()), "not finite")
        promise.check(bool((lead <= 0.15 + 1e-12).all()), f"{lead.max()} rad from the joints")
        q = q + follows * (commanded - q)
        palm = kinematics.forward(q)
        away = np.linalg.norm(target.position - palm.position, axis=1)
        promise.check(bool(np.isfinite(away).all()), "palm not finite")
    promise.kept(10_000)


def test_targets_of_the_gate_stay_on_the_leash_whatever_the_palm_does(promised):
    promise = promised(
        "random actions while the palm follows, lags, is blocked or is pushed",
        "palm targets within 60 mm and 0.25 rad of the measured palm",
        PURE,
        allowed=0.0,
        unit="mm beyond",
    )
    rng, limits = np.random.default_rng(2), control.StepLimits()
    palms = Pose(rng.uniform(-0.5, 0.5, (1000, 3)), se3.quat_normalize(rng.normal(size=(1000, 4))))
    target = palms
    for _ in range(cases(10, 100)):
        delta = rng.uniform(SPEC.low[:6], SPEC.high[:6], (1000, 6))
        target = control.step_target(target, delta, palms, limits)
        error = se3.pose_error(target, palms)
        beyond = np.linalg.norm(error[:, :3], axis=1) - limits.leash_position
        turned = np.linalg.norm(error[:, 3:], axis=1) - limits.leash_rotation
        for i in range(1000):
            promise.case(round(max(float(beyond[i]) * 1e3, 0.0), 6))
        promise.check(bool((turned <= 1e-6).all()), f"{turned.max()} rad beyond the leash")
        share = rng.choice([0.0, 0.3, 1.0], (1000, 1))
        palms = Pose(
            palms.position + share * (target.position - palms.position) + rng.normal(0, 0.003, (1000, 3)),
            np.where(share == 1.0, target.quaternion, palms.quaternion),
        )
    promise.kept(10_000)
