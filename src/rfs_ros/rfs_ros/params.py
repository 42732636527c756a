"""ROS parameters that mirror a frozen configuration dataclass one to one.

The dataclass is the truth: every field made with `rfs_core.config.param` becomes a ROS parameter with its
default, its documentation, its unit and its range. What a user overrides is checked as a whole, so that an
unknown name is an error that lists the known ones instead of being ignored.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from rfs_core.config import from_mapping
from rfs_core.errors import ConfigError

Config = TypeVar("Config")

# Parameters that rclpy itself declares or reads; they may be overridden on any node.
_RCLPY_OWN = ("use_sim_time", "start_type_description_service")
_RCLPY_PREFIXES = ("qos_overrides.",)


def declare(node: Node, config_class: type[Config]) -> Config:
    """Declare every field of `config_class` on `node` and return the configuration the user asked for.

    Fields may be bool, int, float, str or tuples of them. A float parameter accepts a whole number
    ("2" for 2.0), as YAML and the command line write it.

    Raises:
        ConfigError: an unknown parameter (the nearest known one is named), a wrong type, or a value out of
            its range.
    """
    fields = {field.name: field for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(config_class)
    # rclpy keeps overrides only in this attribute until they are declared; without the look at it, a
    # misspelt parameter would be dropped silently.
    overrides: dict[str, Parameter] = dict(node._parameter_overrides)
    asked = {
        name: parameter.value
        for name, parameter in overrides.items()
        if name not in _RCLPY_OWN and not name.startswith(_RCLPY_PREFIXES)
    }
    asked = {name: _as_field_type(value, hints.get(name)) for name, value in asked.items()}
    config = from_mapping(config_class, asked)
    for name, field in fields.items():
        value = getattr(config, name)
        descriptor = _descriptor(field, value)
        overrides_value = list(value) if isinstance(value, tuple) else value
        # The override was checked and converted above; rclpy must not see its raw form again.
        node._parameter_overrides.pop(name, None)
        try:
            node.declare_parameter(name, overrides_value, descriptor)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            raise ConfigError(
                f"parameter {name} of node {node.get_fully_qualified_name()}: {error}"
            ) from error
    return config


def _as_field_type(value: Any, hint: Any) -> Any:
    """The value as the field wants it: whole numbers for floats, tuples for arrays; otherwise unchanged."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if typing.get_origin(hint) is tuple or isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        values = value.tolist() if hasattr(value, "tolist") else list(value) if value is not None else []
        arguments = typing.get_args(hint)
        wants_float = bool(arguments) and arguments[0] is float
        return tuple(float(v) if wants_float and isinstance(v, int) else v for v in values)
    if isinstance(hint, types.UnionType) and value == "" and type(None) in typing.get_args(hint):
        return None
    return value


def _descriptor(field: dataclasses.Field[Any], value: Any) -> ParameterDescriptor:
    """Description, unit and range of a field as ROS shows them in `ros2 param describe`."""
    unit = field.metadata.get("unit", "")
    doc = field.metadata.get("doc", "")
    low, high = field.metadata.get("low"), field.metadata.get("high")
    choices = field.metadata.get("choices")
    descriptor = ParameterDescriptor(
        name=field.name,
        description=doc + (f" [{unit}]" if unit else ""),
        additional_constraints=f"one of {', '.join(map(str, choices))}" if choices else "",
        # Configuration is read once, when the node starts or is configured.
        read_only=True,
    )
    if (low is not None or high is not None) and not isinstance(value, (bool, str, tuple)):
        if isinstance(value, int):
            limit = 2**62
            descriptor.integer_range = [
                IntegerRange(
                    from_value=int(low if low is not None else -limit),
                    to_value=int(high if high is not None else limit),
                )
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(
                    from_value=float(low if low is not None else -1e308),
                    to_value=float(high if high is not None else 1e308),
                )
            ]
    return descriptor
