"""What a launch description is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class LaunchDescriptionEntity:
    """One item of a launch description: visited when launching, described when only listing."""

    def describe(self) -> str:
        """One line of text about this entity."""
        return repr(self)

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Entities that are visited whenever this one is."""
        return []

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Entities that may be visited, each list with the condition in words."""
        return []

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Do what this entity is for; returns further entities to visit at once."""
        return None

    def get_asyncio_future(self) -> asyncio.Future | None:
        """A future that is done when this entity's activity is over, None where nothing goes on."""
        return None
