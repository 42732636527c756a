"""A lifecycle node stays alive whatever transition is asked of it, and says why not."""

from __future__ import annotations

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.logging import LoggingSeverity

from rfs_core.errors import RfsError
from rfs_ros.lifecycle import LifecycleNode


class Talking(LifecycleNode):
    """Raises on activation what it is told to, and keeps what it logs."""

    def __init__(self) -> None:
        super().__init__("talking")
        self.raises: Exception | None = None
        self.said: list[str] = []

    def get_logger(self):
        said = self.said

        class Logger:
            def __getattr__(self, severity: str):
                assert severity.upper() in LoggingSeverity.__members__ or severity == "warning"
                return lambda text: said.append(f"{severity}: {text}")

        return Logger()

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self.raises is not None:
            raise self.raises
        return super().on_activate(state)


@pytest.fixture
def node():
    context_made = not rclpy.ok()
    if context_made:
        rclpy.init()
    node = Talking()
    yield node
    node.destroy_node()
    if context_made:
        rclpy.shutdown()


def ask(node: Talking, transition: int) -> bool:
    """As the change_state service does."""
    request = ChangeState.Request(transition=Transition(id=transition))
    return node._service_change_state.callback(request, ChangeState.Response()).success


def state(node: Talking) -> int:
    return node._state_machine.current_state[0]


def test_what_is_not_possible_is_refused_with_what_is(node: Talking) -> None:
    assert not ask(node, Transition.TRANSITION_ACTIVATE)
    assert node.said == [
        "warning: activate is not possible: the node is unconfigured; from there: configure, shutdown"
    ]
    assert ask(node, Transition.TRANSITION_CONFIGURE)
    assert not ask(node, Transition.TRANSITION_CONFIGURE)
    assert ask(node, Transition.TRANSITION_ACTIVATE)
    assert not ask(node, Transition.TRANSITION_ACTIVATE)
    assert node.said[-1] == (
        "warning: activate is not possible: the node is active; from there: deactivate, shutdown"
    )
    assert not ask(node, 99)
    assert "transition 99" in node.said[-1]
    assert state(node) == State.PRIMARY_STATE_ACTIVE


def test_by_itself_it_is_refused_as_well(node: Talking) -> None:
    assert node.trigger_deactivate() == TransitionCallbackReturn.FAILURE
    assert state(node) == State.PRIMARY_STATE_UNCONFIGURED


def test_a_reason_is_said_in_one_line_and_a_defect_with_its_traceback(node: Talking) -> None:
    node.trigger_configure()
    node.raises = RfsError("the robot is off")
    assert not ask(node, Transition.TRANSITION_ACTIVATE)
    assert node.said == ["error: the robot is off"]
    assert state(node) == State.PRIMARY_STATE_UNCONFIGURED
    node.trigger_configure()
    node.raises = KeyError("what")
    assert not ask(node, Transition.TRANSITION_ACTIVATE)
    assert "KeyError: 'what'" in node.said[-1]
    assert state(node) == State.PRIMARY_STATE_UNCONFIGURED
