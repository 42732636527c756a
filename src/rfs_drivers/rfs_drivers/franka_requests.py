"""Requests to the thread that owns the robot: asked from any thread, answered through a future.

Each is carried out in the next cycle, in the order of asking. One that fails tells whoever asked, in one
line.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from rfs_drivers.errors import DriverError
from rfs_drivers.franka_connection import VendorError

CLOSED = "the driver was closed"
"""What whoever waits is told at the end."""


class _Request(NamedTuple):
    action: Callable[..., None]
    arguments: tuple[Any, ...]
    future: Future[str]


class Requests:
    """A queue of requests with one consumer."""

    def __init__(self, wake: threading.Event) -> None:
        """
        Args:
            wake: set at every request, so that its consumer need not wait for the next cycle.
        """
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[_Request] = deque()
        self._closed = False

    def ask(self, action: Callable[..., None], *arguments: Any) -> Future[str]:
        """From any thread: have `action(future, *arguments)` carried out; it answers the future."""
        request = _Request(action, arguments, Future())
        with self._lock:
            if self._closed:
                return refused(CLOSED)
            self._waiting.append(request)
        self._wake.set()
        return request.future

    def serve(self) -> None:
        """In the consumer's thread: carry out what waits.

        Raises:
            VendorError: an action failed with it. Whoever asked has been told; what else waits, waits on.
        """
        while True:
            with self._lock:
                if not self._waiting:
                    return
                request = self._waiting.popleft()
            try:
                request.action(request.future, *request.arguments)
            except VendorError as error:
                request.future.set_exception(error)
                raise
            except DriverError as error:
                request.future.set_exception(error)

    def close(self) -> None:
        """From any thread: accept nothing more."""
        with self._lock:
            self._closed = True

    def refuse_waiting(self) -> None:
        """Whoever waits is told that nobody will answer any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            request.future.set_exception(DriverError(CLOSED))


def refused(reason: str) -> Future[str]:
    """The answer to a request that is not even passed on."""
    future: Future[str] = Future()
    future.set_exception(DriverError(reason))
    return future
