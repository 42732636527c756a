"""Namespaces, parameters and remappings of nodes."""

from .namespaces import is_namespace_absolute, make_namespace_absolute, prefix_namespace
from .parameters import evaluate_parameters, normalize_parameters

__all__ = [
    "evaluate_parameters",
    "is_namespace_absolute",
    "make_namespace_absolute",
    "normalize_parameters",
    "prefix_namespace",
]
