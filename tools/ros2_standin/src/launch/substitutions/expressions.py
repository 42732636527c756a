"""Comparisons, boolean algebra and Python expressions; results are the texts 'true' and 'false'."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from typing import Any

from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import is_substitution, perform_typed_substitution
from .basic import describe_all
from .substitution_failure import SubstitutionFailure


class PythonExpression(Substitution):
    """The value of a Python expression; the modules named (math if none is) can be used in it."""

    def __init__(
        self, expression: SomeSubstitutionsType, python_modules: SomeSubstitutionsType = ("math",)
    ) -> None:
        self._expression = normalize_to_list_of_substitutions(expression)
        self._python_modules = normalize_to_list_of_substitutions(python_modules)

    @property
    def expression(self) -> list[Substitution]:
        """The expression's text."""
        return self._expression

    @property
    def python_modules(self) -> list[Substitution]:
        """Names of the modules the expression can use."""
        return self._python_modules

    def describe(self) -> str:
        return f"PythonExpr({describe_all(self._expression)})"

    def perform(self, context: LaunchContext) -> str:
        names: dict[str, Any] = {}
        for sub in self._python_modules:
            module = importlib.import_module(context.perform_substitution(sub))
            if module.__name__ == "math":
                names.update(vars(module))
            names[module.__name__] = module
        return str(eval(perform_substitutions(context, self._expression), {}, names))


class _Booleans(Substitution):
    """A function of boolean texts."""

    def __init__(self, *args: SomeSubstitutionsType) -> None:
        self._args = [normalize_to_list_of_substitutions(arg) for arg in args]

    def describe(self) -> str:
        return f"{type(self).__name__}({', '.join(describe_all(arg) for arg in self._args)})"

    def perform(self, context: LaunchContext) -> str:
        return str(self._combine(_boolean(context, arg) for arg in self._args)).lower()

    def _combine(self, values: Iterable[bool]) -> bool:
        raise NotImplementedError


def _boolean(context: LaunchContext, subs: list[Substitution]) -> bool:
    try:
        return perform_typed_substitution(context, subs, bool)
    except (TypeError, ValueError) as error:
        raise SubstitutionFailure(str(error)) from error


class NotSubstitution(_Booleans):
    """'true' when the value is false."""

    def __init__(self, value: SomeSubstitutionsType) -> None:
        super().__init__(value)

    def _combine(self, values: Iterable[bool]) -> bool:
        return not next(iter(values))


class AllSubstitution(_Booleans):
    """'true' when all values are true."""

    def _combine(self, values: Iterable[bool]) -> bool:
        return all(list(values))


class AnySubstitution(_Booleans):
    """'true' when some value is true."""

    def _combine(self, values: Iterable[bool]) -> bool:
        return any(list(values))


class AndSubstitution(AllSubstitution):
    """'true' when both values are true."""

    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        super().__init__(left, right)


class OrSubstitution(AnySubstitution):
    """'true' when one of the two values is true."""

    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        super().__init__(left, right)


class EqualsSubstitution(Substitution):
    """'true' when both sides are the same text, the same boolean, or close numbers (math.isclose)."""

    def __init__(self, left: Any, right: Any) -> None:
        self._left = _side(left)
        self._right = _side(right)

    def describe(self) -> str:
        return f"{type(self).__name__}({describe_all(self._left)}, {describe_all(self._right)})"

    def perform(self, context: LaunchContext) -> str:
        return str(self._equal(context)).lower()

    def _equal(self, context: LaunchContext) -> bool:
        left = perform_substitutions(context, self._left)
        right = perform_substitutions(context, self._right)
        booleans = {"true": True, "1": True, "false": False, "0": False}
        if left.lower() in booleans and right.lower() in booleans:
            return booleans[left.lower()] == booleans[right.lower()]
        try:
            return math.isclose(float(left), float(right))
        except ValueError:
            return left == right


class NotEqualsSubstitution(EqualsSubstitution):
    """The opposite of EqualsSubstitution."""

    def perform(self, context: LaunchContext) -> str:
        return str(not self._equal(context)).lower()


def _side(value: Any) -> list[Substitution]:
    if is_substitution(value):
        return normalize_to_list_of_substitutions(value)
    if value is None:
        value = ""
    return normalize_to_list_of_substitutions(str(value).lower() if isinstance(value, bool) else str(value))


class IfElseSubstitution(Substitution):
    """One of two values, by a boolean text."""

    def __init__(
        self,
        condition: SomeSubstitutionsType,
        if_value: SomeSubstitutionsType = "",
        else_value: SomeSubstitutionsType = "",
    ) -> None:
        if if_value == else_value == "":
            raise RuntimeError("IfElseSubstitution needs if_value or else_value")
        self._condition = normalize_to_list_of_substitutions(condition)
        self._if_value = normalize_to_list_of_substitutions(if_value)
        self._else_value = normalize_to_list_of_substitutions(else_value)

    def describe(self) -> str:
        parts = (self._condition, self._if_value, self._else_value)
        return f"IfElseSubstitution({', '.join(describe_all(part) for part in parts)})"

    def perform(self, context: LaunchContext) -> str:
        chosen = self._if_value if _boolean(context, self._condition) else self._else_value
        return perform_substitutions(context, chosen)
