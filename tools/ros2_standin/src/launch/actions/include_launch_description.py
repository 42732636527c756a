"""Another launch description inside this one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from ..action import Action
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..launch_description_source import LaunchDescriptionSource
from ..launch_description_sources import AnyLaunchDescriptionSource
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitutions import SubstitutionFailure
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .arguments import SetLaunchConfiguration


class IncludeLaunchDescription(Action):
    """Visit another description with arguments. It has no scope of its own: what it sets stays set."""

    def __init__(
        self,
        launch_description_source: LaunchDescriptionSource | SomeSubstitutionsType,
        *,
        launch_arguments: Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(launch_description_source, LaunchDescriptionSource):
            launch_description_source = AnyLaunchDescriptionSource(launch_description_source)
        if isinstance(launch_arguments, dict):
            raise TypeError("launch_arguments must be pairs: give {...}.items()")
        self._source = launch_description_source
        self._launch_arguments = tuple(launch_arguments or ())

    @property
    def launch_description_source(self) -> LaunchDescriptionSource:
        """Where the description comes from."""
        return self._source

    @property
    def launch_arguments(self) -> tuple[tuple[SomeSubstitutionsType, SomeSubstitutionsType], ...]:
        """(name, value) of the arguments given."""
        return self._launch_arguments

    def describe(self) -> str:
        return f"IncludeLaunchDescription({self._source.location})"

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        description = self._source.try_get_launch_description_without_context()
        return [] if description is None else [description]

    def _argument_names(self, context: LaunchContext) -> list[str]:
        return [
            perform_substitutions(context, normalize_to_list_of_substitutions(name))
            for name, _ in self._launch_arguments
        ]

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        description = self._source.get_launch_description(context)
        path = os.path.abspath(self._source.location)
        folder = os.path.dirname(path) if os.path.exists(path) else self._source.location
        context.extend_locals({"current_launch_file_path": path, "current_launch_file_directory": folder})
        self._require_arguments(description, self._argument_names(context))
        sets = [SetLaunchConfiguration(name, value) for name, value in self._launch_arguments]
        return [*sets, description]

    def _require_arguments(self, description, given: list[str]) -> None:
        """Raise when an argument without a default is not given, as far as that can be told beforehand."""
        found = description.get_launch_arguments_with_include_launch_description_actions()
        for argument, includes in found:
            if argument._conditionally_included or argument.default_value is not None:
                continue
            names = list(given)
            for include in includes:
                # A name that is only known when the include executes is checked then.
                with contextlib.suppress(SubstitutionFailure):
                    names += include._argument_names(LaunchContext())
            if argument.name not in names:
                raise RuntimeError(
                    f"Included launch description missing required argument '{argument.name}' "
                    f"(description: '{argument.description}'), given: [{', '.join(names)}]"
                )
