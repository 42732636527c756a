"""What launch files share: arguments that are checked, shipped files by name, ends with a sentence.

Only the public API of launch and launch_ros is used. A refusal is a RuntimeError, which ends a launch with
exit code 1 before any node is started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.parameter_descriptions import ParameterValue

Number = TypeVar("Number", int, float)

TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
ORDINARY_TRANSPORTS = "LARGE_DATA"
"""What `activate` sets."""
ROOMY_TRANSPORTS = "LARGE_DATA?max_msg_size=1MB&sockets_size=4MB"
"""The same with room for small messages beside images: src/rfs_data/README.md, "What it costs"."""


def text(value: object) -> ParameterValue:
    """A parameter that stays a text even where it reads like a number."""
    return ParameterValue(str(value), value_type=str)


def number(given: Mapping[str, str], name: str, kind: type[Number], least: int = 0) -> Number:
    """The value of an argument, `least` or more."""
    words = "a whole number" if kind is int else "a number"
    try:
        value = kind(given[name])
    except ValueError:
        value = None
    if value is None or not least <= value < float("inf"):
        raise RuntimeError(f"{name}:={given[name]} cannot be used: needs {words} >= {least}")
    return value


def refuse_unknown_arguments(
    given: Iterable[str], arguments: Sequence[DeclareLaunchArgument], file: str
) -> None:
    """ROS itself accepts any name:=value silently.

    Args:
        given: names that were given; with those of whoever includes the file.
        file: name of the launch file, for the sentence.
    """
    known = [argument.name for argument in arguments]
    if unknown := sorted(set(given) - set(known)):
        raise RuntimeError(
            f"unknown argument {', '.join(unknown)}; {file} knows {', '.join(known)} "
            "(--show-args describes them)"
        )


def refuse_unknown_nodes(argument: str, path: str, nodes: Sequence[str]) -> None:
    """ROS itself ignores the parameters of nodes that do not exist.

    Args:
        argument: name of the launch argument that names the parameters file.
        nodes: names of the nodes that it may have parameters for.
    """
    try:
        blocks = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuntimeError(f"{argument}:={path} cannot be read: {error}") from error
    if not isinstance(blocks, dict):
        raise RuntimeError(f"{argument}:={path} is not a mapping of node names to parameters")
    unknown = [block for block in blocks if str(block).rpartition("/")[2] not in [*nodes, "**", "*"]]
    if unknown:
        raise RuntimeError(
            f"{argument}:={path} has parameters for {', '.join(map(str, unknown))}; "
            f"the nodes are {', '.join(nodes)}: write /**/NODE so that every namespace matches"
        )


KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number with a point"),
    (str, "a text"),
    (list, "a list"),
)
"""As YAML tells them apart, in the order in which ROS looks for the value of a parameter."""


def refuse_ignored_values(files: Sequence[str]) -> None:
    """ROS keeps one value of each kind of a parameter and takes the first kind of `KINDS` that it has: what a
    later file says is ignored, silently, where an earlier one has said it with a kind that comes before.

    Args:
        files: YAML files of parameters, in the order in which nodes read them.
    """
    said: dict[tuple[str, str], tuple[int, object, str]] = {}
    for file in files:
        for block, content in (yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}).items():
            for name, value in _dotted((content or {}).get("ros__parameters") or {}):
                kind = next((i for i, (each, _) in enumerate(KINDS) if isinstance(value, each)), None)
                if kind is None:
                    continue
                node = str(block).rpartition("/")[2]
                before = said.setdefault((node, name), (kind, value, file))
                if kind > before[0]:
                    raise RuntimeError(
                        f"{file}: {name} of {node} is {value!r}, {KINDS[kind][1]}, and {before[1]!r}, "
                        f"{KINDS[before[0]][1]}, in {before[2]}: ROS would keep that one; write "
                        f"{KINDS[before[0]][1]}"
                    )
                said[node, name] = (kind, value, file)


def value_in(files: Sequence[str], node: str, name: str) -> object:
    """What the last of some parameters files says of a node's parameter; None where none says anything."""
    found: object = None
    for file in files:
        for block, content in (yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}).items():
            if str(block).rpartition("/")[2] == node:
                found = dict(_dotted((content or {}).get("ros__parameters") or {})).get(name, found)
    return found


def _dotted(group: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Values of nested groups by their whole names."""
    for name, value in group.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def chosen_checkpoint(asked: str, shipped: Path, task: str, points: bool) -> Path:
    """The checkpoint that was asked for, or one of those shipped with the task.

    Args:
        asked: a file; `rfs`, `base` or `points` for a shipped one; empty: the best shipped one.
        shipped: folder of TASK_KIND.safetensors.
        points: whether the policy is to see points.
    """
    known = ("points",) if points else ("rfs", "base")
    kinds = [kind for kind in known if (shipped / f"{task}_{kind}.safetensors").exists()]
    if asked in ("", *known):
        kind = asked or next(iter(kinds), known[-1])
        if kind not in kinds:
            raise RuntimeError(
                f"no {kind} checkpoint is shipped for task {task}; shipped: {', '.join(kinds) or 'none'}. "
                "Give a file: checkpoint:=FILE"
            )
        return (shipped / f"{task}_{kind}.safetensors").absolute()
    if not Path(asked).is_file():
        raise RuntimeError(
            f"checkpoint:={asked} cannot be used: there is no such file; shipped for task {task}: "
            f"{', '.join(kinds) or 'none'}"
        )
    return Path(asked).absolute()


NODES_OF_A_ROBOT = (
    "emulated_robot",
    "franka_node",
    "leap_node",
    "robot_operator",
    "realsense_node",
    "gate_node",
    "policy_node",
    "episode_manager",
    "recorder_node",
)
"""For which a robot's file may have parameters."""


def robot_file(robot: str, asked: str, folder: Path) -> Path:
    """Path of a robot's parameters: the file asked for, or one of those shipped in `folder`."""
    shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    names = [name for name in shipped if (name == "emulated") == (robot == "emulated")]
    asked = asked or ("emulated" if robot == "emulated" else "")
    if asked in names:
        return shipped[asked]
    if asked in shipped or not Path(asked).is_file():
        raise RuntimeError(
            f"robot:={robot} robot_file:={asked or '(nothing)'} cannot be used; shipped for it: "
            f"{', '.join(names)}, or give a YAML file"
        )
    # One of another hand has no block for the driver of this one, which would run on its defaults.
    refuse_unknown_nodes("robot_file", asked, NODES_OF_A_ROBOT)
    return Path(asked).absolute()


def included(path: Path, arguments: Mapping[str, str]) -> GroupAction:
    """Another launch file, with these arguments and none of the includer's."""
    source = PythonLaunchDescriptionSource(str(path))
    include = IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))
    return GroupAction([include], scoped=True, forwarding=False)


def room_for_images(environment: Mapping[str, str]) -> list[SetEnvironmentVariable]:
    """Transports with which nodes that are started afterwards lose no small messages beside images.

    Args:
        environment: of the launch; whoever has chosen transports, or another middleware's, keeps them.
    """
    if environment.get(TRANSPORTS, ORDINARY_TRANSPORTS) != ORDINARY_TRANSPORTS:
        return []
    return [SetEnvironmentVariable(TRANSPORTS, ROOMY_TRANSPORTS)]


def fail(sentence: str) -> OpaqueFunction:
    """An action that ends the launch with exit code 1 and this sentence."""

    def raise_it(context: object) -> None:
        raise RuntimeError(sentence)

    return OpaqueFunction(function=raise_it)
