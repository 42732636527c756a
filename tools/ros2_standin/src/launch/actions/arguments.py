"""Arguments of a launch description and the configurations they end up in."""

from __future__ import annotations

from ..action import Action
from ..launch_context import LaunchContext
from ..logging import get_logger
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions


class SetLaunchConfiguration(Action):
    """Set a launch configuration; included descriptions see it, groups keep it inside."""

    def __init__(self, name: SomeSubstitutionsType, value: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self._name = normalize_to_list_of_substitutions(name)
        self._value = normalize_to_list_of_substitutions(value)

    @property
    def name(self) -> list[Substitution]:
        """The configuration's name."""
        return self._name

    @property
    def value(self) -> list[Substitution]:
        """Its value."""
        return self._value

    def execute(self, context: LaunchContext) -> None:
        name = perform_substitutions(context, self._name)
        context.launch_configurations[name] = perform_substitutions(context, self._value)


class UnsetLaunchConfiguration(Action):
    """Remove a launch configuration if it is set."""

    def __init__(self, name: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self._name = normalize_to_list_of_substitutions(name)

    def execute(self, context: LaunchContext) -> None:
        context.launch_configurations.pop(perform_substitutions(context, self._name), None)


class DeclareLaunchArgument(Action):
    """An argument of this description, with a default (optional), a description and the choices there are.

    The default is taken only if a launch configuration of that name is not set yet.
    """

    def __init__(
        self,
        name: str,
        *,
        default_value: SomeSubstitutionsType | None = None,
        description: str | None = None,
        choices: list[str] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self._name = name
        self._default = None if default_value is None else normalize_to_list_of_substitutions(default_value)
        self._choices = choices
        self._conditionally_included = False
        if choices is not None:
            if len(choices) == 0:
                raise RuntimeError(f"argument '{name}': choices are empty; give None for no choices")
            if isinstance(default_value, str) and default_value not in choices:
                raise RuntimeError(f'argument "{name}": default_value "{default_value}" is not in {choices}')
        if description is None:
            self._description = "no description given" if choices is None else f"One of: {choices}"
        else:
            dot = "" if description.endswith(".") else "."
            listed = "" if choices is None else f"{dot} Valid choices are: {choices}"
            self._description = description + listed

    @property
    def name(self) -> str:
        """The argument's name."""
        return self._name

    @property
    def default_value(self) -> list[Substitution] | None:
        """Its default; None: it must be given."""
        return self._default

    @property
    def description(self) -> str:
        """What it is for."""
        return self._description

    @property
    def choices(self) -> list[str] | None:
        """The values allowed; None: any."""
        return self._choices

    def execute(self, context: LaunchContext) -> None:
        if self._name not in context.launch_configurations:
            if self._default is None:
                get_logger(__name__).error(
                    'Required launch argument "%s" (description: "%s") was not provided',
                    self._name,
                    self._description,
                )
                raise RuntimeError(f'Required launch argument "{self._name}" was not provided.')
            context.launch_configurations[self._name] = perform_substitutions(context, self._default)
        value = context.launch_configurations[self._name]
        if self._choices is not None and value not in self._choices:
            raise RuntimeError(
                f'Argument "{self._name}" provided value "{value}" is not valid. '
                f"Valid options are: {self._choices}"
            )
