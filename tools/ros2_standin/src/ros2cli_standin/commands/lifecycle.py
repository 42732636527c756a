"""`ros2 lifecycle nodes | get | set | list`."""

import argparse

from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState

from ..graph import Graph, graph
from ..nearest import CommandError, unknown

_TYPE = "lifecycle_msgs/srv/GetState"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 lifecycle`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("nodes", help="names of the lifecycle nodes")
    verbs.add_parser("get", help="state of one node or of all").add_argument("node", nargs="?")
    verbs.add_parser("list", help="transitions a node can make now").add_argument("node")
    change = verbs.add_parser("set", help="make a node do a transition")
    change.add_argument("node")
    change.add_argument("transition", help="name or number, e.g. configure, activate, shutdown")


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    with graph() as g:
        if args.verb == "nodes":
            print("\n".join(g.settled(lambda: _nodes(g))))
            return 0
        if args.verb == "get" and args.node is None:
            for node in g.settled(lambda: _nodes(g)):
                print(f"{node}: {_state(g, node)}")
            return 0
        node = g.require_node(args.node)
        if not g.wait(lambda: node in _nodes(g), 2.0):
            raise CommandError(unknown("lifecycle node", node, _nodes(g)))
        if args.verb == "get":
            print(_state(g, node))
            return 0
        transitions = {t.transition.label: t.transition.id for t in _available(g, node)}
        if args.verb == "list":
            print("\n".join(f"- {label} [{number}]" for label, number in transitions.items()))
            return 0
        by_number = {str(number): label for label, number in transitions.items()}
        label = by_number.get(args.transition, args.transition)
        if label not in transitions:
            what = f"transition of {node}, which is {_state(g, node)}:"
            raise CommandError(unknown(what, args.transition, transitions))
        request = ChangeState.Request()
        request.transition.id = transitions[label]
        client = g.node.create_client(ChangeState, f"{node}/change_state")
        if not g.call(client, request, f"node {node}", timeout=60.0).success:
            raise CommandError(f"transitioning failed: {node} is {_state(g, node)}")
        print("Transitioning successful")
        return 0


def _nodes(g: Graph) -> list[str]:
    return sorted(name.removesuffix("/get_state") for name, types in g.services().items() if _TYPE in types)


def _state(g: Graph, node: str) -> str:
    client = g.node.create_client(GetState, f"{node}/get_state")
    state = g.call(client, GetState.Request(), f"node {node}").current_state
    return f"{state.label} [{state.id}]"


def _available(g: Graph, node: str) -> list:
    client = g.node.create_client(GetAvailableTransitions, f"{node}/get_available_transitions")
    return g.call(client, GetAvailableTransitions.Request(), f"node {node}").available_transitions
