"""What waits for a callback can be taken at once, and is not handed over a second time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from rfs_ros.waiting import taken


@pytest.fixture
def node() -> Iterator[Node]:
    rclpy.init(domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    made = rclpy.create_node("waiting")
    yield made
    made.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize("raw", [False, True])
def test_what_waits_is_taken_in_order_and_only_once(node: Node, raw: bool) -> None:
    called: list[object] = []
    subscription = node.create_subscription(String, "words", called.append, 10, raw=raw)
    publisher = node.create_publisher(String, "words", 10)
    patience = time.monotonic() + 60.0
    while not publisher.get_subscription_count() and time.monotonic() < patience:
        time.sleep(0.01)
    for word in ("one", "two", "three"):
        publisher.publish(String(data=word))
    got: list[object] = []
    while len(got) < 3 and time.monotonic() < patience:
        got += [message for message, _ in taken(subscription)]
        time.sleep(0.01)
    assert [type(message) for message in got] == [bytes if raw else String] * 3
    words = [message.decode("latin-1") if raw else message.data for message in got]
    assert all(word in words[i] for i, word in enumerate(("one", "two", "three")))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.spin_once(timeout_sec=0.1)
    executor.remove_node(node)
    assert called == []
    assert list(taken(subscription)) == []
