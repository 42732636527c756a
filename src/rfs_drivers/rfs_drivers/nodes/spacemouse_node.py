"""The SpaceMouse driver: the cap's deflections and the buttons, for as long as the device is there.

    ros2 run rfs_drivers spacemouse_node
    ros2 launch rfs_bringup collect_corrections.launch.py device:=spacemouse

Publishes spacemouse/joy (six axes as in REP 103, then the buttons) at a fixed rate while the device is open,
and nothing when it is not: whoever listens knows silence from rest. Opens the device again when it is back.

Publishes:  spacemouse/joy, /diagnostics
"""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Joy

from rfs_drivers.spacemouse import SpaceMouse, SpaceMouseConfig, SpaceMouseError
from rfs_ros import connections, params
from rfs_ros.qos import RELIABLE
from rfs_ros.run import exit_with, run_node

_DIAGNOSE_S = 1.0


class SpaceMouseNode(Node):
    """Wires `rfs_drivers.spacemouse` to a topic."""

    def __init__(self, **options: Any) -> None:
        """Args: options: of rclpy's Node, such as parameter_overrides."""
        super().__init__("spacemouse_node", **options)
        self.config = params.declare(self, SpaceMouseConfig)
        self._mouse: SpaceMouse | None = None
        self._problem = "not opened yet"
        self._next_attempt_s = 0.0
        self._opened = self._lost = self._counted = 0
        self._joy = self.create_publisher(Joy, "spacemouse/joy", RELIABLE)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self.config.rate_hz, self._on_tick, clock=steady)
        self.create_timer(_DIAGNOSE_S, self._diagnose, clock=steady)

    def _on_tick(self) -> None:
        now_s = time.monotonic()
        if self._mouse is None and now_s >= self._next_attempt_s:
            self._open(now_s)
        if self._mouse is None:
            return
        try:
            push = self._mouse.poll(now_s)
        except SpaceMouseError as error:
            self._mouse, self._problem, self._lost = None, str(error), self._lost + 1
            self._next_attempt_s = now_s + self.config.reopen_s
            self.get_logger().error(self._problem)
            self._diagnose()
            return
        message = Joy(axes=push.axes.tolist(), buttons=[int(button) for button in push.buttons])
        message.header.stamp = self.get_clock().now().to_msg()
        self._joy.publish(message)

    def _open(self, now_s: float) -> None:
        self._next_attempt_s = now_s + self.config.reopen_s
        try:
            self._mouse = SpaceMouse(self.config)
        except SpaceMouseError as error:
            if str(error) != self._problem:
                self.get_logger().warning(str(error))
            self._problem = str(error)
            return
        self._problem, self._counted = "", 0
        self._opened += 1
        self.get_logger().info(f"{self._mouse.name} is open")

    def _diagnose(self) -> None:
        taken = self._mouse.reports if self._mouse is not None else 0
        values = {
            "device": self._mouse.name if self._mouse is not None else "",
            "reports_per_s": f"{max(taken - self._counted, 0) / _DIAGNOSE_S:.0f}",
            "opened": self._opened,
            "lost": self._lost,
            connections.KEY: connections.report(self),
        }
        self._counted = taken
        status = DiagnosticStatus(
            name=f"{self.get_fully_qualified_name().lstrip('/')}: SpaceMouse",
            level=DiagnosticStatus.ERROR if self._problem else DiagnosticStatus.OK,
            message=self._problem or "open",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def destroy_node(self) -> None:
        """Let go of the device, then the node."""
        if self._mouse is not None:
            self._mouse.close()
        super().destroy_node()


def main() -> None:
    """Entry point."""
    exit_with(run_node(SpaceMouseNode))
