"""`ros2 interface show TYPE | list`."""

import argparse
import os
import re
from collections.abc import Iterator

from ament_index_python.resources import get_resource, get_resources

from ..nearest import CommandError, unknown
from ..packages import share_of

_KINDS = {"msg": "Messages", "srv": "Services", "action": "Actions"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 interface`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    show = verbs.add_parser("show", help="definition of a message, service or action, its messages' too")
    show.add_argument("type", help="e.g. geometry_msgs/msg/Pose")
    show.add_argument("--no-comments", action="store_true")
    verbs.add_parser("list", help="all types")


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    if args.verb == "show":
        print("\n".join(_show(args.type, not args.no_comments, "")))
        return 0
    names = [name for package in sorted(get_resources("rosidl_interfaces")) for name in _types(package)]
    for kind, title in _KINDS.items():
        print(f"{title}:")
        print("".join(f"    {name}\n" for name in names if f"/{kind}/" in name), end="")
    return 0


def _types(package: str) -> list[str]:
    if package not in get_resources("rosidl_interfaces"):
        raise CommandError(unknown("package of types", package, get_resources("rosidl_interfaces")))
    lines = get_resource("rosidl_interfaces", package)[0].splitlines()
    stems = (os.path.splitext(line) for line in lines)
    return [f"{package}/{stem}" for stem, extension in stems if extension[1:] in _KINDS]


def _show(name: str, comments: bool, indent: str) -> Iterator[str]:
    parts = name.split("/")
    known = _types(parts[0])
    full = [k for k in known if k == name or (len(parts) == 2 and k.endswith("/" + parts[1]))]
    if not full:
        raise CommandError(unknown(f"type of package '{parts[0]}'", name, known))
    package, kind, _ = full[0].split("/")
    path = os.path.join(share_of(package), *full[0].split("/")[1:]) + f".{kind}"
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for line in lines:
        plain = line.split("#")[0].rstrip()
        if not comments and not plain:
            continue
        yield indent + (line if comments else plain)
        nested = re.match(r"\s*([A-Za-z]\w*(?:/\w+)*)(?:\[[^\]]*\])?\s+\w+\s*$", plain)
        if nested and (own := _nested_type(nested[1], package)):
            yield from _show(own, False, indent + "\t")


def _nested_type(type_name: str, package: str) -> str | None:
    """Full name of a field's type that is a message, None for the basic ones."""
    parts = type_name.split("/")
    if len(parts) > 1:
        return f"{parts[0]}/msg/{parts[-1]}"
    full = f"{package}/msg/{type_name}"
    return full if full in _types(package) else None
