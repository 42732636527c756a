"""Python functions as actions."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ..action import Action
from ..event_handlers import OnShutdown
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..utilities import ensure_argument_type


class OpaqueFunction(Action):
    """Call function(context, *args, **kwargs); it may return a list of entities to visit."""

    def __init__(
        self,
        *,
        function: Callable,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        **left_over_kwargs,
    ) -> None:
        super().__init__(**left_over_kwargs)
        if not callable(function):
            raise TypeError(f"OpaqueFunction expected a callable for 'function', got '{type(function)}'")
        ensure_argument_type(args, (Iterable, type(None)), "args", "OpaqueFunction")
        ensure_argument_type(kwargs, (dict, type(None)), "kwargs", "OpaqueFunction")
        self._function = function
        self._args = args or ()
        self._kwargs = kwargs or {}

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        return self._function(context, *self._args, **self._kwargs)


class OpaqueCoroutine(Action):
    """Run coroutine(context, *args, **kwargs) beside the launch; it is cancelled at shutdown.

    With ignore_context it is called without the context.
    """

    def __init__(
        self,
        *,
        coroutine: Callable[..., Awaitable[None]],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        ignore_context: bool = False,
        **left_over_kwargs,
    ) -> None:
        super().__init__(**left_over_kwargs)
        if not inspect.iscoroutinefunction(coroutine):
            raise TypeError(f"OpaqueCoroutine expected a coroutine function, got '{type(coroutine)}'")
        self._coroutine = coroutine
        self._args = list(args or ())
        self._kwargs = kwargs or {}
        self._ignore_context = ignore_context
        self._future: asyncio.Future | None = None

    def execute(self, context: LaunchContext) -> None:
        args = self._args if self._ignore_context else [context, *self._args]
        self._future = context.asyncio_loop.create_task(self._coroutine(*args, **self._kwargs))
        cancel = OnShutdown(on_shutdown=lambda event, context: self._future.cancel() and None)
        context.register_event_handler(cancel)

    def get_asyncio_future(self) -> asyncio.Future | None:
        return self._future
