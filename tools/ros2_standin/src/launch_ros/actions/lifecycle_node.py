"""A lifecycle node: its transitions are events, and events make it change state."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from launch.actions import OpaqueFunction
from launch.event_handler import EventHandler
from launch.launch_context import LaunchContext
from launch.logging import get_logger
from launch.some_substitutions_type import SomeSubstitutionsType
from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState as ChangeStateService
from rclpy.task import Future

from ..events.lifecycle import ChangeState, StateTransition
from ..ros_adapters import get_ros_node
from .node import Node

LOST_EVENT_S = 1.0
"""How long after a successful transition its message may take before it counts as lost, seconds."""
LOST_REQUEST_S = 10.0
"""How long a node may neither answer nor say that it has begun before it is asked again, seconds."""

_STEPS = {
    Transition.TRANSITION_CONFIGURE: ("configure", "unconfigured", "configuring", "inactive"),
    Transition.TRANSITION_CLEANUP: ("cleanup", "inactive", "cleaningup", "unconfigured"),
    Transition.TRANSITION_ACTIVATE: ("activate", "inactive", "activating", "active"),
    Transition.TRANSITION_DEACTIVATE: ("deactivate", "active", "deactivating", "inactive"),
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: ("shutdown", "unconfigured", "shuttingdown", "finalized"),
    Transition.TRANSITION_INACTIVE_SHUTDOWN: ("shutdown", "inactive", "shuttingdown", "finalized"),
    Transition.TRANSITION_ACTIVE_SHUTDOWN: ("shutdown", "active", "shuttingdown", "finalized"),
}


class LifecycleNode(Node):
    """A Node whose state changes are StateTransition events, and which obeys ChangeState events."""

    def __init__(self, *, name: SomeSubstitutionsType, namespace: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(name=name, namespace=namespace, **kwargs)
        self._heard = threading.Condition()
        self._steps_heard: list[tuple[str, str]] = []
        self._synthesized: list[tuple[str, str]] = []

    def execute(self, context: LaunchContext) -> None:
        self._perform_substitutions(context)
        node = get_ros_node(context)
        self._subscription = node.create_subscription(
            TransitionEvent,
            f"{self.node_name}/transition_event",
            lambda message: self._on_message(context, message),
            10,
        )
        self._client = node.create_client(ChangeStateService, f"{self.node_name}/change_state")
        context.register_event_handler(
            EventHandler(
                matcher=lambda event: isinstance(event, ChangeState),
                entities=[OpaqueFunction(function=self._on_change_state_event)],
            )
        )
        super().execute(context)

    def _on_message(self, context: LaunchContext, message: TransitionEvent) -> None:
        step = (message.start_state.label, message.goal_state.label)
        with self._heard:
            if step in self._synthesized:
                self._synthesized.remove(step)  # it was only late
                return
            self._steps_heard.append(step)
            self._heard.notify_all()
        self._emit(context, message)

    def _emit(self, context: LaunchContext, message: TransitionEvent) -> None:
        loop = context.asyncio_loop
        if loop is not None:
            event = StateTransition(action=self, msg=message)
            loop.call_soon_threadsafe(context.emit_event_sync, event)

    def _on_change_state_event(self, context: LaunchContext) -> None:
        event: ChangeState = context.locals.event
        if event.lifecycle_node_matcher(self):
            call = context.asyncio_loop.run_in_executor(
                None, self._change_state, event.transition_id, context
            )
            context.add_completion_future(call)

    def _change_state(self, transition_id: int, context: LaunchContext) -> None:
        name = ChangeState.valid_transitions[transition_id]
        logger = get_logger(__name__)
        begin, asked = len(self._steps_heard), 0
        request = ChangeStateService.Request(transition=Transition(id=transition_id))
        while True:
            if self._wait(context, self._client.service_is_ready, LOST_REQUEST_S):
                response: Future = self._client.call_async(request)
                asked += 1
                # A node that has begun may take as long as it wants.
                while not self._wait(context, response.done, LOST_REQUEST_S) and not context.is_shutdown:
                    if len(self._steps_heard) == begin:
                        break
                if response.done():
                    break
            if context.is_shutdown:
                return
            # On a busy machine two participants may fail to connect: another client connects anew.
            self._client = get_ros_node(context).create_client(
                ChangeStateService, f"{self.node_name}/change_state"
            )
        # Where it was asked twice, the first request may have been heard, and the second come too late.
        if not response.result().success and asked == 1:
            logger.error("Failed to make transition '%s' for LifecycleNode '%s'", name, self.node_name)
            return
        self._make_up_for_lost_messages(transition_id, begin, context)

    def _wait(self, context: LaunchContext, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `done`, the launch ends or the time is up; returns whether it is done."""
        deadline = time.monotonic() + timeout_s
        while not context.is_shutdown and not done() and time.monotonic() < deadline:
            with self._heard:
                self._heard.wait(0.05)
        return not context.is_shutdown and done()

    def _make_up_for_lost_messages(self, transition_id: int, begin: int, context: LaunchContext) -> None:
        """Emit the events of a transition that succeeded but whose messages were not heard from `begin` on.

        The node's messages are lost while the two participants discover each other: the service may answer
        before the topic is connected, and a bring-up that waits for the event would wait for ever.
        """
        if transition_id not in _STEPS:
            return
        label, start, between, goal = _STEPS[transition_id]
        with self._heard:
            heard = self._heard.wait_for(
                lambda: context.is_shutdown or (between, goal) in self._steps_heard[begin:], LOST_EVENT_S
            )
            if heard:
                return
            lost = [(label, start, between), ("transition_success", between, goal)]
            lost = [step for step in lost if step[1:] not in self._steps_heard[begin:]]
            self._synthesized += [step[1:] for step in lost]
        for transition, begin, end in lost:
            message = TransitionEvent()
            message.transition.label = transition
            message.start_state.label = begin
            message.goal_state.label = end
            self._emit(context, message)
