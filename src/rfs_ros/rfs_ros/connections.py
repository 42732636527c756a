"""Whether nodes hear each other yet.

That a node is in the graph does not mean that its endpoints are connected: on a busy machine discovery takes
seconds, per pair of endpoints and direction, and what is published before is lost to the one who is late. So
every node reports on /diagnostics to how many peers its endpoints are connected (`report`), and whoever
starts something that must not lose a message compares that with the graph (`missing`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

KEY = "connections"
"""Of the value in a node's diagnostics."""

_OF_ROS = frozenset({"/clock", "/diagnostics", "/rosout", "/parameter_events"})


@dataclass(frozen=True)
class Endpoint:
    """A publisher or subscription in the graph."""

    node: str
    """Name of its node, without namespace."""
    topic: str
    publishes: bool
    qos: QoSProfile


def report(node: Node) -> str:
    """How many peers each publisher and subscription of a node is connected to, as JSON.

    Two subscriptions of one topic count as the one with fewer peers.
    """
    counts: dict[str, dict[str, int]] = {"publishes": {}, "subscribes": {}}
    sides = (
        ("publishes", ((p.topic_name, p.get_subscription_count()) for p in node.publishers)),
        ("subscribes", ((s.topic_name, s.get_publisher_count()) for s in node.subscriptions)),
    )
    for side, endpoints in sides:
        for topic, count in endpoints:
            if topic not in _OF_ROS and not topic.endswith("/transition_event"):
                counts[side][topic] = min(count, counts[side].get(topic, count))
    return json.dumps(counts)


def endpoints(node: Node, topics: Iterable[str]) -> list[Endpoint]:
    """The publishers and subscriptions of some topics that a node sees, in its own namespace.

    Args:
        node: Who looks.
        topics: Full names.
    """
    found = []
    for topic in topics:
        for publishes, infos in (
            (True, node.get_publishers_info_by_topic(topic)),
            (False, node.get_subscriptions_info_by_topic(topic)),
        ):
            for info in infos:
                if info.node_namespace == node.get_namespace():
                    found.append(Endpoint(info.node_name, topic, publishes, info.qos_profile))
    return found


def topics_of(reports: Mapping[str, str]) -> set[str]:
    """Full names of all topics in some reports."""
    sides = (side for text in reports.values() for side in json.loads(text).values())
    return {topic for side in sides for topic in side}


def missing(reports: Mapping[str, str], graph: Iterable[Endpoint]) -> list[str]:
    """What is not connected yet, in words; empty when everybody who reports hears everybody else who does.

    Endpoints whose qualities of service cannot be connected do not count, nor do nodes that do not report.

    Args:
        reports: By node name, what `report` said.
        graph: The endpoints of all topics in the reports.
    """
    known = [endpoint for endpoint in graph if endpoint.node in reports]
    lacking = []
    for own in known:
        side = "publishes" if own.publishes else "subscribes"
        connected = json.loads(reports[own.node])[side].get(own.topic, 0)
        peers = sum(_connectable(own, other) for other in known)
        if connected < peers:
            word = "reaches" if own.publishes else "hears"
            lacking.append(f"{own.node} ({word} {connected} of {peers} on {own.topic})")
    return lacking


def _connectable(one: Endpoint, other: Endpoint) -> bool:
    if one.topic != other.topic or one.publishes == other.publishes:
        return False
    publisher, subscription = (one, other) if one.publishes else (other, one)
    compatibility, _ = qos_check_compatible(publisher.qos, subscription.qos)
    return bool(compatibility != QoSCompatibility.ERROR)
