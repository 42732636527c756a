"""State changes of lifecycle nodes: asked for and observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from launch.event import Event
from lifecycle_msgs.msg import State, Transition, TransitionEvent

from .matchers import matches_node_name

if TYPE_CHECKING:
    from ..actions import LifecycleNode

__all__ = ["ChangeState", "StateTransition", "matches_node_name"]


def _constants(message: type, prefixes: tuple[str, ...], without: str = "_CALLBACK_") -> dict[int, str]:
    names = [n for n in dir(message) if n.startswith(prefixes) and without not in n]
    return {getattr(message, name): name for name in names}


class ChangeState(Event):
    """A lifecycle node shall make a transition."""

    name = "launch_ros.events.lifecycle.ChangeState"
    valid_transitions = {
        number: name
        for number, name in _constants(Transition, ("TRANSITION_",)).items()
        if number <= Transition.TRANSITION_DESTROY
    }
    valid_states = _constants(State, ("PRIMARY_STATE_", "TRANSITION_STATE_"))

    def __init__(
        self, *, lifecycle_node_matcher: Callable[[LifecycleNode], bool], transition_id: int
    ) -> None:
        if transition_id not in self.valid_transitions:
            known = ", ".join(f"{name}: {number}" for number, name in self.valid_transitions.items())
            raise ValueError(f"given transition_id of '{transition_id}', expected one of {{{known}}}")
        self._lifecycle_node_matcher = lifecycle_node_matcher
        self._transition_id = transition_id

    @property
    def lifecycle_node_matcher(self) -> Callable[[LifecycleNode], bool]:
        """True for the nodes that are meant."""
        return self._lifecycle_node_matcher

    @property
    def transition_id(self) -> int:
        """One of lifecycle_msgs.msg.Transition.TRANSITION_*."""
        return self._transition_id


class StateTransition(Event):
    """A lifecycle node has made a step of a transition."""

    name = "launch_ros.events.lifecycle.StateTransition"

    def __init__(self, *, action: LifecycleNode, msg: TransitionEvent) -> None:
        self._action = action
        self._msg = msg

    @property
    def action(self) -> LifecycleNode:
        """The node."""
        return self._action

    @property
    def msg(self) -> TransitionEvent:
        """The message that tells of it."""
        return self._msg

    @property
    def timestamp(self) -> int:
        """When, nanoseconds."""
        return self._msg.timestamp

    @property
    def transition(self) -> str:
        """E.g. 'configure', 'transition_success'."""
        return self._msg.transition.label

    @property
    def start_state(self) -> str:
        """E.g. 'configuring'."""
        return self._msg.start_state.label

    @property
    def goal_state(self) -> str:
        """E.g. 'inactive'."""
        return self._msg.goal_state.label
