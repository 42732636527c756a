"""A robot and a policy around the gate, for its tests: no ROS, no clock."""

from __future__ import annotations

import numpy as np
import pytest

from rfs_core import robot
from rfs_core.gate import Action, Command, Correction, Gate, GateConfig, Mode, Now
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Array, Pose

MS = 1_000_000
DT = 50 * MS
SPEC = robot.DEFAULT_ACTION_SPEC
HOME = ArmKinematics().forward(robot.ARM_HOME[None])
MIDDLE = (robot.HAND_LIMITS[0] + robot.HAND_LIMITS[1]) / 2


def chunk(delta: Array | None = None, hand: Array | None = None, dx: float = 0.0) -> Array:
    """Two steps of one action. Shape: (2, 22)."""
    row = np.zeros(SPEC.size)
    row[:6] = np.zeros(6) if delta is None else delta
    row[0] += dx
    row[6:] = MIDDLE if hand is None else hand
    return np.repeat(row[None], SPEC.horizon, axis=0)


class Bench:
    """Feeds a gate with a robot at rest; `at` is the time of the newest control tick (ns)."""

    def __init__(self, **config: object) -> None:
        self.gate = Gate(GateConfig(**config))  # type: ignore[arg-type]
        self.at = 1000 * MS
        self.sequence = 0
        self.commands: list[Command] = []
        self.arm = robot.ARM_HOME.copy()
        self.palm = HOME
        self.hand = MIDDLE.copy()

    @property
    def now(self) -> Now:
        """The steady clock runs 7 s behind the ROS clock."""
        return Now(self.at - 7000 * MS, self.at)

    chunk = staticmethod(chunk)
    middle = MIDDLE
    home = HOME

    def keep(self, commands: list[Command]) -> list[Command]:
        self.commands += commands
        return commands

    def states(self, stamp: int | None = None, order: str = "aph") -> list[Command]:
        """The three measured streams at one stamp, arm, palm and hand in the given order."""
        stamp = self.at if stamp is None else stamp
        send = {
            "a": lambda: self.gate.arm_state(stamp, self.arm, self.now),
            "p": lambda: self.gate.palm_state(stamp, self.palm, self.now),
            "h": lambda: self.gate.hand_state(stamp, self.hand, self.now),
        }
        return self.keep([command for key in order for command in send[key]()])

    def step(self, ns: int = DT) -> list[Command]:
        """One control tick later: new states and, with a timer, the tick."""
        self.at += ns
        commands = self.states()
        if self.gate.config.tick_source == "timer":
            commands = commands + self.keep(self.gate.tick(self.now))
        return commands

    def action(self, **changes: object) -> Action:
        """The next action of the policy for the newest state."""
        self.sequence += 1
        values: dict[str, object] = {
            "observation_stamp_ns": self.at,
            "publisher": "policy-1",
            "sequence": self.sequence,
            "episode": 0,
            "checkpoint_id": "base@0123456789ab",
            "horizon": 2,
            "dimension": 22,
            "step_dt": 0.05,
            "a_0": np.zeros((2, 22)),
            "a_b": chunk(),
            "a_r": np.zeros((2, 22)),
            "a": chunk(),
        }
        return Action(**{**values, **changes})  # type: ignore[arg-type]

    def act(self, **changes: object) -> list[Command]:
        """Send the next action."""
        return self.keep(self.gate.policy_action(self.action(**changes), self.now))

    def correct(self, residual: Array, engaged: bool = True, stamp: int | None = None) -> None:
        """Send a human correction."""
        self.gate.correction(Correction(self.at if stamp is None else stamp, residual, engaged), self.now)

    def armed(self) -> Bench:
        """Bring the gate to ARMED."""
        self.step()
        reply = self.gate.arm(self.now)
        assert reply.success, reply.message
        return self

    def active(self, **changes: object) -> Bench:
        """Bring the gate to ACTIVE by one action."""
        self.armed()
        self.act(**changes)
        if self.gate.config.tick_source == "timer":
            self.step()
        assert self.gate.mode is Mode.ACTIVE, self.gate.status
        return self

    def holding(self) -> Bench:
        """Bring the gate to HOLD by an action that is not finite."""
        self.active()
        self.act(a_b=np.full((2, 22), np.nan))
        assert self.gate.mode is Mode.HOLD
        return self

    def faulted(self) -> Bench:
        """Bring the gate to FAULT by a second commander of the drivers."""
        self.active()
        self.gate.publishers(1, 2, self.now)
        assert self.gate.mode is Mode.FAULT
        return self

    def shift(self, x: float) -> None:
        """The measured palm is found displaced along the base's x (m)."""
        self.palm = Pose(self.palm.position + np.array([[x, 0.0, 0.0]]), self.palm.quaternion)


@pytest.fixture(scope="session")
def bench() -> type[Bench]:
    """The class: `bench()` is a fresh gate with a robot at rest before it."""
    return Bench
