"""Base class of all substitutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Substitution:
    """A text that is only known when an action executes."""

    def describe(self) -> str:
        """One line of text about this substitution."""
        return repr(self)

    def perform(self, context: LaunchContext) -> str:
        """The text, in the given context."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to perform it")
