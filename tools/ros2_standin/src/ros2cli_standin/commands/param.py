"""`ros2 param list | get | set | dump | describe`."""

import argparse
import sys
from typing import Any

import yaml
from rcl_interfaces.msg import Parameter, ParameterType
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rclpy.parameter import get_parameter_value, parameter_value_to_python

from ..graph import Graph, graph, is_hidden
from ..messages import to_plain
from ..nearest import CommandError, unknown

_KINDS = {
    ParameterType.PARAMETER_BOOL: "Boolean value is",
    ParameterType.PARAMETER_INTEGER: "Integer value is",
    ParameterType.PARAMETER_DOUBLE: "Double value is",
    ParameterType.PARAMETER_STRING: "String value is",
    ParameterType.PARAMETER_BYTE_ARRAY: "Byte values are",
    ParameterType.PARAMETER_BOOL_ARRAY: "Boolean values are",
    ParameterType.PARAMETER_INTEGER_ARRAY: "Integer values are",
    ParameterType.PARAMETER_DOUBLE_ARRAY: "Double values are",
    ParameterType.PARAMETER_STRING_ARRAY: "String values are",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 param`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="names of the parameters of all nodes or of one")
    listing.add_argument("node", nargs="?")
    get = verbs.add_parser("get", help="value of a parameter")
    get.add_argument("node")
    get.add_argument("name")
    get.add_argument("--hide-type", action="store_true")
    change = verbs.add_parser("set", help="set a parameter")
    change.add_argument("node")
    change.add_argument("name")
    change.add_argument("value", help="as YAML")
    verbs.add_parser("dump", help="all parameters of a node as a parameter file").add_argument("node")
    describe = verbs.add_parser("describe", help="what a parameter is for")
    describe.add_argument("node")
    describe.add_argument("names", nargs="+")


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    with graph() as g:
        if args.verb == "list" and args.node is None:
            for node in g.settled(g.nodes):
                if not is_hidden(node) and f"{node}/list_parameters" in g.services():
                    print(f"{node}:")
                    print("".join(f"  {name}\n" for name in _names(g, node)), end="")
            return 0
        node = g.require_node(args.node)
        return globals()[f"_{args.verb}"](g, node, args)


def _call(g: Graph, node: str, service: type, name: str, request: Any) -> Any:
    return g.call(g.node.create_client(service, f"{node}/{name}"), request, f"node {node}")


def _names(g: Graph, node: str) -> list[str]:
    answer = _call(g, node, ListParameters, "list_parameters", ListParameters.Request())
    return sorted(answer.result.names)


def _values(g: Graph, node: str, names: list[str]) -> list[Any]:
    values = _call(g, node, GetParameters, "get_parameters", GetParameters.Request(names=names)).values
    if len(values) == len(names) and all(v.type != ParameterType.PARAMETER_NOT_SET for v in values):
        return values
    known = _names(g, node)
    for name in names:
        if name not in known:
            raise CommandError(unknown(f"parameter of node {node}", name, known))
    return values


def _list(g: Graph, node: str, args: argparse.Namespace) -> int:
    print("".join(f"  {name}\n" for name in _names(g, node)), end="")
    return 0


def _get(g: Graph, node: str, args: argparse.Namespace) -> int:
    (value,) = _values(g, node, [args.name])
    if value.type == ParameterType.PARAMETER_NOT_SET:
        print("Parameter not set.")
        return 0
    plain = to_plain(parameter_value_to_python(value), None)
    print(plain if args.hide_type else f"{_KINDS[value.type]}: {plain}")
    return 0


def _set(g: Graph, node: str, args: argparse.Namespace) -> int:
    value = get_parameter_value(args.value)
    (now,) = _values(g, node, [args.name])
    if now.type == ParameterType.PARAMETER_DOUBLE and value.type == ParameterType.PARAMETER_INTEGER:
        value.type, value.double_value = ParameterType.PARAMETER_DOUBLE, float(value.integer_value)
    request = SetParameters.Request(parameters=[Parameter(name=args.name, value=value)])
    (result,) = _call(g, node, SetParameters, "set_parameters", request).results
    if not result.successful:
        print(f"Setting parameter failed: {result.reason}", file=sys.stderr)
        return 1
    print("Set parameter successful")
    return 0


def _dump(g: Graph, node: str, args: argparse.Namespace) -> int:
    names = _names(g, node)
    tree: dict[str, Any] = {}
    for name, value in zip(names, _values(g, node, names), strict=True):
        *parents, last = name.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = to_plain(parameter_value_to_python(value), None)
    print(yaml.safe_dump({node: {"ros__parameters": tree}}, default_flow_style=False), end="")
    return 0


def _describe(g: Graph, node: str, args: argparse.Namespace) -> int:
    _values(g, node, args.names)
    request = DescribeParameters.Request(names=args.names)
    for item in _call(g, node, DescribeParameters, "describe_parameters", request).descriptors:
        print(f"Parameter name: {item.name}\n  Type: {_KINDS[item.type].split()[0].lower()}")
        if item.description:
            print(f"  Description: {item.description}")
        for bounds in (*item.floating_point_range, *item.integer_range):
            print(f"  Range: {bounds.from_value} to {bounds.to_value}")
        if item.additional_constraints:
            print(f"  Constraints: {item.additional_constraints}")
        if item.read_only:
            print("  Read only: true")
    return 0
