"""Counts what an operator wants to see while collecting: episodes, successes, corrected control steps."""

from __future__ import annotations

from dataclasses import dataclass, field

from rfs_control.episode import Outcome, Phase


@dataclass
class CorrectionRecord:
    """Fed with what happens; says one line per episode."""

    dt_ns: int
    """Of a control step."""
    episodes: int = 0
    """Finished, discarded ones included."""
    successes: int = 0
    discarded: int = 0
    corrected: int = 0
    """Control steps of all finished episodes in which the human was correcting."""
    running: str = ""
    """Id of the running episode; empty between episodes."""
    _started_ns: int = 0
    _steps: set[int] = field(default_factory=set)
    _discard: bool = False

    def state(self, episode: str, phase: int, outcome: int, started_ns: int) -> str:
        """An EpisodeState; returns the line to say, empty for none."""
        if phase == Phase.RUNNING and episode != self.running:
            self.running, self._started_ns, self._steps, self._discard = episode, started_ns, set(), False
        elif phase == Phase.FINISHED and episode == self.running:
            return self._finished(episode, outcome)
        return ""

    def correction(self, stamp_ns: int, engaged: bool) -> None:
        """A correction was published."""
        if self.running and engaged and stamp_ns >= self._started_ns:
            self._steps.add((stamp_ns - self._started_ns) // self.dt_ns)

    def discard(self) -> None:
        """The operator throws the running episode away."""
        self._discard = bool(self.running)

    @property
    def corrected_now(self) -> int:
        """Control steps of the running episode in which the human was correcting."""
        return len(self._steps)

    def _finished(self, episode: str, outcome: int) -> str:
        self.running = ""
        self.episodes += 1
        self.successes += outcome == Outcome.SUCCESS
        self.discarded += self._discard
        self.corrected += len(self._steps)
        said = "discarded" if self._discard else Outcome(outcome).name.lower()
        return (
            f"{episode}: {said}, {len(self._steps)} steps corrected; in all {self.episodes} episodes, "
            f"{self.successes} successes, {self.discarded} discarded, {self.corrected} steps corrected"
        )
