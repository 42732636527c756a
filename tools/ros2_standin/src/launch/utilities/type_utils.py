"""Values that may be given as substitutions and must come out with a type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args, get_origin

import yaml

from ..substitution import Substitution
from . import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

SCALARS = (int, float, bool, str)


def extract_type(data_type: Any) -> tuple[type, bool]:
    """(item type, is it a list) of int, float, bool, str or List of one of these."""
    is_list = get_origin(data_type) is list
    scalar = get_args(data_type)[0] if is_list else data_type
    if scalar not in SCALARS:
        raise ValueError(f"unrecognized data type {data_type}: int, float, bool, str or List of one of these")
    return scalar, is_list


def is_instance_of(value: Any, data_type: Any = None) -> bool:
    """True when `value` is of `data_type` (None: a scalar or a list of scalars of one type)."""
    if data_type is None:
        if isinstance(value, list):
            return not value or (
                type(value[0]) in SCALARS and all(isinstance(item, type(value[0])) for item in value)
            )
        return isinstance(value, SCALARS)
    scalar, is_list = extract_type(data_type)
    if is_list:
        return isinstance(value, list) and all(isinstance(item, scalar) for item in value)
    return isinstance(value, scalar)


def is_substitution(value: Any) -> bool:
    """True for a substitution, or a sequence of texts and substitutions with at least one of the latter."""
    if isinstance(value, Substitution):
        return True
    if isinstance(value, str) or not isinstance(value, Iterable):
        return False
    items = list(value)
    return all(isinstance(item, (Substitution, str)) for item in items) and any(
        isinstance(item, Substitution) for item in items
    )


def coerce_to_type(value: str, data_type: Any = None) -> Any:
    """A text read as `data_type`; None: as YAML would."""
    if data_type is None:
        return _read_yaml(value, None) if value else value
    scalar, is_list = extract_type(data_type)
    if is_list:
        return _read_yaml(value, data_type)
    if scalar is str:
        return value
    if scalar in (int, float):
        return scalar(value)
    return _read_yaml({"1": "true", "0": "false"}.get(value, value), bool)


def _read_yaml(text: str, data_type: Any) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"cannot read '{text}' as YAML: {error}") from error
    if not is_instance_of(value, data_type):
        wanted = "a scalar or a list of scalars of one type" if data_type is None else data_type
        raise ValueError(f"cannot convert '{text}' to {wanted}")
    return value


def normalize_typed_substitution(value: Any, data_type: Any) -> Any:
    """A value of `data_type` as it is; substitutions as a list of them; lists item by item."""
    if isinstance(value, SCALARS):
        if not is_instance_of(value, data_type):
            raise TypeError(f"{value!r} is not an instance of {data_type}")
        return value
    if is_substitution(value):
        return normalize_to_list_of_substitutions(value)
    if not isinstance(value, Iterable):
        raise TypeError(f"a scalar, a substitution or a list was expected, got {value!r}")
    scalar, is_list = (None, True) if data_type is None else extract_type(data_type)
    if not is_list:
        raise TypeError(f"{value!r} is a list, {data_type} was expected")
    items = [normalize_to_list_of_substitutions(i) if is_substitution(i) else i for i in value]
    plain = [i for i in items if not isinstance(i, list)]
    if any(not isinstance(i, SCALARS) for i in plain):
        raise TypeError(f"the items of {value!r} must be scalars or substitutions")
    kinds = {type(i) for i in plain}
    if kinds == {int, float} or (scalar is float and kinds == {int}):
        items = [float(i) if isinstance(i, int) else i for i in items]
        kinds = {float}
    if len(kinds) > 1 or (scalar is not None and not kinds <= {scalar}):
        raise TypeError(f"{value!r} is not a list of {scalar or 'one type'}")
    return items


def perform_typed_substitution(context: LaunchContext, value: Any, data_type: Any) -> Any:
    """The value of what `normalize_typed_substitution` returned."""
    if isinstance(value, SCALARS):
        if data_type is not None and not is_instance_of(value, data_type):
            raise TypeError(f"{value!r} is not an instance of {data_type}")
        return value
    if value and all(isinstance(item, Substitution) for item in value):
        return coerce_to_type(perform_substitutions(context, value), data_type)
    scalar, is_list = (None, True) if data_type is None else extract_type(data_type)
    if not is_list:
        raise ValueError(f"{value!r} is a list, {data_type} was expected")
    output = [
        coerce_to_type(perform_substitutions(context, i), scalar) if isinstance(i, list) else i for i in value
    ]
    if not is_instance_of(output, data_type):
        raise ValueError(f"{output!r} is not a list of {scalar or 'one type'}")
    return output
