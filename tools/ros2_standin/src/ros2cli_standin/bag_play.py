"""Publishing what is in a bag at the pace it was recorded.

Messages are published as the bytes they were recorded as; only their types must be known here.
"""

import argparse
import contextlib
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Connection, QosDurability, QosReliability
from rosbags.rosbag2 import Reader

from .bags import open_bag
from .graph import Graph, absolute, graph
from .messages import load_type
from .nearest import CommandError, unknown

LATE_S = 0.1
"""How much later than due a message must be for the player to say so, seconds."""


def play(args: argparse.Namespace) -> int:
    """Play the bag that the arguments of `ros2 bag play` name."""
    if args.rate <= 0:
        raise CommandError(f"--rate must be above 0, got {args.rate}")
    remaps = _parse_remaps(args.remap)
    with open_bag(Path(args.bag_path)) as bag, graph() as g:
        connections = _choose(bag, args)
        publishers = _advertise(g, connections, remaps)
        clock = _Clock(g, args.clock) if args.clock else None
        # Subscriptions must be connected before the first message, latched or not.
        _wait_for_subscriptions(g, list(publishers.values()))
        g.wait(lambda: False, args.delay)
        with _keyboard(not args.disable_keyboard_controls) as keyboard:
            player = _Player(args.rate, args.start_paused, keyboard)
            while True:
                _play_once(bag, connections, publishers, clock, player, args)
                if not args.loop:
                    break
        g.wait(lambda: False, 0.3)  # what was published last leaves before the node does
    return 0


def _parse_remaps(items: list[str]) -> dict[str, str]:
    remaps = {}
    for item in items:
        old, separator, new = item.partition(":=")
        if not old or not separator or not new:
            raise CommandError(f"malformed remapping '{item}', expected OLD:=NEW")
        remaps[absolute(old)] = absolute(new)
    return remaps


def _choose(bag: Reader, args: argparse.Namespace) -> list[Connection]:
    known = {absolute(name) for name in bag.topics}
    for name in (*args.topics, *args.exclude_topics):
        if absolute(name) not in known:
            raise CommandError(unknown("topic of the bag", absolute(name), known))
    only, without = ({absolute(name) for name in names} for names in (args.topics, args.exclude_topics))
    return [
        c
        for c in bag.connections
        if (not only or absolute(c.topic) in only)
        and absolute(c.topic) not in without
        and not (args.clock and c.topic == "/clock")
    ]


def _advertise(g: Graph, connections: list[Connection], remaps: dict[str, str]) -> dict[int, Publisher]:
    publishers = {}
    for connection in connections:
        name = absolute(connection.topic)
        profile = QoSProfile(depth=10)
        offered = connection.ext.offered_qos_profiles
        if any(q.durability == QosDurability.TRANSIENT_LOCAL for q in offered):
            profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
        if offered and all(q.reliability == QosReliability.BEST_EFFORT for q in offered):
            profile.reliability = ReliabilityPolicy.BEST_EFFORT
        message_class = load_type(connection.msgtype, "msg")
        publishers[connection.id] = g.node.create_publisher(message_class, remaps.get(name, name), profile)
    return publishers


def _wait_for_subscriptions(g: Graph, publishers: list[Publisher]) -> None:
    def counts() -> list[int]:
        return [publisher.get_subscription_count() for publisher in publishers]

    g.settled(counts, at_least=0.5, complete=lambda: any(counts()))


class _Clock:
    """Publishes the time of the bag."""

    def __init__(self, g: Graph, rate: float) -> None:
        from rosgraph_msgs.msg import Clock

        self._class = Clock
        self._publisher = g.node.create_publisher(Clock, "/clock", QoSProfile(depth=10))
        self.period_ns = int(1e9 / rate)

    def publish(self, nanoseconds: int) -> None:
        message = self._class()
        message.clock.sec, message.clock.nanosec = divmod(nanoseconds, 10**9)
        self._publisher.publish(message)


class _Player:
    """The relation of the bag's time to the wall's, which stands still while paused."""

    def __init__(self, rate: float, paused: bool, keyboard: Any) -> None:
        self.rate = rate
        self._keyboard = keyboard
        self._paused = paused
        self._origin: tuple[float, int] | None = None
        if paused and keyboard is None:
            raise CommandError("--start-paused needs a terminal: nobody could press the space bar")

    def begin(self, bag_time: int) -> None:
        """The bag's time is this now."""
        self._origin = (time.monotonic(), bag_time)
        self._pause_if_wanted(bag_time)

    def sleep_until(self, bag_time: int) -> None:
        """Wait for a moment of the bag."""
        while True:
            wall, origin = self._origin
            left = wall + (bag_time - origin) / 1e9 / self.rate - time.monotonic()
            if left <= 0:
                if left < -LATE_S:
                    self._origin = (wall - left, origin)  # go on from here: no burst to catch up
                    print(f"ros2 bag play: {-left:.2f} s late, going on from here", file=sys.stderr)
                return
            if self._keyboard is None:
                time.sleep(min(left, 0.2))
            elif self._keyboard(min(left, 0.2)) == " ":
                self._paused = True
                self._pause_if_wanted(int(bag_time - left * self.rate * 1e9))

    def _pause_if_wanted(self, bag_time: int) -> None:
        if not self._paused:
            return
        print("paused, space bar goes on", flush=True)
        while self._keyboard(0.2) != " ":
            pass
        print("playing", flush=True)
        self._paused = False
        self._origin = (time.monotonic(), bag_time)


@contextlib.contextmanager
def _keyboard(wanted: bool) -> Iterator[Any]:
    """A function that waits some seconds for a key; None without a terminal."""
    if not wanted or not sys.stdin.isatty():
        yield None
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield lambda seconds: sys.stdin.read(1) if select.select([sys.stdin], [], [], seconds)[0] else None
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _play_once(
    bag: Reader,
    connections: list[Connection],
    publishers: dict[int, Publisher],
    clock: _Clock | None,
    player: _Player,
    args: argparse.Namespace,
) -> None:
    if not connections:
        raise CommandError("there is no topic to play")
    start = bag.start_time + int(args.start_offset * 1e9)
    stop = None if args.playback_duration is None else start + int(args.playback_duration * 1e9)
    if start >= bag.end_time:
        length = (bag.end_time - bag.start_time) / 1e9
        raise CommandError(f"--start-offset {args.start_offset:g} s: the bag is {length:.3f} s long")
    player.begin(start)
    tick = start
    for connection, stamp, data in bag.messages(connections, start=start, stop=stop):
        while clock is not None and tick <= stamp:
            player.sleep_until(tick)
            clock.publish(tick)
            tick += clock.period_ns
        player.sleep_until(stamp)
        publishers[connection.id].publish(bytes(data))
