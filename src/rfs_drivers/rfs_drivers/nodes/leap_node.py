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

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rfs_core.errors import ConfigError, RfsError
from rfs_drivers import leap_table
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_driver import HandState, LeapDriver, Phase, Status
from rfs_drivers.servo_bus import UDEV_HINT, latency_timer
from rfs_ros import connections, params
from rfs_ros.conversions import joint_state_msg, joint_values
from rfs_ros.lifecycle import LifecycleNode
from rfs_ros.run import exit_with, run_node
from rfs_ros.timing import ControlTime, control_clock, simulated

RELIABLE = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
STATES = QoSProfile(depth=50, reliability=QoSReliabilityPolicy.RELIABLE)
"""Half a second and more of states for a listener on a busy machine."""
LATCHED = QoSProfile(
    depth=1, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL
)

TARGET_TOPIC = "hand/target"

_AUTOSTART_S = 1.0


class LeapNode(LifecycleNode):
    """Wires topics to LeapDriver; decides nothing itself. One thread: the bus has one owner."""

    def __init__(self) -> None:
        super().__init__("leap_node")
        self._config: LeapConfig | None = None
        self._refusal = ""
        """Why this node cannot be configured at all."""
        self._last_failure = ""
        """Why it could not be configured the last time."""
        try:
            self._config = params.declare(self, LeapConfig)
            self._config.check()
        except ConfigError as error:
            self._refusal = str(error)
            self.get_logger().error(f"cannot be configured: {error}")
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._time = ControlTime(self)
        self._driver: LeapDriver | None = None
        self._active = False
        self._phase = ""
        self._published = 0
        self._measured = (time.monotonic(), time.process_time(), 0)

        self._joint_states = self.create_publisher(JointState, "hand/joint_states", STATES)
        self._driver_phase = self.create_publisher(String, "hand/driver_phase", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self.create_subscription(JointState, TARGET_TOPIC, self._on_target, RELIABLE)
        self.create_service(Trigger, "hand/recover", self.recover)
        rate = self._config.rate if self._config is not None else 10.0
        self.create_timer(1.0 / rate, self._cycle, clock=control_clock(self))
        self.create_timer(0.5, self._look_for_publishers, clock=self._steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        self._autostart = None
        if self._config is not None and self._config.autostart:
            self._autostart = self.create_timer(_AUTOSTART_S, self._start_by_itself, clock=self._steady)

    # Life cycle ------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the port and set the servos up, torque off; states are published from now on."""
        try:
            if self._config is None or self._refusal:
                raise ConfigError(self._refusal)
            driver = LeapDriver(
                self._config, self._log, self._on_state, clock=self._time.now, sleep=self._time.sleep
            )
            line = driver.connect()
        except RfsError as error:
            if isinstance(error, ConfigError):
                self._refusal = str(error)
            said, self._last_failure = self._last_failure, str(error)
            if self._autostart is None or self._refusal:
                self.get_logger().error(f"not configured: {error}")
            elif self._last_failure != said:
                self.get_logger().warning(f"not configured yet, trying again: {error}")
            self._publish_diagnostics()
            return TransitionCallbackReturn.FAILURE
        self._driver, self._last_failure = driver, ""
        self.get_logger().info(line)
        latency = latency_timer(self._config.port)
        if latency is not None and latency > 1:
            self.get_logger().warning(
                f"every read waits {latency} ms for the latency timer of {self._config.port}: {UDEV_HINT}"
            )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Torque on, holding where the fingers are."""
        assert self._driver is not None
        try:
            self.get_logger().info(self._driver.enable())
        except RfsError as error:
            self.get_logger().error(f"not activated: {error}")
            return TransitionCallbackReturn.FAILURE
        finally:
            self._publish_phase()
        self._active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Torque off."""
        self._active = False
        if self._driver is not None:
            self.get_logger().info(self._driver.disable())
        self._publish_phase()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the port."""
        self._close_driver()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The end."""
        self._close_driver()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition went wrong: the node is unconfigured, and nothing of the driver stays behind."""
        self._close_driver()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Torque off before the publishers go."""
        self._close_driver()
        super().destroy_node()

    def _close_driver(self) -> None:
        self._active = False
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _start_by_itself(self) -> None:
        assert self._autostart is not None
        if self._refusal:
            self._autostart.cancel()
            return
        if simulated(self) and not self._time.now_ns():
            return  # nobody would tend the servos before the first message on /clock
        if self._driver is None:
            self.trigger_configure()
        if self._driver is not None and not self._active:
            self.trigger_activate()
        if self._active:
            self._autostart.cancel()

    # Targets in, states out ------------------------------------------------------------------------------

    def _on_target(self, message: JointState) -> None:
        if self._driver is None or not self._active:
            return
        try:
            target = joint_values(message.name, message.position, leap_table.NAMES, TARGET_TOPIC)
        except RfsError as error:
            self.get_logger().warning(f"target refused: {error}", throttle_duration_sec=1.0)
            return
        refusal = self._driver.offer(target)
        if refusal:
            self.get_logger().warning(f"target refused: {refusal}", throttle_duration_sec=5.0)

    def _look_for_publishers(self) -> None:
        if self._driver is None:
            return
        publishers = self.get_publishers_info_by_topic(self.resolve_topic_name(TARGET_TOPIC))
        names = sorted(f"{p.node_namespace.rstrip('/')}/{p.node_name}" for p in publishers)
        reason = f"{len(names)} publishers on {TARGET_TOPIC} ({', '.join(names)}): stop all but one"
        self._driver.refuse_targets(reason if len(names) > 1 else "")

    def _cycle(self) -> None:
        if self._driver is not None:
            self._driver.cycle()
        self._publish_phase()

    def _publish_phase(self) -> None:
        phase = (self._driver.phase if self._driver is not None else Phase.DISCONNECTED).value
        if phase != self._phase:
            self._phase = phase
            self._driver_phase.publish(String(data=phase))
            self._publish_diagnostics()

    def _on_state(self, state: HandState) -> None:
        age_ns = int(max(self._time.now() - state.read_at, 0.0) * 1e9)
        stamp_ns = self.get_clock().now().nanoseconds - age_ns
        message = joint_state_msg(stamp_ns, leap_table.NAMES, state.position, state.velocity)
        message.effort = state.effort.tolist()
        self._joint_states.publish(message)
        self._published += 1

    def _publish_diagnostics(self) -> None:
        self._diagnostics.publish(self.diagnostics())

    def diagnostics(self) -> DiagnosticArray:
        """How the hand is, and why."""
        status = DiagnosticStatus(name=f"{self.get_fully_qualified_name().lstrip('/')}: hand")
        values: dict[str, str] = {"state": "unconfigured"}
        if self._refusal or self._driver is None:
            failed = self._refusal or self._last_failure
            status.level = DiagnosticStatus.ERROR if failed else DiagnosticStatus.WARN
            status.message = failed or "not configured"
        else:
            report = self._driver.status
            status.level, status.message = _level(report), report.reason or report.phase.value
            values = {"state": "active" if self._active else "inactive", **_values(report)}
        if self._config is not None:
            values["port"] = self._config.port
        now, cpu = time.monotonic(), time.process_time()
        then, cpu_then, published_then = self._measured
        if now > then + 0.5:
            values["cpu_share_of_node"] = f"{(cpu - cpu_then) / (now - then):.3f}"
            values["rate_hz"] = f"{(self._published - published_then) / (now - then):.1f}"
            self._measured = (now, cpu, self._published)
        values["refusal"] = self._refusal
        values[connections.KEY] = connections.report(self)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        return message

    # Services --------------------------------------------------------------------------------------------

    def recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Restart servos in error and clear the fault; the hand holds if this node is active."""
        try:
            if self._driver is None:
                raise RfsError("leap_node is not configured: configure it first")
            response.message, response.success = self._driver.recover(), True
        except RfsError as error:
            response.message, response.success = str(error), False
        self._publish_phase()  # whoever has the answer shall not go on with the phase of before
        self._log("info" if response.success else "warning", f"hand/recover: {response.message}")
        return response

    def _log(self, level: str, line: str) -> None:
        # rclpy remembers one severity per calling line: one line each.
        if level == "error":
            self.get_logger().error(line)
        elif level == "warning":
            self.get_logger().warning(line)
        else:
            self.get_logger().info(line)


def _level(report: Status) -> bytes:
    if report.phase in (Phase.FAULT, Phase.DISCONNECTED):
        return bytes(DiagnosticStatus.ERROR)
    return bytes(DiagnosticStatus.WARN if report.reason else DiagnosticStatus.OK)


def _values(report: Status) -> dict[str, str]:
    def milliseconds(seconds: float) -> str:
        return f"{seconds * 1e3:.1f}" if math.isfinite(seconds) else "none"

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
