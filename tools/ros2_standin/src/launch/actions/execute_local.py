"""Run a child: start it, pass on its lines, stop it, start it again."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from ..action import Action
from ..child_process import ChildProcess, start
from ..event_handler import BaseEventHandler, EventHandler
from ..event_handlers import OnProcessExit, OnProcessIO, OnShutdown
from ..events.process import (
    ProcessExited,
    ProcessIO,
    ProcessStarted,
    ProcessStderr,
    ProcessStdout,
    ShutdownProcess,
    SignalProcess,
)
from ..executable import Executable
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..logging import get_logger, get_output_loggers
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitutions import LaunchConfiguration
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from .opaque import OpaqueFunction
from .timer_action import TimerAction


class _Lines:
    """Text arriving in pieces, cut into lines; the whole text is kept on demand."""

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._kept: list[str] = []
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        if self._keep:
            self._kept.append(data.decode(errors="replace"))
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def flush(self) -> list[str]:
        """What is left without an end of line."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest else []

    @property
    def text(self) -> str:
        """Everything so far."""
        return "".join(self._kept)


class ExecuteLocal(Action):
    """Run an Executable on this machine.

    Args:
        process_description: what to run.
        shell: through a shell.
        sigterm_timeout: seconds after SIGINT until SIGTERM (launch configuration of that name, else 5).
        sigkill_timeout: seconds after SIGTERM until SIGKILL (launch configuration of that name, else 5).
        emulate_tty: accepted; children always write into pipes here.
        output: where its lines go, see launch.logging.get_output_loggers.
        output_format: of its lines, with {line} and {this}.
        cached_output: keep what it writes for get_stdout() and get_stderr().
        log_cmd: print the command before.
        on_exit: entities to visit when it exits, or a function (event, context) that returns them.
        respawn: start it again when it exits.
        respawn_delay: seconds until then.
        respawn_max_retries: how often, negative: always.
    """

    def __init__(
        self,
        *,
        process_description: Executable,
        shell: bool = False,
        sigterm_timeout: SomeSubstitutionsType = LaunchConfiguration("sigterm_timeout", default=5),  # noqa: B008
        sigkill_timeout: SomeSubstitutionsType = LaunchConfiguration("sigkill_timeout", default=5),  # noqa: B008
        emulate_tty: bool = False,
        output: Any = "log",
        output_format: str = "[{this.process_description.final_name}] {line}",
        cached_output: bool = False,
        log_cmd: bool = False,
        on_exit: Any = None,
        respawn: bool | SomeSubstitutionsType = False,
        respawn_delay: float | None = None,
        respawn_max_retries: int = -1,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self._description = process_description
        self._shell = shell
        self._sigterm_timeout = normalize_to_list_of_substitutions(sigterm_timeout)
        self._sigkill_timeout = normalize_to_list_of_substitutions(sigkill_timeout)
        output = os.environ.get("OVERRIDE_LAUNCH_PROCESS_OUTPUT", output)
        self._output = output if isinstance(output, dict) else normalize_to_list_of_substitutions(output)
        self._output_format = output_format
        self._cached_output = cached_output
        self._log_cmd = log_cmd
        self._on_exit = on_exit
        self._respawn = normalize_typed_substitution(respawn, bool)
        self._respawn_delay = respawn_delay
        self._respawns_left = respawn_max_retries
        self._executed = False
        self._exit_handled = False
        self._details: dict[str, Any] | None = None
        self._child: ChildProcess | None = None
        self._lines = {1: _Lines(cached_output), 2: _Lines(cached_output)}
        self._completed: asyncio.Future | None = None
        self._stopping: asyncio.Future | None = None
        self._escalation: list[TimerAction] = []

    # What it is ------------------------------------------------------------------------------------------

    @property
    def process_description(self) -> Executable:
        """What is run."""
        return self._description

    @property
    def shell(self) -> bool:
        """Through a shell."""
        return self._shell

    @property
    def output(self) -> Any:
        """Where its lines go."""
        return self._output

    @property
    def process_details(self) -> dict[str, Any] | None:
        """Name, cmd, cwd, env and, once started, pid; None before it is executed."""
        return self._details

    @property
    def return_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return None if self._child is None else self._child.returncode

    def get_stdout(self) -> str:
        """What it wrote to stdout (with cached_output only)."""
        return self._cached(1)

    def get_stderr(self) -> str:
        """What it wrote to stderr (with cached_output only)."""
        return self._cached(2)

    def _cached(self, fd: int) -> str:
        if not self._cached_output:
            raise RuntimeError(f"cached_output must be true to get the output of {self.describe()}")
        return self._lines[fd].text

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self._on_exit if isinstance(self._on_exit, list) else []

    def get_asyncio_future(self) -> asyncio.Future | None:
        return self._completed

    # Start -----------------------------------------------------------------------------------------------

    def prepare(self, context: LaunchContext) -> None:
        """Perform the substitutions."""
        self._description.prepare(context, self)
        self._details = {
            "action": self,
            "name": self._description.final_name,
            "cmd": self._description.final_cmd,
            "cwd": self._description.final_cwd,
            "env": self._description.final_env,
        }
        self._respawn = perform_typed_substitution(context, self._respawn, bool)

    def execute(self, context: LaunchContext) -> None:
        self.prepare(context)
        name = self._description.final_name
        if self._executed:
            raise RuntimeError(f"'{name}' executed more than once: {self.describe()}")
        self._executed = True
        if context.is_shutdown:
            return
        self._logger = get_logger(name)
        output = self._output
        if not isinstance(output, dict):
            output = perform_substitutions(context, output)
        stdout_logger, stderr_logger = get_output_loggers(name, output)
        self._output_loggers = {1: stdout_logger, 2: stderr_logger}
        for handler in self._event_handlers():
            context.register_event_handler(handler)
        self._completed = context.asyncio_loop.create_future()
        self._stopping = context.asyncio_loop.create_future()
        context.asyncio_loop.create_task(self._run(context))

    def _event_handlers(self) -> list[BaseEventHandler]:
        def when(event_class: type, function: Any) -> EventHandler:
            return EventHandler(
                matcher=lambda event: isinstance(event, event_class) and event.process_matcher(self),
                entities=[OpaqueFunction(function=function)],
            )

        return [
            when(ShutdownProcess, lambda context: self._shut_down(context)),
            when(SignalProcess, self._on_signal_event),
            OnProcessIO(
                target_action=self,
                on_stdin=lambda event: self._child.write(event.text),
                on_stdout=lambda event: self._print(1, self._lines[1].feed(event.text)),
                on_stderr=lambda event: self._print(2, self._lines[2].feed(event.text)),
            ),
            OnShutdown(on_shutdown=lambda event, context: self._shut_down(context)),
            OnProcessExit(target_action=self, on_exit=self._on_exit),
            OnProcessExit(target_action=self, on_exit=self._flush),
        ]

    def _print(self, fd: int, lines: list[str]) -> None:
        for line in lines:
            self._output_loggers[fd].info(self._output_format.format(line=line, this=self))

    def _flush(self, event: ProcessExited, context: LaunchContext) -> None:
        for fd, lines in self._lines.items():
            self._print(fd, lines.flush())
        self._exit_handled = True

    # Run -------------------------------------------------------------------------------------------------

    async def _run(self, context: LaunchContext) -> None:
        try:
            while await self._run_once(context) and await self._shall_respawn(context):
                pass
        finally:
            for timer in self._escalation:
                timer.cancel()
            if not self._completed.done():
                self._completed.set_result(None)

    async def _run_once(self, context: LaunchContext) -> bool:
        """Start the child and wait for its end; False when it could not be started."""
        details = self._details
        if self._log_cmd:
            self._logger.info("process details: cmd='%s', cwd='%s'", " ".join(details["cmd"]), details["cwd"])

        def on_output(fd: int, data: bytes) -> None:
            event_class: type[ProcessIO] = ProcessStdout if fd == 1 else ProcessStderr
            context.emit_event_sync(event_class(text=data, **{**details, "pid": self._child_pid}))

        self._child_pid = 0
        self._exit_handled = False
        try:
            self._child = await start(
                context,
                details["cmd"],
                cwd=details["cwd"],
                env=details["env"],
                shell=self._shell,
                on_output=on_output,
            )
        except OSError as error:
            self._logger.error("could not start '%s': %s", " ".join(details["cmd"]), error)
            return False
        child = self._child
        self._child_pid = details["pid"] = child.pid
        self._logger.info("process started with pid [%d]", child.pid)
        await context.emit_event(ProcessStarted(**details))
        if self._stopping.done():
            # The shutdown began while the child was being started: it has missed the signal.
            self._begin_stop(context)
        returncode = await child.wait()
        if returncode == 0:
            self._logger.info("process has finished cleanly [pid %d]", child.pid)
        else:
            cmd = " ".join(part for part in details["cmd"] if part.strip())
            self._logger.error(
                "process has died [pid %d, exit code %d, cmd '%s'].", child.pid, returncode, cmd
            )
        await context.emit_event(ProcessExited(returncode=returncode, **details))
        child.close()
        return True

    async def _shall_respawn(self, context: LaunchContext) -> bool:
        if not self._respawn or self._respawns_left == 0 or self._stopping.done() or context.is_shutdown:
            return False
        self._respawns_left -= 1
        if self._respawn_delay:
            await asyncio.wait([self._stopping], timeout=self._respawn_delay)
        return not self._stopping.done()

    # Stop ------------------------------------------------------------------------------------------------

    def _shut_down(self, context: LaunchContext) -> None:
        if self._stopping is None or self._stopping.done():
            return
        self._stopping.set_result(None)
        self._begin_stop(context)

    def _begin_stop(self, context: LaunchContext) -> None:
        """Send SIGINT now, and SIGTERM and SIGKILL later if it is still there."""
        if self._completed.done() or self._child is None or self._child.returncode is not None:
            return
        sigterm = float(perform_substitutions(context, self._sigterm_timeout))
        sigkill = sigterm + float(perform_substitutions(context, self._sigkill_timeout))
        self._send(signal.SIGINT)
        self._escalation = [
            self._escalate_after(context, sigterm, "SIGINT", signal.SIGTERM),
            self._escalate_after(context, sigkill, "SIGTERM", signal.SIGKILL),
        ]

    def _escalate_after(
        self, context: LaunchContext, period: float, previous: str, signal_number: signal.Signals
    ) -> TimerAction:
        def escalate(_: LaunchContext) -> None:
            if self._child.returncode is None:
                self._logger.error(
                    "process[%s] failed to terminate '%s' seconds after receiving '%s', escalating to '%s'",
                    self._details["name"],
                    period,
                    previous,
                    signal_number.name,
                )
                self._send(signal_number)

        timer = TimerAction(
            period=period, actions=[OpaqueFunction(function=escalate)], cancel_on_shutdown=False
        )
        timer.execute(context)
        return timer

    def _on_signal_event(self, context: LaunchContext) -> None:
        event: SignalProcess = context.locals.event
        if self._child is None:
            raise RuntimeError(
                f"signal {event.signal_name} for '{self._details['name']}' before it was started"
            )
        if self._child.returncode is None:
            self._send(signal.Signals[event.signal_name])

    def _send(self, signal_number: signal.Signals) -> None:
        self._logger.info("sending signal '%s' to process[%s]", signal_number.name, self._details["name"])
        self._child.send_signal(signal_number)
