"""What a call into the vendor's client library may do to this process, and how it is undone.

libfranka waits for TCP replies without a limit, and its constructor gives the calling thread the highest
real-time priority. A watchdog breaks the connection of a call that takes too long; the call then ends like
any on a lost connection. Scheduling is put back.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterator

_FCI_PORT = 1337


@contextlib.contextmanager
def restored_scheduling() -> Iterator[None]:
    """Put the calling thread's scheduling policy and priority back at the end."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if (os.sched_getscheduler(0), os.sched_getparam(0)) != (policy, parameters):
            os.sched_setscheduler(0, policy, parameters)


def break_connections(address: str, port: int = _FCI_PORT) -> int:
    """End every TCP connection of this process to address:port, so that calls waiting on it fail.

    Shut down in both directions, and left open: the library finds it interrupted at its next look, raises as
    for any lost connection, in its control thread as well, and closes the descriptor in its own time. (What
    it finds instead of a socket ends the whole process there: an exception that its control thread lacks a
    handler for.)

    Returns:
        The number of connections broken.
    """
    peers = _addresses(address)
    broken = 0
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(number)) as other:
                peer = other.getpeername() if other.family == socket.AF_INET else ("", 0)
                if other.type != socket.SOCK_STREAM or peer[0] not in peers or peer[1] != port:
                    continue
                other.shutdown(socket.SHUT_RDWR)
                broken += 1
        except OSError:
            # Gone, not connected, or not ours to look at.
            continue
    return broken


def _addresses(address: str) -> set[str]:
    try:
        return {str(ipaddress.ip_address(address))}
    except ValueError:
        try:
            return {str(info[4][0]) for info in socket.getaddrinfo(address, _FCI_PORT, socket.AF_INET)}
        except OSError:
            return set()


class Watchdog:
    """Breaks the connection while a call takes longer than its limit."""

    LOOK_S = 0.05
    """How often it looks; a call costs nothing but two assignments."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._closed = threading.Event()
        self._deadline: float | None = None
        self.call = ""
        """Name of the call in progress; empty between calls."""
        self.begun = 0.0
        """When it began, s of the steady clock."""
        self.broke = False
        """Whether the last call's connection was broken."""
        self._thread = threading.Thread(target=self._run, name="franka watchdog", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def watch(self, call: str, limit: float) -> Iterator[None]:
        """Watch the body; one at a time."""
        self.begun, self.broke, self.call = time.monotonic(), False, call
        self._deadline = self.begun + limit
        try:
            yield
        finally:
            self._deadline, self.call = None, ""

    def close(self) -> None:
        """End the watchdog."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self.LOOK_S):
            # Read once: the owner of the call may end it at any moment.
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline and self._deadline == deadline:
                self.broke = True
                # Again at every look: the call may open another connection meanwhile.
                break_connections(self._address)
