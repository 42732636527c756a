"""Waiting for a child's start, output and exit.

The functions called *_sync are for tests that are plain functions, the others for coroutines. Output needs
`cached_output=True` of the action. `wait_for_*` return whether it happened within `timeout` seconds (None:
wait for ever), also when it has happened before; `assert_*` take a function that raises AssertionError until
the output is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from launch.actions import ExecuteLocal
from launch.event_handler import BaseEventHandler
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart
from launch.launch_context import LaunchContext

MakeHandler = Callable[[ExecuteLocal, Callable[[], None]], BaseEventHandler]


def _on_start(action: ExecuteLocal, notify: Callable[[], None]) -> BaseEventHandler:
    return OnProcessStart(target_action=action, on_start=lambda event, context: notify())


def _on_exit(action: ExecuteLocal, notify: Callable[[], None]) -> BaseEventHandler:
    return OnProcessExit(target_action=action, on_exit=lambda event, context: notify())


def _on_stdout(action: ExecuteLocal, notify: Callable[[], None]) -> BaseEventHandler:
    return OnProcessIO(target_action=action, on_stdout=lambda event: notify())


def _on_stderr(action: ExecuteLocal, notify: Callable[[], None]) -> BaseEventHandler:
    return OnProcessIO(target_action=action, on_stderr=lambda event: notify())


@contextlib.contextmanager
def _registered(context: LaunchContext, handler: BaseEventHandler) -> Iterator[None]:
    context.register_event_handler(handler, append=True)
    try:
        yield
    finally:
        context.unregister_event_handler(handler)


async def _wait(
    context: LaunchContext, action: ExecuteLocal, make: MakeHandler, condition: Any, timeout: float | None
) -> bool:
    happened = asyncio.Event()
    deadline = None if timeout is None else time.monotonic() + timeout
    with _registered(context, make(action, happened.set)):
        while not condition():
            left = None if deadline is None else deadline - time.monotonic()
            try:
                await asyncio.wait_for(happened.wait(), left)
            except TimeoutError:
                return condition()
            happened.clear()
        return True


def _wait_sync(
    context: LaunchContext, action: ExecuteLocal, make: MakeHandler, condition: Any, timeout: float | None
) -> bool:
    happened = threading.Event()
    deadline = None if timeout is None else time.monotonic() + timeout
    with _registered(context, make(action, happened.set)):
        while not condition():
            left = None if deadline is None else deadline - time.monotonic()
            if not happened.wait(left):
                return condition()
            happened.clear()
        return True


def _has_started(action: ExecuteLocal) -> bool:
    details = action.process_details
    return details is not None and "pid" in details


def _has_exited(action: ExecuteLocal) -> bool:
    return action._exit_handled


def _accepts(validate: Callable[[str], Any], text: Callable[[], str]) -> Callable[[], bool]:
    """True once `validate` does not raise AssertionError."""

    def condition() -> bool:
        try:
            validate(text())
        except AssertionError:
            return False
        return True

    return condition


def wait_for_start_sync(
    launch_context: LaunchContext, execute_process_action: ExecuteLocal, timeout: float | None = None
) -> bool:
    """True when the child has been started in time."""
    action = execute_process_action
    return _wait_sync(launch_context, action, _on_start, lambda: _has_started(action), timeout)


def wait_for_start(
    launch_context: LaunchContext, execute_process_action: ExecuteLocal, timeout: float | None = None
) -> Awaitable[bool]:
    """True when the child has been started in time."""
    action = execute_process_action
    return _wait(launch_context, action, _on_start, lambda: _has_started(action), timeout)


def wait_for_exit_sync(
    launch_context: LaunchContext, execute_process_action: ExecuteLocal, timeout: float | None = None
) -> bool:
    """True when the child has exited in time."""
    action = execute_process_action
    return _wait_sync(launch_context, action, _on_exit, lambda: _has_exited(action), timeout)


def wait_for_exit(
    launch_context: LaunchContext, execute_process_action: ExecuteLocal, timeout: float | None = None
) -> Awaitable[bool]:
    """True when the child has exited in time."""
    action = execute_process_action
    return _wait(launch_context, action, _on_exit, lambda: _has_exited(action), timeout)


def wait_for_output_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Callable[[str], bool],
    timeout: float | None = None,
) -> bool:
    """What `validate_output` says about the child's stdout as soon as that is true, or in the end."""
    action = execute_process_action
    return _wait_sync(
        launch_context, action, _on_stdout, lambda: validate_output(action.get_stdout()), timeout
    )


def wait_for_output(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Callable[[str], bool],
    timeout: float | None = None,
) -> Awaitable[bool]:
    """What `validate_output` says about the child's stdout as soon as that is true, or in the end."""
    action = execute_process_action
    return _wait(launch_context, action, _on_stdout, lambda: validate_output(action.get_stdout()), timeout)


def assert_output_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Callable[[str], Any],
    timeout: float | None = None,
) -> None:
    """Raise what `validate_output` raises if it still does so on the child's stdout after the timeout."""
    action = execute_process_action
    condition = _accepts(validate_output, action.get_stdout)
    if not _wait_sync(launch_context, action, _on_stdout, condition, timeout):
        validate_output(action.get_stdout())


async def assert_output(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Callable[[str], Any],
    timeout: float | None = None,
) -> None:
    """Raise what `validate_output` raises if it still does so on the child's stdout after the timeout."""
    action = execute_process_action
    condition = _accepts(validate_output, action.get_stdout)
    if not await _wait(launch_context, action, _on_stdout, condition, timeout):
        validate_output(action.get_stdout())


def wait_for_stderr_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Callable[[str], bool],
    timeout: float | None = None,
) -> bool:
    """What `validate_output` says about the child's stderr as soon as that is true, or in the end."""
    action = execute_process_action
    return _wait_sync(
        launch_context, action, _on_stderr, lambda: validate_output(action.get_stderr()), timeout
    )


def wait_for_stderr(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Callable[[str], bool],
    timeout: float | None = None,
) -> Awaitable[bool]:
    """What `validate_output` says about the child's stderr as soon as that is true, or in the end."""
    action = execute_process_action
    return _wait(launch_context, action, _on_stderr, lambda: validate_output(action.get_stderr()), timeout)


def assert_stderr_sync(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Callable[[str], Any],
    timeout: float | None = None,
) -> None:
    """Raise what `validate_output` raises if it still does so on the child's stderr after the timeout."""
    action = execute_process_action
    condition = _accepts(validate_output, action.get_stderr)
    if not _wait_sync(launch_context, action, _on_stderr, condition, timeout):
        validate_output(action.get_stderr())


async def assert_stderr(
    launch_context: LaunchContext,
    execute_process_action: ExecuteLocal,
    validate_output: Callable[[str], Any],
    timeout: float | None = None,
) -> None:
    """Raise what `validate_output` raises if it still does so on the child's stderr after the timeout."""
    action = execute_process_action
    condition = _accepts(validate_output, action.get_stderr)
    if not await _wait(launch_context, action, _on_stderr, condition, timeout):
        validate_output(action.get_stderr())
