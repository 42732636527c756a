"""One running child: its own session, its two output streams, signals to all of its process group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

from . import orphans
from .launch_context import LaunchContext

DRAIN_S = 0.5
"""Seconds the output of a child that has exited is waited for while a grandchild keeps the pipe open."""


class ChildProcess(asyncio.SubprocessProtocol):
    """A child started by `start`; `returncode` is set once `exited` is done."""

    def __init__(self, on_output: Callable[[int, bytes], None], loop: asyncio.AbstractEventLoop) -> None:
        self._on_output = on_output
        self._open_pipes = {1, 2}
        self._pipes_closed = loop.create_future()
        self._process_exited = loop.create_future()
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._on_output(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        if not self._open_pipes and not self._pipes_closed.done():
            self._pipes_closed.set_result(None)

    def process_exited(self) -> None:
        if not self._process_exited.done():
            self._process_exited.set_result(None)

    @property
    def pid(self) -> int:
        """Process id, also of its process group."""
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        """Exit code, -N when signal N ended it, None while it runs."""
        return self._transport.get_returncode()

    async def wait(self) -> int:
        """Wait until the child has exited and what it wrote has arrived."""
        await self._process_exited
        await asyncio.wait([self._pipes_closed], timeout=DRAIN_S)
        return self.returncode

    def send_signal(self, signal_number: signal.Signals) -> None:
        """Send a signal to the child and to those it started (its process group)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal_number)

    def write(self, data: bytes) -> None:
        """Write to the child's stdin."""
        self._transport.get_pipe_transport(0).write(data)

    def close(self) -> None:
        """Let go of the pipes."""
        self._transport.close()


async def start(
    context: LaunchContext,
    cmd: list[str],
    *,
    cwd: str | None,
    env: Mapping[str, str],
    shell: bool,
    on_output: Callable[[int, bytes], None],
) -> ChildProcess:
    """Start a child in a session of its own, so that a signal reaches all it starts and Ctrl-C only us."""
    _start_watcher(context)
    loop = asyncio.get_running_loop()
    # A Python child would keep its lines in a buffer because its output is a pipe.
    env = {"PYTHONUNBUFFERED": "1", **orphans.marked_environment(dict(env), context.mark)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {"cwd": cwd, "env": env, "start_new_session": True, **pipes}
    make = lambda: ChildProcess(on_output, loop)  # noqa: E731
    if shell:
        _, child = await loop.subprocess_shell(make, " ".join(cmd), **options)
    else:
        _, child = await loop.subprocess_exec(make, *cmd, **options)
    return child


def _start_watcher(context: LaunchContext) -> None:
    """Start, once per launch, the process that cleans up if this one is killed."""
    if hasattr(context, "_watcher"):
        return
    context._watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", orphans.__file__, context.mark, context.temporary_directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def end_all(context: LaunchContext) -> list[int]:
    """End whatever this launch has started and is still there; returns the process ids that were."""
    watcher = getattr(context, "_watcher", None)
    if watcher is None:
        return []
    left = orphans.end_marked(
        context.mark, ((signal.SIGINT, 0.5), (signal.SIGTERM, 1.0), (signal.SIGKILL, 2.0))
    )
    del context._watcher
    watcher.stdin.write(b"done")
    watcher.stdin.close()
    watcher.wait()
    return left
