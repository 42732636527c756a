"""What the robot was really told to do: the gate's composition, done again from what was recorded.

The gate executes clip(a_b + clip(a_r) + human), where the human's residual is that of the correction in force
at the control step, or the last one while it fades. Which correction had reached the gate at a step is known
only up to the time a message travels. The targets that the gate sent decide: of the corrections that come
into question, the one that leads from the last target to the next is the one that was in force. The same
tells which step of which decision was executed where one came late, and where the gate kept its target.
Where nothing leads there, the step is not verified, and says so.
"""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rfs_core import bounds, control, se3
from rfs_core.control import StepLimits
from rfs_core.gate_motion import held_fingers
from rfs_core.se3 import Pose
from rfs_core.specs import ActionSpec

FloatArray = NDArray[np.float64]
Target = tuple[Pose, FloatArray]
"""Palm and fingers."""
Sample = TypeVar("Sample")

AGREEMENT = 1e-6
"""Largest difference (m, rad) between a recorded target and the composed one."""
_RECENT = 4
"""Measured states of a robot that come into question at a step, the newest ones before it."""
_AHEAD = 2
"""The same of those after it: the gate's clock may be behind that of the arm."""
_LATE = 4
"""Control steps by which a decision may have come late: then the gate holds."""


@dataclass(frozen=True)
class GateRule:
    """The gate's parameters that decide what it executes."""

    residual_bounds: FloatArray
    """Shape: (A,)."""
    limits: StepLimits
    ramp_steps: int
    stale_correction_ns: int
    future_ns: int


@dataclass(frozen=True)
class Recorded:
    """Corrections, targets and measured states of an episode."""

    corrections: list[tuple[int, FloatArray, bool]]
    """Stamp (ns), residual (A,), engaged; in the order of their stamps."""
    palm_targets: dict[int, Pose]
    """By stamp of the control tick (ns)."""
    hand_targets: dict[int, FloatArray]
    palms: dict[int, Pose]
    """Measured."""
    hands: dict[int, FloatArray]
    """Measured."""
    measured_ns: int = 0
    """In simulation 0: the gate has measured states of its very tick. On a robot it has what has come until
    then, which may be this old."""


@dataclass(frozen=True)
class Executed:
    """Per control step, in the order of the ticks. Shapes: (T, A) and (T,)."""

    human: FloatArray
    action: FloatArray
    engaged: NDArray[np.bool_]
    own: NDArray[np.bool_]
    """The policy's step of this tick; False where the gate kept its target or was at an earlier step."""
    difference: FloatArray
    """Between the recorded target and the composed one (m or rad); NaN where a target is missing."""


def compose(
    ticks: list[int],
    base: FloatArray,
    policy: FloatArray,
    recorded: Recorded,
    rule: GateRule,
    spec: ActionSpec,
) -> Executed:
    """Repeat the gate's composition.

    Args:
        ticks: Stamps of the executed control steps (ns).
        base, policy: a_b and a_r at each. Shape: (T, A).
        recorded: What was on the wire.
        rule: The gate's parameters.
        spec: What actions mean.
    """
    count = len(ticks)
    human, action = np.zeros((count, spec.size)), np.zeros((count, spec.size))
    engaged, own = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    difference = np.full(count, np.nan)
    last = np.zeros(spec.size)
    targets = _starts(ticks, recorded)
    commands = sorted(recorded.palm_targets.keys() & recorded.hand_targets.keys())
    for t, tick in enumerate(ticks):
        sent = _at(tick, recorded.palm_targets, recorded.hand_targets)
        before = commands[bisect.bisect_left(commands, tick) - 1] if commands else tick
        if t and ticks[t - 1] < before < tick:
            # No step of the policy, as when it was late: the gate goes on from there all the same.
            targets = [(recorded.palm_targets[before], recorded.hand_targets[before])]
        best: tuple[float, FloatArray, FloatArray, bool, bool] | None = None
        next_target: Target | None = None
        for target, row, residual, measured in itertools.product(
            targets or [None],
            _rows(t, bool(targets)),
            _candidates(tick, recorded.corrections, rule),
            _measured(tick, recorded.palms, recorded) or [None],
        ):
            if residual is None:
                moved = bounds.ramp_out(last, rule.residual_bounds, rule.ramp_steps)
            else:
                moved = np.clip(residual, -rule.residual_bounds, rule.residual_bounds)
            if row is None:
                moved = bounds.ramp_out(last, rule.residual_bounds, rule.ramp_steps)
                composed = _kept(target, spec)
            else:
                composed = bounds.compose(base[row], policy[row], moved, rule.residual_bounds, spec)
            error, led_to = np.nan, None
            if target is not None and measured is not None:
                led_to = _step(target, composed, measured, rule.limits, spec)
                error = np.nan if sent is None else _difference(led_to, sent)
            if best is None or error < best[0]:
                best = (error, moved, composed, residual is not None and row is not None, row == t)
                next_target = led_to
            if not error > AGREEMENT:
                break
        assert best is not None
        difference[t], human[t], action[t], engaged[t], own[t] = best
        last = best[1]
        if sent is not None:
            targets = [sent]
        elif next_target is not None:
            targets = [next_target]
    return Executed(human, action, engaged, own, difference)


def _rows(t: int, has_target: bool) -> list[int | None]:
    """Steps of the policy that may have been executed at step t, the likeliest first.

    Its own; one of those before, where a decision came late; None, where the gate had nothing new and kept
    its target.
    """
    return [*range(t, max(-1, t - _LATE - 1), -1), *([None] if has_target else [])]


def _kept(target: Target | None, spec: ActionSpec) -> FloatArray:
    """The action that changes nothing. Shape: (A,)."""
    action = np.zeros(spec.size)
    if target is not None:
        action[spec.slice("hand_target")] = target[1]
    return action


def _starts(ticks: list[int], recorded: Recorded) -> list[Target]:
    """Where the gate's targets may have started: at the measured palm and fingers."""
    if not ticks:
        return []
    palms = _measured(ticks[0], recorded.palms, recorded)
    hands = _measured(ticks[0], recorded.hands, recorded)
    return [(palm, held_fingers(hand)) for palm, hand in itertools.product(palms, hands)]


def _measured(tick: int, samples: dict[int, Sample], recorded: Recorded) -> list[Sample]:
    """Measured states that the gate may have had at a tick, the likeliest first."""
    if not recorded.measured_ns:
        return [samples[tick]] if tick in samples else []
    known = sorted(samples)
    end = bisect.bisect_right(known, tick)
    near = known[max(0, end - _RECENT) : end + _AHEAD]
    recent = [stamp for stamp in near if abs(tick - stamp) <= recorded.measured_ns]
    return [samples[stamp] for stamp in sorted(recent, key=lambda stamp: abs(tick - stamp))]


def _at(tick: int, palms: dict[int, Pose], hands: dict[int, FloatArray]) -> Target | None:
    return (palms[tick], hands[tick]) if tick in palms and tick in hands else None


def _candidates(
    tick: int, corrections: list[tuple[int, FloatArray, bool]], rule: GateRule
) -> list[FloatArray | None]:
    """Residuals that may have been in force at a tick, the likeliest first; None: nobody was correcting."""
    fresh = [c for c in corrections if tick - rule.stale_correction_ns < c[0] <= tick + rule.future_ns]
    past = [c for c in fresh if c[0] <= tick][::-1]
    future = [c for c in fresh if c[0] > tick]
    found: list[FloatArray | None] = [c[1] if c[2] else None for c in (*past, *future)]
    return [*found, None]


def _step(target: Target, action: FloatArray, measured: Pose, limits: StepLimits, spec: ActionSpec) -> Target:
    """The gate's next targets."""
    delta = np.concatenate(
        [action[spec.slice("arm_delta_position")], action[spec.slice("arm_delta_rotation")]]
    )
    palm = control.step_target(target[0], delta[None], measured, limits)
    hand = control.limit_rate(target[1][None], action[spec.slice("hand_target")][None], limits.hand_rate)
    return palm, hand[0]


def _difference(a: Target, b: Target) -> float:
    """Largest difference of two targets, m or rad."""
    moved = np.abs(a[0].position - b[0].position).max()
    turned = np.abs(se3.pose_error(a[0], b[0])[:, 3:]).max()
    return float(max(moved, turned, np.abs(a[1] - b[1]).max()))
