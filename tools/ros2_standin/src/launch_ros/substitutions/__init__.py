"""Where packages and their executables are."""

from __future__ import annotations

import os

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
    get_packages_with_prefixes,
)
from launch.launch_context import LaunchContext
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from ros2cli_standin.nearest import unknown
from ros2cli_standin.packages import executables

__all__ = ["ExecutableInPackage", "FindPackage", "FindPackagePrefix", "FindPackageShare", "Parameter"]


class FindPackage(Substitution):
    """A folder of a package."""

    def __init__(self, package: SomeSubstitutionsType) -> None:
        self._package = normalize_to_list_of_substitutions(package)

    @property
    def package(self) -> list[Substitution]:
        """The package's name."""
        return self._package

    def describe(self) -> str:
        return f"{type(self).__name__}({' + '.join(sub.describe() for sub in self._package)})"

    def find(self, package_name: str) -> str:
        """The folder of the package of this name."""
        raise NotImplementedError

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self._package)
        try:
            return self.find(name)
        except (PackageNotFoundError, ValueError) as error:
            raise SubstitutionFailure(unknown("package", name, get_packages_with_prefixes())) from error


class FindPackagePrefix(FindPackage):
    """The folder a package is installed into."""

    def find(self, package_name: str) -> str:
        return get_package_prefix(package_name)


class FindPackageShare(FindPackage):
    """The folder of a package's files: <prefix>/share/<package>."""

    def find(self, package_name: str) -> str:
        return get_package_share_directory(package_name)


class ExecutableInPackage(FindPackagePrefix):
    """Path of an executable of a package: <prefix>/lib/<package>/<executable>."""

    def __init__(self, executable: SomeSubstitutionsType, package: SomeSubstitutionsType) -> None:
        super().__init__(package)
        self._executable = normalize_to_list_of_substitutions(executable)

    @property
    def executable(self) -> list[Substitution]:
        """The executable's name."""
        return self._executable

    def describe(self) -> str:
        return f"ExecInPkg({' + '.join(sub.describe() for sub in (*self._package, *self._executable))})"

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self._executable)
        prefix = super().perform(context)
        package = perform_substitutions(context, self._package)
        known = executables(package, prefix)
        found = known.get(name) or known.get(os.path.basename(name))
        if found is None:
            raise SubstitutionFailure(unknown(f"executable of package '{package}'", name, known))
        return found


class Parameter(Substitution):
    """The value of a parameter that SetParameter has set in this scope."""

    def __init__(self, name: SomeSubstitutionsType, *, default: SomeSubstitutionsType | None = None) -> None:
        self._name = normalize_to_list_of_substitutions(name)
        self._default = None if default is None else normalize_to_list_of_substitutions(default)

    def describe(self) -> str:
        return f"Parameter({' + '.join(sub.describe() for sub in self._name)})"

    def perform(self, context: LaunchContext) -> str:
        name = perform_substitutions(context, self._name)
        for item in reversed(context.launch_configurations.get("global_params", ())):
            if isinstance(item, tuple) and item[0] == name:
                return str(item[1])
        if self._default is None:
            raise SubstitutionFailure(f"parameter '{name}' not found")
        return perform_substitutions(context, self._default)
