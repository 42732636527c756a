"""The simulated robot: speaks the drivers' and the perception's topics, and owns time.

Publishes at every control tick t (50 ms), all stamped t, /clock first:
    /clock, arm/joint_states (100 Hz: also between ticks), arm/current_pose, hand/joint_states (40 Hz),
    perception/object_pose, perception/goal_pose, hand/contacts, reward,
    sim/object_pose, sim/goal_pose (where they truly are: for a scripted human, never for a policy);
    where switched on: camera/color/compressed, camera/depth, camera/camera_info, perception/points
Subscribes: arm/target_pose, hand/target (the command gate's), episode/state (the episode manager's)
Serves:     sim/reset

`rfs_sim.lockstep` decides when the world steps, `rfs_sim.world` how, `rfs_sim.recording` keeps what happened.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState

from rfs_core import gate_checks, robot
from rfs_core.errors import RfsError
from rfs_msgs.msg import EpisodeState
from rfs_msgs.srv import ResetWorld
from rfs_ros import connections, conversions, params
from rfs_ros.qos import EPISODE_STATES, RELIABLE
from rfs_ros.run import exit_with, run_node
from rfs_sim.lockstep import Action, Decision, Lockstep, LockstepConfig, Part, Phase
from rfs_sim.nodes.sim_messages import CameraPublisher, PointPublisher, StatePublisher
from rfs_sim.recording import Recording
from rfs_sim.sim_config import SimConfig
from rfs_sim.world import World

OUTCOMES = {
    EpisodeState.OUTCOME_SUCCESS: "success",
    EpisodeState.OUTCOME_FAILURE: "failure",
    EpisodeState.OUTCOME_ABORTED: "aborted",
}

_POLL_S = 0.05
"""Wall time between two looks at the patience while targets are awaited."""
_VIDEO_SETTLE_S = 1.5
_VIDEO_CLOSE_S = 1.5
"""A Ctrl-C during both must end within 5 s."""
_STEPS_TIMED = 1000


class SimNode(Node):
    """One simulated Franka + LEAP and its cameras."""

    def __init__(self) -> None:
        super().__init__("sim_node")
        self.config = config = params.declare(self, SimConfig)
        self.world = World(
            config.task,
            physics_dt=config.physics_dt,
            seed=config.seed,
            world=config.world,
            objects=config.objects,
        )
        self.lockstep = Lockstep(
            LockstepConfig(
                control_dt_ns=round(self.world.action_spec.control_dt * conversions.NS_PER_S),
                real_time_factor=config.real_time_factor,
                patience_s=config.lockstep_patience_s,
                command_deadline_s=config.command_deadline_s,
            ),
            wall=time.monotonic(),
        )
        self.recording = Recording(config, fps=1.0 / self.world.action_spec.control_dt)
        self._outcome = self.world.outcome()
        self._refused = {"arm/target_pose": 0, "hand/target": 0}
        self._step_s: list[float] = []
        self._finished_episode = ""

        self._states = StatePublisher(self, self.config.task)
        self._sensors: list[CameraPublisher | PointPublisher] = []
        if config.camera:
            self._sensors.append(CameraPublisher(self, config, self.world))
        if config.points:
            self._sensors.append(PointPublisher(self, config, self.world))
        self._publish_diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE).publish
        self.create_subscription(PoseStamped, "arm/target_pose", self._on_arm_target, RELIABLE)
        self.create_subscription(JointState, "hand/target", self._on_hand_target, RELIABLE)
        self.create_subscription(EpisodeState, "episode/state", self._on_episode, EPISODE_STATES)
        self.create_service(ResetWorld, "sim/reset", self._on_reset)
        wall = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(_POLL_S, self._advance, clock=wall)
        self.create_timer(1.0, self._diagnose, clock=wall)

        self._publish()
        pace = config.real_time_factor
        self.get_logger().info(
            f"{config.world} world of task {config.task}, physics step {config.physics_dt * 1e3:g} ms, "
            + (f"episodes at {pace:g} times real time" if pace else "episodes as fast as the policy answers")
        )

    # Targets

    def _on_arm_target(self, message: PoseStamped) -> None:
        topic = "arm/target_pose"
        try:
            conversions.require_frame(message.header.frame_id, robot.BASE_FRAME, topic)
            target = conversions.pose_from_msg(message.pose, topic)
            _require(gate_checks.pose_problem(target, topic))
            self.lockstep.target(Part.ARM, conversions.stamp_ns(message.header.stamp))
        except RfsError as error:
            self._refuse(topic, error)
        else:
            self.world.command_arm(target)
            self._advance()

    def _on_hand_target(self, message: JointState) -> None:
        topic = "hand/target"
        try:
            names = robot.HAND_JOINT_NAMES
            target = conversions.joint_values(message.name, message.position, names, topic)
            _require(gate_checks.far_joints_problem(target, robot.HAND_LIMITS, names, topic))
            self.lockstep.target(Part.HAND, conversions.stamp_ns(message.header.stamp))
        except RfsError as error:
            self._refuse(topic, error)
        else:
            self.world.command_hand(target)
            self._advance()

    def _refuse(self, topic: str, error: RfsError) -> None:
        self._refused[topic] += 1
        self.get_logger().error(f"target refused: {error}", throttle_duration_sec=1.0)

    # Episodes

    def _on_reset(self, request: ResetWorld.Request, response: ResetWorld.Response) -> ResetWorld.Response:
        if request.task not in ("", self.config.task):
            response.message = (
                f"this world was started for task {self.config.task!r}, asked was {request.task!r}: "
                "start the simulation with that task"
            )
            return response
        self._end_episode(*self.recording.verdict("the world was reset"))
        self.recording.settle(_VIDEO_SETTLE_S)
        seed, episode = int(request.seed), int(request.episode)
        self.world.reset(seed, episode)
        stamp_ns = self.lockstep.reset(time.monotonic())
        self._outcome = self.world.outcome()
        self.recording.begin(
            stamp_ns,
            self.world,
            task=self.config.task,
            seed=seed,
            episode=episode,
            physics_dt=self.config.physics_dt,
            control_dt=self.world.action_spec.control_dt,
        )
        self._publish()
        response.success = True
        response.stamp = conversions.stamp_msg(stamp_ns)
        response.max_steps = self.world.max_episode_steps
        return response

    def _on_episode(self, message: EpisodeState) -> None:
        stamp_ns = conversions.stamp_ns(message.header.stamp)
        started_ns = conversions.stamp_ns(message.started)
        if not self.lockstep.belongs_to_episode(stamp_ns, started_ns):
            return
        if message.phase == EpisodeState.PHASE_RUNNING:
            self.recording.name(message.id)
        elif message.phase == EpisodeState.PHASE_FINISHED:
            self.recording.name(message.id)
            self._end_episode(OUTCOMES.get(message.outcome, "aborted"), message.reason)
            self._finished_episode = message.id
            self._diagnose()  # the report of a batch waits for these numbers
        elif message.phase == EpisodeState.PHASE_IDLE:
            self._end_episode("aborted", message.reason or "the episode manager is idle")

    def _end_episode(self, outcome: str, reason: str) -> None:
        self.lockstep.release(time.monotonic())
        try:
            path = self.recording.end(outcome, reason)
        except RfsError as error:
            self.get_logger().error(str(error))
        else:
            if path is not None:
                self.get_logger().debug(f"{outcome}: {path}")

    # Time

    def _advance(self) -> None:
        """Do what the lock-step says now, and see to it that it is asked again in time."""
        decision = self.lockstep.poll(time.monotonic())
        if decision.action is Action.STEP:
            self._step(decision)
        elif decision.action is Action.REPUBLISH:
            self._publish()
        if decision.action is not Action.WAIT:
            decision = self.lockstep.poll(time.monotonic())
        delay = decision.until - time.monotonic()
        # Exact where a deadline is near; otherwise the slow poll goes on as it is.
        period = max(0.0005, delay) if delay < _POLL_S else _POLL_S
        period_ns = round(period * conversions.NS_PER_S)
        if period < _POLL_S or self._timer.timer_period_ns != period_ns:
            self._timer.timer_period_ns = period_ns
            self._timer.reset()

    def _step(self, decision: Decision) -> None:
        begin = time.perf_counter()
        before_ns = self.lockstep.tick_ns
        in_episode = self.lockstep.phase is Phase.LOCKSTEP
        self.world.step(hold=decision.hold, disturbed=in_episode)
        self._outcome = self.world.outcome()
        self.lockstep.stepped(time.monotonic())
        self._states.publish_between(before_ns, self.world)
        self._publish()
        if in_episode:
            self.recording.step(self.lockstep.tick_ns, self.world, self._outcome, decision.missed)
        if decision.missed:
            self.get_logger().warning(
                f"no targets for the control tick at {conversions.seconds(before_ns):.2f} s: "
                + ("the arm holds where it is" if decision.hold else "the last ones are held"),
                throttle_duration_sec=1.0,
            )
        self._step_s.append(time.perf_counter() - begin)
        del self._step_s[:-_STEPS_TIMED]

    def _publish(self) -> None:
        """All that can be seen at the present tick."""
        tick_ns = self.lockstep.tick_ns
        self._states.publish(tick_ns, self.world, self._outcome)
        for sensor in self._sensors:
            # Counted from the reset, so that images fall on the same steps of every episode.
            ticks = (tick_ns - self.lockstep.reset_ns) // self.lockstep.config.control_dt_ns
            sensor.publish(ticks, tick_ns, self.world)
        self.lockstep.published(time.monotonic())

    # Health

    def _diagnose(self) -> None:
        lockstep, video = self.lockstep, self.recording.video
        refused = sum(self._refused.values())
        values: dict[str, object] = {
            "phase": lockstep.phase.value,
            "robot_time_s": conversions.seconds(lockstep.tick_ns),
            "lockstep_misses": lockstep.misses_total,
            "held_steps": lockstep.held,
            "finished_episode": self._finished_episode,
            connections.KEY: connections.report(self),
            **{f"refused {topic}": count for topic, count in self._refused.items()},
        }
        if self._step_s:
            p50, p99 = np.percentile(self._step_s, (50, 99)) * 1e3
            values |= {"step_p50_ms": f"{p50:.2f}", "step_p99_ms": f"{p99:.2f}"}
        if video is not None:
            values |= {"video_backlog": video.backlog, "video_dropped": video.dropped}
        healthy = not lockstep.misses and not refused and (video is None or video.error is None)
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK if healthy else DiagnosticStatus.WARN,
            name=f"{self.get_fully_qualified_name().lstrip('/')}: simulation",
            message=lockstep.phase.value if healthy else "targets missed or refused, or no video",
            hardware_id="simulation",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = conversions.stamp_msg(lockstep.tick_ns)
        self._publish_diagnostics(message)

    def destroy_node(self) -> None:
        """Close files, then the node."""
        self._end_episode("aborted", "the simulation was stopped")
        try:
            self.recording.close(_VIDEO_CLOSE_S)
        except RfsError as error:
            self.get_logger().error(str(error))
        for sensor in self._sensors:
            sensor.close()
        self.world.close()
        super().destroy_node()


def _require(problem: str) -> None:
    if problem:
        raise RfsError(problem)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_sim sim_node`."""
    exit_with(run_node(SimNode, sys.argv if argv is None else argv))


if __name__ == "__main__":
    main()
