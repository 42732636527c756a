"""Fixtures that launch a description."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from launch import LaunchContext, LaunchService


def finish(launch_service: LaunchService, what: str, auto_shutdown: bool = True) -> None:
    """Shut the launch down (unless it ends by itself) and wait for its end; its exit code must be 0."""
    if auto_shutdown:
        launch_service.shutdown(force_sync=True)
    task, loop = launch_service.task, launch_service.event_loop
    if task is None or getattr(launch_service, "_launch_pytest_finished", False):
        return
    launch_service._launch_pytest_finished = True
    code = task.result() if task.done() else loop.run_until_complete(task)
    assert code == 0, f"{what}: the launch service has failed, return code '{code}'"


def make_support_fixtures(scope: str) -> dict[str, Any]:
    """The fixtures event_loop, launch_service and launch_context with the given scope."""

    @pytest.fixture(scope=scope)
    def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
        """The event loop that launch and asynchronous tests run in."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        yield loop
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        asyncio.set_event_loop(None)

    @pytest.fixture(scope=scope)
    def launch_service(event_loop: asyncio.AbstractEventLoop) -> Iterator[LaunchService]:
        """The service that runs the description."""
        service = LaunchService()
        yield service
        finish(service, "When tearing down launch_service fixture")

    @pytest.fixture(scope=scope)
    def launch_context(launch_service: LaunchService) -> LaunchContext:
        """The context of the launch, for launch_pytest.tools."""
        return launch_service.context

    return {"event_loop": event_loop, "launch_service": launch_service, "launch_context": launch_context}


def fixture(
    decorated: Callable | None = None,
    *args: Any,
    shutdown_when_idle: bool = True,
    auto_shutdown: bool = True,
    **kwargs: Any,
) -> Callable:
    """Decorate a function that returns a launch description, or a sequence that begins with one.

    Args:
        decorated: the function.
        args: of pytest.fixture.
        shutdown_when_idle: end the launch when nothing goes on in it any more.
        auto_shutdown: end it after the tests (False: it ends by itself).
        kwargs: of pytest.fixture. A wider scope gives the module support fixtures of that scope.
    """
    scope = kwargs.get("scope", "function")
    if scope != "function":
        module = inspect.stack()[1].frame.f_globals
        for name, support in make_support_fixtures(scope).items():
            module.setdefault(name, support)

    def decorate(function: Callable) -> Callable:
        function._launch_pytest_fixture_options = {
            "shutdown_when_idle": shutdown_when_idle,
            "auto_shutdown": auto_shutdown,
            "scope": scope,
        }
        result = pytest.fixture(*args, **kwargs)(function)
        result._launch_pytest_fixture_options = function._launch_pytest_fixture_options
        return result

    return decorate if decorated is None else decorate(decorated)
