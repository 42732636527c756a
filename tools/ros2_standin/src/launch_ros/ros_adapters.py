"""The ROS node with which a launch talks to lifecycle nodes."""

from __future__ import annotations

import contextlib
import os
import threading

import rclpy
from launch.event_handlers import OnShutdown
from launch.launch_context import LaunchContext
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


class ROSAdapter:
    """A node that spins in a thread of its own."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)
        self.ros_node: Node = rclpy.create_node(
            f"launch_ros_{os.getpid()}", context=self._context, start_parameter_services=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.ros_node)
        self._thread = threading.Thread(target=self._spin, name="launch_ros", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def shutdown(self) -> None:
        """Stop spinning and leave the graph."""
        if not self._context.ok():
            return
        rclpy.shutdown(context=self._context)
        self._thread.join()
        self.ros_node.destroy_node()


def get_ros_adapter(context: LaunchContext) -> ROSAdapter:
    """The adapter of this launch, made when first asked for; it ends with the launch."""
    adapter = context.get_locals_as_dict().get("ros_adapter")
    if adapter is None:
        adapter = ROSAdapter()
        context.extend_globals({"ros_adapter": adapter})
        context.register_event_handler(OnShutdown(on_shutdown=lambda event, context: adapter.shutdown()))
    return adapter


def get_ros_node(context: LaunchContext) -> Node:
    """The node of this launch."""
    return get_ros_adapter(context).ros_node
