"""A node in the test's process that listens, calls services and publishes what it should not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile

from rfs_ros.conversions import stamp_ns
from rfs_ros.qos import RELIABLE

DISCOVERED_S = 0.3
"""A new client knows its server before the server knows it, and the answer waits for that 0.1 s at most."""


class Probe:
    """Keeps every message of the topics it listens to, with the stamp where it has one."""

    def __init__(self, domain: int, namespace: str = "") -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("probe", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.messages: dict[str, list[Any]] = {}
        self._clients: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def listen(self, message_type: type, topic: str, qos: QoSProfile = RELIABLE) -> list[Any]:
        """The messages of a topic, growing while the test runs."""
        kept = self.messages.setdefault(topic, [])
        self.node.create_subscription(message_type, topic, kept.append, qos)
        return kept

    def publisher(self, message_type: type, topic: str) -> Any:
        """A publisher of small messages."""
        return self.node.create_publisher(message_type, topic, RELIABLE)

    def wait_until(self, condition: Callable[[], Any], what: str, timeout_s: float = 120.0) -> Any:
        """The first true value of `condition`; fails after the timeout, saying what was waited for.

        A condition on the last of messages of which none has been heard yet is not true yet.
        """

        def now() -> Any:
            try:
                return condition()
            except IndexError:
                return None

        deadline = time.monotonic() + timeout_s
        while not (value := now()):
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout_s} s: {what}")
            time.sleep(0.01)
        return value

    def call(self, service_type: type, service: str, timeout_s: float = 120.0, **fields: Any) -> Any:
        """Call a service and return its answer.

        One client for all calls: an answer to a client that the server has not discovered yet is lost, and a
        busy machine takes its time for that.
        """
        client = self._clients.get(service)
        if client is None:
            client = self._clients[service] = self.node.create_client(service_type, service)
            self.wait_until(client.service_is_ready, f"service {service}", timeout_s)
            time.sleep(DISCOVERED_S)
        self.wait_until(client.service_is_ready, f"service {service}", timeout_s)
        future = client.call_async(service_type.Request(**fields))
        self.wait_until(future.done, f"answer of {service}", timeout_s)
        return future.result()


def stamp(message: Any) -> int:
    """Stamp of a message with a header, ns."""
    return stamp_ns(message.header.stamp)
