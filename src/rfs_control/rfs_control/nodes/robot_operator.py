"""The person beside the robot, as a node: nothing is in control before a checklist was confirmed by typing.

    ros2 launch rfs_bringup deploy.launch.py robot:=real robot_file:=fr3_leap     # starts it
    ros2 run rfs_control confirm_robot                                            # asks, on a terminal

It connects the drivers, which moves nothing. Once ARM was typed it brings them into control, holding. Every
episode waits for NEXT, after the object was put in place. A driver that leaves control takes the
confirmation with it; nothing here recovers a driver or arms the gate.

Subscribes: arm/driver_phase, hand/driver_phase
Publishes:  /diagnostics
Serves:     robot/confirm, sim/reset (what begins an episode; named as in simulation)
Calls:      franka_node and leap_node: get_state, change_state; arm/home
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rfs_control.operator_steps import ARM_WORD, Operator, OperatorConfig, Stage
from rfs_core import tasks
from rfs_core.errors import RfsError
from rfs_msgs.srv import Confirm, ResetWorld
from rfs_ros import connections, params
from rfs_ros.conversions import NS_PER_S, stamp_msg
from rfs_ros.qos import LATCHED, RELIABLE
from rfs_ros.run import exit_with, run_node
from rfs_ros.timing import pause

DRIVERS = {"arm": "franka_node", "hand": "leap_node"}
IN_CONTROL = ("holding", "following", "moving")
_LOOK_S = 0.1
_PHASE_S = 0.5
_CONNECT_S = 2.0
_HOME_S = 90.0
_BEGIN_S = 2.0


class Refused(RfsError):
    """A driver did not do what it was asked."""


class RobotOperator(Node):
    """Wires services to `rfs_control.operator_steps.Operator`; decides nothing itself."""

    def __init__(self) -> None:
        super().__init__("robot_operator")
        self.config = params.declare(self, OperatorConfig)
        self.task = tasks.load(self.config.task)
        self.operator = Operator(self.config)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._phases = dict.fromkeys(DRIVERS, "not seen")
        self._begun_at = 0.0
        self._connecting = False
        self._placed: Future | None = None
        group = ReentrantCallbackGroup()
        self._get = {p: self.create_client(GetState, f"{n}/get_state", callback_group=group)
                     for p, n in DRIVERS.items()}  # fmt: skip
        self._set = {p: self.create_client(ChangeState, f"{n}/change_state", callback_group=group)
                     for p, n in DRIVERS.items()}  # fmt: skip
        self._home = self.create_client(Trigger, "arm/home", callback_group=group)
        for part in DRIVERS:
            self.create_subscription(
                String, f"{part}/driver_phase", lambda m, part=part: self._on_phase(part, m.data), LATCHED
            )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self.create_service(Confirm, "robot/confirm", self._on_confirm, callback_group=group)
        self.create_service(ResetWorld, "sim/reset", self._on_reset, callback_group=group)
        self.create_timer(_LOOK_S, self._look, clock=self._steady)
        self.create_timer(_CONNECT_S, self._connect, callback_group=group, clock=self._steady)
        self.create_timer(1.0, self._diagnose, clock=self._steady)
        self.get_logger().warning("nothing is in control until you run: ros2 run rfs_control confirm_robot")

    # What is known of the drivers

    def _on_phase(self, part: str, phase: str) -> None:
        self._phases[part] = phase

    def _obstacle(self, wanted: Sequence[str]) -> str:
        wrong = [f"{DRIVERS[part]} is {phase}" for part, phase in self._phases.items() if phase not in wanted]
        return ", ".join(wrong)

    def _look(self) -> None:
        now = time.monotonic()
        # Taking control takes a moment; what is seen meanwhile is from before.
        obstacle = "" if now - self._begun_at < _BEGIN_S else self._obstacle(IN_CONTROL)
        if self.operator.look(now, obstacle):
            self.get_logger().error(f"the confirmation is lost: {self.operator.reason}")
            if self._placed is not None:
                self._placed.cancel()

    async def _connect(self) -> None:
        """Configure drivers that are not: this connects and reads, and moves nothing."""
        if self._connecting:
            return
        self._connecting = True
        try:
            for part, client in self._get.items():
                if not client.service_is_ready():
                    continue
                state = (await client.call_async(GetState.Request())).current_state
                if state.id == State.PRIMARY_STATE_UNCONFIGURED:
                    await self._transition(part, Transition.TRANSITION_CONFIGURE)
        finally:
            self._connecting = False

    async def _transition(self, part: str, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool((await self._set[part].call_async(request)).success)

    # What the person says

    async def _on_confirm(self, request: Confirm.Request, response: Confirm.Response) -> Confirm.Response:
        was = self.operator.stage
        wanted = ("ready", *IN_CONTROL) if was is Stage.UNCONFIRMED else IN_CONTROL
        if request.word:
            taken, response.message = self.operator.word(
                request.word, time.monotonic(), self._obstacle(wanted)
            )
            response.success = taken
            if taken and was is Stage.UNCONFIRMED:
                response.success, response.message = await self._take_control()
            elif taken and self._placed is not None:
                self._placed.set_result(True)
        else:
            response.message = self.operator.message
        response.checklist = list(self.config.checklist) if self.operator.expected == ARM_WORD else []
        response.expected = self.operator.expected
        return response

    async def _take_control(self) -> tuple[bool, str]:
        self._begun_at = time.monotonic()
        for part, name in DRIVERS.items():
            if self._phases[part] in IN_CONTROL:
                continue
            if not await self._transition(part, Transition.TRANSITION_ACTIVATE):
                self.operator.look(time.monotonic(), f"{name} could not take control; its log says why")
                return False, self.operator.reason
        self._begun_at = time.monotonic()
        self.get_logger().warning("confirmed by a person: arm and hand are in control, holding")
        return True, "confirmed: arm and hand are in control, holding"

    # Episodes

    async def _on_reset(
        self, request: ResetWorld.Request, response: ResetWorld.Response
    ) -> ResetWorld.Response:
        if request.task not in ("", self.config.task):
            response.message = f"this robot does {self.config.task!r}, asked was {request.task!r}"
            return response
        response.message = self.operator.episode()
        if response.message:
            return response
        # Before the arm moves: a confirmation that is lost meanwhile cancels it.
        placed = self._placed = Future()
        try:
            if self.config.home_first:
                await self._go_home()
            if self.operator.at_home():
                self.get_logger().warning("put the object in place, then: ros2 run rfs_control confirm_robot")
                await placed
            if self.operator.lost:
                raise Refused(f"the confirmation was lost meanwhile: {self.operator.lost}")
        except Refused as error:
            response.message = str(error)
            return response
        finally:
            self._placed = None
            self.operator.answered()
        lead_ns = round(self.config.lead_s * NS_PER_S)
        response.stamp = stamp_msg(self.get_clock().now().nanoseconds + lead_ns)
        response.max_steps = self.task.MAX_EPISODE_STEPS
        response.success = True
        return response

    async def _go_home(self) -> None:
        answer = await self._home.call_async(Trigger.Request())
        if not answer.success:
            raise Refused(f"arm/home: {answer.message}")
        await pause(self, _PHASE_S)  # until then the phase may be from before the motion began
        deadline = time.monotonic() + _HOME_S
        while self._phases["arm"] in ("moving", "following") and time.monotonic() < deadline:
            await pause(self, _LOOK_S)
        if self._phases["arm"] != "holding":
            raise Refused(f"arm/home did not end well: franka_node is {self._phases['arm']}")

    def _diagnose(self) -> None:
        confirmed = self.operator.stage is not Stage.UNCONFIRMED
        values = {
            "stage": self.operator.stage.value,
            "expected": self.operator.expected,
            connections.KEY: connections.report(self),
            **{f"{DRIVERS[part]} phase": phase for part, phase in self._phases.items()},
        }
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK if confirmed else DiagnosticStatus.WARN,
            name=f"{self.get_fully_qualified_name().lstrip('/')}: operator",
            message=self.operator.message,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main() -> None:
    """Entry point of `ros2 run rfs_control robot_operator`."""
    exit_with(run_node(RobotOperator))


if __name__ == "__main__":
    sys.exit(main())
