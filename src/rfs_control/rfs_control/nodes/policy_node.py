"""The policy node: an observation every 100 ms in, a chunk of actions out. A lifecycle node.

    ros2 run rfs_control policy_node --ros-args -p checkpoint:=checkpoints/grasp_base.safetensors

configure loads the checkpoint and compares its specs with the robot's and the task's; a checkpoint that
does not fit is refused with a sentence that names both values, also on /diagnostics. activate makes it
decide during episodes; between episodes `policy/load_checkpoint` swaps the checkpoint.
"""

from __future__ import annotations

import array
import os
import socket
import time
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from rfs_control.nodes.observation_sources import Parts, Source, sources_of
from rfs_control.observation_window import Assembled, ObservationWindow
from rfs_control.policy_config import PolicyConfig, observation_spec
from rfs_control.policy_step import Decision, PolicyStep
from rfs_control.tick_statistics import TickStatistics
from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_core.staleness import Now, SteadyStamps, to_ns
from rfs_learning.policy import Policy
from rfs_msgs.msg import EpisodeState, PolicyAction
from rfs_msgs.srv import LoadCheckpoint
from rfs_ros import connections, hand_over, params
from rfs_ros.conversions import stamp_msg, stamp_ns
from rfs_ros.lifecycle import LifecycleNode
from rfs_ros.qos import LATCHED, RELIABLE
from rfs_ros.run import exit_with, run_node
from rfs_ros.timing import ControlTime, control_clock

_WARM_UP_CALLS = 5  # the first calls of a network are slow
_LOOKS_PER_DECISION = 10


class PolicyNode(LifecycleNode):
    """Wires topics to ObservationWindow and PolicyStep; decides nothing itself."""

    def __init__(self, **options: Any) -> None:
        """Args: options: of rclpy's Node, such as parameter_overrides."""
        super().__init__("policy_node", **options)
        self.config = params.declare(self, PolicyConfig)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._identity = f"{self.get_fully_qualified_name()}@{socket.gethostname()}:{os.getpid()}"
        # With a timer, stamps are read on a steady clock: whoever sets the system's clock disturbs nothing.
        self._by_timer = self.config.tick_source == "timer"
        self._time = ControlTime(self)
        self._stamps = SteadyStamps(to_ns(self.config.future_tolerance_s))
        self._step: PolicyStep | None = None
        self._decided = 0
        """Decisions of this process before the last cleanup: for the gate, its publisher stays the same."""
        self._window: ObservationWindow | None = None
        self._checkpoint_id = ""
        self._noise_source = ""
        self._active = False
        self.refusal = ""
        """Why the last checkpoint was refused at configuration; empty when it was taken."""
        self._last_problem = ""
        self._episode_id = ""
        self._finished_id = ""
        self.statistics = TickStatistics()
        """Durations and misses of its decisions."""
        self._sources: tuple[Source, ...] = ()
        self._subscriptions_of_parts: list[Any] = []
        self._inboxes: list[hand_over.Inbox] = []
        self._first_action: PolicyAction | None = None
        self._timer: Any = None
        self._episode_state: EpisodeState | None = None

        self._action = self.create_lifecycle_publisher(PolicyAction, "policy/action", RELIABLE)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self.create_subscription(EpisodeState, "episode/state", self._on_episode, LATCHED)
        self.create_service(LoadCheckpoint, "policy/load_checkpoint", self._on_load_checkpoint)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)

    # Life cycle ------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the checkpoint; refuse it where it does not fit."""
        try:
            policy = self._load(self.config.checkpoint)
            self._sources = sources_of(policy.header.observation_spec)
        except RfsError as error:
            self.refusal = str(error)
            self.get_logger().error(f"not configured: {error}")
            self._publish_diagnostics()
            return TransitionCallbackReturn.FAILURE
        self.refusal = ""
        self._step = PolicyStep(policy, policy.header.action_spec, self._decided)
        self._checkpoint_id, self._noise_source = policy.checkpoint_id, policy.noise_source
        self._window = ObservationWindow(policy.header.observation_spec, self.config)
        for source in self._sources:
            self._subscribe(source)
        if self.config.tick_source == "timer":
            spec = policy.header.action_spec
            # Looks often, so that a decision is made when it is due, whenever the timer was started.
            period = spec.control_dt * spec.horizon / _LOOKS_PER_DECISION
            self._timer = self.create_timer(period, self._on_timer, clock=control_clock(self))
        self.get_logger().info(f"configured with {policy.checkpoint_id}, a_0 {policy.noise_source}")
        return TransitionCallbackReturn.SUCCESS

    def _subscribe(self, source: Source) -> None:
        if source.is_array and hand_over.offered(self, source.topic):

            def take(stamp: int, array: NDArray[np.float32]) -> None:
                self._on_array(source, stamp, array)

            self._inboxes.append(hand_over.take(self, source.topic, take))
            return
        self._subscriptions_of_parts.append(
            self.create_subscription(
                source.message_type, source.topic, lambda message: self._on_part(source, message), RELIABLE
            )
        )

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Decide from now on, while episodes run."""
        result = super().on_activate(state)
        self._active = True
        if self._episode_state is not None:
            self._on_episode(self._episode_state)
        self._publish_diagnostics()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Decide nothing any more; the gate holds when this happens within an episode."""
        self._active = False
        self._end_episode()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the checkpoint."""
        for subscription in self._subscriptions_of_parts:
            self.destroy_subscription(subscription)
        self._subscriptions_of_parts.clear()
        self._close_inboxes()
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._step is not None:
            self._decided = self._step.sequence
        self._step, self._window, self._checkpoint_id = None, None, ""
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The end."""
        self._active = False
        self._end_episode()
        return super().on_shutdown(state)

    def _load(self, path: str) -> Policy:
        """Load a checkpoint that fits robot, task and integrator, and call it a few times."""
        if not path:
            raise RfsError("parameter checkpoint is empty: name a checkpoint file, -p checkpoint:=FILE")
        policy = Policy.load(
            path,
            action_spec=robot.DEFAULT_ACTION_SPEC,
            observation_spec=observation_spec(
                self.config.task, self.config.observation, self.config.points_count
            ),
            a0=self.config.a0,
            device=self.config.device,
        )
        header = policy.header
        if header.task != self.config.task:
            raise RfsError(
                f"checkpoint {path} was trained for task {header.task!r}, this node does "
                f"{self.config.task!r}: choose another checkpoint, or task:={header.task}"
            )
        integrator = f"{header.integrator.name} {header.integrator.steps}"
        if self.config.integrator and self.config.integrator != integrator:
            raise RfsError(
                f"checkpoint {path} integrates with '{integrator}', this node asks for "
                f"'{self.config.integrator}' (parameter integrator): choose another checkpoint or integrator"
            )
        observation = np.zeros((1, header.observation_spec.size), dtype=np.float32)
        noise = np.zeros((1, header.action_spec.horizon, header.action_spec.size), dtype=np.float32)
        for _ in range(_WARM_UP_CALLS):
            policy.act(observation, noise)
        return policy

    def _on_load_checkpoint(
        self, request: LoadCheckpoint.Request, response: LoadCheckpoint.Response
    ) -> LoadCheckpoint.Response:
        response.success = False
        try:
            if self._step is None or self._window is None:
                raise RfsError("policy_node is not configured: configure it first")
            if self._step.clock is None:
                policy = self._load(request.path)
                self._step.swap(policy, policy.header.action_spec)
                self._checkpoint_id, self._noise_source = policy.checkpoint_id, policy.noise_source
            else:
                self._step.swap(self._step.policy, self._step.action_spec)  # says why not
            response.success = True
            response.message = f"now acting with {self._checkpoint_id}"
            self.get_logger().info(response.message)
        except RfsError as error:
            response.message = str(error)
            self.get_logger().warning(f"checkpoint not swapped: {error}")
        response.checkpoint_id = self._checkpoint_id
        return response

    # Episodes --------------------------------------------------------------------------------------------

    def _on_episode(self, message: EpisodeState) -> None:
        self._episode_state = message
        if message.phase != EpisodeState.PHASE_RUNNING:
            self._end_episode()
            if message.phase == EpisodeState.PHASE_FINISHED and message.id != self._finished_id:
                self._finished_id = message.id
                self._publish_diagnostics()  # the report of a batch waits for these numbers
            return
        if self._step is None or not self._active or message.id == self._episode_id:
            return
        self._episode_id = message.id
        started_ns = self._stamp_ns(message.started)
        self._step.begin(message.seed, message.index, started_ns, message.max_steps)
        if self.config.tick_source == "state":
            self._decide_by_stamps()

    def _end_episode(self) -> None:
        self._first_action = None
        if self._step is not None:
            self._step.end()

    # Time ------------------------------------------------------------------------------------------------

    def _now(self) -> Now:
        return Now(self._time.now_ns(), self.get_clock().now().nanoseconds)

    def _stamp_ns(self, stamp: Time) -> int:
        """A stamp as decisions count it: steady with a timer, as it is in simulation."""
        return self._stamps.steady(stamp_ns(stamp), self._now()) if self._by_timer else stamp_ns(stamp)

    # Decisions -------------------------------------------------------------------------------------------

    def _on_part(self, source: Source, message: Any) -> None:
        if self._window is None:
            return
        try:
            parts = source.convert(message)
        except RfsError as error:
            self._window.refuse(source.parts, str(error))
            return
        self._take(source, message.header.stamp, parts)

    def _on_array(self, source: Source, stamp: int, array: NDArray[np.float32]) -> None:
        """As `_on_part`, from a node of this process."""
        self._take(source, stamp_msg(stamp), {source.parts[0]: array})

    def _take(self, source: Source, stamped: Time, parts: Parts) -> None:
        if self._window is None:
            return
        stamp = self._stamp_ns(stamped)
        for part in source.parts:
            if part in self._window.parts:
                self._window.add(part, stamp, parts[part])
        if self._active and self.config.tick_source == "state":
            self._repeat_first_action(source, stamp)
            self._decide_by_stamps()

    def _repeat_first_action(self, source: Source, stamp: int) -> None:
        """The world shows its first state until it is answered: maybe the first action was not heard."""
        step = self._step
        if self._first_action is None or step is None or step.clock is None:
            return
        if source is self._sources[0] and stamp == step.clock.tick_ns(0) and step.next_decision == 1:
            self._action.publish(self._first_action)

    def _decide_by_stamps(self) -> None:
        """Simulation: decide once every part of the latest decision tick is there; the world waits for it."""
        step, window = self._step, self._window
        if step is None or window is None or step.clock is None:
            return
        seen_ns = window.newest_common_ns()
        if seen_ns is None:
            return
        due = step.clock.due(seen_ns)
        if due < step.next_decision or step.clock.over(due):
            return
        began = (time.thread_time_ns(), time.perf_counter_ns())
        assembled = window.exact(step.clock.tick_ns(due))
        if assembled.observation is None:
            self._note(assembled)
            return
        self.statistics.missed += step.skip_to(due)
        self._decide(assembled, began)

    def _on_timer(self) -> None:
        """Real devices: decide on the newest observation, if it is fresh."""
        step, window = self._step, self._window
        if not self._active or step is None or window is None or step.clock is None:
            return
        began = (time.thread_time_ns(), time.perf_counter_ns())
        now = self._now()
        self._stamps.observe(now)
        due = step.clock.due(now.steady_ns)
        if due < step.next_decision or step.clock.over(due):
            return
        self.statistics.missed += step.skip_to(due)
        assembled = window.newest(now.steady_ns)
        if assembled.observation is None:
            self._note(assembled)
            self.statistics.missed += step.skip_to(due + 1)
            return
        if step.answered_ns is not None and assembled.stamp_ns <= step.answered_ns:
            # The gate would refuse it. A newer one may come before the next look, within this period.
            self._last_problem = "nothing newer than the observation answered last"
            return
        self._decide(assembled, began)

    def _decide(self, assembled: Assembled, began: tuple[int, int]) -> None:
        if self._step is None or assembled.observation is None:
            return
        try:
            decision = self._step.decide(assembled.observation, assembled.stamp_ns)
        except RfsError as error:
            # Nothing is published: the gate holds when the action it waits for does not come.
            self._last_problem = str(error)
            self.get_logger().error(f"no decision: {error}")
            return
        message = self._action_msg(decision, assembled)
        self._action.publish(message)
        self._first_action = message if decision.index == 0 else None
        self.statistics.add(time.thread_time_ns() - began[0], time.perf_counter_ns() - began[1])
        self._last_problem = ""

    def _note(self, assembled: Assembled) -> None:
        self._last_problem = f"observation {assembled.verdict.value}: " + "; ".join(assembled.reasons)

    def _action_msg(self, decision: Decision, assembled: Assembled) -> PolicyAction:
        message = PolicyAction()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = robot.BASE_FRAME
        now = self._now()
        ahead_ns = now.ros_ns - now.steady_ns if self._by_timer else 0
        message.observation_stamp = stamp_msg(decision.observation_stamp_ns + ahead_ns)
        stamps = assembled.stamps
        seen = {s.topic: next(stamps[p] for p in s.parts if p in stamps) for s in self._sources}
        message.observed_topics = list(seen)
        message.observed_stamps = [stamp_msg(stamp + ahead_ns) for stamp in seen.values()]
        message.publisher = self._identity
        message.sequence = decision.sequence
        message.episode = decision.episode
        message.checkpoint_id = self._checkpoint_id
        message.horizon, message.dimension = decision.a.shape
        message.step_dt = self._step.action_spec.control_dt if self._step is not None else 0.0
        message.a_0 = array.array("f", decision.a_0.astype(np.float32).tobytes())
        message.a_b = array.array("d", decision.a_b.tobytes())
        message.a_r = array.array("d", decision.a_r.tobytes())
        message.a = array.array("d", decision.a.tobytes())
        return message

    def _close_inboxes(self) -> None:
        for inbox in self._inboxes:
            inbox.close()
        self._inboxes.clear()

    def destroy_node(self) -> None:
        """Take nothing any more from nodes of this process, then end."""
        self._close_inboxes()
        super().destroy_node()

    # Diagnostics -----------------------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        summary = self.statistics.summary()
        status = DiagnosticStatus(name=f"{self.get_fully_qualified_name().lstrip('/')}: policy")
        if self.refusal:
            status.level, status.message = DiagnosticStatus.ERROR, self.refusal
        elif self._last_problem:
            status.level, status.message = DiagnosticStatus.WARN, self._last_problem
        else:
            status.level = DiagnosticStatus.OK
            status.message = "deciding" if self._step is not None and self._step.clock else "no episode"
        values = {
            "state": "active" if self._active else "inactive" if self._step else "unconfigured",
            "checkpoint_id": self._checkpoint_id,
            "a0": self._noise_source,
            "decisions": str(self.statistics.count),
            "missed_ticks": str(self.statistics.missed),
            "tick_cpu_ms_p50": f"{summary.cpu_ms_p50:.3f}",
            "tick_cpu_ms_p99": f"{summary.cpu_ms_p99:.3f}",
            "tick_wall_ms_p50": f"{summary.wall_ms_p50:.3f}",
            "tick_wall_ms_p99": f"{summary.wall_ms_p99:.3f}",
            "finished_episode": self._finished_id,
            connections.KEY: connections.report(self),
        }
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main() -> None:
    """Entry point."""
    exit_with(run_node(PolicyNode))
