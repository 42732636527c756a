"""Plain texts, launch configurations and context locals."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions
from .substitution_failure import SubstitutionFailure


def describe_all(subs: Iterable[Substitution]) -> str:
    """The descriptions of several substitutions in a row."""
    return " + ".join(sub.describe() for sub in subs)


class TextSubstitution(Substitution):
    """A text as it is."""

    def __init__(self, *, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"TextSubstitution expected a str, got '{type(text)}'")
        self._text = text

    @property
    def text(self) -> str:
        """The text."""
        return self._text

    def describe(self) -> str:
        return f"'{self._text}'"

    def perform(self, context: LaunchContext) -> str:
        return self._text


class LaunchConfiguration(Substitution):
    """The value of a launch configuration (a declared argument, or what SetLaunchConfiguration set)."""

    def __init__(self, variable_name: SomeSubstitutionsType, *, default: Any = None) -> None:
        self._variable_name = normalize_to_list_of_substitutions(variable_name)
        self._default: list[Substitution] | None = None
        if default is not None:
            items = default if isinstance(default, Iterable) and not isinstance(default, str) else [default]
            self._default = normalize_to_list_of_substitutions(
                [item if isinstance(item, (str, Substitution)) else str(item) for item in items]
            )

    @property
    def variable_name(self) -> list[Substitution]:
        """The configuration's name."""
        return self._variable_name

    def describe(self) -> str:
        return f"LaunchConfig({describe_all(self._variable_name)})"

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self._variable_name)
        if name in context.launch_configurations:
            return context.launch_configurations[name]
        if self._default is not None:
            return perform_substitutions(context, self._default)
        near = difflib.get_close_matches(name, list(context.launch_configurations), n=1)
        hint = f" (there is '{near[0]}')" if near else ""
        raise SubstitutionFailure(f"launch configuration '{name}' does not exist{hint}")


class LocalSubstitution(Substitution):
    """A member of the context's locals, e.g. 'event.pid'."""

    def __init__(self, expression: str, description: str | None = None) -> None:
        ensure_argument_type(expression, str, "expression", "LocalSubstitution")
        self._expression = expression
        self._description = description

    @property
    def expression(self) -> str:
        """Python expression on `context.locals`."""
        return self._expression

    def describe(self) -> str:
        return f"LocalVar('{self._description or self._expression}')"

    def perform(self, context: LaunchContext) -> str:
        return eval("context.locals." + self._expression, {"context": context})
