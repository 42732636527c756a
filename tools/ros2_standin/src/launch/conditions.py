"""When an action executes."""

from __future__ import annotations

import warnings

from .condition import Condition
from .launch_context import LaunchContext
from .some_substitutions_type import SomeSubstitutionsType
from .substitution import Substitution
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

__all__ = [
    "IfCondition",
    "InvalidConditionExpressionError",
    "LaunchConfigurationEquals",
    "LaunchConfigurationNotEquals",
    "UnlessCondition",
    "evaluate_condition_expression",
]

_TRUE = ("true", "1")
_FALSE = ("false", "0")


class InvalidConditionExpressionError(ValueError):
    """A condition's text is neither true nor false."""


def evaluate_condition_expression(context: LaunchContext, expression: list[Substitution]) -> bool:
    """'true' or '1' against 'false' or '0', whatever the case; anything else raises."""
    text = perform_substitutions(context, expression).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    source = " + ".join(sub.describe() for sub in expression)
    raise InvalidConditionExpressionError(
        f"invalid condition expression, expected one of {[*_TRUE, *_FALSE]} but got '{text}', "
        f"expanded from {source}"
    )


class IfCondition(Condition):
    """True when the expression is."""

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        self._expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(predicate=lambda context: evaluate_condition_expression(context, self._expression))


class UnlessCondition(Condition):
    """True when the expression is false."""

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        self._expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(
            predicate=lambda context: not evaluate_condition_expression(context, self._expression)
        )


class LaunchConfigurationEquals(Condition):
    """True when a launch configuration has the value; with None: when it is not set."""

    def __init__(self, launch_configuration_name: str, expected_value: SomeSubstitutionsType | None) -> None:
        warnings.warn(
            "LaunchConfigurationEquals and LaunchConfigurationNotEquals are deprecated: "
            "use IfCondition(EqualsSubstitution(LaunchConfiguration('name'), 'value'))",
            UserWarning,
            stacklevel=2,
        )
        self._name = launch_configuration_name
        self._expected = (
            None if expected_value is None else normalize_to_list_of_substitutions(expected_value)
        )
        super().__init__(predicate=self._holds)

    def _holds(self, context: LaunchContext) -> bool:
        expected = None if self._expected is None else perform_substitutions(context, self._expected)
        return context.launch_configurations.get(self._name) == expected


class LaunchConfigurationNotEquals(LaunchConfigurationEquals):
    """The opposite of LaunchConfigurationEquals."""

    def _holds(self, context: LaunchContext) -> bool:
        return not super()._holds(context)
