"""A human's corrections, from a device to bounded residuals for the command gate.

    ros2 run rfs_control correction_node --ros-args -p device:=keyboard
    ros2 launch rfs_bringup collect_corrections.launch.py

What a push means is decided in `rfs_core.correction`, what a scripted human does in
`rfs_core.scripted_correction`; this node turns messages, keys and time into their readings.

Subscribes: arm/current_pose, episode/state; with device spacemouse spacemouse/joy (the driver's, or any other
            node's with six axes and two buttons); with device scripted sim/object_pose, sim/goal_pose
Publishes:  correction/residual, episode/mark, /diagnostics
Calls:      episode/finish (keys: success, failure, discard)
Serves:     correction/enable (std_srvs/SetBool): false lets go, for measuring without corrections
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Joy
from std_srvs.srv import SetBool

from rfs_control.correction_config import CorrectionNodeConfig
from rfs_control.correction_record import CorrectionRecord
from rfs_control.keyboard import HELP, Keyboard, Terminal, TerminalError
from rfs_core import robot
from rfs_core.correction import AXES, CorrectionLaw, Reading
from rfs_core.correction import Correction as Corrected
from rfs_core.errors import RfsError
from rfs_core.scripted_correction import ScriptedHuman, Sight
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_msgs.msg import Correction, EpisodeMark, EpisodeState
from rfs_msgs.srv import FinishEpisode
from rfs_ros import connections, conversions, params
from rfs_ros.conversions import seconds, stamp_msg, stamp_ns
from rfs_ros.qos import EPISODE_STATES, RELIABLE
from rfs_ros.run import exit_with, run_node

_DIAGNOSE_S = 1.0
_STREAM = "corrector"
_SIGHTS = ("sim/object_pose", "sim/goal_pose")
_PALMS = 50
"""Poses of the palm that are remembered: half a second of a driver's."""
_OUTCOMES = {
    "y": (EpisodeState.OUTCOME_SUCCESS, "judged a success by the operator"),
    "n": (EpisodeState.OUTCOME_FAILURE, "judged a failure by the operator"),
    "x": (EpisodeState.OUTCOME_ABORTED, "discarded by the operator"),
}


class CorrectionNode(Node):
    """Wires a device to `rfs_core.correction`; decides nothing itself."""

    def __init__(self, **options: Any) -> None:
        """Args: options: of rclpy's Node, such as parameter_overrides."""
        super().__init__("correction_node", **options)
        self.config = params.declare(self, CorrectionNodeConfig)
        self.law = CorrectionLaw(self.config)
        self.record = CorrectionRecord(round(self.law.spec.control_dt * conversions.NS_PER_S))
        self._keyboard = Keyboard(self.config.key_hold_s, self.config.key_deflection)
        self._terminal = self._open_terminal()
        self._enabled = True
        self._joy: Reading | None = None
        self._episode: EpisodeState | None = None
        self._palm: Pose | None = None
        self._palm_heard_s = 0.0
        self._human: ScriptedHuman | None = None
        self._seen: dict[str, tuple[int, Pose]] = {}
        self._palms: deque[tuple[int, Pose]] = deque(maxlen=_PALMS)
        self._lost = 0
        if self.config.device == "scripted":
            self._human = self._new_human(0, 0)  # refuses a task that it does not know

        self._residual = self.create_publisher(Correction, "correction/residual", RELIABLE)
        self._mark = self.create_publisher(EpisodeMark, "episode/mark", RELIABLE)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self._finish = self.create_client(FinishEpisode, "episode/finish")
        self.create_service(SetBool, "correction/enable", self._on_enable)
        self.create_subscription(EpisodeState, "episode/state", self._on_episode, EPISODE_STATES)
        self.create_subscription(PoseStamped, "arm/current_pose", self._on_palm, RELIABLE)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        if self.config.device == "scripted":
            for topic in _SIGHTS:
                self.create_subscription(
                    PoseStamped, topic, lambda message, topic=topic: self._on_sight(topic, message), RELIABLE
                )
            if self._terminal is not None:
                self.create_timer(0.05, self._take_keys, clock=steady)
        else:
            if self.config.device == "spacemouse":
                self.create_subscription(Joy, "spacemouse/joy", self._on_joy, RELIABLE)
            self.create_timer(1.0 / self.config.rate_hz, self._on_tick, clock=steady)
        self.create_timer(_DIAGNOSE_S, self._diagnose, clock=steady)
        self.get_logger().info(f"corrections by {self.config.device}")
        if self._terminal is not None:
            self.get_logger().info(HELP if self.config.device == "keyboard" else HELP[HELP.index("y: ") :])

    def _open_terminal(self) -> Terminal | None:
        keyboard = self.config.device == "keyboard"
        if not (self.config.keys or keyboard):
            return None
        try:
            return Terminal(self.config.terminal or "/dev/tty")
        except TerminalError as error:
            if keyboard:
                raise
            self.get_logger().info(f"no keys to mark episodes with: {error}")
            return None

    # Devices

    def _on_tick(self) -> None:
        """A device that a person holds: its own time is the steady clock's."""
        self._take_keys()
        now_s = time.monotonic()
        reading = self._keyboard.reading(now_s) if self.config.device == "keyboard" else self._joy
        fresh = self._palm is not None and now_s - self._palm_heard_s < self.config.stale_s
        height = float(self._palm.position[0, 2]) if self._palm is not None and fresh else None
        corrected = self.law.step(now_s, reading if self._enabled else None, height)
        self._publish(corrected, self.get_clock().now().nanoseconds)

    def _on_joy(self, message: Joy) -> None:
        if len(message.axes) != len(AXES):
            self.get_logger().error(
                f"spacemouse/joy has {len(message.axes)} axes, needs {len(AXES)}: {', '.join(AXES)}",
                throttle_duration_sec=5.0,
            )
            return
        buttons = [bool(button) for button in message.buttons[:2]] + [False, False]
        self._joy = Reading(time.monotonic(), np.array(message.axes), enable=buttons[0], lift=buttons[1])

    def _on_sight(self, topic: str, message: PoseStamped) -> None:
        pose = conversions.pose_from_msg(message.pose, topic)
        self._seen[topic] = (stamp_ns(message.header.stamp), pose)
        self._look()

    def _look(self) -> None:
        """The scripted human looks once everything of a control step is there; its time is the robot's.

        A driver tells the palm's pose more often, and at other times, than the world tells where things are:
        of its poses the nearest one is taken, once there is one that is not older.
        """
        stamps = {stamp for stamp, _ in self._seen.values()}
        episode = self._episode
        if len(self._seen) < len(_SIGHTS) or len(stamps) > 1 or self._human is None or episode is None:
            return
        at_ns = stamps.pop()
        if not self.record.running or at_ns < stamp_ns(episode.started):
            return
        if not self._palms or self._palms[-1][0] < at_ns:
            return
        _, palm = min(self._palms, key=lambda of_time: abs(of_time[0] - at_ns))
        thing, goal = (self._seen[topic][1] for topic in _SIGHTS)
        sight = Sight(seconds(at_ns), palm, thing, goal.position[0])
        reading = self._human.look(sight) if self._enabled else None
        self._publish(self.law.step(sight.at_s, reading, float(palm.position[0, 2])), at_ns)
        self._seen.clear()

    def _new_human(self, seed: int, index: int) -> ScriptedHuman:
        rng = episode_rng(seed, index, _STREAM)
        return ScriptedHuman(self.config.task, self.config.scripted, self.config.position, rng)

    # The robot and the episode

    def _on_palm(self, message: PoseStamped) -> None:
        try:
            conversions.require_frame(message.header.frame_id, robot.BASE_FRAME, "arm/current_pose")
            self._palm = conversions.pose_from_msg(message.pose, "arm/current_pose")
        except RfsError as error:
            self._palm = None
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
            return
        self._palm_heard_s = time.monotonic()
        if self.config.device == "scripted":
            self._palms.append((stamp_ns(message.header.stamp), self._palm))
            self._look()

    def _on_episode(self, message: EpisodeState) -> None:
        new = message.phase == EpisodeState.PHASE_RUNNING and message.id != self.record.running
        line = self.record.state(message.id, message.phase, message.outcome, stamp_ns(message.started))
        self._episode = message
        if new and self.config.device == "scripted":
            self._human = self._new_human(message.seed, message.index)
            self.law = CorrectionLaw(self.config)
        if line:
            self.get_logger().info(line)
            self._diagnose()

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success = True
        response.message = "corrections act" if request.data else "corrections do nothing"
        return response

    # Keys

    def _take_keys(self) -> None:
        if self._terminal is None:
            return
        for key in self._terminal.pressed():
            if key in _OUTCOMES:
                self._judge(key)
            elif key == "?":
                self.get_logger().info(HELP)
            elif self.config.device == "keyboard":
                self._keyboard.press(key, time.monotonic())

    def _judge(self, key: str) -> None:
        outcome, reason = _OUTCOMES[key]
        if not self.record.running:
            self.get_logger().warning(f"key {key}: no episode is running")
            return
        if key == "x":
            self.record.discard()
            self._say_mark(EpisodeMark.DISCARD, reason)
        self._finish.call_async(FinishEpisode.Request(outcome=outcome, reason=reason))

    # What goes out

    def _publish(self, corrected: Corrected, at_ns: int) -> None:
        message = Correction(
            residual=corrected.residual.tolist(), engaged=corrected.engaged, device=self.config.device
        )
        message.header.stamp = stamp_msg(at_ns)
        message.header.frame_id = robot.BASE_FRAME
        self._residual.publish(message)
        self.record.correction(at_ns, corrected.engaged)
        if corrected.lost and self._enabled:
            self._lost += 1
            reason = f"{self.config.device} fell silent while the human was correcting; its residual fades"
            self.get_logger().error(reason)
            self._say_mark(EpisodeMark.DEVICE_LOST, reason)

    def _say_mark(self, mark: str, reason: str) -> None:
        if self.record.running:
            message = EpisodeMark(episode=self.record.running, mark=mark, reason=reason)
            message.header.stamp = self.get_clock().now().to_msg()
            self._mark.publish(message)

    def _diagnose(self) -> None:
        record, device = self.record, self.config.device
        silent = device == "spacemouse" and (
            self._joy is None or time.monotonic() - self._joy.at_s > self.config.stale_s
        )
        values = {
            "device": device,
            "enabled": self._enabled,
            "episodes": record.episodes,
            "successes": record.successes,
            "discarded": record.discarded,
            "corrected_steps": record.corrected + record.corrected_now * bool(record.running),
            "device_lost": self._lost,
            connections.KEY: connections.report(self),
        }
        status = DiagnosticStatus(
            name=f"{self.get_fully_qualified_name().lstrip('/')}: corrections",
            level=DiagnosticStatus.WARN if silent else DiagnosticStatus.OK,
            message="nothing is heard on spacemouse/joy" if silent else "ready",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def destroy_node(self) -> None:
        """Give the terminal back, then the node."""
        if self._terminal is not None:
            self._terminal.close()
        super().destroy_node()


def main() -> None:
    """Entry point."""
    exit_with(run_node(CorrectionNode))
