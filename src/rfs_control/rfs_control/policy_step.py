"""One decision of the policy: which tick it is, which noise it starts from, what is published.

The noise of an episode comes from `episode_rng(seed, episode, "policy_noise")`, one draw of shape
(horizon, action size) per decision, as `evaluate` draws it: the same episode of the same seed gets the same
noise in the vector environment and behind ROS.

No ROS and no clock in here: stamps come in as whole nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_core.seeding import episode_rng
from rfs_core.specs import ActionSpec

NS_PER_S = 1_000_000_000


class Output(Protocol):
    """What a policy answers: arrays of shape (N, horizon, action size)."""

    a_0: NDArray[np.float32]
    a_b: NDArray[np.float64]
    a_r: NDArray[np.float64]
    a: NDArray[np.float64]


class ActingPolicy(Protocol):
    """The part of `rfs_learning.policy.Policy` that a decision needs."""

    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> Output:
        """Args: observation (N, O), noise (N, H, A)."""
        ...


@dataclass(frozen=True)
class EpisodeClock:
    """When the decisions of one episode are due."""

    seed: int
    episode: int
    started_ns: int
    """Stamp of the first observation of the episode."""
    max_steps: int
    """Control steps after which the episode is truncated; 0: open end."""
    control_dt_ns: int
    horizon: int
    """Control steps per decision."""

    @property
    def period_ns(self) -> int:
        """Time between two decisions."""
        return self.control_dt_ns * self.horizon

    def tick_ns(self, decision: int) -> int:
        """Stamp of the observation that decision 0, 1, ... answers."""
        return self.started_ns + decision * self.period_ns

    def due(self, now_ns: int) -> int:
        """Index of the latest decision due at `now_ns`; -1 before the first."""
        return max(-1, (now_ns - self.started_ns) // self.period_ns)

    def over(self, decision: int) -> bool:
        """Whether the episode is truncated before this decision would act."""
        return self.max_steps > 0 and decision * self.horizon >= self.max_steps


@dataclass(frozen=True)
class Decision:
    """One chunk of actions, ready to be published."""

    sequence: int
    """Counts the decisions of this process from 1."""
    episode: int
    index: int
    """Which decision of the episode, from 0."""
    observation_stamp_ns: int
    a_0: NDArray[np.float32]
    """Shape: (horizon, action size), like the three below."""
    a_b: NDArray[np.float64]
    a_r: NDArray[np.float64]
    a: NDArray[np.float64]


class PolicyStep:
    """Counts decisions, draws their noise and asks the policy."""

    def __init__(self, policy: ActingPolicy, action_spec: ActionSpec, sequence: int = 0) -> None:
        """Args: sequence: of the last decision of this process, by another instance."""
        self.policy = policy
        self.action_spec = action_spec
        self.sequence = sequence
        self.clock: EpisodeClock | None = None
        self.next_decision = 0
        self.answered_ns: int | None = None
        """Stamp of the observation that was answered last in this episode."""
        self._rng: np.random.Generator | None = None

    def swap(self, policy: ActingPolicy, action_spec: ActionSpec) -> None:
        """Take another policy; the sequence goes on, for the publisher stays the same.

        Raises:
            RfsError: an episode is running.
        """
        if self.clock is not None:
            raise RfsError(
                f"episode {self.clock.episode} is running: a checkpoint is swapped between episodes only; "
                "finish the episode first (episode/finish), or deploy with episodes:=0 and start each by "
                "service (episode/start)"
            )
        self.policy = policy
        self.action_spec = action_spec

    def begin(self, seed: int, episode: int, started_ns: int, max_steps: int) -> EpisodeClock:
        """Start an episode whose first observation is stamped `started_ns`."""
        self.clock = EpisodeClock(
            seed=seed,
            episode=episode,
            started_ns=started_ns,
            max_steps=max_steps,
            control_dt_ns=round(self.action_spec.control_dt * NS_PER_S),
            horizon=self.action_spec.horizon,
        )
        self.next_decision = 0
        self.answered_ns = None
        self._rng = episode_rng(seed, episode, "policy_noise")
        return self.clock

    def end(self) -> None:
        """The episode is over; nothing is decided until the next one begins."""
        self.clock = None
        self._rng = None

    def skip_to(self, decision: int) -> int:
        """Give up the decisions before `decision`; returns how many were missed.

        Their noise is drawn all the same, so that decision k always starts from the k-th draw.
        """
        missed = max(0, decision - self.next_decision)
        for _ in range(missed):
            self._draw()
        self.next_decision += missed
        return missed

    def decide(self, observation: NDArray[np.float32], observation_stamp_ns: int) -> Decision:
        """Answer the next decision of the episode.

        Args:
            observation: Shape: (observation size,).
            observation_stamp_ns: Its stamp.

        Raises:
            RfsError: no episode is running, or the policy's answer has the wrong shape or is not finite.
        """
        if self.clock is None:
            raise RfsError("no episode is running: nothing to decide")
        noise = self._draw()
        output = self.policy.act(observation[None], noise[None])
        shape = (self.action_spec.horizon, self.action_spec.size)
        chunks: dict[str, NDArray[np.generic]] = {}
        for name in ("a_0", "a_b", "a_r", "a"):
            chunk = np.asarray(getattr(output, name))
            if chunk.shape != (1, *shape):
                raise RfsError(f"policy answered {name} of shape {chunk.shape}, must be {(1, *shape)}")
            if not np.isfinite(chunk).all():
                raise RfsError(f"policy answered {name} with values that are not finite")
            chunks[name] = chunk[0]
        self.sequence += 1
        self.answered_ns = observation_stamp_ns
        index = self.next_decision
        self.next_decision += 1
        return Decision(
            sequence=self.sequence,
            episode=self.clock.episode,
            index=index,
            observation_stamp_ns=observation_stamp_ns,
            a_0=chunks["a_0"].astype(np.float32),
            a_b=chunks["a_b"].astype(np.float64),
            a_r=chunks["a_r"].astype(np.float64),
            a=chunks["a"].astype(np.float64),
        )

    def _draw(self) -> NDArray[np.float32]:
        if self._rng is None:
            raise RfsError("no episode is running: no noise to draw")
        shape = (self.action_spec.horizon, self.action_spec.size)
        return self._rng.standard_normal(shape).astype(np.float32)
