"""`ros2 node list | info NODE`."""

import argparse

from ..graph import graph, is_hidden


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 node`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="names of the nodes")
    listing.add_argument("-a", "--all", action="store_true", help="hidden nodes too")
    listing.add_argument("-c", "--count-nodes", action="store_true", help="only how many")
    info = verbs.add_parser("info", help="topics and services of a node")
    info.add_argument("node")


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    with graph() as g:
        if args.verb == "list":
            names = [n for n in g.settled(g.nodes) if args.all or not is_hidden(n)]
            print(len(names) if args.count_nodes else "\n".join(names))
            return 0
        full = g.require_node(args.node)
        namespace, _, name = full.rpartition("/")
        node = g.node
        queries = {
            "Subscribers": node.get_subscriber_names_and_types_by_node,
            "Publishers": node.get_publisher_names_and_types_by_node,
            "Service Servers": node.get_service_names_and_types_by_node,
            "Service Clients": node.get_client_names_and_types_by_node,
        }
        listing = g.settled(
            lambda: {what: query(name, namespace or "/") for what, query in queries.items()}, 0.5
        )
        print(full)
        for what, pairs in listing.items():
            print(f"  {what}:")
            for item, types in sorted(pairs):
                print(f"    {item}: {', '.join(types)}")
    return 0
