"""Actions after a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..action import Action
from ..event_handler import EventHandler
from ..event_handlers import OnShutdown
from ..events import TimerEvent
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_entities_type import SomeEntitiesType
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from .opaque import OpaqueFunction


class TimerAction(Action):
    """Visit actions once, `period` seconds after this one executes, unless cancelled."""

    def __init__(
        self,
        *,
        period: float | SomeSubstitutionsType,
        actions: Iterable[LaunchDescriptionEntity],
        cancel_on_shutdown: bool | SomeSubstitutionsType = True,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(period, (str, int)):
            period = float(period)
        self._period = normalize_typed_substitution(period, float)
        self._actions = actions
        self._cancel_on_shutdown = normalize_typed_substitution(cancel_on_shutdown, bool)
        self._locals: dict[str, Any] = {}
        self._canceled = False
        self._canceled_future: asyncio.Future | None = None
        self._completed_future: asyncio.Future | None = None

    @property
    def period(self) -> Any:
        """Seconds, or substitutions for them."""
        return self._period

    @property
    def actions(self) -> Iterable[LaunchDescriptionEntity]:
        """What is visited."""
        return self._actions

    def describe(self) -> str:
        return f"TimerAction(period={self._period})"

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        return [(f"{self._period} seconds pass without being canceled", self._actions)]

    def handle(self, context: LaunchContext) -> SomeEntitiesType:
        """What to visit when the period is over."""
        context.extend_locals(self._locals)
        return self._actions

    def cancel(self) -> None:
        """Do not fire; fine at any time."""
        self._canceled = True
        if self._canceled_future is not None and not self._canceled_future.done():
            self._canceled_future.set_result(True)

    def execute(self, context: LaunchContext) -> None:
        self._completed_future = context.asyncio_loop.create_future()
        self._canceled_future = context.asyncio_loop.create_future()
        if self._canceled:
            self._completed_future.set_result(None)
            return
        if not hasattr(context, "_handles_timers"):
            context.register_event_handler(
                EventHandler(
                    matcher=lambda event: isinstance(event, TimerEvent),
                    entities=[OpaqueFunction(function=lambda c: c.locals.event.timer_action.handle(c))],
                )
            )
            context._handles_timers = True
        self._locals = context.get_locals_as_dict()
        context.asyncio_loop.create_task(self._wait(context))
        if perform_typed_substitution(context, self._cancel_on_shutdown, bool):
            context.register_event_handler(OnShutdown(on_shutdown=lambda event, context: self.cancel()))

    async def _wait(self, context: LaunchContext) -> None:
        period = perform_typed_substitution(context, self._period, float)
        await asyncio.wait([self._canceled_future], timeout=period)
        if not self._canceled_future.done():
            await context.emit_event(TimerEvent(timer_action=self))
        self._completed_future.set_result(None)

    def get_asyncio_future(self) -> asyncio.Future | None:
        return self._completed_future
