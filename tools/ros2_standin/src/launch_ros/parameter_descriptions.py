"""A parameter's value, a parameter, a file of parameters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from launch.launch_context import LaunchContext
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch.utilities.type_utils import normalize_typed_substitution, perform_typed_substitution

from .parse_substitution import parse_substitution


class ParameterValue:
    """A value with the type that a substitution's text is read as (None: as YAML would)."""

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        self._value = normalize_typed_substitution(value, value_type)
        self._value_type = value_type

    @property
    def value(self) -> Any:
        """The value, in normal form."""
        return self._value

    @property
    def value_type(self) -> Any:
        """int, bool, float, str, List of one of these, or None."""
        return self._value_type

    def evaluate(self, context: LaunchContext) -> Any:
        """The plain value."""
        return perform_typed_substitution(context, self._value, self._value_type)


class Parameter:
    """A name and a value, passed as `-p name:=value`."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, *, value_type: Any = None) -> None:
        self._name = normalize_to_list_of_substitutions(name)
        self._parameter_value = ParameterValue(value, value_type=value_type)

    @property
    def name(self) -> Any:
        """The name, in normal form."""
        return self._name

    @property
    def value(self) -> Any:
        """The value, in normal form."""
        return self._parameter_value.value

    @property
    def value_type(self) -> Any:
        """The value's type."""
        return self._parameter_value.value_type

    def evaluate(self, context: LaunchContext) -> tuple[str, Any]:
        """Plain name and value."""
        return perform_substitutions(context, self._name), self._parameter_value.evaluate(context)


class ParameterFile:
    """A YAML file of parameters; with allow_substs, `$(var x)` and the like in it are replaced."""

    def __init__(
        self,
        param_file: SomeSubstitutionsType | os.PathLike | bytes,
        *,
        allow_substs: bool | SomeSubstitutionsType = False,
    ) -> None:
        self._is_path = isinstance(param_file, (os.PathLike, bytes))
        self._param_file = param_file if self._is_path else normalize_to_list_of_substitutions(param_file)
        self._allow_substs = normalize_typed_substitution(allow_substs, bool)
        self._evaluated: Path | None = None

    @property
    def param_file(self) -> Any:
        """The file: a path once evaluated."""
        return self._evaluated or self._param_file

    @property
    def allow_substs(self) -> Any:
        """Whether substitutions in it are replaced."""
        return self._allow_substs

    def evaluate(self, context: LaunchContext) -> Path:
        """Path of the file a node shall read."""
        if self._evaluated is None:
            if self._is_path:
                path = Path(os.fsdecode(self._param_file))
            else:
                path = Path(perform_substitutions(context, self._param_file))
            if perform_typed_substitution(context, self._allow_substs, bool):
                path = self._substituted(context, path)
            self._evaluated = path
        return self._evaluated

    def _substituted(self, context: LaunchContext, path: Path) -> Path:
        text = perform_substitutions(context, parse_substitution(path.read_text(encoding="utf-8")))
        try:
            yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SubstitutionFailure(f"{path} is not valid YAML after substitution: {error}") from error
        result = Path(context.make_temporary_file(".yaml"))
        result.write_text(text, encoding="utf-8")
        return result
