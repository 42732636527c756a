"""The pytest plugin: starts the launches of launch_pytest fixtures and runs the tests marked `launch`.

It is loaded in every pytest run of its environment; without such marks and fixtures it does nothing.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from launch import LaunchDescription, LaunchService

from .actions import ReadyToTest
from .fixture import finish, make_support_fixtures

_support = make_support_fixtures("function")
event_loop = _support["event_loop"]
launch_service = _support["launch_service"]
launch_context = _support["launch_context"]


class LaunchTestWarning(pytest.PytestWarning):
    """A test marked `launch` cannot be run as it is."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers", "launch(fixture, shutdown=False): run the test while (or after) a description is launched"
    )


# Fixtures: launch the description -------------------------------------------------------------------------


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[None]:
    """Launch what a launch_pytest fixture returns, and wait until it is ready to be tested."""
    options = getattr(fixturedef.func, "_launch_pytest_fixture_options", None)
    if options is None:
        yield
        return
    what = f"When running launch_pytest fixture '{fixturedef.func.__name__}'"
    service: LaunchService = request.getfixturevalue("launch_service")
    loop: asyncio.AbstractEventLoop = request.getfixturevalue("event_loop")
    outcome = yield
    description = outcome.get_result()
    if isinstance(description, Sequence) and description:
        description = description[0]
    assert isinstance(description, LaunchDescription), (
        f"{what}: the return value must be a launch description or a sequence that begins with one"
    )
    is_ready = asyncio.Event()
    _ready_action(description)._add_callback(is_ready.set)
    service.include_launch_description(description)
    task = loop.create_task(service.run_async(shutdown_when_idle=options["shutdown_when_idle"]))
    fixturedef.addfinalizer(functools.partial(finish, service, what, options["auto_shutdown"]))

    async def wait_until_ready() -> None:
        ready = asyncio.ensure_future(is_ready.wait())
        await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not is_ready.is_set():
            service._launch_pytest_finished = True  # said here: not once more when it is torn down
            raise RuntimeError(f"{what}: the launch ended before it was ready to be tested")

    loop.run_until_complete(wait_until_ready())


def _ready_action(description: LaunchDescription) -> ReadyToTest:
    found = list(_ready_actions(description.entities))
    if len(found) > 1:
        raise RuntimeError(
            "launch_pytest fixtures must return a description with only one ReadyToTest action"
        )
    if not found:
        found = [ReadyToTest()]
        description.add_action(found[0])
    return found[0]


def _ready_actions(entities: Any) -> Iterator[ReadyToTest]:
    for entity in entities if isinstance(entities, (list, tuple)) else [entities]:
        if isinstance(entity, (list, tuple)):
            yield from _ready_actions(entity)
            continue
        if isinstance(entity, ReadyToTest):
            yield entity
        yield from _ready_actions(entity.describe_sub_entities())
        for _, conditional in entity.describe_conditional_sub_entities():
            yield from _ready_actions(list(conditional))


# Collection: which tests there are --------------------------------------------------------------------------


def _mark(item: pytest.Item) -> pytest.Mark | None:
    return item.get_closest_marker("launch")


def _fixture_of(item: pytest.Item) -> Any:
    mark = _mark(item)
    return None if mark is None else mark.kwargs.get("fixture")


def _is_generator(function: Callable) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _is_shutdown_test(item: pytest.Item) -> bool:
    return getattr(item, "_launch_pytest_is_shutdown", False)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> list[pytest.Item] | None:
    """Collect tests marked `launch`, generators among them, with the fixtures they need."""
    is_function = inspect.isfunction(obj) or inspect.iscoroutinefunction(obj)
    if not is_function or not collector.funcnamefilter(name):
        return None
    probe = pytest.Function.from_parent(collector, name=name)  # sees the marks of class and module too
    mark = _mark(probe)
    if mark is None:
        return None
    if mark.kwargs.get("fixture") is None:
        reason = '"fixture" keyword argument is required in a pytest.mark.launch() decorator'
        probe.warn(LaunchTestWarning(reason))
        probe.add_marker(pytest.mark.skip(reason))
        return [probe]
    options = mark.kwargs["fixture"]._launch_pytest_fixture_options
    is_shutdown = bool(mark.kwargs.get("shutdown", False))
    items = _generate(collector, name, obj, mark, is_shutdown)
    if _is_generator(obj) and options["scope"] != "function" and not is_shutdown:
        # The launch goes on for other tests: what follows the yield is a test of its own, run at the end.
        second = _generate(collector, name, obj, mark, True)
        for item, shutdown_item in zip(items, second, strict=True):
            shutdown_item.name = f"{shutdown_item.name}[shutdown_test]"
            shutdown_item._launch_pytest_generator_of = item
        items += second
    return items


def _generate(collector: Any, name: str, obj: Any, mark: pytest.Mark, is_shutdown: bool) -> list[pytest.Item]:
    fixture_name = mark.kwargs["fixture"].__name__
    pytest.mark.usefixtures(fixture_name, "launch_service", "event_loop")(obj)
    items = list(collector._genfunctions(name, obj))
    for item in items:
        item._launch_pytest_is_shutdown = is_shutdown
    return items


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move tests of the shutdown behind the other tests of the same launch."""
    for item in [item for item in reversed(items) if _is_shutdown_test(item)]:
        same = [i for i, other in enumerate(items) if _same_launch(item, other)]
        last = max(same, default=-1)
        if last > items.index(item):
            items.remove(item)
            items.insert(last, item)


def _same_launch(item: pytest.Item, other: pytest.Item) -> bool:
    """True for another test, not of the shutdown, that shares the launch of `item`."""
    fixture = _fixture_of(item)
    if other is item or fixture is None or fixture is not _fixture_of(other) or _is_shutdown_test(other):
        return False
    if fixture._launch_pytest_fixture_options["scope"] == "function":
        return False
    parameters = [getattr(getattr(i, "callspec", None), "params", {}) for i in (item, other)]
    return parameters[0].get(fixture.__name__) == parameters[1].get(fixture.__name__)


# Running ---------------------------------------------------------------------------------------------------


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> Iterator[None]:
    """Run a test marked `launch` while its launch goes on."""
    if _mark(pyfuncitem) is not None and _fixture_of(pyfuncitem) is not None:
        pyfuncitem.obj = _wrap(pyfuncitem, pyfuncitem.obj)
    yield


def _wrap(item: Any, function: Callable) -> Callable:
    service: LaunchService = item.funcargs["launch_service"]
    loop: asyncio.AbstractEventLoop = item.funcargs["event_loop"]
    options = _fixture_of(item)._launch_pytest_fixture_options

    def shut_down() -> None:
        finish(service, f"When running test {function.__name__}", options["auto_shutdown"])

    @functools.wraps(function)
    def run(**kwargs: Any) -> None:
        first_part = getattr(item, "_launch_pytest_generator_of", None)
        if first_part is not None:
            parts = getattr(first_part, "_launch_pytest_parts", None)
            if parts is None:
                pytest.skip("shutdown test skipped because the test failed before")
            shut_down()
            _finish_parts(loop, parts)
            return
        if not _is_generator(function):
            if _is_shutdown_test(item):
                shut_down()
            _run_part(loop, function, kwargs)
            return
        if _is_shutdown_test(item):
            pytest.fail("a generator test cannot be marked with shutdown=True", pytrace=False)
        parts = function(**kwargs)
        _next_part(loop, parts)
        if options["scope"] == "function":
            shut_down()
            _finish_parts(loop, parts)
        else:
            item._launch_pytest_parts = parts

    return run


def _run_part(loop: asyncio.AbstractEventLoop, function: Callable, kwargs: dict[str, Any]) -> None:
    if inspect.iscoroutinefunction(function):
        loop.run_until_complete(function(**kwargs))
    else:
        loop.run_until_complete(loop.run_in_executor(None, functools.partial(function, **kwargs)))


_END = object()


def _next_part(loop: asyncio.AbstractEventLoop, parts: Any) -> Any:
    """Run a generator of either kind up to its next yield; _END when it has ended."""
    if inspect.isasyncgen(parts):
        return loop.run_until_complete(anext(parts, _END))
    return loop.run_until_complete(loop.run_in_executor(None, next, parts, _END))


def _finish_parts(loop: asyncio.AbstractEventLoop, parts: Any) -> None:
    if _next_part(loop, parts) is not _END:
        pytest.fail("a generator test must end after yielding once", pytrace=False)
