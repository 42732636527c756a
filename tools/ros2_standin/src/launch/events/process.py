"""What happens to children, and what can be asked of them."""

from __future__ import annotations

import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..event import Event
from ..utilities import ensure_argument_type

if TYPE_CHECKING:
    from ..actions import ExecuteLocal

__all__ = [
    "ProcessExited",
    "ProcessIO",
    "ProcessStarted",
    "ProcessStderr",
    "ProcessStdin",
    "ProcessStdout",
    "ProcessTargetedEvent",
    "RunningProcessEvent",
    "ShutdownProcess",
    "SignalProcess",
    "matches_executable",
    "matches_name",
    "matches_pid",
]

ProcessMatcher = Callable[["ExecuteLocal"], bool]


class RunningProcessEvent(Event):
    """Something about a child that was started."""

    name = "launch.events.process.RunningProcessEvent"

    def __init__(
        self,
        *,
        action: ExecuteLocal,
        name: str,
        cmd: list[str],
        cwd: str | None,
        env: dict[str, str] | None,
        pid: int,
    ) -> None:
        self._action = action
        self._process_name = name
        self._cmd = cmd
        self._cwd = cwd
        self._env = env
        self._pid = pid

    @property
    def action(self) -> ExecuteLocal:
        """The action that started it."""
        return self._action

    @property
    def execute_process_action(self) -> ExecuteLocal:
        """The action that started it."""
        return self._action

    @property
    def process_name(self) -> str:
        """Its unique name, e.g. 'talker-1'."""
        return self._process_name

    @property
    def cmd(self) -> list[str]:
        """Its command."""
        return self._cmd

    @property
    def cwd(self) -> str | None:
        """Its working directory, None: that of the launch."""
        return self._cwd

    @property
    def env(self) -> dict[str, str] | None:
        """Its environment."""
        return self._env

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._pid


class ProcessStarted(RunningProcessEvent):
    """A child was started."""

    name = "launch.events.process.ProcessStarted"


class ProcessExited(RunningProcessEvent):
    """A child has exited."""

    name = "launch.events.process.ProcessExited"

    def __init__(self, *, returncode: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self._returncode = returncode

    @property
    def returncode(self) -> int:
        """Its exit code; -N when signal N ended it."""
        return self._returncode


class ProcessIO(RunningProcessEvent):
    """A child has written something, or something is written to it."""

    name = "launch.events.process.ProcessIO"

    def __init__(self, *, text: bytes, fd: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self._text = text
        self._fd = fd

    @property
    def text(self) -> bytes:
        """What was written."""
        return self._text

    @property
    def from_stdin(self) -> bool:
        """True when it goes to the child's stdin."""
        return self._fd == 0

    @property
    def from_stdout(self) -> bool:
        """True when it came from the child's stdout."""
        return self._fd == 1

    @property
    def from_stderr(self) -> bool:
        """True when it came from the child's stderr."""
        return self._fd == 2


class ProcessStdin(ProcessIO):
    """Something shall be written to a child's stdin."""

    name = "launch.events.process.ProcessStdin"

    def __init__(self, *, text: bytes, **kwargs) -> None:
        super().__init__(text=text, fd=0, **kwargs)


class ProcessStdout(ProcessIO):
    """A child has written to stdout."""

    name = "launch.events.process.ProcessStdout"

    def __init__(self, *, text: bytes, **kwargs) -> None:
        super().__init__(text=text, fd=1, **kwargs)


class ProcessStderr(ProcessIO):
    """A child has written to stderr."""

    name = "launch.events.process.ProcessStderr"

    def __init__(self, *, text: bytes, **kwargs) -> None:
        super().__init__(text=text, fd=2, **kwargs)


class ProcessTargetedEvent(Event):
    """Something is asked of the children that a matcher chooses."""

    name = "launch.events.process.ProcessTargetedEvent"

    def __init__(self, *, process_matcher: ProcessMatcher) -> None:
        self._process_matcher = process_matcher

    @property
    def process_matcher(self) -> ProcessMatcher:
        """True for the actions that are meant."""
        return self._process_matcher


class ShutdownProcess(ProcessTargetedEvent):
    """A child shall stop: SIGINT, then SIGTERM, then SIGKILL."""

    name = "launch.events.process.ShutdownProcess"


class SignalProcess(ProcessTargetedEvent):
    """A signal is sent to a child."""

    name = "launch.events.process.SignalProcess"

    def __init__(self, *, signal_number: str | signals.Signals, process_matcher: ProcessMatcher) -> None:
        super().__init__(process_matcher=process_matcher)
        ensure_argument_type(signal_number, (str, signals.Signals), "signal_number", "SignalProcess")
        self._signal = signal_number

    @property
    def signal(self) -> str | signals.Signals:
        """The signal; SIGKILL may be given as text."""
        return self._signal

    @property
    def signal_name(self) -> str:
        """E.g. 'SIGINT'."""
        return self._signal if isinstance(self._signal, str) else self._signal.name


def matches_pid(pid: int) -> ProcessMatcher:
    """True for the child with this process id."""
    return lambda action: action.process_details is not None and action.process_details.get("pid") == pid


def matches_name(name: str) -> ProcessMatcher:
    """True for the child of this unique name, e.g. 'talker-1'."""
    return lambda action: action.process_details is not None and action.process_details["name"] == name


def matches_executable(executable: str) -> ProcessMatcher:
    """True for children whose command's first item ends so."""
    return lambda action: (
        action.process_details is not None and action.process_details["cmd"][0].endswith(executable)
    )
