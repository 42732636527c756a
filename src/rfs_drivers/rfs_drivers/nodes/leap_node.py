"""The LEAP hand driver node: finger targets in, the hand's state out. A lifecycle node.

    ros2 run rfs_drivers leap_node --ros-args -p port:=/dev/leap_hand
    ros2 run rfs_drivers leap_node --ros-args -p port:=/tmp/leap_hand -p autostart:=true     # emulated

configure opens the port, sets the servos up and reads: states are published from then on, torque is off.
activate brings torque on, softly, holding where the fingers are; targets are followed while they keep coming.
deactivate takes torque off, cleanup closes the port. After a fault the hand waits for `hand/recover`.
"""

from __future__ import annotations

import math
import time

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState

from rfs_core.errors import RfsError
from rfs_drivers import leap_table
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_driver import HandState, LeapDriver, Phase, Status
from rfs_drivers.nodes.driver_node import DriverNode, milliseconds
from rfs_drivers.servo_bus import UDEV_HINT, latency_timer
from rfs_ros.conversions import joint_state_msg, joint_values
from rfs_ros.qos import RELIABLE, STATES
from rfs_ros.run import exit_with, run_node
from rfs_ros.timing import ControlTime, control_clock, simulated


class LeapNode(DriverNode[LeapConfig, LeapDriver]):
    """Wires topics to LeapDriver; decides nothing itself. One thread: the bus has one owner."""

    device = "hand"
    target_topic = "hand/target"
    config_class = LeapConfig
    autostart_s = 1.0

    def __init__(self) -> None:
        super().__init__("leap_node")
        self._time = ControlTime(self)
        self._published = 0
        self._counted = (time.process_time(), 0)

        self._joint_states = self.create_publisher(JointState, "hand/joint_states", STATES)
        self.create_subscription(JointState, self.target_topic, self._on_target, RELIABLE)
        rate = self._config.rate if self._config is not None else 10.0
        self.create_timer(1.0 / rate, self._cycle, clock=control_clock(self))

    # The driver ------------------------------------------------------------------------------------------

    def connect(self, config: LeapConfig) -> tuple[LeapDriver, str]:
        """Open the port and set the servos up, torque off; states are published from then on."""
        driver = LeapDriver(config, self._log, self._on_state, clock=self._time.now, sleep=self._time.sleep)
        line = driver.connect()
        latency = latency_timer(config.port)
        if latency is not None and latency > 1:
            self.get_logger().warning(
                f"every read waits {latency} ms for the latency timer of {config.port}: {UDEV_HINT}"
            )
        return driver, line

    def begin(self, driver: LeapDriver) -> str:
        """Torque on, softly, holding where the fingers are."""
        return driver.enable()

    def end(self, driver: LeapDriver) -> str:
        """Torque off."""
        return driver.disable()

    def clear_fault(self, driver: LeapDriver) -> str:
        """Restart servos in error."""
        return driver.recover()

    def phase(self, driver: LeapDriver | None) -> str:
        """Of `LeapDriver`."""
        return (driver.phase if driver is not None else Phase.DISCONNECTED).value

    def report(self, driver: LeapDriver) -> tuple[bytes, str, dict[str, str]]:
        """From the driver's status."""
        status = driver.status
        return _level(status), status.reason or status.phase.value, _values(status)

    def address(self, config: LeapConfig) -> dict[str, str]:
        """Of the hand."""
        return {"port": config.port}

    def measured(self, duration: float) -> dict[str, str]:
        """Share of a core, and states a second."""
        cpu, published = time.process_time(), self._published
        cpu_then, published_then = self._counted
        self._counted = (cpu, published)
        return {
            "cpu_share_of_node": f"{(cpu - cpu_then) / duration:.3f}",
            "rate_hz": f"{(published - published_then) / duration:.1f}",
        }

    def may_start(self) -> bool:
        """Nobody would tend the servos before the first message on /clock."""
        return not simulated(self) or bool(self._time.now_ns())

    # Targets in, states out ------------------------------------------------------------------------------

    def _on_target(self, message: JointState) -> None:
        if self._driver is None or not self._active:
            return
        try:
            target = joint_values(message.name, message.position, leap_table.NAMES, self.target_topic)
        except RfsError as error:
            self.get_logger().warning(f"target refused: {error}", throttle_duration_sec=1.0)
            return
        refusal = self._driver.offer(target)
        if refusal:
            self.get_logger().warning(f"target refused: {refusal}", throttle_duration_sec=5.0)

    def _cycle(self) -> None:
        if self._driver is not None:
            self._driver.cycle()
        self._publish_phase()

    def _on_state(self, state: HandState) -> None:
        age_ns = int(max(self._time.now() - state.read_at, 0.0) * 1e9)
        stamp_ns = self.get_clock().now().nanoseconds - age_ns
        message = joint_state_msg(stamp_ns, leap_table.NAMES, state.position, state.velocity)
        message.effort = state.effort.tolist()
        self._joint_states.publish(message)
        self._published += 1


def _level(report: Status) -> bytes:
    if report.phase in (Phase.FAULT, Phase.DISCONNECTED):
        return bytes(DiagnosticStatus.ERROR)
    return bytes(DiagnosticStatus.WARN if report.reason else DiagnosticStatus.OK)


def _values(report: Status) -> dict[str, str]:
    return {
        "phase": report.phase.value,
        "state_age_ms": milliseconds(report.state_age),
        "target_age_ms": milliseconds(report.target_age),
        "cycle_ms_p99": milliseconds(report.cycle_p99),
        "exchange_ms_mean": milliseconds(report.exchange_mean),
        "failed_exchanges_of_last_60": str(report.failures),
        "failed_exchanges": str(report.failures_ever),
        "exchanges": str(report.cycles),
        "targets_accepted": str(report.accepted),
        "targets_refused": str(report.refused),
        "targets_clipped": str(report.clipped),
        "last_refusal": report.last_refusal,
        "holds": str(report.holds),
        "faults": str(report.faults),
        "connections": str(report.connections),
        "hottest_degc": report.hottest,
        "lowest_voltage": f"{report.voltage:.1f}" if math.isfinite(report.voltage) else "none",
    }


def main() -> None:
    """Entry point."""
    exit_with(run_node(LeapNode))


if __name__ == "__main__":
    main()
