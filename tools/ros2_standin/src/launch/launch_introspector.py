"""A launch description as text, for `ros2 launch --print`."""

from __future__ import annotations

from collections.abc import Iterable

from .launch_description import LaunchDescription
from .launch_description_entity import LaunchDescriptionEntity


class LaunchIntrospector:
    """Describes the entities of a launch description without launching it."""

    def format_launch_description(self, launch_description: LaunchDescription) -> str:
        """One line per entity, indented by depth."""
        return "\n".join(["LaunchDescription", *self._lines(launch_description.entities, 1)])

    def _lines(self, entities: Iterable, depth: int) -> list[str]:
        lines = []
        if isinstance(entities, LaunchDescriptionEntity):
            entities = [entities]
        for entity in entities:
            if not isinstance(entity, LaunchDescriptionEntity):
                lines += self._lines(entity, depth)
                continue
            lines.append("    " * depth + entity.describe())
            lines += self._lines(entity.describe_sub_entities(), depth + 1)
            for condition, sub_entities in entity.describe_conditional_sub_entities():
                lines.append("    " * (depth + 1) + condition)
                lines += self._lines(sub_entities, depth + 2)
        return lines
