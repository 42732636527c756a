"""The SpaceMouse is unplugged while the human pushes, or the correction node dies: the residual fades.

The wire of the device is tested in src/rfs_drivers/test/test_spacemouse.py, the stack with an emulated device
in test/test_collect_corrections.py; here the times of law and gate at every moment.
"""

from __future__ import annotations

import numpy as np
import pytest
from promises import cases
from timed_gate import MS, S, TimedGate

from rfs_core.correction import CorrectionConfig, CorrectionLaw, Reading
from rfs_core.gate import Correction, Mode

PERIOD = 20 * MS
"""Of the correction node."""
PUSH = np.array([1.0, -1.0, 0.0, 0.0, 0.0, 0.0])


class Human:
    """A SpaceMouse at 100 Hz and a correction node at 50 Hz beside the policy."""

    def __init__(self, rig: TimedGate) -> None:
        self.rig, self.law = rig, CorrectionLaw(CorrectionConfig())
        self.plugged = self.node_alive = True
        self.reading: Reading | None = None
        self.residuals: list[tuple[int, float]] = []
        """When, and the largest residual of the human that the gate executes."""
        rig.after(int(rig.rng.integers(0, 10 * MS)), self._report)
        rig.after(int(rig.rng.integers(0, PERIOD)), self._correct)
        rig.after(0, self._look)

    def _report(self) -> None:
        self.rig.after(10 * MS, self._report)
        if self.plugged:
            self.reading = Reading(self.rig.at / S, PUSH, enable=True)

    def _correct(self) -> None:
        self.rig.after(PERIOD, self._correct)
        if not self.node_alive:
            return
        corrected = self.law.step(self.rig.at / S, self.reading, None)
        message = Correction(self.rig.now.ros_ns, corrected.residual, corrected.engaged)
        delay = int(self.rig.rng.integers(0, 3 * MS))
        self.rig.after(delay, lambda: self.rig.gate.correction(message, self.rig.now))

    def _look(self) -> None:
        self.rig.after(5 * MS, self._look)
        motion = self.rig.gate._motion
        if motion is not None:
            self.residuals.append((self.rig.at, float(np.abs(motion._human).max())))


@pytest.mark.parametrize("lost", ["the SpaceMouse is unplugged", "the correction node dies"])
def test_a_lost_human_s_residual_is_gone_within_half_a_second(promised, lost):
    promise = promised(
        f"{lost} while the human pushes fully",
        "the residual fades to nothing within 0.5 s and stays gone; the policy goes on, no HOLD",
        "correction law and gate with a timer, simulated clocks",
        allowed=500.0,
        unit="ms",
    )
    for seed in range(cases(20, 100)):
        rig = TimedGate(np.random.default_rng(seed))
        human = Human(rig)
        rig.start()
        rig.run(500 * MS + int(rig.rng.integers(0, 300 * MS)))
        pushed = human.residuals[-1][1]
        # A control step without a new action of the policy executes none of the human's either.
        promise.check(pushed > 0.01, f"seed {seed}: pushes {pushed} m only")
        moment = rig.at
        if lost == "the SpaceMouse is unplugged":
            human.plugged = False
        else:
            human.node_alive = False
        rig.run(1500 * MS)
        after = [at for at, residual in human.residuals if at > moment and residual > 0.0]
        promise.case((max(after) - moment) / MS if after else 0.0, f"seed {seed}")
        promise.check(rig.gate.mode is Mode.ACTIVE, f"seed {seed}: {rig.gate.status}")
    promise.kept(20)
