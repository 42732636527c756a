"""Several nodes in one process, so that what is large changes hands without DDS (`rfs_ros.hand_over`).

    ros2 run rfs_ros container rfs_sim.nodes.sim_node:SimNode rfs_control.nodes.policy_node:PolicyNode \
        --ros-args --params-file FILE

Every node is named MODULE:CLASS, keeps its own name and takes its own block of a parameter file. The process
ends when one of its nodes does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

from rclpy.node import Node

from rfs_core.errors import RfsError
from rfs_ros.run import exit_with, run_nodes


class ContainerError(RfsError):
    """A process that cannot be made of the nodes that were asked for."""


def nodes_of(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The nodes' names and the arguments that are left for ROS.

    A process started as one node is told to call every node by that one's name; here each keeps its own.
    """
    arguments = list(argv[1:])
    split = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    names, ros = arguments[:split], arguments[split:]
    kept: list[str] = []
    for argument in ros:
        if argument.startswith("__node:=") and kept and kept[-1] in ("-r", "--remap"):
            kept.pop()
            continue
        kept.append(argument)
    return names, [argv[0], *kept]


def maker(name: str) -> Callable[[], Node]:
    """What makes the node MODULE:CLASS.

    Raises:
        ContainerError: no such module or class.
    """
    module, _, kind = name.partition(":")
    try:
        made: Callable[[], Node] = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise ContainerError(f"node {name!r} cannot be loaded ({error}): write MODULE:CLASS") from error
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_ros container`."""
    names, ros = nodes_of(sys.argv if argv is None else argv)
    if not names:
        print("container: no node is named; write MODULE:CLASS before --ros-args", file=sys.stderr)
        exit_with(1)
    try:
        makers = [maker(name) for name in names]
    except ContainerError as error:
        print(f"container: {error}", file=sys.stderr)
        exit_with(1)
    exit_with(run_nodes(makers, ros))


if __name__ == "__main__":
    main()
