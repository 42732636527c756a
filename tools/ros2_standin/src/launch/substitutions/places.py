"""Paths and names."""

from __future__ import annotations

import os
import random
import re
import socket
import sys
from collections.abc import Iterable

from ..launch_context import LaunchContext
from ..logging import launch_config
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .basic import describe_all
from .substitution_failure import SubstitutionFailure


class PathJoinSubstitution(Substitution):
    """A path from its parts."""

    def __init__(self, substitutions: Iterable[str | Substitution]) -> None:
        self._substitutions = normalize_to_list_of_substitutions(substitutions)

    @property
    def substitutions(self) -> list[Substitution]:
        """The parts."""
        return self._substitutions

    def describe(self) -> str:
        return f"PathJoin({describe_all(self._substitutions)})"

    def perform(self, context: LaunchContext) -> str:
        return os.path.join(*[sub.perform(context) for sub in self._substitutions])


class ThisLaunchFile(Substitution):
    """Path of the launch file being visited."""

    _local = "current_launch_file_path"

    def describe(self) -> str:
        return f"{type(self).__name__}()"

    def perform(self, context: LaunchContext) -> str:
        value = context.get_locals_as_dict().get(self._local)
        if value is None:
            raise SubstitutionFailure(f"{type(self).__name__} used outside of a launch file")
        return value


class ThisLaunchFileDir(ThisLaunchFile):
    """Folder of the launch file being visited."""

    _local = "current_launch_file_directory"


class LaunchLogDir(Substitution):
    """Folder of this launch's log files."""

    def describe(self) -> str:
        return "LaunchLogDir()"

    def perform(self, context: LaunchContext) -> str:
        return launch_config.log_dir


class FileContent(Substitution):
    """The content of a text file."""

    def __init__(self, path: SomeSubstitutionsType) -> None:
        self._path = normalize_to_list_of_substitutions(path)

    def describe(self) -> str:
        return f"FileContent({describe_all(self._path)})"

    def perform(self, context: LaunchContext) -> str:
        path = perform_substitutions(context, self._path)
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except OSError as error:
            raise SubstitutionFailure(f"cannot read '{path}': {error}") from error


class AnonName(Substitution):
    """A name made unique for this launch; the same base name gives the same result."""

    def __init__(self, name: SomeSubstitutionsType) -> None:
        self._name = normalize_to_list_of_substitutions(name)

    def describe(self) -> str:
        return f"AnonName({describe_all(self._name)})"

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self._name)
        unique = f"{name}_{socket.gethostname()}_{os.getpid()}_{random.randint(0, sys.maxsize)}"
        return context.launch_configurations.setdefault("anon" + name, re.sub(r"[.\-:]", "_", unique))
