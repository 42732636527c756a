"""Substitutions in texts: `$(var name)`, `$(env NAME default)`, `$(find-pkg-share package)`, nested too."""

from __future__ import annotations

from collections.abc import Callable

from launch.substitution import Substitution
from launch.substitutions import (
    AllSubstitution,
    AnonName,
    AnySubstitution,
    Command,
    EnvironmentVariable,
    EqualsSubstitution,
    FindExecutable,
    LaunchConfiguration,
    NotEqualsSubstitution,
    NotSubstitution,
    PythonExpression,
    SubstitutionFailure,
    TextSubstitution,
    ThisLaunchFile,
    ThisLaunchFileDir,
)
from ros2cli_standin.nearest import unknown

from .substitutions import ExecutableInPackage, FindPackagePrefix, FindPackageShare

Arguments = list[list[Substitution]]


def _known() -> dict[str, Callable[..., Substitution]]:
    return {
        "all": AllSubstitution,
        "anon": AnonName,
        "any": AnySubstitution,
        "command": lambda command, on_stderr="fail": Command(command, on_stderr=on_stderr),
        "dirname": ThisLaunchFileDir,
        "env": lambda name, default=None: EnvironmentVariable(name, default_value=default),
        "equals": EqualsSubstitution,
        "eval": PythonExpression,
        "exec-in-pkg": lambda executable, package: ExecutableInPackage(executable, package),
        "filename": ThisLaunchFile,
        "find-exec": lambda name: FindExecutable(name=name),
        "find-pkg-prefix": FindPackagePrefix,
        "find-pkg-share": FindPackageShare,
        "not": NotSubstitution,
        "not-equals": NotEqualsSubstitution,
        "var": lambda name, default=None: LaunchConfiguration(name, default=default),
    }


def parse_substitution(text: str) -> list[Substitution]:
    """The text as a list of substitutions to concatenate. `\\$` is a plain `$`."""
    parts, end = _parse(text, 0, "")
    assert end == len(text)
    return parts or [TextSubstitution(text="")]


def _parse(text: str, at: int, stops: str) -> tuple[list[Substitution], int]:
    """Read up to one of the characters `stops`; (substitutions, where it ended)."""
    parts: list[Substitution] = []
    plain = ""
    while at < len(text) and text[at] not in stops:
        if text[at] == "\\" and at + 1 < len(text):
            plain += text[at + 1]
            at += 2
        elif text.startswith("$(", at):
            if plain:
                parts.append(TextSubstitution(text=plain))
                plain = ""
            substitution, at = _parse_one(text, at)
            parts.append(substitution)
        else:
            plain += text[at]
            at += 1
    if plain:
        parts.append(TextSubstitution(text=plain))
    return parts, at


def _parse_one(text: str, begin: int) -> tuple[Substitution, int]:
    at = begin + 2
    while at < len(text) and text[at] not in " )":
        at += 1
    name = text[begin + 2 : at]
    arguments: Arguments = []
    while at < len(text) and text[at] == " ":
        at += 1
        if at < len(text) and text[at] in "'\"":
            quote = text[at]
            argument, at = _parse(text, at + 1, quote)
            at += 1
        else:
            argument, at = _parse(text, at, " )")
        arguments.append(argument or [TextSubstitution(text="")])
    if at >= len(text) or text[at] != ")":
        raise SubstitutionFailure(f"'{text[begin : begin + 40]}' is not closed")
    known = _known()
    if name not in known:
        raise SubstitutionFailure(unknown("substitution", name, known))
    return known[name](*arguments), at + 1
