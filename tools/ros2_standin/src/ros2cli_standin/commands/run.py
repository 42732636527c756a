"""`ros2 run PACKAGE EXECUTABLE [arguments]`: becomes the executable."""

import argparse
import os
import shlex

from ..nearest import CommandError
from ..packages import executable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 run`."""
    parser.add_argument("--prefix", help="what to put before the command, e.g. a debugger")
    parser.add_argument("package")
    parser.add_argument("executable")
    parser.add_argument("argv", nargs=argparse.REMAINDER, help="arguments of the executable")


def main(parser: argparse.ArgumentParser, argv: list[str]) -> int:
    """Replace this process by the executable, so that signals and exit code are its own."""
    args = parser.parse_args(argv)
    path = executable(args.package, args.executable)
    command = [*shlex.split(args.prefix or ""), path, *args.argv]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise CommandError(f"cannot run {command[0]}: {error}") from error
