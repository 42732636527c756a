"""ROS parameters that mirror a frozen configuration dataclass one to one.

The dataclass is the truth: every field made with `rfs_core.config.param` becomes a ROS parameter with its
default, its documentation, its unit and its range; a nested dataclass becomes parameters `outer.inner`. What
a user overrides is checked as a whole, so that an unknown name is an error that lists the known ones instead
of being ignored.
"""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from rfs_core.config import Field, describe, from_mapping
from rfs_core.errors import ConfigError

Config = TypeVar("Config")

# Parameters that rclpy itself declares or reads; they may be overridden on any node.
_RCLPY_OWN = ("use_sim_time", "start_type_description_service")
_RCLPY_PREFIXES = ("qos_overrides.",)


def declare(node: Node, config_class: type[Config]) -> Config:
    """Declare every field of `config_class` on `node` and return the configuration the user asked for.

    An empty text stands for None, which ROS parameters cannot express.

    Raises:
        ConfigError: an unknown parameter (the nearest known one is named), a wrong type, or a value out of
            its range; the node's name is in the text.
    """
    name_of_node = node.get_fully_qualified_name()
    # rclpy keeps overrides only in this attribute until they are declared; without a look at it, a
    # misspelt parameter would be dropped silently.
    overrides: dict[str, Parameter] = node._parameter_overrides
    asked: dict[str, Any] = {}
    for name, parameter in overrides.items():
        if name not in _RCLPY_OWN and not name.startswith(_RCLPY_PREFIXES):
            _insert(asked, name, _plain(parameter.value))
    fields = describe(config_class)
    optional = {field.name for field in fields if field.default is None}
    for name in optional:
        if _lookup(asked, name) == "":
            _insert(asked, name, None)
    try:
        config = from_mapping(config_class, asked)
        for field in fields:
            # Checked and converted above; rclpy must not see the raw form of the override again.
            overrides.pop(field.name, None)
            value = _lookup(config, field.name)
            _declare_one(node, field, value)
    except ConfigError as error:
        raise ConfigError(f"parameters of node {name_of_node}: {error}") from error
    return config


def _declare_one(node: Node, field: Field, value: Any) -> None:
    if value is None:
        value = ""
    if isinstance(value, tuple):
        value = list(value)
    try:
        node.declare_parameter(field.name, value, _descriptor(field, value))
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise ConfigError(f"{field.name}: {error}") from error


def _plain(value: Any) -> Any:
    """Arrays (array.array, numpy) as lists; scalars unchanged."""
    return value.tolist() if hasattr(value, "tolist") else value


def _insert(mapping: dict[str, Any], dotted: str, value: Any) -> None:
    *outer, last = dotted.split(".")
    for name in outer:
        inner = mapping.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"parameter {dotted}: {name} is a value, not a group")
        mapping = inner
    mapping[last] = value


def _lookup(source: Any, dotted: str) -> Any:
    """Value under a dotted name in nested mappings or dataclasses; MISSING where there is none."""
    for name in dotted.split("."):
        source = source.get(name, MISSING) if isinstance(source, dict) else getattr(source, name, MISSING)
    return source


def _descriptor(field: Field, value: Any) -> ParameterDescriptor:
    """Description, unit and range of a field as ROS shows them in `ros2 param describe`."""
    descriptor = ParameterDescriptor(
        name=field.name,
        description=field.doc + (f" [{field.unit}]" if field.unit else ""),
        additional_constraints=f"one of {', '.join(map(str, field.choices))}" if field.choices else "",
        # Configuration is read once, when the node starts.
        read_only=True,
    )
    bounded = field.low is not None or field.high is not None
    if not bounded or isinstance(value, bool) or not isinstance(value, (int, float)):
        return descriptor
    if isinstance(value, int):
        descriptor.integer_range = [
            IntegerRange(
                from_value=-(2**62) if field.low is None else int(field.low),
                to_value=2**62 if field.high is None else int(field.high),
            )
        ]
    else:
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=-1e308 if field.low is None else float(field.low),
                to_value=1e308 if field.high is None else float(field.high),
            )
        ]
    return descriptor
