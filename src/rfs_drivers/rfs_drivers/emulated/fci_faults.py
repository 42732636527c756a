"""What is wrong with the emulated robot and its network, and what has happened to it."""

from __future__ import annotations

from dataclasses import dataclass

from rfs_drivers.emulated.fault_values import number, switch, whole
from rfs_drivers.emulated.fci_protocol import VERSION
from rfs_drivers.errors import EmulatorError

_HIGHEST = 0xFFFF
"""Of commands and milliseconds; the version stands in two bytes."""


@dataclass
class Faults:
    """What is wrong with robot and network now; all off by default."""

    drop_states: float = 0.0
    """Probability that a state is lost."""
    drop_commands: float = 0.0
    """Probability that a command is lost."""
    drop_next: int = 0
    """So many of the next commands of a motion are lost, one after the other; counts down."""
    corrupt_states: float = 0.0
    """Probability that a state arrives with a wrong size."""
    delay_states_ms: int = 0
    """Robot time by which states are late."""
    delay_commands_ms: int = 0
    """Robot time by which commands are late."""
    mute: bool = False
    """Connections are accepted, but nothing is ever answered or sent."""
    cut: bool = False
    """The cable: no packet passes in either direction; connections stay as they are."""
    close_before_reply: bool = False
    """Every new connection is closed instead of answered."""
    version: int = VERSION
    """FCI version that the server claims."""

    @property
    def silent(self) -> bool:
        """Whether nothing passes between robot and client."""
        return self.cut or self.mute

    @property
    def prompt(self) -> bool:
        """Whether every packet passes at once: only then is a command worth waiting for."""
        lossless = self.drop_states == self.drop_commands == self.corrupt_states == self.drop_next == 0
        immediate = self.delay_states_ms == self.delay_commands_ms == 0
        return lossless and immediate and not self.silent

    def change(self, changes: dict[str, object]) -> None:
        """Set fields by name; none where one cannot be set.

        Raises:
            EmulatorError: there is no such field, or it cannot have that value.
        """
        checked = {name: self._checked(name, value) for name, value in changes.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def _checked(self, name: str, value: object) -> object:
        if name not in self.__dataclass_fields__:
            raise EmulatorError(f"unknown fault {name!r}; known: {', '.join(self.__dataclass_fields__)}")
        kind = type(getattr(self, name))
        if kind is float:
            return number(name, value, 0.0, 1.0)
        if kind is int:
            return whole(name, value, 0, _HIGHEST)
        return switch(name, value)


@dataclass
class Counters:
    """What happened since the start."""

    states_sent: int = 0
    commands_received: int = 0
    clients: int = 0
    clients_replaced: int = 0
    """Connections that a newer one pushed out: 0 unless two clients want the same robot."""
    motions: int = 0
    motions_finished: int = 0
    """Of them, those that the client ended as planned: neither aborted nor preempted."""
    late_cycles: int = 0
    """Cycles that began later than one period after they were due."""

    def clear(self) -> None:
        """Begin to count anew."""
        for name in self.__dataclass_fields__:
            setattr(self, name, 0)
