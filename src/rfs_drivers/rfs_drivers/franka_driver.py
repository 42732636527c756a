"""The Franka impedance driver without ROS: one thread that owns the robot, and what others may ask of it.

Every cycle it reads the state, carries out requests, and hands an interpolated setpoint to the impedance
session, or watches a joint motion: `franka_control`. Others look at it through `state` and `status`, and
speak to it through `offer` and the requests; none of them blocks on it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from rfs_core.se3 import Pose
from rfs_drivers.franka_config import FrankaConfig, outside_limits
from rfs_drivers.franka_connection import FrankaConnection, RobotState
from rfs_drivers.franka_control import Control
from rfs_drivers.franka_follower import Follower
from rfs_drivers.franka_requests import Requests, refused
from rfs_drivers.franka_status import Log, Phase, Status


class FrankaDriver:
    """Drives one arm. `start` it, then make requests; each returns a future with a line for the person."""

    def __init__(
        self,
        config: FrankaConfig,
        log: Log = lambda level, line: None,
        on_state: Callable[[RobotState], None] = lambda state: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            config: checked here.
            log: where one-line messages go; called from the driver's thread.
            on_state: called with every new state, from the driver's thread; must be quick.
            clock: steady clock, s.

        Raises:
            ConfigError: the configuration contradicts itself.
            DriverError: the client library is missing.
        """
        config.check()
        self._config = config
        self._clock = clock
        self._connection = FrankaConnection(config, clock)
        self._follower = Follower(config, log, clock)
        self._cycles: deque[float] = deque(maxlen=500)
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._requests = Requests(self._wake)
        self._control = Control(
            config, self._connection, self._follower, self._requests, log, on_state, clock
        )
        self._thread = threading.Thread(target=self._run, name="franka driver", daemon=True)

    # ---- from any thread -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; nothing is connected yet."""
        self._thread.start()

    def close(self) -> None:
        """End control, disconnect and end the thread."""
        self._requests.close()
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(15.0)

    def connect(self) -> Future[str]:
        """Connect to the robot. Fails with a DriverError; nothing retries until it worked once."""
        return self._requests.ask(self._control.connect)

    def enable(self) -> Future[str]:
        """Begin impedance control, holding where the arm is."""
        return self._requests.ask(self._control.enable)

    def disable(self) -> Future[str]:
        """End control."""
        return self._requests.ask(self._control.disable)

    def recover(self) -> Future[str]:
        """After a fault: clear it, and control again if it was on."""
        return self._requests.ask(self._control.recover)

    def home(self) -> Future[str]:
        """Move the joints to `config.home`; refused while targets are followed."""
        return self._requests.ask(self._control.move, "home", self._config.home, self._config.home_speed)

    def move_joints(self, q: Sequence[float], speed: float) -> Future[str]:
        """Move the joints; refused while targets are followed, and where a joint would come to its limit.

        Args:
            q: rad. Shape: (7,)
            speed: share of the robot's largest speed, acceleration and jerk, 0.01 to 0.5.
        """
        if not 0.01 <= speed <= 0.5:
            return refused(f"speed is {speed}, allowed: 0.01 to 0.5 of the robot's largest")
        outside = outside_limits(q)
        if outside:
            return refused(f"joints: {outside}")
        return self._requests.ask(self._control.move, "the goal", tuple(q), speed)

    def stop_motion(self) -> Future[str]:
        """End a joint motion smoothly; whoever asked for it is told."""
        return self._requests.ask(self._control.stop_motion)

    def offer(self, target: Pose) -> None:
        """A palm target in the base frame (N = 1), received now."""
        self._follower.offer(target)
        self._wake.set()

    @property
    def config(self) -> FrankaConfig:
        """As given."""
        return self._config

    @property
    def state(self) -> RobotState | None:
        """The newest state, None before the first."""
        return self._control.state

    @property
    def status(self) -> Status:
        """What the driver says about itself."""
        state, stream = self._control.state, self._follower.stream
        counters, intervals = stream.counters, stream.intervals
        now = self._clock()
        cycles = np.array(self._cycles)
        phase, reason = self._control.phase, self._control.reason
        call, since = self._connection.busy
        if since > 2.0 * self._config.call_timeout:
            reason = f"the client library has been busy with {call!r} for {since:.1f} s; {reason}"
        target_now = state.robot_time if state is not None and self._config.clock == "robot" else now
        return Status(
            phase=phase,
            reason=reason or (self._follower.held_for if phase is Phase.HOLDING else ""),
            mode=state.mode if state is not None else "",
            state_age=self._control.age.age(now),
            success_rate=state.success_rate if state is not None else 0.0,
            target_age=stream.age(target_now),
            target_period=float(intervals.mean()) if intervals.size > 1 else float("nan"),
            target_jitter=float(intervals.std()) if intervals.size > 1 else float("nan"),
            cycle_p99=float(np.percentile(cycles, 99)) if cycles.size else float("nan"),
            accepted=counters.accepted,
            refused=counters.refused,
            clipped=counters.clipped,
            holds=counters.holds,
            faults=self._control.faults,
            connections=self._connection.robots_made,
            last_refusal=self._follower.last_refusal,
        )

    @property
    def waits_for_a_person(self) -> bool:
        """A user stop or a reflex was seen, and arm/recover has not succeeded since."""
        return self._control.waits_for_a_person

    @property
    def library_cpu(self) -> float:
        """Processor time of the client library's control thread in this session, s."""
        return self._connection.library_cpu

    def refuse_targets(self, reason: str) -> None:
        """Hold for a reason from outside, such as a second publisher; empty: accept targets again."""
        self._follower.bar(reason)

    # ---- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        period = 1.0 / self._config.stream_rate
        due = last = self._clock()
        defect = True
        try:
            while not self._closing.is_set():
                self._control.cycle()
                now = self._clock()
                self._cycles.append(now - last)
                last = now
                due = max(due + period, now)
                if self._wake.wait(max(due - now, 0.0)):
                    self._wake.clear()
            defect = False
        finally:
            # Reached by a defect as well, whose traceback follows: the arm must not be left in control.
            self._control.end(defect)
            self._requests.close()
            self._closing.set()
            self._control.let_go()
            self._requests.refuse_waiting()


@contextlib.contextmanager
def running(driver: FrankaDriver):  # type: ignore[no-untyped-def]
    """The driver started, and closed at the end."""
    driver.start()
    try:
        yield driver
    finally:
        driver.close()
