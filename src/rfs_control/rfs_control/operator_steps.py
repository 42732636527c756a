"""What a person must have confirmed before a robot moves, as a state machine.

    UNCONFIRMED --the word ARM, typed--> READY --an episode is asked for--> HOMING --the arm is at home-->
        PLACING --the word NEXT--> READY
    any --a driver leaves control, stop, or the confirmation grows old--> UNCONFIRMED

Nothing confirms itself and nothing is remembered across a fault: a person recovers the driver, then confirms
again. No ROS, no clock: times come in (s, steady).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rfs_core.config import param

ARM_WORD = "ARM"
NEXT_WORD = "NEXT"


@dataclass(frozen=True)
class OperatorConfig:
    """What is asked, and how long the answer holds."""

    task: str = param("grasp", doc="Task that is deployed.")
    checklist: tuple[str, ...] = param(
        ("the user stop is in reach and was tried today", "nobody is within the arm's reach"),
        doc="What a person confirms by typing ARM.",
    )
    valid_s: float = param(3600.0, doc="How long the confirmation holds.", unit="s", low=10.0, high=28_800.0)
    ask_each_episode: bool = param(
        True, doc="Wait before every episode until a person has put the object in place and typed NEXT."
    )
    home_first: bool = param(True, doc="Move the arm home before every episode.")
    lead_s: float = param(
        0.3,
        doc="Time from the answer of sim/reset to the first observation: the gate is armed meanwhile.",
        unit="s",
        low=0.05,
        high=5.0,
    )


class Stage(enum.Enum):
    """What is waited for."""

    UNCONFIRMED = "unconfirmed"
    """Drivers are connected and read; none is brought into control, and no episode begins. What one driver
    holds when the other one is in fault it goes on holding: a grip is not dropped."""
    READY = "ready"
    """Confirmed: drivers are in control, holding."""
    HOMING = "homing"
    """An episode was asked for; the arm moves home, nobody shall reach in."""
    PLACING = "placing"
    """The arm is at home; a person puts the object in place."""


_HOMING = "the arm still moves home: wait until it stands, then run confirm_robot"


class Operator:
    """Keeps what was confirmed."""

    def __init__(self, config: OperatorConfig) -> None:
        self.config = config
        self.stage = Stage.UNCONFIRMED
        self.reason = "nobody has confirmed the checklist yet"
        """Why it is unconfirmed; empty otherwise."""
        self.lost = ""
        """Why the episode that is asked for does not begin, whatever is confirmed since; empty: it may."""
        self._confirmed_at = 0.0
        self._asked = False

    @property
    def expected(self) -> str:
        """The word that is waited for; empty where none is."""
        return {Stage.UNCONFIRMED: ARM_WORD, Stage.PLACING: NEXT_WORD}.get(self.stage, "")

    @property
    def message(self) -> str:
        """What to tell a person who asks."""
        return self.reason or (_HOMING if self.stage is Stage.HOMING else self.stage.value)

    def word(self, word: str, now: float, obstacle: str) -> tuple[bool, str]:
        """A person typed a word.

        Args:
            word: exactly as typed.
            now: s.
            obstacle: why drivers could not be in control; empty: nothing known.

        Returns:
            whether it was taken, and a sentence.
        """
        if self.stage is Stage.HOMING:
            return False, f"got {word!r}, but {_HOMING}"
        if not self.expected:
            return False, "nothing is waited for: the robot is confirmed and ready"
        if word != self.expected:
            return False, f"got {word!r}, waited for is {self.expected!r}, in capitals"
        if obstacle:
            return False, f"not taken: {obstacle}"
        if self.stage is Stage.PLACING:
            self.stage = Stage.READY
            return True, "the episode begins"
        self.stage, self.reason, self._confirmed_at = Stage.READY, "", now
        return True, "confirmed: the drivers take control and hold"

    def look(self, now: float, obstacle: str) -> bool:
        """Called now and then; True where a confirmation was lost by it.

        Args:
            now: s.
            obstacle: why drivers are not, or no longer, in control; empty: they are.
        """
        if self.stage is Stage.UNCONFIRMED:
            return False
        if obstacle:
            return self._lose(obstacle)
        if now - self._confirmed_at > self.config.valid_s:
            return self._lose(f"the confirmation is older than {self.config.valid_s:g} s")
        return False

    def episode(self) -> str:
        """An episode is asked for; why it is refused, or empty. Whoever asked says `answered` in the end."""
        if self.stage is Stage.UNCONFIRMED:
            return f"the robot is not confirmed ({self.reason}): ros2 run rfs_control confirm_robot"
        if self._asked:
            if self.lost:
                return f"the episode asked for before is still being called off ({self.lost}): ask again"
            return "an episode is asked for already: put the object in place and type NEXT"
        self._asked, self.lost, self.stage = True, "", Stage.HOMING
        return ""

    def at_home(self) -> bool:
        """The arm stands where episodes begin; True where a person is waited for."""
        if self.stage is not Stage.HOMING:
            return False
        self.stage = Stage.PLACING if self.config.ask_each_episode else Stage.READY
        return self.stage is Stage.PLACING

    def answered(self) -> None:
        """The episode that was asked for begins, or does not."""
        self._asked = False
        if self.stage is not Stage.UNCONFIRMED:
            self.stage = Stage.READY

    def _lose(self, reason: str) -> bool:
        self.stage, self.reason = Stage.UNCONFIRMED, reason
        if self._asked:
            self.lost = reason
        return True
