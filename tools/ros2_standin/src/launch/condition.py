"""Base class of all conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Condition:
    """Decides, when an action is visited, whether it executes."""

    def __init__(self, *, predicate: Callable[[LaunchContext], bool] | None = None) -> None:
        self._predicate = predicate
        self._last_result: bool | None = None

    def describe(self) -> str:
        """One line of text about this condition."""
        return repr(self)

    def evaluate(self, context: LaunchContext) -> bool:
        """True when the action shall execute."""
        self._last_result = self._predicate(context) if self._predicate is not None else False
        return self._last_result
