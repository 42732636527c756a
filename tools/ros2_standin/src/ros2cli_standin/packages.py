"""Packages of the ament index and their executables."""

import os

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
    get_packages_with_prefixes,
)

from .nearest import CommandError, unknown


def prefix_of(package: str) -> str:
    """The folder a package is installed into; CommandError names the nearest known package."""
    try:
        return get_package_prefix(package)
    except (PackageNotFoundError, ValueError) as error:
        raise CommandError(unknown("package", package, get_packages_with_prefixes())) from error


def share_of(package: str) -> str:
    """<prefix>/share/<package>."""
    prefix_of(package)
    return get_package_share_directory(package)


def executables(package: str, prefix: str | None = None) -> dict[str, str]:
    """Names and paths of the executables a package has in <prefix>/lib/<package>."""
    folder = os.path.join(prefix_of(package) if prefix is None else prefix, "lib", package)
    if not os.path.isdir(folder):
        return {}
    paths = {name: os.path.join(folder, name) for name in sorted(os.listdir(folder))}
    return {name: path for name, path in paths.items() if os.path.isfile(path) and os.access(path, os.X_OK)}


def executable(package: str, name: str) -> str:
    """Path of an executable of a package; CommandError names the nearest."""
    known = executables(package)
    if name not in known:
        raise CommandError(unknown(f"executable of package '{package}'", name, known))
    return known[name]
