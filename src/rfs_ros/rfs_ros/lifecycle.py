"""A lifecycle node that survives what a person may ask of it.

rclpy's ends its process when it is asked for a transition that its present state does not have, such as
activating twice, and tells nobody what a transition's callback has raised. Here both are said, and the node
goes on: a driver must not die of a wrong word.
"""

from __future__ import annotations

import traceback

import rclpy.lifecycle
from lifecycle_msgs.msg import Transition
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from rfs_core.errors import RfsError

_WORDS = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: "shutdown",
    Transition.TRANSITION_INACTIVE_SHUTDOWN: "shutdown",
    Transition.TRANSITION_ACTIVE_SHUTDOWN: "shutdown",
}


class LifecycleNode(rclpy.lifecycle.LifecycleNode):  # type: ignore[misc]
    """As rclpy's; a transition that is not possible fails, with the reason on the log."""

    # The names under which rclpy's class calls itself: private there, and the only place for this.

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:
        possible = {number for number, *_ in self._state_machine.available_transitions}
        if transition_id not in possible:
            state = self._state_machine.current_state[1]
            allowed = sorted({_WORDS[number] for number in possible if number in _WORDS})
            self.get_logger().warning(
                f"{_WORDS.get(transition_id, f'transition {transition_id}')} is not possible: the node is "
                f"{state}; from there: {', '.join(allowed) or 'nothing'}"
            )
            return TransitionCallbackReturn.FAILURE
        return super()._LifecycleNodeMixin__change_state(transition_id)

    def _LifecycleNodeMixin__execute_callback(
        self, current_state_id: int, previous_state: LifecycleState
    ) -> TransitionCallbackReturn:
        callback = self._callbacks.get(current_state_id)
        if callback is None:
            return TransitionCallbackReturn.SUCCESS
        try:
            return callback(previous_state)
        except RfsError as error:
            self.get_logger().error(str(error))
        # A defect: said here, as rclpy would swallow it; the node then is unconfigured by way of on_error.
        except Exception:  # noqa: BLE001
            self.get_logger().fatal(f"a defect, please report it:\n{traceback.format_exc()}")
        return TransitionCallbackReturn.ERROR
