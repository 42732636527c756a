"""Parameters of a node as launch files give them: paths, and dicts whose items may be substitutions.

Normalising happens when the action is made and finds wrong types early; evaluating when it executes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from launch.launch_context import LaunchContext
from launch.substitution import Substitution
from launch.substitutions import TextSubstitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..parameter_descriptions import Parameter, ParameterFile, ParameterValue

_SCALARS = (bool, int, float, str)


def normalize_parameters(parameters: Sequence) -> tuple:
    """Paths as ParameterFile, dicts flattened with keys and values in normal form."""
    if isinstance(parameters, str) or not isinstance(parameters, Sequence):
        raise TypeError(f"parameters must be a list of paths and dicts, got {parameters!r}")
    return tuple(
        normalize_parameter_dict(item)
        if isinstance(item, Mapping)
        else item
        if isinstance(item, (Parameter, ParameterFile))
        else ParameterFile(item)
        for item in parameters
    )


def normalize_parameter_dict(parameters: Mapping, prefix: Sequence[Substitution] = ()) -> dict:
    """Nested dicts become names with dots."""
    normalized: dict[tuple[Substitution, ...], Any] = {}
    for name, value in parameters.items():
        name_subs = normalize_to_list_of_substitutions(name)
        key = (*prefix, TextSubstitution(text="."), *name_subs) if prefix else tuple(name_subs)
        if isinstance(value, Mapping):
            normalized.update(normalize_parameter_dict(value, key))
        else:
            normalized[key] = _normalize_value(value)
    return normalized


def _normalize_value(value: Any) -> Any:
    """Scalars and uniform lists of numbers as they are, one text as a tuple of substitutions, a list of texts
    as a tuple of lists of substitutions."""
    if isinstance(value, (ParameterValue, bool, int, float, bytes)):
        return value
    if isinstance(value, str):
        return tuple(normalize_to_list_of_substitutions(yaml.dump(value)))
    if isinstance(value, Substitution):
        return (value,)
    if not isinstance(value, Sequence):
        raise TypeError(f"unexpected type for a parameter value: {value!r}")
    kinds = {_kind(item) for item in value}
    if kinds == {int} or kinds == {bool}:
        return tuple(value)
    if kinds in ({float}, {int, float}):
        return tuple(float(item) for item in value)
    if Substitution in kinds and kinds <= {str, Substitution}:
        return tuple(normalize_to_list_of_substitutions(value))
    return tuple(
        normalize_to_list_of_substitutions(yaml.dump(item) if isinstance(item, _SCALARS) else item)
        for item in value
    )


def _kind(item: Any) -> type:
    for kind in (Substitution, *_SCALARS, Sequence):
        if isinstance(item, kind):
            return kind
    raise TypeError(f"unexpected type in a list of parameter values: {item!r}")


def evaluate_parameters(context: LaunchContext, parameters: Sequence) -> tuple:
    """Each dict with plain names and values, each file as a path."""
    evaluated: list[Any] = []
    for item in parameters:
        if isinstance(item, ParameterFile):
            evaluated.append(item.evaluate(context))
        elif isinstance(item, Parameter):
            evaluated.append(item)
        else:
            evaluated.append(evaluate_parameter_dict(context, item))
    return tuple(evaluated)


def evaluate_parameter_dict(context: LaunchContext, parameters: Mapping) -> dict[str, Any]:
    """Plain names and values of a normalized dict; texts from substitutions are typed as YAML types them."""
    output = {}
    for key, value in parameters.items():
        name = perform_substitutions(context, key)
        output[name] = _evaluate_value(context, name, value)
    return output


def _evaluate_value(context: LaunchContext, name: str, value: Any) -> Any:
    if isinstance(value, ParameterValue):
        return value.evaluate(context)
    if not isinstance(value, tuple):
        return value
    if not value:
        raise TypeError(f"parameter '{name}': an empty list has no type, give its items or leave it out")
    if isinstance(value[0], Substitution):
        text = perform_substitutions(context, value)
        return _checked(name, _read_yaml(name, text if text else "''"))
    if isinstance(value[0], list):
        return _checked(name, [_read_yaml(name, perform_substitutions(context, item)) for item in value])
    return value


def _read_yaml(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TypeError(
            f"cannot read the value '{text}' of parameter '{name}' as YAML; if it is meant to be a text, "
            "give launch_ros.parameter_descriptions.ParameterValue(value, value_type=str)"
        ) from error


def _checked(name: str, value: Any) -> Any:
    if isinstance(value, list):
        if (
            not value
            or type(value[0]) not in _SCALARS
            or any(not isinstance(i, type(value[0])) for i in value)
        ):
            raise TypeError(
                f"parameter '{name}': a non-empty list of bool, int, float or str, all of one type, "
                f"was expected, got {value!r}"
            )
        return tuple(value)
    if type(value) not in (*_SCALARS, bytes):
        raise TypeError(
            f"parameter '{name}': bool, int, float, str or a list of these was expected, got {type(value)}; "
            "if it is meant to be a text, give "
            "launch_ros.parameter_descriptions.ParameterValue(value, value_type=str)"
        )
    return value
