"""The Franka driver node: palm targets in, the arm's state out. A lifecycle node.

    ros2 run rfs_drivers franka_node --ros-args -p address:=172.16.0.2
    ros2 run rfs_drivers franka_node --ros-args -p address:=127.0.0.2 -p realtime:=ignore -p clock:=robot

configure connects and reads: states are published from then on. activate begins impedance control, holding
where the arm is; targets are followed while they keep coming. deactivate ends control, cleanup disconnects.
After a fault control stays off until `arm/recover`.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32, String
from std_srvs.srv import Trigger

from rfs_core import robot
from rfs_core.errors import ConfigError, RfsError
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_connection import RobotState, VendorError
from rfs_drivers.franka_driver import FrankaDriver, Phase, Status
from rfs_drivers.franka_faults import FATAL
from rfs_drivers.nodes.joint_motions import JointMotions
from rfs_drivers.robot_time import RobotTime
from rfs_ros import connections, params
from rfs_ros.conversions import (
    joint_state_msg,
    pose_from_msg,
    pose_stamped_msg,
    require_frame,
    stamp_msg,
)
from rfs_ros.lifecycle import LifecycleNode
from rfs_ros.run import exit_with, run_node

RELIABLE = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
STATES = QoSProfile(depth=50, reliability=QoSReliabilityPolicy.RELIABLE)
"""Half a second and more of states for a listener on a busy machine."""
LATCHED = QoSProfile(
    depth=1, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL
)

TARGET_TOPIC = "arm/target_pose"

_ANSWER_S = 12.0
"""Longest wait for the driver's answer to a transition or service: several watched calls in a row."""

_AUTOSTART_S = 2.0


class FrankaNode(LifecycleNode):
    """Wires topics to FrankaDriver; decides nothing itself."""

    def __init__(self) -> None:
        super().__init__("franka_node")
        self._config: FrankaConfig | None = None
        self._refusal = ""
        """Why this node cannot be configured at all."""
        self._last_failure = ""
        """Why it could not be configured the last time."""
        try:
            self._config = params.declare(self, FrankaConfig)
            self._config.check()
        except ConfigError as error:
            self._refusal = str(error)
            self.get_logger().error(f"cannot be configured: {error}")
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._driver: FrankaDriver | None = None
        self._active = False
        self._mode = ""
        self._robot_time: RobotTime | None = None
        """Where the robot's clock is the one that all follow."""
        self._phase = ""
        self._cpu = (time.monotonic(), time.process_time(), 0.0)

        self._joint_states = self.create_publisher(JointState, "arm/joint_states", STATES)
        self._current_pose = self.create_publisher(PoseStamped, "arm/current_pose", STATES)
        self._wrench = self.create_publisher(WrenchStamped, "arm/external_wrench", STATES)
        self._success_rate = self.create_publisher(Float32, "arm/control_success_rate", STATES)
        self._robot_mode = self.create_publisher(String, "arm/robot_mode", LATCHED)
        self._driver_phase = self.create_publisher(String, "arm/driver_phase", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self.create_subscription(PoseStamped, TARGET_TOPIC, self._on_target, RELIABLE)
        self.create_service(Trigger, "arm/recover", self.recover)
        self.create_service(Trigger, "arm/home", self._on_home)
        self._motions = JointMotions(self, self._steady, lambda: self._driver, self._publish_phase)
        self.create_timer(0.1, self._publish_phase, clock=self._steady)
        self.create_timer(0.5, self._look_for_publishers, clock=self._steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        self._autostart = None
        if self._config is not None and self._config.autostart:
            self._autostart = self.create_timer(_AUTOSTART_S, self._start_by_itself, clock=self._steady)

    # Life cycle ------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Connect to the robot; states are published from now on."""
        driver: FrankaDriver | None = None
        try:
            if self._config is None or self._refusal:
                raise ConfigError(self._refusal)
            self._robot_time = RobotTime() if self._config.clock == "robot" else None
            driver = FrankaDriver(self._config, self._log, self._on_state)
            driver.start()
            line = _answer(driver.connect())
        except RfsError as error:
            if driver is not None:
                driver.close()
            if isinstance(error, ConfigError) or (
                isinstance(error, VendorError) and error.fault.cause in FATAL
            ):
                self._refusal = str(error)
            said, self._last_failure = self._last_failure, str(error)
            if self._autostart is None or self._refusal:
                self.get_logger().error(f"not configured: {error}")
            elif self._last_failure != said:
                self.get_logger().warning(f"not configured yet, trying again: {error}")
            self._publish_diagnostics()
            return TransitionCallbackReturn.FAILURE
        self._driver = driver
        self._last_failure = ""
        self.get_logger().info(line)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin impedance control, holding where the arm is."""
        assert self._driver is not None
        try:
            self.get_logger().info(_answer(self._driver.enable()))
        except RfsError as error:
            self.get_logger().error(f"not activated: {error}")
            return TransitionCallbackReturn.FAILURE
        finally:
            self._publish_phase()
        self._active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End control."""
        self._active = False
        if self._driver is not None:
            self.get_logger().info(_answer(self._driver.disable()))
        self._publish_phase()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Disconnect."""
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
        """End control before the publishers go."""
        self._close_driver()
        self._motions.destroy()
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
        if self._driver is None:
            self.trigger_configure()
        if self._driver is not None and not self._active:
            self.trigger_activate()
        if self._active:
            self._autostart.cancel()

    # Targets in ------------------------------------------------------------------------------------------

    def _on_target(self, message: PoseStamped) -> None:
        if self._driver is None or not self._active:
            return
        try:
            require_frame(message.header.frame_id, robot.BASE_FRAME, TARGET_TOPIC)
            target = pose_from_msg(message.pose, TARGET_TOPIC)
        except RfsError as error:
            self.get_logger().warning(f"target refused: {error}", throttle_duration_sec=1.0)
            return
        self._driver.offer(target)

    def _look_for_publishers(self) -> None:
        if self._driver is None:
            return
        publishers = self.get_publishers_info_by_topic(self.resolve_topic_name(TARGET_TOPIC))
        names = sorted(f"{p.node_namespace.rstrip('/')}/{p.node_name}" for p in publishers)
        reason = f"{len(names)} publishers on {TARGET_TOPIC} ({', '.join(names)}): stop all but one"
        self._driver.refuse_targets(reason if len(names) > 1 else "")

    # State out -------------------------------------------------------------------------------------------

    def _on_state(self, state: RobotState) -> None:
        """Publish a new state; runs in the driver's thread."""
        age_ns = int(max(time.monotonic() - state.read_at, 0.0) * 1e9)
        stamp_ns = self.get_clock().now().nanoseconds - age_ns
        if self._robot_time is not None:
            stamp_ns = self._robot_time.to_ros(state.robot_time, stamp_ns)
        joints = joint_state_msg(stamp_ns, robot.ARM_JOINT_NAMES, state.q, state.dq)
        joints.effort = state.tau.tolist()
        self._joint_states.publish(joints)
        self._current_pose.publish(pose_stamped_msg(stamp_ns, robot.BASE_FRAME, state.palm))
        wrench = WrenchStamped()
        wrench.header.stamp = stamp_msg(stamp_ns)
        wrench.header.frame_id = robot.BASE_FRAME
        force, torque = wrench.wrench.force, wrench.wrench.torque
        force.x, force.y, force.z, torque.x, torque.y, torque.z = state.wrench.tolist()
        self._wrench.publish(wrench)
        self._success_rate.publish(Float32(data=state.success_rate))
        if state.mode != self._mode:
            self._mode = state.mode
            self._robot_mode.publish(String(data=state.mode))

    def _publish_phase(self) -> None:
        phase = self._driver.status.phase.value if self._driver is not None else Phase.DISCONNECTED.value
        if phase != self._phase:
            self._phase = phase
            self._driver_phase.publish(String(data=phase))
            self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        status = DiagnosticStatus(name=f"{self.get_fully_qualified_name().lstrip('/')}: arm")
        values: dict[str, str] = {"state": "unconfigured"}
        if self._refusal or self._driver is None:
            status.level = (
                DiagnosticStatus.ERROR if self._refusal or self._last_failure else DiagnosticStatus.WARN
            )
            status.message = self._refusal or self._last_failure or "not configured"
        else:
            report = self._driver.status
            status.level, status.message = _level(report), report.reason or report.phase.value
            values = {"state": "active" if self._active else "inactive", **_values(report)}
        if self._config is not None:
            values["address"] = self._config.address
        now, cpu = time.monotonic(), time.process_time()
        library = self._driver.library_cpu if self._driver is not None else 0.0
        then, cpu_then, library_then = self._cpu
        if now > then + 0.5:
            of_library = max(library - library_then, 0.0)
            values["cpu_share_of_library"] = f"{of_library / (now - then):.3f}"
            values["cpu_share_of_node"] = f"{(cpu - cpu_then - of_library) / (now - then):.3f}"
            self._cpu = (now, cpu, library)
        values["refusal"] = self._refusal
        values[connections.KEY] = connections.report(self)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    # Services --------------------------------------------------------------------------------------------

    def recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Clear a fault; control goes on, holding, if this node is active."""
        self._carry_out(lambda driver: driver.recover(), response)
        self._log("info" if response.success else "warning", f"arm/recover: {response.message}")
        return response

    def _on_home(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Begin moving home; arm/driver_phase leaves 'moving' when it is over."""

        def begin(driver: FrankaDriver) -> Future[str]:
            finished = driver.home()
            began: Future[str] = Future()
            deadline = time.monotonic() + _ANSWER_S
            while (
                not finished.done()
                and driver.status.phase is not Phase.MOVING
                and time.monotonic() < deadline
            ):
                time.sleep(0.005)
            if finished.done():
                return finished
            finished.add_done_callback(self._report_home)
            began.set_result("moving home")
            return began

        return self._carry_out(begin, response)

    def _report_home(self, finished: Future[str]) -> None:
        error = finished.exception()
        if error is not None:
            self._log("error", f"arm/home: {error}")
        else:
            self._log("info", f"arm/home: {finished.result()}")

    def _carry_out(self, action: object, response: Trigger.Response) -> Trigger.Response:
        try:
            if self._driver is None:
                raise RfsError("franka_node is not configured: configure it first")
            response.message = _answer(action(self._driver))  # type: ignore[operator]
            response.success = True
        except RfsError as error:
            response.message, response.success = str(error), False
        self._publish_phase()  # whoever has the answer shall not go on with the phase of before
        return response

    def _log(self, level: str, line: str) -> None:
        # rclpy remembers one severity per calling line: one line each.
        if level == "error":
            self.get_logger().error(line)
        elif level == "warning":
            self.get_logger().warning(line)
        else:
            self.get_logger().info(line)


def _answer(future: Future[str]) -> str:
    try:
        return future.result(_ANSWER_S)
    except FutureTimeoutError as error:
        raise RfsError(f"the driver did not answer within {_ANSWER_S:.0f} s: see /diagnostics") from error


def _level(report: Status) -> bytes:
    if report.phase in (Phase.FAULT, Phase.FAILED, Phase.DISCONNECTED):
        return bytes(DiagnosticStatus.ERROR)
    return bytes(DiagnosticStatus.WARN if report.reason else DiagnosticStatus.OK)


def _values(report: Status) -> dict[str, str]:
    def milliseconds(seconds: float) -> str:
        return f"{seconds * 1e3:.1f}" if np.isfinite(seconds) else "none"

    return {
        "phase": report.phase.value,
        "robot_mode": report.mode,
        "state_age_ms": milliseconds(report.state_age),
        "control_success_rate": f"{report.success_rate:.3f}",
        "target_age_ms": milliseconds(report.target_age),
        "target_period_ms": milliseconds(report.target_period),
        "target_jitter_ms": milliseconds(report.target_jitter),
        "cycle_ms_p99": milliseconds(report.cycle_p99),
        "targets_accepted": str(report.accepted),
        "targets_refused": str(report.refused),
        "targets_limited": str(report.clipped),
        "last_refusal": report.last_refusal,
        "holds": str(report.holds),
        "faults": str(report.faults),
        "connections": str(report.connections),
    }


def main() -> None:
    """Entry point."""
    exit_with(run_node(FrankaNode))


if __name__ == "__main__":
    main()
