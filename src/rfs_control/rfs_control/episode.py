"""A batch of episodes as a state machine: what to do next, how an episode ends, when the batch must stop.

One episode: reset the world, arm the gate, announce RUNNING, count rewards until it ends, announce
FINISHED, stop the gate. The state machine says what is to be done as `Command`s and is told what came of
it by method calls; it knows neither ROS nor a clock (times on the wall are seconds of any steady clock,
passed in).

A robot that stopped for safety is never armed again by this machine: once the gate holds, faults or is
stopped by somebody, the episode is aborted and the batch ends. Only a person's `episode/start` begins
anew.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from rfs_control.episode_config import EpisodeConfig

NS_PER_S = 1_000_000_000
KEPT_WAITING_S = 1.0
"""Longer without a look at the time (s; `EpisodeBatch.time`), and it was this process that stood still."""


class Stage(enum.Enum):
    """What the batch is waiting for."""

    READY = "ready"
    """No episode; the next one may be started."""
    RESETTING = "resetting"
    ARMING = "arming"
    RUNNING = "running"
    STOPPING = "stopping"
    """The outcome is known; waiting for the gate to stop."""
    OVER = "over"
    """The batch is done or was stopped; nothing is started any more."""


class Outcome(enum.IntEnum):
    """As in rfs_msgs/EpisodeState."""

    NONE = 0
    SUCCESS = 1
    FAILURE = 2
    ABORTED = 3


class Phase(enum.IntEnum):
    """As in rfs_msgs/EpisodeState."""

    IDLE = 0
    RESETTING = 1
    RUNNING = 2
    FINISHED = 3


class Gate(enum.IntEnum):
    """Modes of the command gate, as in rfs_msgs/SafetyState."""

    IDLE = 0
    ARMED = 1
    ACTIVE = 2
    HOLD = 3
    FAULT = 4


@dataclass(frozen=True)
class Reset:
    """Call sim/reset."""

    seed: int
    index: int


@dataclass(frozen=True)
class Arm:
    """Call safety/arm."""


@dataclass(frozen=True)
class Stop:
    """Call safety/stop."""


@dataclass(frozen=True)
class Announce:
    """Publish the record of the current episode on episode/state."""

    phase: Phase


@dataclass(frozen=True)
class Over:
    """The batch is over: make the report and end."""


Command = Reset | Arm | Stop | Announce | Over


@dataclass
class EpisodeRecord:
    """What is known of one episode; complete once it is in `EpisodeBatch.records`."""

    index: int
    seed: int
    id: str
    outcome: Outcome = Outcome.NONE
    reason: str = ""
    started_ns: int = 0
    """Stamp of the first observation."""
    max_steps: int = 0
    steps: int = 0
    """Control steps up to the newest reward."""
    total_reward: float = 0.0
    """Sum of the rewards of these steps."""
    missed_rewards: int = 0
    """Steps whose reward did not arrive; `total_reward` is without them."""
    invalid_rewards: int = 0
    """Steps in which the object was not seen."""
    wall_started_s: float = 0.0
    wall_s: float = 0.0
    """From RUNNING to the outcome."""
    success_at_end: bool = field(default=False, repr=False)

    def robot_time_s(self, control_dt: float) -> float:
        """How long it lasted in robot time."""
        return self.steps * control_dt


class EpisodeBatch:
    """Runs episodes one after the other; see the module's text."""

    def __init__(self, config: EpisodeConfig, batch_id: str) -> None:
        """Args: batch_id: first part of every episode's id, unique to this run."""
        self.config = config
        self.batch_id = batch_id
        self.stage = Stage.READY
        self.current: EpisodeRecord | None = None
        self.records: list[EpisodeRecord] = []
        self.stopped = ""
        """Why the batch ended before all its episodes ran; empty while it goes well."""
        self.interrupted = False
        """A person ended it with Ctrl-C."""
        self._dt_ns = round(config.control_dt * NS_PER_S)
        self._since_s = 0.0
        self._looked_s = 0.0
        self._gate_was_armed = False
        self._holds_before = 0
        self._gate_said = (Gate.IDLE, "", 0)
        self._started = 0

    @property
    def phase(self) -> Phase:
        """The phase to announce for the current stage."""
        return {
            Stage.READY: Phase.IDLE,
            Stage.RESETTING: Phase.RESETTING,
            Stage.ARMING: Phase.RESETTING,
            Stage.RUNNING: Phase.RUNNING,
            Stage.STOPPING: Phase.FINISHED,
            Stage.OVER: Phase.FINISHED,
        }[self.stage]

    @property
    def exit_code(self) -> int:
        """0 when all episodes ran or a person ended the batch; 1 when it was stopped."""
        return 1 if self.stopped else 0

    # What happens, and what is to be done about it -----------------------------------------------------

    def start_batch(self, now_s: float) -> list[Command]:
        """All nodes are there: begin the first episode, unless each is asked for by service."""
        if self.config.episodes == 0 or self.stage is not Stage.READY:
            return []
        return self._begin(self.config.seed, self.config.first_episode, now_s)

    def start_requested(self, now_s: float, seed: int, index: int) -> tuple[str, list[Command]]:
        """The service episode/start. Returns why it is refused (empty: accepted) and what to do."""
        if self.stage is Stage.OVER:
            return "the batch is over; start the episode manager anew", []
        if self.config.episodes > 0:
            return (
                f"a batch of {self.config.episodes} episodes is running; use episodes:=0 for single ones",
                [],
            )
        if self.current is not None:
            return (
                f"episode {self.current.id} is {self.stage.value}; wait for its end or use episode/finish",
                [],
            )
        return "", self._begin(seed, index, now_s)

    def reset_done(
        self, now_s: float, success: bool, message: str, stamp_ns: int, max_steps: int
    ) -> list[Command]:
        """The answer of sim/reset."""
        if self.stage is not Stage.RESETTING or self.current is None:
            return []
        if not success:
            return self._end_batch(now_s, f"the world was not reset: {message}")
        self.current.started_ns = stamp_ns
        self.current.max_steps = max_steps
        self._enter(Stage.ARMING, now_s)
        self._gate_was_armed = False
        self._holds_before = self._gate_said[2]
        return [Arm()]

    def arm_done(self, now_s: float, success: bool, message: str) -> list[Command]:
        """The answer of safety/arm."""
        if self.stage is not Stage.ARMING or self.current is None:
            return []
        if not success:
            return self._end_batch(now_s, f"the gate was not armed: {message}")
        self.current.wall_started_s = now_s
        self._enter(Stage.RUNNING, now_s)
        # The gate may have been armed and gone on to hold before its answer was read.
        mode, reason, holds = self._gate_said
        known = self._gate_was_armed or mode is Gate.HOLD
        return [Announce(Phase.RUNNING)] + (self.gate(now_s, mode, reason, holds) if known else [])

    def stop_done(self, now_s: float, success: bool, message: str) -> list[Command]:
        """The answer of safety/stop: the episode is closed, the next one may begin."""
        if self.stage is not Stage.STOPPING or self.current is None:
            return []
        if not success and not self.stopped:
            self.stopped = f"the gate did not stop after the episode: {message}"
        self.records.append(self.current)
        self.current = None
        done = self._started >= self.config.episodes > 0
        if self.stopped or self.interrupted or done:
            if self.config.episodes == 0 and not self.interrupted:
                # A person starts each episode; what stopped this one does not end the service.
                self.stopped = ""
                self._enter(Stage.READY, now_s)
                return [Announce(Phase.IDLE)]
            self._enter(Stage.OVER, now_s)
            return [Over()]
        self._enter(Stage.READY, now_s)
        if self.config.episodes == 0:
            return [Announce(Phase.IDLE)]
        return self._begin(self.config.seed, self.config.first_episode + self._started, now_s)

    def reward(
        self,
        now_s: float,
        stamp_ns: int,
        total: float,
        *,
        valid: bool = True,
        success: bool = False,
        terminated: bool = False,
        reason: str = "",
    ) -> list[Command]:
        """A reward. Those of other episodes, repeated ones and that of the first state do not count."""
        if self.stage is not Stage.RUNNING or self.current is None:
            return []
        episode = self.current
        step = (stamp_ns - episode.started_ns) // self._dt_ns
        if step <= episode.steps:
            return []
        self._since_s = now_s
        episode.missed_rewards += step - episode.steps - 1
        episode.steps = step
        episode.total_reward += total
        episode.invalid_rewards += not valid
        episode.success_at_end = success
        if terminated:
            # As in the vector environment: an episode that could not go on is no success.
            return self._finish(now_s, Outcome.FAILURE, reason or "terminated")
        if step >= episode.max_steps:
            if success:
                return self._finish(now_s, Outcome.SUCCESS, "success")
            return self._finish(
                now_s, Outcome.FAILURE, f"no success within {episode.max_steps} control steps"
            )
        return []

    def gate(self, now_s: float, mode: Gate, reason: str, holds: int) -> list[Command]:
        """A safety/state. Anything but ARMED and ACTIVE during an episode aborts it and ends the batch.

        Args:
            holds: how often the gate has entered HOLD since it started. It tells a hold of this episode from
                one of before whose message was late; times do not, where somebody sets the clock.
        """
        self._gate_said = (mode, reason, holds)
        if self.stage not in (Stage.ARMING, Stage.RUNNING) or self.current is None:
            return []
        if mode in (Gate.ARMED, Gate.ACTIVE):
            self._gate_was_armed = True
            return []
        if self.stage is Stage.ARMING:
            return []  # looked at again when safety/arm has answered
        # A state from before this episode may still be on its way; it says nothing about this one.
        old = holds <= self._holds_before and not self._gate_was_armed
        if mode is Gate.HOLD and old:
            return []
        if mode is Gate.IDLE and not self._gate_was_armed:
            return []
        what = {Gate.HOLD: "holds", Gate.FAULT: "is in FAULT", Gate.IDLE: "was stopped"}[mode]
        return self._abort(now_s, f"the gate {what}: {reason}")

    def finish_requested(self, now_s: float, outcome: int, reason: str) -> tuple[str, list[Command]]:
        """The service episode/finish. Returns why it is refused (empty: accepted) and what to do."""
        if self.stage is not Stage.RUNNING or self.current is None:
            return f"no episode is running (the manager is {self.stage.value})", []
        allowed = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.ABORTED)
        if outcome not in allowed:
            names = ", ".join(f"{o.value} ({o.name})" for o in allowed)
            return f"outcome {outcome} is not an outcome; use one of {names}", []
        return "", self._finish(now_s, Outcome(outcome), reason or "finished by service")

    def policy_lost(self, now_s: float, reason: str) -> list[Command]:
        """The policy says that it cannot act at all."""
        if self.stage is Stage.OVER:
            return []
        return self._abort(now_s, reason) if self.current is not None else self._end_batch(now_s, reason)

    def interrupt(self, now_s: float) -> list[Command]:
        """Ctrl-C: close what is running without waiting for anybody, and end."""
        if self.stage is Stage.OVER:
            return []
        self.interrupted = True
        commands: list[Command] = []
        if self.current is not None:
            running = self.stage is Stage.RUNNING
            if self.current.outcome is Outcome.NONE:
                self._close(now_s, Outcome.ABORTED, "interrupted")
            if running:
                commands += [Announce(Phase.FINISHED), Stop()]
            self.records.append(self.current)
            self.current = None
        self._enter(Stage.OVER, now_s)
        return [*commands, Over()]

    def time(self, now_s: float) -> list[Command]:
        """Called several times a second: gives up on what takes too long.

        Whoever was kept waiting itself does not know whether others were late: first it reads what has
        arrived meanwhile.
        """
        was_kept_waiting = now_s - self._looked_s > KEPT_WAITING_S
        self._looked_s = now_s
        if was_kept_waiting:
            return []
        waited = now_s - self._since_s
        if self.stage in (Stage.RESETTING, Stage.ARMING, Stage.STOPPING):
            if waited <= self.config.service_timeout_s:
                return []
            service, node = {
                Stage.RESETTING: ("sim/reset", self.config.world),
                Stage.ARMING: ("safety/arm", "gate_node"),
                Stage.STOPPING: ("safety/stop", "gate_node"),
            }[self.stage]
            why = f"{service} did not answer within {self.config.service_timeout_s:g} s: is {node} alive?"
            if self.stage is Stage.STOPPING:
                return self.stop_done(now_s, False, why)
            return self._end_batch(now_s, why)
        if self.stage is Stage.RUNNING and waited > self.config.stall_timeout_s:
            steps = self.current.steps if self.current is not None else 0
            return self._abort(
                now_s,
                f"no new reward for {self.config.stall_timeout_s:g} s after {steps} control steps: "
                f"are {self.config.world} and policy_node alive?",
            )
        return []

    # ---------------------------------------------------------------------------------------------------

    def _begin(self, seed: int, index: int, now_s: float) -> list[Command]:
        self.current = EpisodeRecord(index=index, seed=seed, id=f"{self.batch_id}_{index:06d}")
        self._started += 1
        self._enter(Stage.RESETTING, now_s)
        return [Announce(Phase.RESETTING), Reset(seed, index)]

    def _close(self, now_s: float, outcome: Outcome, reason: str) -> None:
        if self.current is None:
            return
        self.current.outcome = outcome
        self.current.reason = reason
        if self.current.wall_started_s > 0.0:
            self.current.wall_s = now_s - self.current.wall_started_s

    def _finish(self, now_s: float, outcome: Outcome, reason: str) -> list[Command]:
        self._close(now_s, outcome, reason)
        self._enter(Stage.STOPPING, now_s)
        return [Announce(Phase.FINISHED), Stop()]

    def _abort(self, now_s: float, reason: str) -> list[Command]:
        if not self.stopped:
            where = f"episode {self.current.index}: " if self.current is not None else ""
            self.stopped = where + reason
        if self.stage is Stage.STOPPING:
            return []
        return self._finish(now_s, Outcome.ABORTED, reason)

    def _end_batch(self, now_s: float, reason: str) -> list[Command]:
        """The episode could not even begin: abort it, and stop the gate to be sure."""
        return self._abort(now_s, reason) if self.current is not None else self._over(now_s, reason)

    def _over(self, now_s: float, reason: str) -> list[Command]:
        self.stopped = self.stopped or reason
        self._enter(Stage.OVER, now_s)
        return [Over()]

    def _enter(self, stage: Stage, now_s: float) -> None:
        self.stage = stage
        self._since_s = now_s
