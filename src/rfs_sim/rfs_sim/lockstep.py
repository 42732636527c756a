"""When the simulated world may take its next control step.

Simulated time moves in control ticks. Outside an episode it follows the wall clock (FREE). After a reset it
stands still and waits for the first targets, however long they take (WAITING). In an episode every tick waits
for the targets that answer it (LOCKSTEP), so that a slow policy plays the same episode as a fast one.

There is no clock in here: wall time comes in as an argument (s, monotonic) and robot time is counted in whole
nanoseconds, so every path can be tested without waiting.

    FREE --reset--> WAITING --both targets of t_r--> LOCKSTEP --release--> FREE
                    (reset is possible in every phase)
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from rfs_core.errors import ConfigError, RfsError

NS_PER_S = 1_000_000_000
_ANSWER_SHARE = 0.5


class Phase(enum.Enum):
    """Who decides when the next control step comes."""

    FREE = "free"
    """The wall clock; no episode."""
    WAITING = "waiting"
    """The first targets of an episode; time stands still."""
    LOCKSTEP = "lockstep"
    """The targets of the present tick, or the end of the patience with them."""


class Part(enum.Enum):
    """The two targets a control step needs."""

    ARM = "arm"
    HAND = "hand"


class TargetRefused(RfsError):
    """A target stamped before the reset, in the future, or out of order."""


class Action(enum.Enum):
    """What the caller is to do now."""

    WAIT = "wait"
    REPUBLISH = "republish"
    STEP = "step"


@dataclass(frozen=True)
class Decision:
    """What the caller is to do now, and how."""

    action: Action
    until: float
    """Wall time (s) at which to ask again if nothing arrives; for WAIT only, else the time of the call."""
    missed: bool = False
    """STEP although the targets of this tick did not arrive in time."""
    hold: bool = False
    """STEP without the arm's last target: commands stopped long ago, the arm stays where it is."""


@dataclass(frozen=True)
class LockstepConfig:
    """Times of the lock-step."""

    control_dt_ns: int = 50_000_000
    """Robot time of a control step (ns)."""
    real_time_factor: float = 0.0
    """Robot seconds per wall second in an episode; 0: as fast as targets arrive."""
    patience_s: float = 2.0
    """Wall time (s) to wait for the targets of a tick when real_time_factor is 0."""
    command_deadline_s: float = 0.15
    """Robot time (s) after the last arm target at which the arm holds its measured pose."""
    republish_s: float = 0.2
    """Wall time (s) between two publications of the same state while waiting for the first targets."""

    def __post_init__(self) -> None:
        for name in ("control_dt_ns", "patience_s", "command_deadline_s", "republish_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be > 0")
        if not (math.isfinite(self.real_time_factor) and self.real_time_factor >= 0):
            raise ConfigError(f"real_time_factor is {self.real_time_factor}, must be finite and >= 0")


class Lockstep:
    """The state machine. One instance lives as long as the world.

    The caller publishes the state of `tick_ns`, asks `poll` what to do, and after every step of the world and
    the publication of its state calls `stepped`.
    """

    def __init__(self, config: LockstepConfig, wall: float) -> None:
        """Start in FREE at tick 0.

        Args:
            config: Times of the lock-step.
            wall: Wall time now (s, monotonic).
        """
        self.config = config
        self.phase = Phase.FREE
        self.tick_ns = 0
        """Robot time of the present tick (ns), a multiple of the control step."""
        self.reset_ns = 0
        """Robot time of the last reset (ns)."""
        self.misses = 0
        """Ticks of this episode that went on without their targets."""
        self.misses_total = 0
        """The same, since the start."""
        self.held = 0
        """Steps of this episode in which the arm held because commands had stopped."""
        self.refused_total = 0
        """Targets refused for their stamp, since the start."""
        self._stamp: dict[Part, int | None] = {Part.ARM: None, Part.HAND: None}
        self._deadline = wall + self._period_s
        self._published = wall
        self._command_deadline_ns = round(config.command_deadline_s * NS_PER_S)

    @property
    def _period_s(self) -> float:
        """Wall time between two ticks where the wall clock rules."""
        factor = self.config.real_time_factor
        if self.phase is Phase.FREE or factor == 0.0:
            factor = 1.0
        return self.config.control_dt_ns / NS_PER_S / factor

    # What happens to the world

    def reset(self, wall: float) -> int:
        """Begin an episode: time stops at the next tick. Returns that tick (ns).

        The reset takes a tick of its own, so that nothing stamped before belongs to the new episode.
        """
        self.tick_ns += self.config.control_dt_ns
        self.reset_ns = self.tick_ns
        self.phase = Phase.WAITING
        self.misses = self.held = 0
        self._stamp = {Part.ARM: None, Part.HAND: None}
        self._published = wall
        return self.tick_ns

    def release(self, wall: float) -> None:
        """End the episode: from here on the wall clock moves the world. Does nothing in FREE."""
        if self.phase is not Phase.FREE:
            self.phase = Phase.FREE
            self._deadline = wall + self._period_s

    def belongs_to_episode(self, stamp_ns: int, started_ns: int) -> bool:
        """Whether an EpisodeState speaks of the episode that the last reset began.

        A late "finished" of the episode before must not end the new one.

        Args:
            stamp_ns: When the state was published (robot time, ns).
            started_ns: Its `started` (robot time, ns); 0 where the episode was not running yet.
        """
        return started_ns == self.reset_ns if started_ns else stamp_ns >= self.reset_ns

    def target(self, part: Part, stamp_ns: int) -> None:
        """Take note of a target that the world has accepted as the newest.

        Raises:
            TargetRefused: the stamp lies before the reset, in the future, or before a target already taken.
        """
        last = self._stamp[part]
        if stamp_ns > self.tick_ns:
            why = f"is in the future, the world stands at {self.tick_ns} ns"
        elif self.phase is not Phase.FREE and stamp_ns < self.reset_ns:
            why = f"is from before the reset at {self.reset_ns} ns"
        elif last is not None and stamp_ns < last:
            why = f"is older than the last one, {last} ns"
        else:
            self._stamp[part] = stamp_ns
            return
        self.refused_total += 1
        raise TargetRefused(
            f"{part.value} target stamped {stamp_ns} ns {why}; stamp it with the state it answers"
        )

    # What to do next

    @property
    def answered(self) -> bool:
        """Both targets of the present tick are there."""
        arm, hand = self._stamp[Part.ARM], self._stamp[Part.HAND]
        return arm is not None and hand is not None and min(arm, hand) >= self.tick_ns

    def poll(self, wall: float) -> Decision:
        """What to do at wall time `wall` (s). Follow STEP by `stepped`, every publication by `published`."""
        if self.phase is Phase.FREE:
            if wall < self._deadline:
                return Decision(Action.WAIT, self._deadline)
            return self._step(wall, missed=False)
        if self.phase is Phase.WAITING:
            if self.answered:
                # The wall clock's grid of the episode begins with its first step.
                self.phase = Phase.LOCKSTEP
                self._deadline = wall
                return self._step(wall, missed=False)
            again = self._published + self.config.republish_s
            return Decision(Action.WAIT, again) if wall < again else Decision(Action.REPUBLISH, wall)
        if self.config.real_time_factor == 0.0:
            if self.answered:
                return self._step(wall, missed=False)
            deadline = self._published + self.config.patience_s
        else:
            deadline = self._deadline
        if wall < deadline:
            return Decision(Action.WAIT, deadline)
        return self._step(wall, missed=not self.answered)

    def _step(self, wall: float, missed: bool) -> Decision:
        stamp = self._stamp[Part.ARM]
        hold = stamp is None or self.tick_ns - stamp >= self._command_deadline_ns
        if missed:
            self.misses += 1
            self.misses_total += 1
        if hold and self.phase is Phase.LOCKSTEP:
            self.held += 1
        return Decision(Action.STEP, wall, missed=missed, hold=hold)

    def stepped(self, wall: float) -> None:
        """The world is one control step further, at wall time `wall`; its state is published next."""
        self.tick_ns += self.config.control_dt_ns
        self._published = wall
        period = self._period_s
        self._deadline += period
        if self._deadline <= wall:
            # Behind by a whole step: the grid slips instead of rushing through ticks nobody can answer.
            self._deadline = wall + period

    def published(self, wall: float) -> None:
        """The state of the present tick has been published, maybe again, at wall time `wall`.

        Painting a camera may take longer than a step; whoever answers gets half a step all the same, and the
        world falls behind the wall clock instead of going on without answers.
        """
        self._published = wall
        if self.phase is Phase.LOCKSTEP:
            self._deadline = max(self._deadline, wall + _ANSWER_SHARE * self._period_s)
