"""What is run: command, name, working directory, environment."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .launch_context import LaunchContext
from .some_substitutions_type import SomeSubstitutionsType
from .substitution import Substitution
from .substitutions import LaunchConfiguration
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from .action import Action

_counter = itertools.count(1)
SomeEnvironment = Mapping[SomeSubstitutionsType, SomeSubstitutionsType]


class Executable:
    """A command whose parts may be substitutions."""

    def __init__(
        self,
        *,
        cmd: Iterable[SomeSubstitutionsType],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: SomeEnvironment | None = None,
        additional_env: SomeEnvironment | None = None,
        arguments: Iterable[SomeSubstitutionsType] | None = None,
    ) -> None:
        self._cmd = [normalize_to_list_of_substitutions(part) for part in (*cmd, *(arguments or ()))]
        self._prefix = normalize_to_list_of_substitutions(
            LaunchConfiguration("launch-prefix", default="") if prefix is None else prefix
        )
        self._filter_prefix = prefix is None
        self._name = None if name is None else normalize_to_list_of_substitutions(name)
        self._cwd = None if cwd is None else normalize_to_list_of_substitutions(cwd)
        self._env = _normalize_environment(env)
        self._additional_env = _normalize_environment(additional_env)
        self._final_cmd: list[str] | None = None
        self._final_cwd: str | None = None
        self._final_env: dict[str, str] | None = None
        self._final_name: str | None = None

    @property
    def cmd(self) -> list[list[Substitution]]:
        """The command, one list of substitutions per part."""
        return self._cmd

    @property
    def name(self) -> list[Substitution] | None:
        """The label, None: the executable's file name."""
        return self._name

    @property
    def prefix(self) -> list[Substitution]:
        """What is put before the command, e.g. a debugger."""
        return self._prefix

    @property
    def cwd(self) -> list[Substitution] | None:
        """Working directory."""
        return self._cwd

    @property
    def env(self) -> list[tuple[list[Substitution], list[Substitution]]] | None:
        """The whole environment, None: that of the launch."""
        return self._env

    @property
    def additional_env(self) -> list[tuple[list[Substitution], list[Substitution]]] | None:
        """What is added to the environment."""
        return self._additional_env

    @property
    def final_cmd(self) -> list[str] | None:
        """The command, once prepared."""
        return self._final_cmd

    @property
    def final_cwd(self) -> str | None:
        """The working directory, once prepared."""
        return self._final_cwd

    @property
    def final_env(self) -> dict[str, str] | None:
        """The environment, once prepared."""
        return self._final_env

    @property
    def final_name(self) -> str | None:
        """The label made unique by a number, once prepared."""
        return self._final_name

    def prepare(self, context: LaunchContext, action: Action) -> None:
        """Perform the substitutions."""
        cmd = [perform_substitutions(context, part) for part in self._cmd]
        label = os.path.basename(cmd[0]) if self._name is None else perform_substitutions(context, self._name)
        pattern = context.launch_configurations.get("launch-prefix-filter", "") if self._filter_prefix else ""
        if re.match(pattern, os.path.basename(cmd[0])):
            cmd = shlex.split(perform_substitutions(context, self._prefix)) + cmd
            if self._name is None:
                label = os.path.basename(cmd[0])
        self._final_cmd = cmd
        self._final_name = f"{label}-{next(_counter)}"
        self._final_cwd = None if self._cwd is None else perform_substitutions(context, self._cwd)
        pairs = [*(self._env or ()), *(self._additional_env or ())]
        self._final_env = dict(context.environment) if self._env is None else {}
        for key, value in pairs:
            self._final_env[perform_substitutions(context, key)] = perform_substitutions(context, value)


def _normalize_environment(
    env: SomeEnvironment | None,
) -> list[tuple[list[Substitution], list[Substitution]]] | None:
    if env is None:
        return None
    return [
        (normalize_to_list_of_substitutions(key), normalize_to_list_of_substitutions(value))
        for key, value in env.items()
    ]
