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

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, WrenchStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32, String
from std_srvs.srv import Trigger

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_connection import RobotState, VendorError
from rfs_drivers.franka_driver import FrankaDriver, Phase, Status
from rfs_drivers.franka_faults import FATAL
from rfs_drivers.nodes.driver_node import DriverNode, milliseconds
from rfs_drivers.nodes.joint_motions import JointMotions
from rfs_drivers.robot_time import RobotTime
from rfs_ros.conversions import (
    joint_state_msg,
    pose_from_msg,
    pose_stamped_msg,
    require_frame,
    stamp_msg,
)
from rfs_ros.qos import LATCHED, RELIABLE, STATES
from rfs_ros.run import exit_with, run_node

_ANSWER_S = 12.0
"""Longest wait for the driver's answer to a transition or service: several watched calls in a row."""
_WAITS = "does not start by itself after a user stop or a reflex: call arm/recover"


class FrankaNode(DriverNode[FrankaConfig, FrankaDriver]):
    """Wires topics to FrankaDriver; decides nothing itself."""

    device = "arm"
    target_topic = "arm/target_pose"
    config_class = FrankaConfig
    autostart_s = 2.0

    def __init__(self) -> None:
        super().__init__("franka_node")
        self._mode = ""
        self._robot_time: RobotTime | None = None
        """Where the robot's clock is the one that all follow."""
        self._cpu = (time.process_time(), 0.0)
        self._said_that_it_waits = False

        self._joint_states = self.create_publisher(JointState, "arm/joint_states", STATES)
        self._current_pose = self.create_publisher(PoseStamped, "arm/current_pose", STATES)
        self._wrench = self.create_publisher(WrenchStamped, "arm/external_wrench", STATES)
        self._success_rate = self.create_publisher(Float32, "arm/control_success_rate", STATES)
        self._robot_mode = self.create_publisher(String, "arm/robot_mode", LATCHED)
        self.create_subscription(PoseStamped, self.target_topic, self._on_target, RELIABLE)
        self.create_service(Trigger, "arm/home", self._on_home)
        self._motions = JointMotions(self, self._steady, lambda: self._driver, self._publish_phase)
        self.create_timer(0.1, self._publish_phase, clock=self._steady)

    # The driver ------------------------------------------------------------------------------------------

    def connect(self, config: FrankaConfig) -> tuple[FrankaDriver, str]:
        """Connect to the robot; its states are published from then on."""
        self._robot_time = RobotTime() if config.clock == "robot" else None
        driver = FrankaDriver(config, self._log, self._on_state)
        driver.start()
        try:
            return driver, _answer(driver.connect())
        except RfsError:
            driver.close()
            raise

    def is_final(self, error: RfsError) -> bool:
        """A wrong configuration, or a robot that this driver cannot talk to."""
        return super().is_final(error) or (isinstance(error, VendorError) and error.fault.cause in FATAL)

    def may_start(self) -> bool:
        """Not after a user stop or a reflex: releasing the stop shall not start anything."""
        waits = self._driver is not None and self._driver.waits_for_a_person
        if waits and not self._said_that_it_waits:
            self.get_logger().warning(_WAITS)
        self._said_that_it_waits = waits
        return not waits

    def begin(self, driver: FrankaDriver) -> str:
        """Begin impedance control, holding where the arm is."""
        return _answer(driver.enable())

    def end(self, driver: FrankaDriver) -> str:
        """End control."""
        return _answer(driver.disable())

    def clear_fault(self, driver: FrankaDriver) -> str:
        """Up the recovery ladder."""
        return _answer(driver.recover())

    def phase(self, driver: FrankaDriver | None) -> str:
        """Of `FrankaDriver`."""
        return (driver.status.phase if driver is not None else Phase.DISCONNECTED).value

    def report(self, driver: FrankaDriver) -> tuple[bytes, str, dict[str, str]]:
        """From the driver's status."""
        status = driver.status
        idle = _WAITS if self._said_that_it_waits and status.phase is Phase.READY else status.phase.value
        return _level(status), status.reason or idle, _values(status)

    def address(self, config: FrankaConfig) -> dict[str, str]:
        """Of the robot."""
        return {"address": config.address}

    def measured(self, duration: float) -> dict[str, str]:
        """Shares of a core: of libfranka's thread, and of everything else here."""
        cpu, library = time.process_time(), self._driver.library_cpu if self._driver is not None else 0.0
        cpu_then, library_then = self._cpu
        self._cpu = (cpu, library)
        of_library = max(library - library_then, 0.0)
        return {
            "cpu_share_of_library": f"{of_library / duration:.3f}",
            "cpu_share_of_node": f"{(cpu - cpu_then - of_library) / duration:.3f}",
        }

    def destroy_node(self) -> None:
        """End control before the publishers go."""
        self._close_driver()
        self._motions.destroy()
        super().destroy_node()

    # Targets in ------------------------------------------------------------------------------------------

    def _on_target(self, message: PoseStamped) -> None:
        if self._driver is None or not self._active:
            return
        try:
            require_frame(message.header.frame_id, robot.BASE_FRAME, self.target_topic)
            target = pose_from_msg(message.pose, self.target_topic)
        except RfsError as error:
            self.get_logger().warning(f"target refused: {error}", throttle_duration_sec=1.0)
            return
        self._driver.offer(target)

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

    # Homing -------------------------------------------------------------------------------------------

    def _on_home(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Begin moving home; arm/driver_phase leaves 'moving' when it is over."""

        def begin(driver: FrankaDriver) -> str:
            finished = driver.home()
            deadline = time.monotonic() + _ANSWER_S
            while (
                not finished.done()
                and driver.status.phase is not Phase.MOVING
                and time.monotonic() < deadline
            ):
                time.sleep(0.005)
            if finished.done():
                return _answer(finished)
            finished.add_done_callback(self._report_home)
            return "moving home"

        return self._carry_out(begin, response)

    def _report_home(self, finished: Future[str]) -> None:
        error = finished.exception()
        if error is not None:
            self._log("error", f"arm/home: {error}")
        else:
            self._log("info", f"arm/home: {finished.result()}")


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
