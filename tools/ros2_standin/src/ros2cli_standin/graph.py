"""What runs: a node of the command's own, and what it discovers."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from .nearest import CommandError, unknown

DISCOVERY_S = 4.0
"""How long something that was named may take to be discovered, seconds."""
ANNOUNCED_S = 3.2
"""Participants that miss each other's first messages find each other with the next one, 3 s later."""
SETTLED_S = 0.5
"""How long a listing must have stayed the same before it counts as complete, seconds."""


class Graph:
    """A node and its view of the others. It is spun only while something is waited for."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor) -> None:
        self.node = node
        self._executor = executor

    def spin(self, seconds: float) -> None:
        """Handle what arrives within the time, at most one thing."""
        self._executor.spin_once(timeout_sec=seconds)

    def wait(self, condition: Callable[[], Any], timeout: float | None) -> Any:
        """Spin until the condition is true; its value, or what it was when the time was over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (value := condition()) and (deadline is None or time.monotonic() < deadline):
            self.spin(0.05)
        return value

    def settled(
        self,
        listing: Callable[[], Any],
        at_least: float = ANNOUNCED_S,
        complete: Callable[[], Any] | None = None,
    ) -> Any:
        """A listing once discovery has come to rest, and not before `complete` (another node is known)."""
        complete = self.nodes if complete is None else complete
        begin = since = time.monotonic()
        last = listing()
        while True:
            now = time.monotonic()
            enough = now - begin >= at_least and now - since >= SETTLED_S
            if (enough and complete()) or now - begin >= DISCOVERY_S:
                return last
            self.spin(0.05)
            if (found := listing()) != last:
                last, since = found, time.monotonic()

    def call(self, client: Any, request: Any, what: str, timeout: float = 10.0) -> Any:
        """The answer of a service, CommandError if none comes in time."""
        if not self.wait(client.service_is_ready, DISCOVERY_S):
            raise CommandError(f"{what} does not answer: service {client.srv_name} is not there")
        future = client.call_async(request)
        if not self.wait(future.done, timeout):
            raise CommandError(f"{what} has not answered within {timeout:g} s")
        return future.result()

    # Listings ----------------------------------------------------------------------------------------------

    def nodes(self) -> list[str]:
        """Full names of all nodes but the command's own."""
        own = self.node.get_fully_qualified_name()
        pairs = self.node.get_node_names_and_namespaces()
        return sorted(name for name in (_join(space, name) for name, space in pairs) if name != own)

    def topics(self) -> dict[str, list[str]]:
        """Types of each topic."""
        return dict(self.node.get_topic_names_and_types())

    def services(self) -> dict[str, list[str]]:
        """Types of each service."""
        own = self.node.get_fully_qualified_name() + "/"
        return {n: t for n, t in self.node.get_service_names_and_types() if not n.startswith(own)}

    # Named things ------------------------------------------------------------------------------------------

    def require_node(self, name: str) -> str:
        """The full name of a node that runs; CommandError names the nearest."""
        return self._require("node", name, self.nodes)

    def require_topic(self, name: str) -> tuple[str, str]:
        """Full name and type of a topic."""
        full = self._require("topic", name, self.topics)
        return full, self.topics()[full][0]

    def require_service(self, name: str) -> tuple[str, str]:
        """Full name and type of a service."""
        full = self._require("service", name, self.services)
        return full, self.services()[full][0]

    def _require(self, what: str, name: str, known: Callable[[], Iterable[str]]) -> str:
        full = absolute(name)
        if not self.wait(lambda: full in known(), DISCOVERY_S):
            raise CommandError(unknown(f"running {what}" if what == "node" else what, full, known()))
        return full


def absolute(name: str) -> str:
    """With a '/' in front."""
    return name if name.startswith("/") else "/" + name


def is_hidden(name: str) -> bool:
    """True when a part of the name begins with '_'."""
    return any(part.startswith("_") for part in name.split("/"))


def _join(namespace: str, name: str) -> str:
    return namespace.rstrip("/") + "/" + name


@contextlib.contextmanager
def graph() -> Iterator[Graph]:
    """A hidden node for the time of one command. Ctrl-C raises KeyboardInterrupt."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f"_ros2cli_{os.getpid()}", start_parameter_services=False, enable_rosout=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        yield Graph(node, executor)
    finally:
        executor.remove_node(node)
        node.destroy_node()
        rclpy.try_shutdown()
