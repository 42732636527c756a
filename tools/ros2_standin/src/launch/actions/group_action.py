"""Several actions with a scope and a condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..action import Action
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_substitutions_type import SomeSubstitutionsType
from .arguments import SetLaunchConfiguration
from .scopes import (
    PopEnvironment,
    PopLaunchConfigurations,
    PushEnvironment,
    PushLaunchConfigurations,
    ResetEnvironment,
    ResetLaunchConfigurations,
)


class GroupAction(Action):
    """Actions whose launch configurations and environment do not leak (scoped), or do not see the outside's
    (forwarding=False)."""

    def __init__(
        self,
        actions: Iterable[Action],
        *,
        scoped: bool = True,
        forwarding: bool = True,
        launch_configurations: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        **left_over_kwargs,
    ) -> None:
        super().__init__(**left_over_kwargs)
        self._actions = list(actions)
        self._scoped = scoped
        self._forwarding = forwarding
        self._launch_configurations = dict(launch_configurations or {})
        self._all: list[LaunchDescriptionEntity] | None = None

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        if self._all is None:
            sets = [
                SetLaunchConfiguration(name, value) for name, value in self._launch_configurations.items()
            ]
            if not self._scoped:
                self._all = [*sets, *self._actions]
            else:
                if not self._forwarding:
                    sets = [ResetEnvironment(), ResetLaunchConfigurations(self._launch_configurations)]
                push = [PushLaunchConfigurations(), PushEnvironment()]
                pop = [PopEnvironment(), PopLaunchConfigurations()]
                self._all = [*push, *sets, *self._actions, *pop]
        return self._all

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return self.get_sub_entities()
