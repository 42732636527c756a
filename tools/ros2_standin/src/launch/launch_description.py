"""A list of entities to launch, and which arguments it declares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .launch_context import LaunchContext
from .launch_description_entity import LaunchDescriptionEntity
from .logging import get_logger

if TYPE_CHECKING:
    from .actions import DeclareLaunchArgument, IncludeLaunchDescription


class LaunchDescription(LaunchDescriptionEntity):
    """Entities that are visited in order."""

    def __init__(
        self,
        initial_entities: Iterable[LaunchDescriptionEntity] | None = None,
        *,
        deprecated_reason: str | None = None,
    ) -> None:
        self._entities = list(initial_entities or ())
        self._deprecated_reason = deprecated_reason

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """The entities, in order."""
        return self._entities

    def add_entity(self, entity: LaunchDescriptionEntity) -> None:
        """Append an entity."""
        self._entities.append(entity)

    def add_action(self, action: LaunchDescriptionEntity) -> None:
        """Append an action."""
        self.add_entity(action)

    @property
    def deprecated(self) -> bool:
        """True when a reason was given why this description should not be used any more."""
        return self._deprecated_reason is not None

    @property
    def deprecated_reason(self) -> str | None:
        """Why this description should not be used any more."""
        return self._deprecated_reason

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if self._deprecated_reason is not None:
            where = context.get_locals_as_dict().get("current_launch_file_path", "launch description")
            get_logger("launch").warning("[%s] is deprecated: %s", where, self._deprecated_reason)
        return self._entities

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self._entities

    def get_launch_arguments(self, conditional_inclusion: bool = False) -> list[DeclareLaunchArgument]:
        """The declared arguments, of included descriptions as well, the first declaration of each name."""
        found = self.get_launch_arguments_with_include_launch_description_actions(conditional_inclusion)
        return [argument for argument, _ in found]

    def get_launch_arguments_with_include_launch_description_actions(
        self, conditional_inclusion: bool = False
    ) -> list[tuple[DeclareLaunchArgument, list[IncludeLaunchDescription]]]:
        """The declared arguments, each with the includes that lead to it (outermost first)."""
        from .actions import DeclareLaunchArgument, IncludeLaunchDescription, ResetLaunchConfigurations

        found: dict[str, tuple[DeclareLaunchArgument, list[IncludeLaunchDescription]]] = {}

        def search(entities: Iterable, conditional: bool, includes: list[IncludeLaunchDescription]) -> None:
            if isinstance(entities, LaunchDescriptionEntity):
                entities = [entities]
            for entity in entities:
                if not isinstance(entity, LaunchDescriptionEntity):
                    search(entity, conditional, includes)
                    continue
                if isinstance(entity, DeclareLaunchArgument) and entity.name not in found:
                    entity._conditionally_included = conditional or entity.condition is not None
                    found[entity.name] = (entity, includes)
                if isinstance(entity, ResetLaunchConfigurations):
                    return  # what follows cannot be set from outside
                below = [*includes, entity] if isinstance(entity, IncludeLaunchDescription) else includes
                search(entity.describe_sub_entities(), conditional, below)
                for _, sub_entities in entity.describe_conditional_sub_entities():
                    search(sub_entities, True, below)

        search(self._entities, conditional_inclusion, [])
        return list(found.values())
