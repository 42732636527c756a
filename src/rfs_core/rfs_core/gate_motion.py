"""From accepted actions to targets: what the command gate does between arming and the end of ACTIVE.

One `Motion` lives from one arming to the next. It executes chunks step by step, adds the residuals, and
advances the targets by the control law that the vector environment runs too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rfs_core import bounds, control, robot
from rfs_core.control import StepLimits
from rfs_core.gate_types import Action, Correction
from rfs_core.se3 import Array, Pose
from rfs_core.specs import ActionSpec


@dataclass
class _Chunk:
    """An accepted action; base and residual have shape (horizon, A)."""

    base: Array
    residual: Array
    observed_ns: int
    next_step: int = 0


class Motion:
    """Targets that follow accepted actions."""

    def __init__(
        self, armed_ns: int, spec: ActionSpec, residual_bounds: Array, limits: StepLimits, ramp_steps: int
    ) -> None:
        """
        Args:
            armed_ns: time of arming on the gate's clock.
            spec: what actions mean.
            residual_bounds: largest residual, of policy and human each. Shape: (A,).
            limits: leash and rate.
            ramp_steps: control steps in which a released human residual fades from its bound.
        """
        self.armed_ns = armed_ns
        self.first: Action | None = None
        """The first accepted action; the ones after it must match it."""
        self.observed_ns: int | None = None
        """Observation of the newest accepted action, on the gate's clock."""
        self.waiting = False
        """A control tick passed without an action to execute."""
        self._spec, self._bounds, self._limits, self._ramp_steps = spec, residual_bounds, limits, ramp_steps
        self._pending: _Chunk | None = None
        self._chunk: _Chunk | None = None
        self._target: tuple[Pose, Array] | None = None
        self._human = np.zeros(spec.size)

    def accept(self, action: Action, observed_ns: int) -> None:
        """Take a checked action; its first step is executed when `begin_pending` lets it."""
        self.first = self.first or action
        self.observed_ns = observed_ns
        shape = (self._spec.horizon, self._spec.size)
        base, residual = (np.array(a, dtype=np.float64).reshape(shape) for a in (action.a_b, action.a_r))
        self._pending = _Chunk(base, residual, observed_ns)

    def begin_pending(self, not_after_ns: int) -> bool:
        """Replace the running chunk by the newest action, unless that answers a later observation."""
        if self._pending is None or self._pending.observed_ns > not_after_ns:
            return False
        self._chunk, self._pending, self.waiting = self._pending, None, False
        return True

    def begin_from(self, palm: Pose, hand: Array) -> None:
        """Start the targets at the measured palm and fingers, unless they have been started."""
        if self._target is None:
            self._target = (palm, held_fingers(hand))

    @property
    def idle(self) -> bool:
        """Whether every accepted step has been executed."""
        return self._pending is None and self.exhausted

    @property
    def exhausted(self) -> bool:
        """Whether every step of the running chunk has been executed."""
        return self._chunk is None or self._chunk.next_step >= self._spec.horizon

    def step(self, measured: Pose, correction: Correction | None) -> tuple[Pose, Array]:
        """Targets after the next step of the chunk.

        Args:
            measured: palm now.
            correction: of a human who is engaged now; None fades the last one out.
        """
        assert self._chunk is not None
        i = self._chunk.next_step
        self._chunk.next_step += 1
        if correction is None:
            self._human = bounds.ramp_out(self._human, self._bounds, self._ramp_steps)
        else:
            self._human = np.clip(correction.residual, -self._bounds, self._bounds)
        action = bounds.compose(
            self._chunk.base[i], self._chunk.residual[i], self._human, self._bounds, self._spec
        )
        part = self._spec.slice
        delta = np.concatenate([action[part("arm_delta_position")], action[part("arm_delta_rotation")]])
        return self._move(delta, action[part("hand_target")], measured)

    def keep(self, measured: Pose) -> tuple[Pose, Array]:
        """Targets where they are; only the leash follows the measured palm."""
        self._human = bounds.ramp_out(self._human, self._bounds, self._ramp_steps)
        assert self._target is not None
        return self._move(np.zeros(6), self._target[1], measured)

    def _move(self, delta: Array, hand: Array, measured: Pose) -> tuple[Pose, Array]:
        assert self._target is not None
        palm, fingers = self._target
        self._target = (
            control.step_target(palm, delta[None], measured, self._limits),
            control.limit_rate(fingers[None], hand[None], self._limits.hand_rate)[0],
        )
        return self._target


def held_fingers(hand: Array) -> Array:
    """Measured fingers as a target: a joint measured a little beyond its limit is commanded to the limit."""
    held: Array = np.clip(hand, robot.HAND_LIMITS[0], robot.HAND_LIMITS[1])
    return held
