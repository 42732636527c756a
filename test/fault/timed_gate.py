"""A gate with a timer among a robot and a policy, on simulated clocks: to the nanosecond, on any machine.

Every process has its own pace: arm and palm at 100 Hz, fingers at 60 Hz, decisions at 10 Hz that take a
while, control ticks every 50 ms and looks every 10 ms with some jitter, messages on their way for up to 3 ms.
The clock that stamps are read on can be set while all this runs.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import numpy as np

from rfs_core import robot
from rfs_core.gate import WATCH_S, Action, Command, Gate, GateConfig, Mode, Now
from rfs_core.kinematics import ArmKinematics

MS = 1_000_000
S = 1000 * MS
SPEC = robot.DEFAULT_ACTION_SPEC
HOME = ArmKinematics().forward(robot.ARM_HOME[None])
FINGERS = (robot.HAND_LIMITS[0] + robot.HAND_LIMITS[1]) / 2


class TimedGate:
    """An event queue on the steady clock (`at`, ns); `ros_offset` is what the ROS clock is ahead of it."""

    def __init__(self, rng: np.random.Generator, inference_ms: Callable[[], float] | float = 20.0) -> None:
        """
        Args:
            rng: phases, jitter and delays.
            inference_ms: how long a decision takes.
        """
        self.gate = Gate(GateConfig(tick_source="timer"))
        self.rng = rng
        self.inference_ms = inference_ms if callable(inference_ms) else lambda: float(inference_ms)
        self.at = 10 * S
        self.ros_offset = 1_700_000_000 * S
        self.policy_alive = True
        self.robot_alive = True
        self.policy_steps: list[np.ndarray] = []
        """First value of the base action of every chunk that was sent, to recognise it."""
        self.commands: list[tuple[int, Command]] = []
        self.modes: list[tuple[int, Mode, str]] = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._sequence = 0
        self._seen = self._busy_until = 0
        self.delta = lambda decision: 0.0
        """Displacement along x of both steps of a decision, m."""
        for name, period in (("a", 10 * MS), ("p", 10 * MS), ("h", S // 60)):
            self.after(self._uniform(0, period), lambda n=name, p=period: self._measure(n, p))
        self.after(self._uniform(0, 100 * MS), self._decide)
        self.after(self._uniform(0, 50 * MS), lambda: self._tick(self.at))
        self.after(self._uniform(0, 10 * MS), lambda: self._watch(self.at))

    @property
    def now(self) -> Now:
        """Both clocks."""
        return Now(self.at, self.at + self.ros_offset)

    def after(self, ns: int, do: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._queue, (self.at + ns, next(self._count), do))

    def run(self, ns: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, until `stop`."""
        end = self.at + ns
        while self._queue and self._queue[0][0] <= end:
            self.at, _, do = heapq.heappop(self._queue)
            do()
            if not self.modes or self.modes[-1][1:] != (self.gate.mode, self.gate.status.reason):
                self.modes.append((self.at, self.gate.mode, self.gate.status.reason))
            if stop():
                return
        self.at = end

    def start(self) -> TimedGate:
        """Arm it and bring it to ACTIVE."""
        self.run(200 * MS)
        reply = self.gate.arm(self.now)
        assert reply.success, reply.message
        self.run(S, lambda: self.gate.mode is Mode.ACTIVE)
        assert self.gate.mode is Mode.ACTIVE, self.gate.status
        return self

    def run_until(self, mode: Mode, ns: int) -> int | None:
        """Let time pass until a mode is entered; when that was, None where it was not within `ns`."""
        begun = self.at
        self.run(ns, lambda: self.gate.mode is mode)
        return self.mode_since(mode, begun)

    def mode_since(self, mode: Mode, ns: int) -> int | None:
        """When it entered a mode, not before `ns`; None where it did not."""
        return next((at for at, entered, _ in self.modes if entered is mode and at >= ns), None)

    def _uniform(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def _keep(self, commands: list[Command]) -> None:
        self.commands += [(self.at, command) for command in commands]

    # The robot

    def _measure(self, name: str, period: int) -> None:
        self.after(period, lambda: self._measure(name, period))
        if not self.robot_alive:
            return
        stamped, stamp = self.at, self.now.ros_ns
        event = {
            "a": lambda: self.gate.arm_state(stamp, robot.ARM_HOME, self.now),
            "p": lambda: self.gate.palm_state(stamp, HOME, self.now),
            "h": lambda: self.gate.hand_state(stamp, FINGERS, self.now),
        }[name]

        def arrive() -> None:
            if name == "h":  # the slowest part of the observation
                self._seen = stamped
            self._keep(event())

        self.after(self._uniform(0, 3 * MS), arrive)

    # The policy

    def _decide(self) -> None:
        self.after(100 * MS, self._decide)
        if not self.policy_alive or not self._seen or self.at < self._busy_until:
            return
        seen, takes = self._seen, round(self.inference_ms() * MS)
        self._busy_until = self.at + takes
        self.after(takes, lambda: self._publish(seen))

    def _publish(self, seen: int) -> None:
        if not self.policy_alive:
            return
        self._sequence += 1
        step = np.concatenate([[self.delta(self._sequence)], np.zeros(5), FINGERS])
        chunk = np.tile(step, (2, 1))
        action = Action(
            observation_stamp_ns=seen + self.ros_offset,
            publisher="policy",
            sequence=self._sequence,
            episode=0,
            checkpoint_id="test@0",
            horizon=2,
            dimension=SPEC.size,
            step_dt=SPEC.control_dt,
            a_0=np.zeros((2, SPEC.size)),
            a_b=chunk,
            a_r=np.zeros((2, SPEC.size)),
            a=chunk,
        )
        self.after(self._uniform(0, 3 * MS), lambda: self._keep(self.gate.policy_action(action, self.now)))

    # The gate's timers: on a grid, each call a little late

    def _tick(self, due: int) -> None:
        self._keep(self.gate.tick(self.now))
        self._again(due + 50 * MS, self._tick)

    def _watch(self, due: int) -> None:
        self._keep(self.gate.watch(self.now))
        self._again(due + round(WATCH_S * S), self._watch)

    def _again(self, due: int, do: Callable[[int], None]) -> None:
        self.after(due - self.at + self._uniform(0, MS // 2), lambda: do(due))
