"""Saving and restoring launch configurations and environment: what a scoped group does."""

from __future__ import annotations

from collections.abc import Mapping

from ..action import Action
from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions


class PushLaunchConfigurations(Action):
    """Save the launch configurations."""

    def execute(self, context: LaunchContext) -> None:
        context._push_launch_configurations()


class PopLaunchConfigurations(Action):
    """Restore the launch configurations saved last."""

    def execute(self, context: LaunchContext) -> None:
        context._pop_launch_configurations()


class ResetLaunchConfigurations(Action):
    """Clear the launch configurations, except for those given (evaluated before clearing)."""

    def __init__(
        self,
        launch_configurations: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self._launch_configurations = launch_configurations or {}

    def execute(self, context: LaunchContext) -> None:
        def text(value: SomeSubstitutionsType) -> str:
            return perform_substitutions(context, normalize_to_list_of_substitutions(value))

        kept = {text(key): text(value) for key, value in self._launch_configurations.items()}
        context.launch_configurations.clear()
        context.launch_configurations.update(kept)


class PushEnvironment(Action):
    """Save the environment."""

    def execute(self, context: LaunchContext) -> None:
        context._push_environment()


class PopEnvironment(Action):
    """Restore the environment saved last."""

    def execute(self, context: LaunchContext) -> None:
        context._pop_environment()


class ResetEnvironment(Action):
    """Restore the environment the launch began with."""

    def execute(self, context: LaunchContext) -> None:
        context._reset_environment()
