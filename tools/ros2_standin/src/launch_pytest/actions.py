"""Actions for tests."""

from __future__ import annotations

import logging
from collections.abc import Callable

from launch.action import Action
from launch.launch_context import LaunchContext

__all__ = ["ReadyToTest"]


class ReadyToTest(Action):
    """The tests begin when this action executes; without one, when all actions have been visited."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], None]] = []

    def _add_callback(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def execute(self, context: LaunchContext) -> None:
        logging.getLogger(__name__).debug("ready to test")
        for callback in self._callbacks:
            callback()
