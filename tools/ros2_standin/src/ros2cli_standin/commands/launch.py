"""`ros2 launch PACKAGE FILE | PATH [--show-args] [name:=value ...]`."""

import argparse
import os
import signal
import sys
import traceback

from ..nearest import CommandError, unknown
from ..packages import share_of

SETTINGS = ("emulate_tty", "launch-prefix", "launch-prefix-filter", "ros_namespace", "sigkill_timeout")
SETTINGS += ("sigterm_timeout",)
"""Launch configurations that launch itself reads; they can be given without being declared."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 launch`."""
    parser.add_argument("-n", "--noninteractive", action="store_true", default=not sys.stdin.isatty())
    parser.add_argument("-d", "--debug", action="store_true", help="print what happens and tracebacks")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("-p", "--print", action="store_true", help="print the description, run nothing")
    only.add_argument(
        "-s", "--show-args", "--show-arguments", action="store_true", help="print the arguments, run nothing"
    )
    parser.add_argument(
        "-a", "--show-all-subprocesses-output", action="store_true", help="print what all children write"
    )
    parser.add_argument("--launch-prefix", help="what to put before the commands, e.g. a debugger")
    parser.add_argument("--launch-prefix-filter", help="regular expression of the executables it is for")
    parser.add_argument("package", metavar="PACKAGE | PATH")
    parser.add_argument("rest", nargs="*", metavar="FILE | name:=value", help="launch file, then arguments")


def main(args: argparse.Namespace) -> int:
    """Launch (or describe) the file."""
    # Until the launch service takes over, a request to stop ends this process: nothing was started yet.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os._exit(0))
    path, arguments = _file_and_arguments(args)
    from launch import LaunchDescription, LaunchIntrospector, LaunchService
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import AnyLaunchDescriptionSource

    if args.show_all_subprocesses_output:
        os.environ["OVERRIDE_LAUNCH_PROCESS_OUTPUT"] = "both"
    pairs = _parse(arguments)
    if args.launch_prefix:
        pairs["launch-prefix"] = args.launch_prefix
        if args.launch_prefix_filter:
            pairs["launch-prefix-filter"] = args.launch_prefix_filter
    if args.print or args.show_args:
        description = _load(path)
        if args.print:
            print(LaunchIntrospector().format_launch_description(description))
        else:
            _show_arguments(description)
        return 0
    if set(pairs) - set(SETTINGS):
        _refuse_unknown(path, pairs)
    service = LaunchService(argv=arguments, noninteractive=args.noninteractive, debug=args.debug)
    include = IncludeLaunchDescription(AnyLaunchDescriptionSource(path), launch_arguments=pairs.items())
    service.include_launch_description(LaunchDescription([include]))
    return service.run()


def _file_and_arguments(args: argparse.Namespace) -> tuple[str, list[str]]:
    if os.path.isfile(args.package):
        return args.package, args.rest
    if os.sep in args.package or args.package.endswith((".py", ".xml", ".yaml")):
        raise CommandError(f"launch file '{args.package}' does not exist")
    share = share_of(args.package)
    found: dict[str, list[str]] = {}
    for folder, _, names in os.walk(share):
        for name in names:
            found.setdefault(name, []).append(os.path.join(folder, name))
    files = [name for name in found if name.endswith(("launch.py", "launch.xml", "launch.yaml"))]
    what = f"launch file of package '{args.package}'"
    if not args.rest or ":=" in args.rest[0]:
        raise CommandError(f"which {what}? There are: {', '.join(sorted(files)) or 'none'}")
    name, *arguments = args.rest
    if name not in found:
        raise CommandError(unknown(what, name, files))
    if len(found[name]) > 1:
        raise CommandError(f"there is more than one {name}: {', '.join(found[name])}; give the path")
    return found[name][0], arguments


def _parse(arguments: list[str]) -> dict[str, str]:
    pairs = {}
    for argument in arguments:
        name, separator, value = argument.partition(":=")
        if not name or not separator or not value:
            raise CommandError(f"malformed launch argument '{argument}', expected format '<name>:=<value>'")
        pairs[name] = value
    return pairs


def _load(path: str):
    """The description in a file; what a user can put right is told without a traceback."""
    from launch.launch_description_sources import get_launch_description_from_any_launch_file

    try:
        return get_launch_description_from_any_launch_file(path)
    except Exception as error:
        # A launch file is a program of the user's: it may raise anything.
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise CommandError(f"{path}{line}: {type(error).__name__}: {error}") from error


def _refuse_unknown(path: str, pairs: dict[str, str]) -> None:
    """Refuse arguments that the file does not declare: ROS 2's launch would ignore them without a word.

    Where an included file is only known while launching, it may declare them: then this is a warning.
    """
    description = _load(path)
    known = [argument.name for argument in description.get_launch_arguments()]
    for name in pairs:
        if name in known or name in SETTINGS:
            continue
        sentence = unknown("launch argument", name, known)
        if not _has_hidden_includes(description):
            raise CommandError(f"{sentence} (--show-args describes them)")
        print(f"[WARNING] [launch]: {sentence}, or those of files included later", file=sys.stderr)


def _has_hidden_includes(entity) -> bool:
    from launch.actions import IncludeLaunchDescription
    from launch.utilities import normalize_to_list_of_entities

    below = list(entity.describe_sub_entities())
    if isinstance(entity, IncludeLaunchDescription) and not entity.get_sub_entities():
        return True
    for _, entities in entity.describe_conditional_sub_entities():
        below += normalize_to_list_of_entities(entities)
    return any(_has_hidden_includes(item) for item in below)


def _show_arguments(description) -> None:
    arguments = description.get_launch_arguments()
    print("Arguments (pass arguments as '<name>:=<value>'):")
    for argument in arguments:
        mark = "*" if argument._conditionally_included else ""
        print(f"\n    '{argument.name}':{mark}\n        {argument.description}")
        if argument.default_value is not None:
            default = " + ".join(sub.describe() for sub in argument.default_value)
            print(f"        (default: {default})")
    if not arguments:
        print("\n  No arguments.")
    elif any(argument._conditionally_included for argument in arguments):
        print("\n* argument(s) which are only used if specific conditions occur")
