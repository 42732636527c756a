"""Arrays from one node to another of the same process, without a message: a cloud need not be written, copied
through DDS and read again to get from a camera to the policy beside it.

    give = hand_over.offer(node, "perception/points")       # the camera's node
    give(stamp_ns, points)                                  # from any thread
    hand_over.take(node, "perception/points", callback)     # the policy's; runs in its executor

A topic that is offered in this process need not be subscribed to (`offered`). Nothing waits: an inbox keeps
the newest few arrays and forgets older ones. Who gives an array away does not write into it afterwards.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

Array = NDArray[np.float32]
OnArray = Callable[[int, Array], None]

KEPT = 4
"""Arrays that wait in an inbox at most."""

_lock = threading.Lock()
_offered: dict[str, int] = {}
_inboxes: dict[str, list[Inbox]] = {}


class Inbox:
    """What one node takes of one topic."""

    def __init__(self, node: Node, topic: str, callback: OnArray) -> None:
        self._node, self._topic, self._callback = node, topic, callback
        self._waiting: deque[tuple[int, Array]] = deque(maxlen=KEPT)
        self._guard: Any = node.create_guard_condition(self._deliver)
        self._open = True
        self._closing = threading.Lock()

    def put(self, stamp_ns: int, array: Array) -> None:
        """Leave an array; from any thread. One that comes when the taker has ended is dropped."""
        with self._closing:
            if self._open:
                self._waiting.append((stamp_ns, array))
                self._guard.trigger()

    def close(self) -> None:
        """Take nothing any more."""
        with _lock:
            if self in _inboxes.get(self._topic, []):
                _inboxes[self._topic].remove(self)
        with self._closing:
            if self._open:
                self._open = False
                self._node.destroy_guard_condition(self._guard)

    def _deliver(self) -> None:
        while self._waiting:
            stamp_ns, array = self._waiting.popleft()
            self._callback(stamp_ns, array)


def offer(node: Node, topic: str) -> Callable[[int, Array], None]:
    """Announce that arrays of a topic are given in this process; returns the function that gives one."""
    name = node.resolve_topic_name(topic)
    with _lock:
        _offered[name] = _offered.get(name, 0) + 1

    def give(stamp_ns: int, array: Array) -> None:
        with _lock:
            inboxes = list(_inboxes.get(name, ()))
        for inbox in inboxes:
            inbox.put(stamp_ns, array)

    return give


def withdraw(node: Node, topic: str) -> None:
    """The opposite of `offer`, when its node ends."""
    name = node.resolve_topic_name(topic)
    with _lock:
        if _offered.get(name, 0) > 0:
            _offered[name] -= 1


def offered(node: Node, topic: str) -> bool:
    """Whether somebody in this process gives arrays of that topic."""
    with _lock:
        return _offered.get(node.resolve_topic_name(topic), 0) > 0


def take(node: Node, topic: str, callback: OnArray) -> Inbox:
    """Get the arrays of a topic, in the node's executor."""
    inbox = Inbox(node, node.resolve_topic_name(topic), callback)
    with _lock:
        _inboxes.setdefault(node.resolve_topic_name(topic), []).append(inbox)
    return inbox
