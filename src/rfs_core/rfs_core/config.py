"""Configuration: frozen dataclasses are the truth; YAML and ROS parameters fill them.

    @dataclass(frozen=True)
    class GateConfig:
        stale_after_s: float = param(0.2, doc="Age at which an observation is refused.", unit="s", low=0.01)

    from_mapping(GateConfig, {"stale_after_s": 0.1})

An unknown key, a wrong type or a value out of range is a ConfigError that names what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar

from rfs_core.errors import ConfigError

Config = TypeVar("Config")


def param(
    default: Any = MISSING,
    *,
    doc: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """A dataclass field that knows its documentation, unit and allowed values.

    Args:
        default: value when nothing is given; without it the key is required.
        doc: one sentence for `--help`, `ros2 param describe` and the reference.
        unit: SI unit, empty where there is none.
        low, high: inclusive range; of every value for a tuple.
        choices: the only values allowed.
    """
    metadata = {
        "doc": doc,
        "unit": unit,
        "low": low,
        "high": high,
        "choices": None if choices is None else tuple(choices),
    }
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Field:
    """One configurable value, as `describe` lists it."""

    name: str
    """Key; nested configurations are written outer.inner."""
    type: str
    default: Any
    """MISSING where the key is required."""
    doc: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[Any, ...] | None


def from_mapping(cls: type[Config], mapping: Mapping[str, Any]) -> Config:
    """An instance of a configuration dataclass.

    Args:
        cls: dataclass; fields may be bool, int, float, str, `X | None`, tuple[X, ...] or a nested
            configuration dataclass.
        mapping: keys and values as YAML or JSON gives them; lists for tuples, whole numbers for floats.

    Raises:
        ConfigError: unknown key (naming the nearest known one), missing key, wrong type, or out of range.
    """
    return _build(cls, mapping, cls.__name__, "")


def describe(cls: type[Any]) -> list[Field]:
    """Every configurable value of a configuration dataclass, nested ones flattened."""
    return list(_describe(cls, ""))


def to_mapping(config: Any) -> dict[str, Any]:
    """Plain JSON values of a configuration; `from_mapping` reads them back."""
    mapping: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = to_mapping(value)
        elif isinstance(value, tuple):
            value = list(value)
        mapping[field.name] = value
    return mapping


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a misspelt name: "did you mean 'x'? " or "", followed by the known names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(sorted(known))}"


def _build(cls: type[Config], mapping: Any, owner: str, prefix: str) -> Config:
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{prefix[:-1] or owner} is {_show(mapping)}, needs a mapping of keys to values")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            raise ConfigError(
                f"unknown key {prefix + str(key)!r} of {owner}; {nearest(str(key), list(fields))}"
            )
    values = {}
    for name, field in fields.items():
        if name not in mapping:
            if field.default is MISSING and field.default_factory is MISSING:
                raise ConfigError(f"{owner} needs {prefix + name!r}: {field.metadata.get('doc', '')}")
            continue
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            values[name] = _build(typing.cast(type[Any], hint), mapping[name], owner, f"{prefix}{name}.")
        else:
            values[name] = _convert(mapping[name], hint, f"{prefix}{name} of {owner}")
            _check_range(values[name], field, f"{prefix}{name} of {owner}")
    return cls(**values)


def _convert(value: Any, hint: Any, what: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        inner = [a for a in arguments if a is not type(None)]
        if len(inner) != 1:
            raise TypeError(f"{what}: only X | None is supported, not {hint}")
        return _convert(value, inner[0], what)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ConfigError(f"{what} is {_show(value)}, needs a list")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(v, arguments[0], f"{what}[{i}]") for i, v in enumerate(value))
        if len(value) != len(arguments):
            raise ConfigError(f"{what} has {len(value)} values, needs {len(arguments)}")
        return tuple(
            _convert(v, a, f"{what}[{i}]") for i, (v, a) in enumerate(zip(value, arguments, strict=True))
        )
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        more = " (in YAML write 1.0e-3, not 1e-3)" if hint is float and _is_number(value) else ""
        raise ConfigError(f"{what} is {_show(value)}, needs {_name(hint)}{more}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{what} is {value}, needs a finite number")
    return value


def _check_range(value: Any, field: dataclasses.Field[Any], what: str) -> None:
    low, high, choices = (field.metadata.get(key) for key in ("low", "high", "choices"))
    unit = f" {field.metadata['unit']}" if field.metadata.get("unit") else ""
    for v in value if isinstance(value, tuple) else (value,):
        if v is None:
            continue
        if choices is not None and v not in choices:
            allowed = [str(c) for c in choices]
            raise ConfigError(f"{what} is {_show(v)}; {nearest(str(v), allowed)}")
        if (low is not None and v < low) or (high is not None and v > high):
            allowed_range = f"{'-inf' if low is None else low} to {'inf' if high is None else high}{unit}"
            raise ConfigError(f"{what} is {v}{unit}, allowed: {allowed_range}")


def _describe(cls: type[Any], prefix: str) -> Iterator[Field]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _describe(typing.cast(type[Any], hint), f"{prefix}{field.name}.")
            continue
        metadata = field.metadata
        yield Field(
            name=prefix + field.name,
            type=_name(hint),
            default=field.default,
            doc=metadata.get("doc", ""),
            unit=metadata.get("unit", ""),
            low=metadata.get("low"),
            high=metadata.get("high"),
            choices=metadata.get("choices"),
        )


def _name(hint: Any) -> str:
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
    return names.get(hint, str(hint))


def _show(value: Any) -> str:
    return f"the text {value!r}" if isinstance(value, str) else repr(value)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
