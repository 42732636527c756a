"""`ros2 service list | type | call`."""

import argparse
import time

from ..graph import graph, is_hidden
from ..messages import from_yaml, load_type
from ..nearest import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 service`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="names of the services")
    listing.add_argument("-t", "--show-types", action="store_true")
    listing.add_argument("-c", "--count-services", action="store_true", help="only how many")
    listing.add_argument("--include-hidden-services", action="store_true")
    verbs.add_parser("type", help="type of a service").add_argument("service")
    call = verbs.add_parser("call", help="call a service")
    call.add_argument("service")
    call.add_argument("type", help="e.g. std_srvs/srv/Trigger")
    call.add_argument("values", nargs="?", default="{}", help="request as YAML")
    call.add_argument("-r", "--rate", type=float, metavar="HZ", help="again and again")
    call.add_argument("--timeout", type=float, default=60.0, metavar="S", help="for the answer (60)")


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    with graph() as g:
        if args.verb == "list":
            services = sorted(g.settled(g.services).items())
            services = [(n, t) for n, t in services if args.include_hidden_services or not is_hidden(n)]
            if args.count_services:
                print(len(services))
            for name, types in services if not args.count_services else ():
                print(f"{name} [{', '.join(types)}]" if args.show_types else name)
            return 0
        if args.verb == "type":
            print(g.require_service(args.service)[1])
            return 0
        service_class = load_type(args.type, "srv")
        request = from_yaml(service_class.Request(check_fields=True), args.values)
        name, actual = g.require_service(args.service)
        if load_type(actual, "srv") is not service_class:
            raise CommandError(f"service {name} is a {actual}, not a {args.type}")
        client = g.node.create_client(service_class, name)
        while True:
            begin = time.monotonic()
            print(f"requester: making request: {request!r}\n", flush=True)
            response = g.call(client, request, name, args.timeout)
            print(f"response:\n{response!r}\n", flush=True)
            if not args.rate:
                return 0
            g.wait(lambda begin=begin: time.monotonic() - begin >= 1.0 / args.rate, None)
