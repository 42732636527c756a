"""The command gate: the only publisher that the drivers, or the simulation, listen to.

    ros2 run rfs_control gate_node --ros-args -p tick_source:=timer
    ros2 service call /safety/stop std_srvs/srv/Trigger

What it lets through and why is decided in `rfs_core.gate`; this node turns messages into its events and its
commands into messages.

Subscribes: arm/joint_states, arm/current_pose, hand/joint_states, policy/action, correction/residual
Publishes:  arm/target_pose, hand/target, safety/state (latched), /diagnostics
Serves:     safety/stop, safety/recover, and safety/arm as soon as the robot has been heard
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.service import Service
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_core.gate import WATCH_S, Action, Command, Correction, Gate, GateConfig, Mode, Now, Reply
from rfs_msgs.msg import Correction as CorrectionMsg
from rfs_msgs.msg import PolicyAction, SafetyState
from rfs_ros import connections, conversions, params
from rfs_ros.conversions import stamp_msg, stamp_ns
from rfs_ros.qos import LATCHED, RELIABLE
from rfs_ros.run import exit_with, run_node
from rfs_ros.timing import ControlTime, control_clock
from rfs_ros.waiting import taken

_DIAGNOSE_S = 1.0


class GateNode(Node):
    """Wires topics to `rfs_core.gate.Gate`; decides nothing itself."""

    def __init__(self, **options: Any) -> None:
        """Args: options: of rclpy's Node, such as parameter_overrides."""
        super().__init__("gate_node", **options)
        self.config = params.declare(self, GateConfig)
        self.gate = Gate(self.config)
        # A simulation that waits for the gate must not silence it: its clock is watched on the wall.
        by_timer = self.config.tick_source == "timer"
        self._time = ControlTime(self) if by_timer else None
        self._arm: Service | None = None
        self._said: tuple[Any, ...] = ()
        self._counted = (time.monotonic(), 0, 0)

        self._safety = self.create_publisher(SafetyState, "safety/state", LATCHED)
        self._arm_target = self.create_publisher(PoseStamped, "arm/target_pose", RELIABLE)
        self._hand_target = self.create_publisher(JointState, "hand/target", RELIABLE)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)

        self._states = [
            self.create_subscription(JointState, "arm/joint_states", self._on_arm, RELIABLE),
            self.create_subscription(PoseStamped, "arm/current_pose", self._on_palm, RELIABLE),
            self.create_subscription(JointState, "hand/joint_states", self._on_hand, RELIABLE),
        ]
        self._actions = self.create_subscription(PolicyAction, "policy/action", self._on_action, RELIABLE)
        self.create_subscription(CorrectionMsg, "correction/residual", self._on_correction, RELIABLE)

        self.create_service(Trigger, "safety/stop", lambda _, answer: self._answer(self.gate.stop, answer))
        self.create_service(
            Trigger, "safety/recover", lambda _, answer: self._answer(self.gate.recover, answer)
        )

        steady = Clock(clock_type=ClockType.STEADY_TIME)
        ticks = control_clock(self) if by_timer else steady
        self._grid = self.create_timer(self.gate.spec.control_dt, self._on_tick, clock=ticks)
        if by_timer:
            self.create_timer(WATCH_S, self._on_watch, clock=ticks)
        self.create_timer(_DIAGNOSE_S, self._diagnose, clock=steady)
        self._report()

    def _now(self) -> Now:
        steady_ns = time.monotonic_ns() if self._time is None else self._time.now_ns()
        return Now(steady_ns, self.get_clock().now().nanoseconds)

    # The measured robot

    def _take_states(self) -> None:
        """Every state that has arrived: it is judged by age, and this process may have been kept waiting."""
        for subscription in self._states if self._time is not None else ():
            for message, _ in taken(subscription):
                subscription.callback(message)

    def _on_arm(self, message: JointState) -> None:
        self._on_joints(message, "arm/joint_states", robot.ARM_JOINT_NAMES, self.gate.arm_state)

    def _on_hand(self, message: JointState) -> None:
        self._on_joints(message, "hand/joint_states", robot.HAND_JOINT_NAMES, self.gate.hand_state)

    def _on_joints(
        self, message: JointState, topic: str, names: tuple[str, ...], event: Callable[..., list[Command]]
    ) -> None:
        now = self._now()
        try:
            position = conversions.joint_values(message.name, message.position, names, topic)
        except RfsError as error:
            self._send(self.gate.refuse_state(str(error), now))
        else:
            self._send(event(stamp_ns(message.header.stamp), position, now))

    def _on_palm(self, message: PoseStamped) -> None:
        now, topic = self._now(), "arm/current_pose"
        try:
            conversions.require_frame(message.header.frame_id, robot.BASE_FRAME, topic)
            pose = conversions.pose_from_msg(message.pose, topic)
        except RfsError as error:
            self._send(self.gate.refuse_state(str(error), now))
        else:
            self._send(self.gate.palm_state(stamp_ns(message.header.stamp), pose, now))

    # The policy and the human

    def _on_action(self, message: PolicyAction) -> None:
        self._take_states()
        now = self._now()
        try:
            conversions.require_frame(message.header.frame_id, robot.BASE_FRAME, "policy/action")
        except RfsError as error:
            self._send(self.gate.refuse_action(str(error), now))
        else:
            clipped = self.gate.statistics.residuals_clipped
            self._between_ticks(lambda: self.gate.policy_action(_action(message), now))
            if self.gate.statistics.residuals_clipped > clipped and not clipped:
                self.get_logger().warning(
                    f"the residual of {message.checkpoint_id} is beyond this gate's bounds and is clipped "
                    "(residual_position, residual_rotation, residual_hand): it does not act as it was "
                    "trained; how often is on /diagnostics (residuals_clipped)"
                )

    def _on_correction(self, message: CorrectionMsg) -> None:
        now = self._now()
        try:
            conversions.require_frame(message.header.frame_id, robot.BASE_FRAME, "correction/residual")
        except RfsError as error:
            self.gate.refuse_correction()
            self.get_logger().warning(f"correction refused: {error}", throttle_duration_sec=1.0)
        else:
            residual = np.asarray(message.residual, dtype=np.float64)
            self.gate.correction(Correction(stamp_ns(message.header.stamp), residual, message.engaged), now)

    # Time and the graph

    def _on_watch(self) -> None:
        self._take_states()
        self._between_ticks(lambda: self.gate.watch(self._now()))

    def _on_tick(self) -> None:
        self._count_publishers()
        self._take_states()
        self._send(self.gate.tick(self._now()))
        if self._arm is None and not self.gate.state_problem(self._now()):
            # Not earlier: whoever waits for the service does not call it before the robot can be armed.
            self._arm = self.create_service(
                Trigger, "safety/arm", lambda _, answer: self._answer(self.gate.arm, answer)
            )

    def _between_ticks(self, event: Callable[[], list[Command]]) -> None:
        """An event that may be a tick by itself: with a timer, the next one is due a control step later."""
        ticks = self.gate.statistics.ticks
        self._send(event())
        if self._time is not None and self.gate.statistics.ticks != ticks:
            self._grid.reset()

    def _count_publishers(self) -> None:
        commanders = max(self.count_publishers(p.topic_name) for p in (self._arm_target, self._hand_target))
        policies = self.count_publishers(self._actions.topic_name)
        self._send(self.gate.publishers(policies, commanders, self._now()))

    # The operator

    def _answer(self, request: Callable[[Now], Reply], response: Trigger.Response) -> Trigger.Response:
        # Who commands besides this gate, and whether there is one policy, is looked at now.
        self._count_publishers()
        self._take_states()
        reply = request(self._now())
        self._report()
        response.success, response.message = reply.success, reply.message
        return response

    # What goes out

    def _send(self, commands: list[Command]) -> None:
        for command in commands:
            self._arm_target.publish(
                conversions.pose_stamped_msg(command.stamp_ns, robot.BASE_FRAME, command.palm)
            )
            self._hand_target.publish(
                conversions.joint_state_msg(command.stamp_ns, robot.HAND_JOINT_NAMES, command.hand)
            )
        self._report()

    def _report(self) -> None:
        """Publish and log what is new about mode and refusals."""
        status, counts = self.gate.status, self.gate.statistics
        say = (status, counts.holds, counts.refused)
        if say == self._said:
            return
        new_mode = not self._said or self._said[0] != status
        self._said = say
        message = SafetyState(
            mode=int(status.mode),
            reason=status.reason,
            since=stamp_msg(status.since_ns),
            holds=counts.holds,
            refused=counts.refused,
            last_refusal=counts.last_refusal,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._safety.publish(message)
        line = f"{status.mode.name}: {status.reason}"
        if not new_mode:
            self.get_logger().warning(f"action refused: {counts.last_refusal}", throttle_duration_sec=1.0)
        elif status.mode is Mode.FAULT:
            self.get_logger().error(line)
        elif status.mode is Mode.HOLD:
            self.get_logger().warning(line)
        else:
            self.get_logger().debug(line)

    def _diagnose(self) -> None:
        """Publish counters, rates and ages on /diagnostics."""
        status, counts = self.gate.status, self.gate.statistics
        before_s, commands, accepted = self._counted
        self._counted = (time.monotonic(), counts.commands, counts.accepted)
        elapsed_s = max(self._counted[0] - before_s, 1e-3)
        age_ns = self.gate.observation_age_ns()
        values = {
            "mode": status.mode.name,
            "holds": counts.holds,
            "faults": counts.faults,
            "refused": counts.refused,
            "last_refusal": counts.last_refusal,
            "accepted": counts.accepted,
            "residuals_clipped": counts.residuals_clipped,
            "ignored": counts.ignored,
            "starved_ticks": counts.starved,
            "refused_states": counts.refused_states,
            "last_state_refusal": counts.last_state_refusal,
            "refused_corrections": counts.refused_corrections,
            "ticks": counts.ticks,
            "commands": counts.commands,
            "commands_per_wall_s": f"{(counts.commands - commands) / elapsed_s:.1f}",
            "actions_per_wall_s": f"{(counts.accepted - accepted) / elapsed_s:.1f}",
            "observation_age_ms": "" if age_ns is None else f"{age_ns / 1e6:.1f}",
            connections.KEY: connections.report(self),
        }
        levels = {Mode.HOLD: DiagnosticStatus.WARN, Mode.FAULT: DiagnosticStatus.ERROR}
        diagnostic = DiagnosticStatus(
            name=f"{self.get_fully_qualified_name().lstrip('/')}: command gate",
            level=levels.get(status.mode, DiagnosticStatus.OK),
            message=f"{status.mode.name}: {status.reason}",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[diagnostic])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def _action(message: PolicyAction) -> Action:
    """The message as the gate takes it; nothing is checked here."""
    names = ("a_0", "a_b", "a_r", "a")
    arrays = {name: np.asarray(getattr(message, name), dtype=np.float64) for name in names}
    return Action(
        observation_stamp_ns=stamp_ns(message.observation_stamp),
        publisher=message.publisher,
        sequence=message.sequence,
        episode=message.episode,
        checkpoint_id=message.checkpoint_id,
        horizon=message.horizon,
        dimension=message.dimension,
        step_dt=message.step_dt,
        **arrays,
    )


def main() -> None:
    """Entry point."""
    exit_with(run_node(GateNode))
