"""What to do when an event happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .event import Event
from .some_entities_type import SomeEntitiesType

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class BaseEventHandler:
    """Decides which events it handles; `handle` is given by subclasses."""

    def __init__(self, *, matcher: Callable[[Event], bool], handle_once: bool = False) -> None:
        self._matcher = matcher
        self._handle_once = handle_once

    @property
    def handle_once(self) -> bool:
        """True when the handler is unregistered after the first event it handles."""
        return self._handle_once

    def matches(self, event: Event) -> bool:
        """True when this handler is for `event`."""
        return self._matcher(event)

    def describe(self) -> tuple[str, list]:
        """A line of text and the entities that the handler may yield."""
        return f"{type(self).__name__}(handle_once={self._handle_once})", []

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        """Handle `event`; returns entities to visit. Subclasses call this first."""
        context.extend_locals({"event": event})
        if self._handle_once:
            context.unregister_event_handler(self)
        return None


class EventHandler(BaseEventHandler):
    """Yields the given entities for every event that matches."""

    def __init__(
        self,
        *,
        matcher: Callable[[Event], bool],
        entities: SomeEntitiesType | None = None,
        handle_once: bool = False,
    ) -> None:
        super().__init__(matcher=matcher, handle_once=handle_once)
        self._entities = entities

    @property
    def entities(self) -> SomeEntitiesType | None:
        """What is visited when an event matches."""
        return self._entities

    def describe(self) -> tuple[str, list]:
        text, actions = super().describe()
        if self._entities:
            actions.append(self._entities)
        return text, actions

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        super().handle(event, context)
        return self._entities
