"""`ros2 topic list | echo | hz | info | type | pub`."""

import argparse
import collections
import itertools
import statistics
import time
from typing import Any

from .. import qos
from ..graph import Graph, absolute, graph, is_hidden
from ..messages import LONG, field, from_yaml, load_type, to_csv, to_plain, to_yaml
from ..nearest import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 topic`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="names of the topics")
    listing.add_argument("-t", "--show-types", action="store_true")
    listing.add_argument("-c", "--count-topics", action="store_true", help="only how many")
    listing.add_argument("--include-hidden-topics", action="store_true")
    echo = verbs.add_parser("echo", help="print messages")
    _add_topic(echo)
    echo.add_argument("type", nargs="?", help="type, where nothing is published yet")
    echo.add_argument("--field", help="only this member, e.g. pose.position.x")
    echo.add_argument("--once", action="store_true", help="only the first message")
    echo.add_argument("--timeout", type=float, metavar="S", help="end after this time (1 if nothing came)")
    echo.add_argument("--csv", action="store_true", help="one line per message")
    echo.add_argument("-f", "--full-length", action="store_true", help=f"sequences longer than {LONG} too")
    echo.add_argument("--no-arr", action="store_true", help="no sequences")
    qos.add_arguments(echo)
    hz = verbs.add_parser("hz", help="how often messages arrive")
    _add_topic(hz)
    hz.set_defaults(type=None)
    hz.add_argument("-w", "--window", type=int, default=10_000, help="messages the average is over")
    qos.add_arguments(hz)
    info = verbs.add_parser("info", help="type and number of publishers and subscriptions")
    _add_topic(info)
    info.add_argument("-v", "--verbose", action="store_true", help="which, with their quality of service")
    _add_topic(verbs.add_parser("type", help="type of a topic"))
    pub = verbs.add_parser("pub", help="publish")
    _add_topic(pub)
    pub.add_argument("type")
    pub.add_argument("values", nargs="?", default="{}", help="message as YAML")
    pub.add_argument("-1", "--once", action="store_true")
    pub.add_argument("-t", "--times", type=int, default=0, help="how often, 0: until Ctrl-C")
    pub.add_argument("-r", "--rate", type=float, default=1.0, metavar="HZ")
    pub.add_argument(
        "-w", "--wait-matching-subscriptions", type=int, metavar="N", help="wait for so many (--once: 1)"
    )
    qos.add_arguments(pub)


def _add_topic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic")


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    with graph() as g:
        return globals()[f"_{args.verb}"](g, args)


def _list(g: Graph, args: argparse.Namespace) -> int:
    topics = {
        name: types
        for name, types in sorted(g.settled(g.topics).items())
        if args.include_hidden_topics or not is_hidden(name)
    }
    if args.count_topics:
        print(len(topics))
        return 0
    for name, types in topics.items():
        print(f"{name} [{', '.join(types)}]" if args.show_types else name)
    return 0


def _subscribe(g: Graph, args: argparse.Namespace, callback: Any, raw: bool) -> Any:
    """Subscribe with the type and quality of service that the publishers have."""
    name, type_name = absolute(args.topic), args.type
    if type_name is None:
        name, type_name = g.require_topic(args.topic)
    if g.wait(lambda: g.node.count_publishers(name), 1.0):
        g.settled(lambda: g.node.count_publishers(name), at_least=0.0)
    offers = g.node.get_publishers_info_by_topic(name)
    message_class = load_type(type_name, "msg")
    return g.node.create_subscription(message_class, name, callback, qos.profile(args, offers), raw=raw)


def _echo(g: Graph, args: argparse.Namespace) -> int:
    seen = 0

    def show(message: Any) -> None:
        nonlocal seen
        if args.once and seen:
            return
        seen += 1
        value = field(message, args.field) if args.field else message
        if args.csv:
            print(to_csv(value), flush=True)
            return
        plain = to_plain(value, None if args.full_length else LONG)
        text = to_yaml(_without_sequences(plain) if args.no_arr else plain, None)
        print(f"{text}---", flush=True)

    _subscribe(g, args, show, raw=False)
    deadline = None if args.timeout is None else time.monotonic() + args.timeout
    while not (args.once and seen) and (deadline is None or time.monotonic() < deadline):
        g.spin(0.1)
    return 0 if seen or args.timeout is None else 1


def _without_sequences(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _without_sequences(value) for key, value in plain.items()}
    return f"<sequence of {len(plain)}>" if isinstance(plain, list) else plain


def _hz(g: Graph, args: argparse.Namespace) -> int:
    times: collections.deque[float] = collections.deque(maxlen=args.window + 1)
    _subscribe(g, args, lambda data: times.append(time.monotonic()), raw=True)
    shown, said = time.monotonic(), None
    while True:
        g.spin(0.1)
        now = time.monotonic()
        if now - shown < 1.0:
            continue
        shown = now
        if len(times) < 2 or times[-1] == said:
            print("no new messages", flush=True)
            continue
        said = times[-1]
        moments = list(times)
        steps = [b - a for a, b in itertools.pairwise(moments)]
        print(f"average rate: {len(steps) / sum(steps):.3f}")
        print(
            f"\tmin: {min(steps):.3f}s max: {max(steps):.3f}s "
            f"std dev: {statistics.pstdev(steps):.5f}s window: {len(moments)}",
            flush=True,
        )


def _info(g: Graph, args: argparse.Namespace) -> int:
    name, _ = g.require_topic(args.topic)
    g.settled(lambda: (g.node.count_publishers(name), g.node.count_subscribers(name)), at_least=0.5)
    publishers = g.node.get_publishers_info_by_topic(name)
    subscriptions = g.node.get_subscriptions_info_by_topic(name)
    print(f"Type: {', '.join(g.topics()[name])}")
    for what, endpoints in (("Publisher", publishers), ("Subscription", subscriptions)):
        print(f"\n{what} count: {len(endpoints)}")
        for endpoint in endpoints if args.verbose else ():
            print(f"\nNode name: {endpoint.node_name}\nNode namespace: {endpoint.node_namespace}")
            print(f"Topic type: {endpoint.topic_type}\nQoS profile:\n{qos.describe(endpoint.qos_profile)}")
    return 0


def _type(g: Graph, args: argparse.Namespace) -> int:
    print(g.require_topic(args.topic)[1])
    return 0


def _pub(g: Graph, args: argparse.Namespace) -> int:
    if args.rate <= 0:
        raise CommandError(f"--rate must be above 0, got {args.rate}")
    message = from_yaml(load_type(args.type, "msg")(check_fields=True), args.values)
    publisher = g.node.create_publisher(type(message), args.topic, qos.profile(args, []))
    times = 1 if args.once else args.times
    wanted = args.wait_matching_subscriptions
    wanted = (1 if times else 0) if wanted is None else wanted
    if publisher.get_subscription_count() < wanted:
        print(f"Waiting for at least {wanted} matching subscription(s)...", flush=True)
        g.wait(lambda: publisher.get_subscription_count() >= wanted, None)
    count, due = 0, time.monotonic()
    while not times or count < times:
        count += 1
        print(f"publishing #{count}: {message!r}", flush=True)
        publisher.publish(message)
        due += 1.0 / args.rate
        while (left := due - time.monotonic()) > 0 and (not times or count < times):
            g.spin(min(left, 0.1))
    g.wait(lambda: False, 0.2)  # the last message leaves before the node does
    return 0
