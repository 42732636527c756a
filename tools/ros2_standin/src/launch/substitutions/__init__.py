"""Texts that are known when an action executes."""

from .basic import LaunchConfiguration, LocalSubstitution, TextSubstitution
from .expressions import (
    AllSubstitution,
    AndSubstitution,
    AnySubstitution,
    EqualsSubstitution,
    IfElseSubstitution,
    NotEqualsSubstitution,
    NotSubstitution,
    OrSubstitution,
    PythonExpression,
)
from .places import (
    AnonName,
    FileContent,
    LaunchLogDir,
    PathJoinSubstitution,
    ThisLaunchFile,
    ThisLaunchFileDir,
)
from .substitution_failure import SubstitutionFailure
from .system import Command, EnvironmentVariable, FindExecutable

__all__ = [
    "AllSubstitution",
    "AndSubstitution",
    "AnonName",
    "AnySubstitution",
    "Command",
    "EnvironmentVariable",
    "EqualsSubstitution",
    "FileContent",
    "FindExecutable",
    "IfElseSubstitution",
    "LaunchConfiguration",
    "LaunchLogDir",
    "LocalSubstitution",
    "NotEqualsSubstitution",
    "NotSubstitution",
    "OrSubstitution",
    "PathJoinSubstitution",
    "PythonExpression",
    "SubstitutionFailure",
    "TextSubstitution",
    "ThisLaunchFile",
    "ThisLaunchFileDir",
]
