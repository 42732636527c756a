"""The reward node: images and the arm's state in, the reward of a tracked object out. A lifecycle node.

    ros2 run rfs_perception reward_node --ros-args -p calibration:=camera.json -p autostart:=true
    ros2 run rfs_perception reward_node --ros-args -p tracker:=colour -p calibration:=camera.json
    ros2 run rfs_perception reward_node --ros-args -p weights:=/models/sam2-small -p prompt:="click 320 240"

Looks at the newest image `rate` times a second, in a thread of its own: whoever controls the robot never
waits for it. Every reward has the stamp of the image that it scores. Where the object is not found, or the
arm's state of that moment is not known, `valid` is false, `reason` says why, and the numbers mean nothing.
Each episode begins anew: the object is prompted again in its first image; so does `reward/restart`.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_srvs.srv import Trigger

from rfs_core import robot, se3
from rfs_core.errors import ConfigError, RfsError
from rfs_core.kinematics import ArmKinematics
from rfs_msgs.msg import EpisodeState, Reward
from rfs_perception import calibration
from rfs_perception.arm_history import ArmHistory
from rfs_perception.errors import PerceptionError
from rfs_perception.frame import Frame, Intrinsics
from rfs_perception.frame_matcher import FrameMatcher
from rfs_perception.nodes import messages
from rfs_perception.reward import RewardEstimator, Scored
from rfs_perception.reward_config import RewardConfig, parse_prompt
from rfs_perception.trackers.make import make
from rfs_ros import params
from rfs_ros.conversions import joint_values, require_frame, stamp_msg, stamp_ns
from rfs_ros.lifecycle import LifecycleNode
from rfs_ros.qos import EPISODE_STATES, IMAGES, RELIABLE, REWARDS
from rfs_ros.run import exit_with, run_node

_AUTOSTART_S = 1.0
_JOIN_S = 30.0
_SAY_AGAIN_S = 5.0


class RewardNode(LifecycleNode):
    """Wires RewardEstimator to topics."""

    def __init__(self, **options: Any) -> None:
        """Args: options: of rclpy's Node, such as context."""
        super().__init__("reward_node", **options)
        self.refusal = ""
        """Why this node cannot be configured."""
        self._config: RewardConfig | None = None
        try:
            self._config = params.declare(self, RewardConfig)
        except ConfigError as error:
            self.refusal = str(error)
        self._kinematics = ArmKinematics()
        self._estimator: RewardEstimator | None = None
        self._serial = ""
        """Of the camera that the calibration is true of."""
        self._camera_status = f"{self.get_namespace().strip('/')}/realsense_node: camera".lstrip("/")
        self.foreign = ""
        """Why the camera that is running is not that one."""
        labels = self._config is not None and self._config.tracker == "labels"
        self.uses_labels = labels
        """Whether it waits for a simulator's labels of every image."""
        self._changed = threading.Condition()
        self._matcher = FrameMatcher(("colour", "depth", "labels") if labels else ("colour", "depth"))
        self._intrinsics: Intrinsics | None = None
        self._arm = ArmHistory()
        self._restart = False
        self._episode = ""
        self._broken = ""
        """Why the last message could not be read."""
        self._running = threading.Event()
        self._thread: threading.Thread | None = None
        self._last: Scored | None = None
        self._counts = {"valid": 0, "invalid": 0}
        self._took_s: deque[float] = deque(maxlen=300)
        self._said = ""

        self._publish_reward = self.create_publisher(Reward, "reward", REWARDS).publish
        self._publish_mask = self.create_publisher(CompressedImage, "perception/mask/compressed", 1).publish
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self.create_subscription(CompressedImage, "camera/color/compressed", self._on_colour, IMAGES)
        self.create_subscription(Image, "camera/depth", self._on_depth, IMAGES)
        self.create_subscription(CameraInfo, "camera/camera_info", self._on_info, IMAGES)
        if labels:
            self.create_subscription(Image, "camera/labels", self._on_labels, IMAGES)
        self.create_subscription(JointState, "arm/joint_states", self._on_arm, RELIABLE)
        self.create_subscription(EpisodeState, "episode/state", self._on_episode, EPISODE_STATES)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RELIABLE)
        self.create_service(Trigger, "reward/restart", self._on_restart)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        self._autostart = None
        if self._config is not None and self._config.autostart:
            self._autostart = self.create_timer(_AUTOSTART_S, self._start_by_itself, clock=steady)

    # Life cycle ------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the calibration and load the tracker."""
        try:
            if self._config is None:
                raise ConfigError(self.refusal)
            config = self._config
            found = calibration.load(config.calibration)
            calibration.require(
                found,
                config.calibration,
                found.camera_serial,
                max_rms_position=config.max_calibration_error,
            )
            prompt = parse_prompt(config.prompt)
            tracker = make(config.tracker, config.weights, config.device)
        except RfsError as error:
            self.refusal = str(error)
            self.get_logger().error(f"not configured: {error}")
            self._publish_diagnostics()
            return TransitionCallbackReturn.FAILURE
        self._serial = found.camera_serial
        self._estimator = RewardEstimator(tracker, found.camera_in_base, config, prompt)
        self.refusal = ""
        self.get_logger().info(f"tracker {config.tracker}, at most {config.rate:g} images a second")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to look."""
        self._running.set()
        self._thread = threading.Thread(target=self._look_on, name="reward", daemon=True)
        self._thread.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop looking."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the tracker go."""
        self._stop()
        self._estimator = None
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The end."""
        self._stop()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """The thread before the publishers."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        self._running.clear()
        with self._changed:
            self._changed.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_JOIN_S)

    def _start_by_itself(self) -> None:
        assert self._autostart is not None
        if self._config is not None and self._estimator is None:
            self.trigger_configure()
        if self._estimator is not None and not self._running.is_set():
            self.trigger_activate()
        if self._config is None or self._running.is_set():
            self._autostart.cancel()

    # What comes in ---------------------------------------------------------------------------------------

    def _on_colour(self, message: CompressedImage) -> None:
        self._keep("colour", message)

    def _on_depth(self, message: Image) -> None:
        self._keep("depth", message)

    def _on_labels(self, message: Image) -> None:
        self._keep("labels", message)

    def _keep(self, part: str, message: CompressedImage | Image) -> None:
        try:
            require_frame(message.header.frame_id, calibration.CAMERA_FRAME, f"{part} image")
        except RfsError as error:
            self._broken = str(error)
            return
        with self._changed:
            self._matcher.add(part, stamp_ns(message.header.stamp), message)
            self._changed.notify_all()

    def _on_info(self, message: CameraInfo) -> None:
        try:
            self._intrinsics = messages.intrinsics_from_msg(message)
        except PerceptionError as error:
            self._broken = str(error)

    def _on_arm(self, message: JointState) -> None:
        try:
            position = joint_values(message.name, message.position, robot.ARM_JOINT_NAMES, "arm/joint_states")
        except RfsError as error:
            self._broken = str(error)
            return
        with self._changed:
            self._arm.add(stamp_ns(message.header.stamp), position)
            self._changed.notify_all()

    def _on_episode(self, message: EpisodeState) -> None:
        if message.phase == EpisodeState.PHASE_RUNNING and message.id != self._episode:
            self._episode = message.id
            self._restart = True

    def restart(self) -> None:
        """Prompt the object anew in the next image."""
        self._restart = True

    @property
    def restarting(self) -> bool:
        """Whether the next image begins anew."""
        return self._restart

    @property
    def last_mask(self) -> NDArray[np.bool_] | None:
        """What the tracker saw in the last image."""
        return self._last.mask if self._last is not None else None

    def _on_restart(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._restart = True
        response.success, response.message = True, "the object is prompted anew in the next image"
        return response

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._camera_status:
                serial = {v.key: v.value for v in status.values}.get("serial", "none")
                foreign = serial not in ("none", self._serial) and bool(self._serial)
                self.foreign = (
                    f"the calibration is of camera {self._serial!r}, images come from {serial!r}"
                    if foreign
                    else ""
                )

    # Looking, in the thread of its own -------------------------------------------------------------------

    def _look_on(self) -> None:
        assert self._config is not None
        period, silent = 1.0 / self._config.rate, self._config.silent_after
        next_at = heard_at = time.monotonic()
        looked_at: int | None = None
        while self._running.is_set():
            with self._changed:
                self._changed.wait(min(0.05, max(0.001, next_at - time.monotonic())))
                now = time.monotonic()
                newest = self._matcher.newest() if now >= next_at else None
            if newest is None:
                if now - heard_at > silent:
                    heard_at = now
                    reason = self._broken or f"no image for {silent:g} s: is the camera running?"
                    self._publish(self.get_clock().now().nanoseconds, self._not_scored(reason))
                continue
            next_at, heard_at = now + period, now
            stamp, parts = newest
            began = time.perf_counter()
            scored = self._score(stamp, parts)
            self._took_s.append(time.perf_counter() - began)
            if looked_at is not None and scored.valid:
                self._warn_of_gap((stamp - looked_at) / 1e9)
            looked_at = stamp
            self._publish(stamp, scored)

    def _score(self, stamp: int, parts: dict[str, CompressedImage | Image]) -> Scored:
        assert self._estimator is not None
        if self._restart:
            self._restart = False
            self._estimator.restart()
        try:
            if self.foreign:
                raise PerceptionError(self.foreign)
            if self._intrinsics is None:
                raise PerceptionError(self._broken or "no camera info was received")
            frame = Frame(
                stamp_ns=stamp,
                colour=messages.colour_from_msg(parts["colour"]),
                depth=messages.depth_from_msg(parts["depth"]),
                intrinsics=self._intrinsics,
                labels=messages.labels_from_msg(parts["labels"]) if "labels" in parts else None,
            )
            sizes = {
                frame.colour.shape[:2],
                frame.depth.shape,
                (self._intrinsics.height, self._intrinsics.width),
            }
            if len(sizes) != 1:
                raise PerceptionError(f"colour, depth and camera info have different sizes: {sorted(sizes)}")
            self._broken = ""
            return self._estimator.look(frame, self._palm_at(stamp))
        except PerceptionError as error:
            return self._not_scored(str(error))
        # A defect, or a GPU without memory: said here and in the reward. Without this thread none would come.
        except Exception as error:  # noqa: BLE001
            self.get_logger().error(
                f"this image cannot be scored:\n{traceback.format_exc()}", throttle_duration_sec=_SAY_AGAIN_S
            )
            return self._not_scored(f"the image cannot be scored, the log says more: {error!r}")

    def _not_scored(self, reason: str) -> Scored:
        assert self._estimator is not None
        self._estimator.interrupt()
        nan = float("nan")
        return Scored(False, reason, nan, nan, np.full(3, nan), False, None)

    def _warn_of_gap(self, gap_s: float) -> None:
        """Say why there is no success where looks are too rare to tell one."""
        assert self._config is not None
        terms = self._config.terms
        if terms.hold_for and gap_s > terms.longest_gap:
            self.get_logger().warning(
                f"the last two looks are {gap_s:.2f} s apart, success needs at most {terms.longest_gap:g} s "
                "(1.5 terms.hold_for): raise rate, use a faster tracker, or raise terms.hold_for",
                throttle_duration_sec=_SAY_AGAIN_S,
            )

    def _palm_at(self, stamp: int) -> NDArray[np.float64]:
        assert self._config is not None
        deadline = time.monotonic() + self._config.arm_patience
        with self._changed:
            while self._arm.newest_ns < stamp and time.monotonic() < deadline and self._running.is_set():
                self._changed.wait(max(0.001, deadline - time.monotonic()))
            q = self._arm.at(stamp)
        pose = self._kinematics.forward(q[None])
        palm = np.eye(4)
        palm[:3, :3] = se3.matrix_from_quat(pose.quaternion)[0]
        palm[:3, 3] = pose.position[0]
        return palm

    def _publish(self, stamp: int, scored: Scored) -> None:
        self._last = scored
        self._counts["valid" if scored.valid else "invalid"] += 1
        message = Reward(valid=scored.valid, success=scored.success, reason=scored.reason)
        message.header.stamp, message.header.frame_id = stamp_msg(stamp), robot.BASE_FRAME
        centre = scored.centre.tolist()
        message.object_centre.x, message.object_centre.y, message.object_centre.z = centre
        if scored.valid:
            message.total = scored.total
            message.distance_term, message.lift_term = scored.distance_term, scored.lift_term
        self._publish_reward(message)
        if scored.mask is not None and self.count_subscribers("perception/mask/compressed"):
            self._publish_mask(messages.mask_msg(stamp, scored.mask))
        if scored.reason != self._said:
            self._said = scored.reason
            self.get_logger().warning(f"not valid: {scored.reason}" if scored.reason else "valid again")

    # Diagnostics -----------------------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        status = DiagnosticStatus(name=f"{self.get_fully_qualified_name().lstrip('/')}: reward")
        if self.refusal or self._estimator is None:
            status.level = DiagnosticStatus.ERROR if self.refusal else DiagnosticStatus.WARN
            status.message = self.refusal or "not configured"
        else:
            last = self._last
            valid = last is not None and last.valid
            status.level = DiagnosticStatus.OK if valid else DiagnosticStatus.WARN
            status.message = (
                "valid" if last is not None and valid else (last.reason if last else "no image yet")
            )
            took = sorted(self._took_s)
            values = {
                "valid": str(self._counts["valid"]),
                "invalid": str(self._counts["invalid"]),
                "took_ms_p50": f"{took[len(took) // 2] * 1e3:.1f}" if took else "none",
                "took_ms_p99": f"{took[int(0.99 * (len(took) - 1))] * 1e3:.1f}" if took else "none",
                "rest_height_m": f"{self._estimator.rest_height:.4f}",
            }
            status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main() -> None:
    """Entry point."""
    exit_with(run_node(RewardNode))


if __name__ == "__main__":
    main()
