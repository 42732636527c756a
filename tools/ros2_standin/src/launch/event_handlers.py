"""Handlers for what happens to actions, children and the launch itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .event import Event
from .event_handler import BaseEventHandler, EventHandler
from .events import ExecutionComplete, Shutdown
from .events import IncludeLaunchDescription as IncludeLaunchDescriptionEvent
from .events.process import ProcessExited, ProcessIO, ProcessStarted
from .launch_description_entity import LaunchDescriptionEntity
from .some_entities_type import SomeEntitiesType
from .utilities import is_a_subclass

if TYPE_CHECKING:
    from .launch_context import LaunchContext

__all__ = [
    "OnActionEventBase",
    "OnExecutionComplete",
    "OnIncludeLaunchDescription",
    "OnProcessExit",
    "OnProcessIO",
    "OnProcessStart",
    "OnShutdown",
    "event_named",
]


def event_named(name: str) -> Callable[[Event], bool]:
    """A matcher on the event's name."""
    return lambda event: event.name == name


class OnActionEventBase(BaseEventHandler):
    """Events that an action gave rise to: of one action, of those a callable chooses, or of all."""

    def __init__(
        self,
        *,
        action_matcher: Any,
        on_event: Any,
        target_event_cls: type[Event],
        target_action_cls: type,
        **kwargs,
    ) -> None:
        if not isinstance(action_matcher, (target_action_cls, type(None))) and not callable(action_matcher):
            raise TypeError(f"action_matcher must be a '{target_action_cls.__name__}' or a callable")
        self._action_matcher = action_matcher
        self._target_action_cls = target_action_cls
        self._target_event_cls = target_event_cls
        self._actions: list[LaunchDescriptionEntity] | None = None
        self._function = on_event
        if not callable(on_event):
            entities = list(on_event) if isinstance(on_event, Iterable) else [on_event]
            for entity in entities:
                if entity is not None and not isinstance(entity, LaunchDescriptionEntity):
                    raise TypeError(f"a LaunchDescriptionEntity was expected, got '{type(entity)}'")
            self._actions = [entity for entity in entities if entity is not None]
        super().__init__(matcher=self._is_mine, **kwargs)

    def _is_mine(self, event: Event) -> bool:
        if not isinstance(event, self._target_event_cls):
            return False
        if self._action_matcher is None:
            return True
        if isinstance(self._action_matcher, self._target_action_cls):
            return event.action is self._action_matcher
        return self._action_matcher(event.action)

    def describe(self) -> tuple[str, list]:
        text, actions = super().describe()
        return text, actions + (self._actions or [])

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        return self._actions if self._actions is not None else self._function(event, context)


class OnProcessStart(OnActionEventBase):
    """When a child was started."""

    def __init__(self, *, target_action: Any = None, on_start: Any, **kwargs) -> None:
        from .actions import ExecuteLocal

        super().__init__(
            action_matcher=target_action,
            on_event=on_start,
            target_event_cls=ProcessStarted,
            target_action_cls=ExecuteLocal,
            **kwargs,
        )


class OnProcessExit(OnActionEventBase):
    """When a child has exited."""

    def __init__(self, *, target_action: Any = None, on_exit: Any, **kwargs) -> None:
        from .actions import ExecuteLocal

        super().__init__(
            action_matcher=target_action,
            on_event=on_exit,
            target_event_cls=ProcessExited,
            target_action_cls=ExecuteLocal,
            **kwargs,
        )


class OnProcessIO(OnActionEventBase):
    """When a child has written something."""

    def __init__(
        self,
        *,
        target_action: Any = None,
        on_stdin: Callable[[ProcessIO], Any] | None = None,
        on_stdout: Callable[[ProcessIO], Any] | None = None,
        on_stderr: Callable[[ProcessIO], Any] | None = None,
        **kwargs,
    ) -> None:
        from .actions import ExecuteLocal

        def handle(event: ProcessIO, _: LaunchContext) -> SomeEntitiesType | None:
            function = on_stdout if event.from_stdout else on_stderr if event.from_stderr else on_stdin
            return None if function is None else function(event)

        super().__init__(
            action_matcher=target_action,
            on_event=handle,
            target_event_cls=ProcessIO,
            target_action_cls=ExecuteLocal,
            **kwargs,
        )


class OnExecutionComplete(OnActionEventBase):
    """When an action has done what it does."""

    def __init__(self, *, target_action: Any = None, on_completion: Any, **kwargs) -> None:
        from .action import Action

        super().__init__(
            action_matcher=target_action,
            on_event=on_completion,
            target_event_cls=ExecutionComplete,
            target_action_cls=Action,
            **kwargs,
        )


class OnShutdown(BaseEventHandler):
    """When the launch begins to end."""

    def __init__(self, *, on_shutdown: Any, **kwargs) -> None:
        super().__init__(matcher=lambda event: is_a_subclass(event, Shutdown), **kwargs)
        self._on_shutdown = on_shutdown

    def describe(self) -> tuple[str, list]:
        text, actions = super().describe()
        return text, actions if callable(self._on_shutdown) else [*actions, self._on_shutdown]

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        return self._on_shutdown(event, context) if callable(self._on_shutdown) else self._on_shutdown


class OnIncludeLaunchDescription(EventHandler):
    """Visits the description that an IncludeLaunchDescription event carries."""

    def __init__(self, **kwargs) -> None:
        super().__init__(matcher=lambda event: is_a_subclass(event, IncludeLaunchDescriptionEvent), **kwargs)

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        return event.launch_description
