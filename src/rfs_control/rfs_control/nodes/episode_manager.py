"""The episode manager: resets the world, arms the gate, counts what happens, and reports at the end.

    ros2 run rfs_control episode_manager --ros-args -p episodes:=10 -p seed:=1 -p run_dir:=runs/try

With `episodes:=0` it starts nothing by itself; each episode is asked for with the service
`episode/start`. Once the gate holds, the batch ends: arming again is a person's decision. Exit code 0
when all episodes ran or a person pressed Ctrl-C, 1 when the batch was stopped, with a sentence.
"""

from __future__ import annotations

import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from rich.console import Console
from std_srvs.srv import Trigger

from rfs_control.episode import (
    Announce,
    Arm,
    Command,
    EpisodeBatch,
    EpisodeRecord,
    Gate,
    Over,
    Phase,
    Reset,
    Stage,
    Stop,
)
from rfs_control.episode_config import EpisodeConfig
from rfs_control.report import BatchReport, EpisodeRow
from rfs_core import tasks
from rfs_msgs.msg import EpisodeState, Reward, SafetyState
from rfs_msgs.srv import FinishEpisode, ResetWorld, StartEpisode
from rfs_ros import connections, params
from rfs_ros.conversions import stamp_msg, stamp_ns
from rfs_ros.qos import LATCHED, RELIABLE, REWARDS
from rfs_ros.run import exit_with, run_node

_DRIVERS = ("franka_node", "leap_node")
_CAMERA = "realsense_node"
_TICK_S = 0.1
_DRIVER_REASON_S = 2.0
"""Wall time after a hold for the drivers to say what is wrong: libfranka names a lost network after 1 s."""
_LAST_NUMBERS_TIMEOUT_S = 2.0
_VIDEO_TIMEOUT_S = 60.0


class EpisodeManager(Node):
    """Carries out what EpisodeBatch says, and tells it what came of it."""

    def __init__(self) -> None:
        super().__init__("episode_manager")
        self.config = params.declare(self, EpisodeConfig)
        tasks.load(self.config.task)
        self.batch = EpisodeBatch(self.config, time.strftime("%Y%m%d-%H%M%S"))
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._created_s = self._now_s()
        self._waiting_for: list[str] = []
        self._policy_state: str | None = None
        self._policy_state_asked_s = -1.0
        self._rows: list[EpisodeRow] = []
        self._hold_reasons: list[str] = []
        self._safety: SafetyState | None = None
        self._safety_before: tuple[int, int] = (0, 0)
        self._numbers: dict[str, dict[str, str]] = {}
        self._broken: dict[str, str] = {}
        """Devices whose drivers report an error, and which."""
        self._start_answer: Future | None = None
        self._over_s: float | None = None
        self._reported = False
        self._started = False

        self._state = self.create_publisher(EpisodeState, "episode/state", LATCHED)
        self._reset = self.create_client(ResetWorld, "sim/reset")
        self._arm = self.create_client(Trigger, "safety/arm")
        self._stop = self.create_client(Trigger, "safety/stop")
        self._policy = self.create_client(GetState, "policy_node/get_state")
        self.create_subscription(Reward, "reward", self._on_reward, REWARDS)
        self.create_subscription(SafetyState, "safety/state", self._on_safety, LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RELIABLE)
        # It waits for other callbacks, which must be able to run meanwhile.
        waiting = ReentrantCallbackGroup()
        self.create_service(StartEpisode, "episode/start", self._on_start, callback_group=waiting)
        self.create_service(FinishEpisode, "episode/finish", self._on_finish)
        self.create_timer(_TICK_S, self._on_tick, clock=self._steady)

    def _now_s(self) -> float:
        return self._steady.now().nanoseconds * 1e-9

    # Commands of the batch -------------------------------------------------------------------------------

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Reset(seed, index):
                    request = ResetWorld.Request(task=self.config.task, seed=seed, episode=index)
                    self._reset.call_async(request).add_done_callback(self._on_reset_done)
                case Arm():
                    self._count_gate_from_here()
                    self._arm.call_async(Trigger.Request()).add_done_callback(self._on_arm_done)
                case Stop():
                    self._close_row()
                    self._stop.call_async(Trigger.Request()).add_done_callback(self._on_stop_done)
                case Announce(phase):
                    self._announce(phase)
                case Over():
                    self._over_s = self._now_s()
        self._answer_start()

    def _announce(self, phase: Phase) -> None:
        message = EpisodeState(task=self.config.task, phase=phase.value, count=self.config.episodes)
        message.header.stamp = self.get_clock().now().to_msg()
        record = self.batch.current
        if record is not None:
            message.id, message.index, message.seed = record.id, record.index, record.seed
            message.started = stamp_msg(record.started_ns)
            message.max_steps = record.max_steps
            message.outcome, message.reason = record.outcome.value, record.reason
        self._state.publish(message)

    def _on_reset_done(self, future: Future) -> None:
        answer = future.result()
        self._do(
            self.batch.reset_done(
                self._now_s(), answer.success, answer.message, stamp_ns(answer.stamp), answer.max_steps
            )
        )

    def _on_arm_done(self, future: Future) -> None:
        answer = future.result()
        self._do(self.batch.arm_done(self._now_s(), answer.success, answer.message))

    def _on_stop_done(self, future: Future) -> None:
        answer = future.result()
        closed = self.batch.current
        self._do(self.batch.stop_done(self._now_s(), answer.success, answer.message))
        if closed is not None:
            self._log_episode(closed)

    # What the other nodes say ----------------------------------------------------------------------------

    def _on_reward(self, message: Reward) -> None:
        self._do(
            self.batch.reward(
                self._now_s(),
                stamp_ns(message.header.stamp),
                message.total,
                valid=message.valid,
                success=message.success,
                terminated=message.terminated,
                reason=message.reason,
            )
        )

    def _on_safety(self, message: SafetyState) -> None:
        if message.mode == SafetyState.HOLD and (self._safety is None or message.holds > self._safety.holds):
            self._hold_reasons.append(message.reason)
        self._safety = message
        reason = message.reason
        if message.mode in (SafetyState.HOLD, SafetyState.FAULT):
            # The gate sees that states stop; why, the device's driver has said.
            reason = "; ".join((reason, *(f"{name}: {why}" for name, why in self._broken.items())))
        self._do(self.batch.gate(self._now_s(), Gate(message.mode), reason, message.holds))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            # As diagnostic_updater names them: "<node>: <what>", the node with or without its first slash.
            namespace, _, name = ("/" + status.name.partition(":")[0].lstrip("/")).rpartition("/")
            if (namespace or "/") != self.get_namespace():
                continue
            self._numbers[name] = {pair.key: pair.value for pair in status.values}
            self._broken.pop(name, None)
            if name in (*_DRIVERS, _CAMERA) and status.level == DiagnosticStatus.ERROR:
                self._broken[name] = status.message
            refusal = self._numbers[name].get("refusal", "")
            if refusal and name in _DRIVERS and self.config.drivers and not self._started:
                self._do(self.batch.policy_lost(self._now_s(), f"{name}: {refusal}"))
            # While nothing runs, a policy in error is one that refused its checkpoint.
            if name == "policy_node" and status.level == DiagnosticStatus.ERROR and not self._started:
                self._do(self.batch.policy_lost(self._now_s(), f"policy_node: {status.message}"))

    # Services --------------------------------------------------------------------------------------------

    async def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        if not self._started:
            response.message = "still waiting for " + ", ".join(self._waiting_for or ["the other nodes"])
            return response
        refused, commands = self.batch.start_requested(self._now_s(), request.seed, request.index)
        if refused:
            response.message = refused
            return response
        self._start_answer = answer = Future()
        record = self.batch.current
        self._do(commands)
        response.success = await answer
        if record is not None:
            response.id = record.id
            response.message = "running" if response.success else record.reason
        return response

    def _answer_start(self) -> None:
        """Answer episode/start once its episode runs or has failed to."""
        if self._start_answer is None or self.batch.stage in (Stage.RESETTING, Stage.ARMING):
            return
        answer, self._start_answer = self._start_answer, None
        answer.set_result(self.batch.stage is Stage.RUNNING)

    def _on_finish(
        self, request: FinishEpisode.Request, response: FinishEpisode.Response
    ) -> FinishEpisode.Response:
        refused, commands = self.batch.finish_requested(self._now_s(), request.outcome, request.reason)
        response.success = not refused
        response.message = refused or "finished"
        self._do(commands)
        return response

    # Start, time and end ---------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        now_s = self._now_s()
        if self._over_s is not None:
            self._end_when_numbers_are_there(now_s)
        elif self._started:
            self._do(self.batch.time(now_s))
        elif missing := self._missing(now_s):
            if missing != self._waiting_for:
                self.get_logger().info("waiting for " + ", ".join(missing))
                self._waiting_for = missing
            if now_s - self._created_s > self.config.nodes_timeout_s:
                reason = (
                    f"after {self.config.nodes_timeout_s:g} s still waiting for {', '.join(missing)}: "
                    "are these nodes running, in the same namespace and ROS_DOMAIN_ID?"
                )
                self._do(self.batch.policy_lost(now_s, reason))
        else:
            self._started = True
            self.get_logger().info(
                f"all nodes are there; {self.config.episodes} episodes of {self.config.task}, "
                f"seed {self.config.seed}"
                if self.config.episodes
                else "all nodes are there; waiting for episode/start"
            )
            self._do([Announce(Phase.IDLE), *self.batch.start_batch(now_s)])

    def _missing(self, now_s: float) -> list[str]:
        """What is not there yet, in words."""
        missing = []
        if not self._reset.service_is_ready():
            missing.append(f"{self.config.world} (service sim/reset)")
        if not (self._arm.service_is_ready() and self._stop.service_is_ready()):
            missing.append("gate_node (services safety/arm and safety/stop)")
        if self._safety is None:
            missing.append("gate_node (topic safety/state)")
        if self.count_publishers("reward") == 0:
            missing.append(f"{self.config.world} (topic reward)")
        if self._policy_state != "active":
            missing.append(f"policy_node (active; it is {self._policy_state or 'not seen'})")
            if self._policy.service_is_ready() and now_s - self._policy_state_asked_s > 0.3:
                self._policy_state_asked_s = now_s
                self._policy.call_async(GetState.Request()).add_done_callback(self._on_policy_state)
        return missing or self._unconnected()

    def _unconnected(self) -> list[str]:
        """Who does not hear whom yet, in words: a message lost now would be missing in the first episode."""
        reports = {
            name: numbers[connections.KEY]
            for name, numbers in self._numbers.items()
            if connections.KEY in numbers
        }
        needed = (
            self.config.world,
            "gate_node",
            "policy_node",
            *(_DRIVERS if self.config.drivers else ()),
            *(("recorder_node",) if self.config.recorder else ()),
            *(("correction_node",) if self.config.corrections else ()),
        )
        if silent := [name for name in needed if name not in reports]:
            return [f"{name} (on /diagnostics)" for name in silent]
        reports[self.get_name()] = connections.report(self)
        return connections.missing(reports, connections.endpoints(self, connections.topics_of(reports)))

    def _on_policy_state(self, future: Future) -> None:
        state = future.result().current_state
        self._policy_state = "active" if state.id == State.PRIMARY_STATE_ACTIVE else state.label

    def _count_gate_from_here(self) -> None:
        safety = self._safety
        self._safety_before = (safety.holds, safety.refused) if safety is not None else (0, 0)

    def _close_row(self) -> None:
        """Keep the current episode with what the gate counted during it."""
        record = self.batch.current or (self.batch.records[-1] if self.batch.records else None)
        if record is None or any(row.record is record for row in self._rows):
            return
        holds, refused = self._safety_before
        safety = self._safety
        self._rows.append(
            EpisodeRow(
                record=record,
                gate_holds=safety.holds - holds if safety is not None else 0,
                gate_refused=safety.refused - refused if safety is not None else 0,
            )
        )

    def _log_episode(self, record: EpisodeRecord) -> None:
        done = len(self.batch.records)
        of = f" of {self.config.episodes}" if self.config.episodes else ""
        self.get_logger().info(
            f"episode {record.index} ({done}{of}): {record.outcome.name.lower()} after "
            f"{record.robot_time_s(self.config.control_dt):.2f} s, {record.reason}"
        )

    def _end_when_numbers_are_there(self, now_s: float) -> None:
        """The nodes publish their last numbers when an episode ends, and the video wants to be painted."""
        records = self.batch.records
        last_id = records[-1].id if records else ""
        complete = not records or all(
            self._numbers.get(node, {}).get("finished_episode") == last_id
            for node in (
                "policy_node",
                self.config.world,
                *(("recorder_node",) if self.config.recorder else ()),
            )
        )
        waited_s = now_s - self._over_s if self._over_s is not None else 0.0
        unexplained = self.batch.stopped and self._hold_reasons and self.config.drivers and not self._broken
        if unexplained and waited_s < _DRIVER_REASON_S:
            return
        if not complete and waited_s < _LAST_NUMBERS_TIMEOUT_S:
            return
        backlog = self._numbers.get(self.config.world, {}).get("video_backlog", "0")
        if backlog != "0" and waited_s < _VIDEO_TIMEOUT_S:
            self.get_logger().info(f"video: {backlog} pictures to paint", throttle_duration_sec=5.0)
            return
        self._report()
        raise SystemExit(self.batch.exit_code)

    def _report(self) -> None:
        if self._reported:
            return
        self._reported = True
        stopped = self.batch.stopped
        if stopped:
            said = [f"{name}: {why}" for name, why in self._broken.items() if why not in stopped]
            stopped = "; ".join((stopped, *said))
        report = BatchReport(
            task=self.config.task,
            seed=self.config.seed,
            control_dt=self.config.control_dt,
            episodes_asked=self.config.episodes,
            rows=self._rows,
            stopped=stopped,
            interrupted=self.batch.interrupted,
            hold_reasons=self._hold_reasons,
            last_refusal=self._safety.last_refusal if self._safety is not None else "",
            policy=self._numbers.get("policy_node", {}),
            sim=self._numbers.get(self.config.world, {}),
        )
        report.print_table(Console(width=100))
        if self.config.run_dir:
            path = report.write(Path(self.config.run_dir))
            self.get_logger().info(f"report: {path}")
        if stopped:
            self.get_logger().error(f"the batch was stopped: {stopped}")

    def destroy_node(self) -> None:
        """Ctrl-C ends here too: report what was done so far."""
        if not self._reported:
            self._do_at_interrupt(self.batch.interrupt(self._now_s()))
            self._close_row()
            self._report()
        super().destroy_node()

    def _do_at_interrupt(self, commands: list[Command]) -> None:
        """As `_do`, but nobody will hear the answers any more."""
        for command in commands:
            match command:
                case Stop():
                    if self._stop.service_is_ready():
                        self._stop.call_async(Trigger.Request())
                case Announce():
                    self._announce_finished()
                case _:
                    pass

    def _announce_finished(self) -> None:
        record = self.batch.records[-1]
        message = EpisodeState(
            task=self.config.task,
            phase=Phase.FINISHED.value,
            count=self.config.episodes,
            id=record.id,
            index=record.index,
            seed=record.seed,
            outcome=record.outcome.value,
            reason=record.reason,
            max_steps=record.max_steps,
            started=stamp_msg(record.started_ns),
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._state.publish(message)


def main() -> None:
    """Entry point."""
    exit_with(run_node(EpisodeManager))
