"""Messages and services by name, as YAML, and from YAML."""

import array
import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml
from ament_index_python.packages import get_packages_with_prefixes

from .nearest import CommandError, unknown

LONG = 128
"""Sequences longer than this are cut when shown."""


def load_type(name: str, kind: str) -> type:
    """The Python class of 'package/msg/Name' or 'package/Name' (kind: 'msg' or 'srv')."""
    parts = name.split("/")
    if len(parts) == 2:
        parts.insert(1, kind)
    if len(parts) != 3 or parts[1] != kind:
        raise CommandError(f"'{name}' is not a type: expected package/{kind}/Name")
    package, _, type_name = parts
    try:
        module = importlib.import_module(f"{package}.{kind}")
    except ModuleNotFoundError as error:
        raise CommandError(
            unknown(f"package of {kind} types", package, get_packages_with_prefixes())
        ) from error
    known = [n for n in vars(module) if not n.startswith("_") and isinstance(getattr(module, n), type)]
    if type_name not in known:
        raise CommandError(unknown(f"type of package '{package}'", type_name, known))
    return getattr(module, type_name)


# Showing ---------------------------------------------------------------------------------------------------


def to_plain(value: Any, limit: int | None = LONG) -> Any:
    """A message as dicts, lists and scalars; longer sequences than `limit` are cut."""
    if hasattr(value, "get_fields_and_field_types"):
        return {field: to_plain(getattr(value, field), limit) for field in value.get_fields_and_field_types()}
    if isinstance(value, (bytes, bytearray)):
        value = list(value)
    if isinstance(value, (np.ndarray, array.array, Sequence)) and not isinstance(value, str):
        items = [to_plain(item, limit) for item in (value if limit is None else value[:limit])]
        return items + ["..."] if len(items) < len(value) else items
    return value.item() if isinstance(value, np.generic) else value


def to_yaml(value: Any, limit: int | None = LONG) -> str:
    """A message as YAML text."""
    plain = to_plain(value, limit)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n")


def to_csv(value: Any) -> str:
    """All scalars of a message in one line."""

    def scalars(plain: Any) -> list[str]:
        if isinstance(plain, Mapping):
            plain = list(plain.values())
        return [s for item in plain for s in scalars(item)] if isinstance(plain, list) else [str(plain)]

    return ",".join(scalars(to_plain(value, None)))


def field(message: Any, path: str) -> Any:
    """The member of a message at 'a.b[2].c'."""
    value = message
    for name, index in re.findall(r"([^.\[\]]+)|\[(-?\d+)\]", path):
        if index:
            if not -len(value) <= int(index) < len(value):
                raise CommandError(f"'{path}': index {index} is out of range, there are {len(value)}")
            value = value[int(index)]
            continue
        known = getattr(value, "get_fields_and_field_types", dict)()
        if name not in known:
            raise CommandError(unknown(f"field of {type(value).__name__}", name, known))
        value = getattr(value, name)
    return value


# Filling ---------------------------------------------------------------------------------------------------


def from_yaml(message: Any, text: str) -> Any:
    """Set the fields that a YAML mapping names; returns the message."""
    try:
        values = yaml.safe_load(text) if text.strip() else {}
    except yaml.YAMLError as error:
        raise CommandError(f"'{text}' is not YAML: {error}") from error
    return fill(message, values or {})


def fill(message: Any, values: Any) -> Any:
    """Set the fields that a mapping names, nested ones too; returns the message."""
    name = type(message).__name__
    if not isinstance(values, Mapping):
        raise CommandError(f"{name} needs a mapping of its fields, e.g. '{{field: value}}', got {values!r}")
    types = message.get_fields_and_field_types()
    for key, value in values.items():
        if key not in types:
            raise CommandError(unknown(f"field of {name}", str(key), types))
        try:
            setattr(message, key, _convert(types[key], value))
        except (AssertionError, TypeError, ValueError, OverflowError) as error:
            raise CommandError(f"field {key} of {name} is a {types[key]}, got {value!r}: {error}") from error
    return message


def _convert(type_name: str, value: Any) -> Any:
    """A YAML value as a field of a type like 'double', 'sequence<string>', 'geometry_msgs/Point[3]'."""
    several = re.fullmatch(r"sequence<(.*?)(?:, *\d+)?>", type_name) or re.fullmatch(
        r"(.*)\[\d*\]", type_name
    )
    if several:
        element = several[1]
        if element in ("octet", "byte") or not isinstance(value, (list, tuple)):
            raise TypeError(f"a list of {element} was expected")
        return [_convert(element, item) for item in value]
    if "/" in type_name:
        return fill(load_type(type_name, "msg")(check_fields=True), value)
    if type_name in ("double", "float") and not isinstance(value, bool):
        return float(value)
    if type_name.startswith(("string", "wstring")) and not isinstance(value, str):
        raise TypeError("a text was expected: put it into quotes")
    return bytes([value]) if type_name == "octet" else value
