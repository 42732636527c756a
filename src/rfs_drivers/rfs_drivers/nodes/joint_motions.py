"""The action `arm/move_joints` of a driver node: joint motions with progress, which can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.task import Future as NodeFuture

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_drivers.errors import DriverError
from rfs_drivers.franka_driver import FrankaDriver
from rfs_msgs.action import MoveJoints
from rfs_ros.conversions import joint_values

ACTION = "arm/move_joints"

_LOOK_S = 0.1
"""Steady time between two looks at a motion: progress is told, a wish to cancel is heard."""


class JointMotions:
    """Serves the action while its node is spun; a goal that cannot be begun is aborted with the reason."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        driver: Callable[[], FrankaDriver | None],
        ended: Callable[[], None],
    ) -> None:
        """
        Args:
            node: that serves.
            clock: a steady one.
            driver: the driver, None while there is none.
            ended: called before the result of a goal is sent.
        """
        self._node = node
        self._clock = clock
        self._driver = driver
        self._ended = ended
        self._server = ActionServer(
            node,
            MoveJoints,
            ACTION,
            self._execute,
            goal_callback=lambda request: GoalResponse.ACCEPT,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def destroy(self) -> None:
        """Serve no longer; call it before the node is destroyed."""
        self._server.destroy()

    async def _execute(self, goal: ServerGoalHandle) -> MoveJoints.Result:
        result = MoveJoints.Result()
        try:
            driver = self._driver()
            if driver is None:
                raise DriverError("franka_node is not configured: configure it first")
            q, finished = _begin(driver, goal.request)
            await self._end_of(finished, driver, goal, q)
            result.message = finished.result()
            result.success = True
            goal.succeed()
        except RfsError as error:
            result.message = str(error)
            if goal.is_cancel_requested:
                goal.canceled()
            else:
                goal.abort()
        self._ended()
        return result

    async def _end_of(
        self, finished: Future[str], driver: FrankaDriver, goal: ServerGoalHandle, q: np.ndarray
    ) -> None:
        over = NodeFuture()
        stopping: list[Future[str]] = []

        def look() -> None:
            if finished.done():
                over.set_result(None)
                return
            if goal.is_cancel_requested and not stopping:
                stopping.append(driver.stop_motion())
            state = driver.state
            if state is not None:
                goal.publish_feedback(MoveJoints.Feedback(distance=float(np.abs(state.q - q).max())))

        timer = self._node.create_timer(_LOOK_S, look, clock=self._clock)
        try:
            await over
        finally:
            self._node.destroy_timer(timer)


def _begin(driver: FrankaDriver, request: MoveJoints.Goal) -> tuple[np.ndarray, Future[str]]:
    """Where to, rad, shape (7,), and the driver's answer. Raises MessageError."""
    if not request.name and not request.position:
        q = np.array(driver.config.home)
    else:
        q = joint_values(request.name, request.position, robot.ARM_JOINT_NAMES, ACTION)
    return q, driver.move_joints(q, request.speed or driver.config.home_speed)
