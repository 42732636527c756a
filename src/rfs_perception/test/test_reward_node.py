"""The reward node on its topics: every image gets one reward, valid or with the reason why not."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_srvs.srv import Trigger

pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

sys.path.insert(0, str(Path(__file__).parent))
from table_scene import CAMERA, scene

from rfs_core import robot, se3
from rfs_core.kinematics import ArmKinematics
from rfs_msgs.msg import EpisodeState, Reward
from rfs_perception import calibration
from rfs_perception.calibration import Calibration
from rfs_perception.frame import Frame
from rfs_perception.nodes import messages
from rfs_perception.nodes.reward_node import RewardNode
from rfs_perception.trackers.base import Found
from rfs_perception.trackers.colour import ColourTracker
from rfs_ros.conversions import joint_state_msg, stamp_ns
from rfs_ros.qos import EPISODE_STATES, IMAGES, RELIABLE, REWARDS

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
PATIENCE_S = 90.0
MS = 1_000_000
Q = np.array([0.0, -0.03, 0.0, -2.75, 0.0, 3.69, 0.0])
"""The hand above the table (rad)."""


def save_calibration(path: Path) -> Path:
    calibration.save(
        path,
        Calibration(
            camera_serial="1",
            position=tuple(CAMERA[:3, 3].tolist()),
            quaternion_wxyz=tuple(se3.quat_from_matrix(CAMERA[None, :3, :3])[0].tolist()),
            method="by construction",
            date="2026-01-01T00:00:00+00:00",
            rms_position_m=0.0,
            rms_rotation_rad=0.0,
            rms_reprojection_px=0.0,
            poses=6,
            image_size=(160, 120),
        ),
    )
    return path


class Desk:
    """The node in this process, and what a camera and an arm publish to it."""

    def __init__(self, path: Path) -> None:
        given = {"tracker": "colour", "calibration": path, "rate": "30.0", "silent_after": "60.0"}
        arguments = [part for name, value in given.items() for part in ("-p", f"{name}:={value}")]
        namespace = f"/reward_{os.getpid()}"
        rclpy.init(args=["--ros-args", "-r", f"__ns:={namespace}", *arguments], domain_id=DOMAIN)
        self.reward = RewardNode()
        self.node = rclpy.create_node("desk", namespace=namespace)
        publisher = self.node.create_publisher
        self.colour = publisher(CompressedImage, "camera/color/compressed", IMAGES)
        self.depth = publisher(Image, "camera/depth", IMAGES)
        self.info = publisher(CameraInfo, "camera/camera_info", IMAGES)
        self.arm = publisher(JointState, "arm/joint_states", RELIABLE)
        self.episode = publisher(EpisodeState, "episode/state", EPISODE_STATES)
        self.diagnostics = publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self.restart = self.node.create_client(Trigger, "reward/restart")
        self._answers: dict[int, Reward] = {}
        self._answered = threading.Condition()
        self.node.create_subscription(Reward, "reward", self._on_reward, REWARDS)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.reward)
        self._executor.add_node(self.node)
        assert self.reward.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.reward.trigger_activate() == TransitionCallbackReturn.SUCCESS
        threading.Thread(target=self._executor.spin, daemon=True).start()
        self.clock = 0
        self.until(lambda: self.colour.get_subscription_count() > 0, "discovery")
        self.until(lambda: self.arm.get_subscription_count() > 0, "discovery")

    def _on_reward(self, message: Reward) -> None:
        with self._answered:
            self._answers[stamp_ns(message.header.stamp)] = message
            self._answered.notify_all()

    def until(self, condition: object, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline, f"waited for {what}"
            time.sleep(0.02)

    def send(self, frame: Frame, arm_late_ms: int = 0, frame_id: str = "") -> int:
        """Publish a moment, the arm's state so much later; returns its stamp."""
        self.clock += 100 * MS
        stamp = self.clock
        self.info.publish(messages.info_msg(stamp, frame.intrinsics))
        self.arm.publish(joint_state_msg(stamp + arm_late_ms * MS, robot.ARM_JOINT_NAMES, Q))
        self.depth.publish(messages.depth_msg(stamp, frame.depth))
        message = messages.colour_msg(stamp, frame.colour, 95)
        if frame_id:
            message.header.frame_id = frame_id
        self.colour.publish(message)
        return stamp

    def answer(self, stamp: int) -> Reward:
        with self._answered:
            found = self._answered.wait_for(lambda: stamp in self._answers, timeout=PATIENCE_S)
            assert found, f"no reward for {stamp}"
            return self._answers[stamp]

    def show(self, frame: Frame, **how: object) -> Reward:
        return self.answer(self.send(frame, **how))  # type: ignore[arg-type]

    def close(self) -> None:
        self._executor.shutdown()
        self.reward.destroy_node()
        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(save_calibration(tmp_path_factory.mktemp("camera") / "camera.json"))
    yield desk
    desk.close()


def test_a_seen_object_is_scored_by_its_distance_from_the_palm(desk: Desk) -> None:
    reward = desk.show(scene())
    assert reward.valid, reward.reason
    assert reward.header.frame_id == "fr3_link0"
    palm = ArmKinematics().forward(Q[None]).position[0]
    expected = -float(np.linalg.norm(palm - (0.55, 0.0, 0.03)))
    assert reward.distance_term == pytest.approx(expected, abs=0.01)
    assert reward.lift_term == 0.0
    assert reward.object_centre.x == pytest.approx(0.55, abs=0.01)
    lifted = desk.show(scene((0.55, 0.0, 0.07), seed=1))
    assert lifted.lift_term == pytest.approx(5.0 * 0.04, abs=0.03)


def test_a_hidden_object_is_not_valid_and_says_why(desk: Desk) -> None:
    reward = desk.show(scene(hidden_columns=slice(0, 160)))
    assert not reward.valid
    assert "no piece of the object's colour" in reward.reason
    assert reward.total == 0.0
    assert np.isnan(reward.object_centre.x)
    assert desk.show(scene(seed=2)).valid


def test_an_arm_whose_clock_is_apart_gives_no_reward(desk: Desk) -> None:
    reward = desk.show(scene(seed=3), arm_late_ms=-90)
    assert not reward.valid
    assert "newer than the newest arm state: arm silent, or clocks apart" in reward.reason
    # The states around this image are too far apart to say where the arm was.
    late = desk.show(scene(seed=4), arm_late_ms=2000)
    assert not late.valid
    assert "ms apart" in late.reason
    desk.clock += 5000 * MS
    assert desk.show(scene(seed=5)).valid


def test_images_of_another_frame_or_size_are_refused(desk: Desk) -> None:
    desk.send(scene(seed=6), frame_id="wrist_camera")  # never becomes a pair
    small = replace(scene(seed=7), depth=np.ones((60, 80), np.float32))
    reward = desk.show(small)
    assert not reward.valid
    assert "different sizes" in reward.reason
    assert desk.show(scene(seed=8)).valid


def test_images_of_another_camera_than_the_calibrated_are_refused(desk: Desk) -> None:
    def say(serial: str) -> None:
        name = f"{desk.reward.get_namespace().strip('/')}/realsense_node: camera"
        status = DiagnosticStatus(name=name, values=[KeyValue(key="serial", value=serial)])
        desk.diagnostics.publish(DiagnosticArray(status=[status]))

    desk.until(lambda: desk.diagnostics.get_subscription_count() > 0, "discovery")
    say("2")
    desk.until(lambda: desk.reward.foreign != "", "the diagnostics")
    reward = desk.show(scene(seed=9))
    assert not reward.valid
    assert reward.reason == "the calibration is of camera '1', images come from '2'"
    say("1")
    desk.until(lambda: desk.reward.foreign == "", "the diagnostics")
    assert desk.show(scene(seed=10)).valid


def test_a_tracker_that_fails_gives_the_reason_and_the_next_image_a_reward(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desk.show(scene(seed=20)).valid

    def out_of_memory(self: ColourTracker, frame: Frame) -> Found:
        raise RuntimeError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(ColourTracker, "track", out_of_memory)
        reward = desk.show(scene(seed=21))
    assert not reward.valid
    assert "cannot be scored, the log says more: RuntimeError('CUDA out of memory')" in reward.reason
    assert desk.show(scene(seed=22)).valid


def test_a_new_episode_and_the_service_begin_anew(desk: Desk) -> None:
    taller = scene((0.55, 0.0, 0.05), (0.03, 0.03, 0.05), seed=11)
    desk.until(lambda: desk.episode.get_subscription_count() > 0, "discovery")
    desk.episode.publish(EpisodeState(id="next", phase=EpisodeState.PHASE_RUNNING))
    desk.until(lambda: desk.reward.restarting, "the episode")
    reward = desk.show(taller)
    # The taller block stands: its centre is its own rest, nothing is lifted.
    assert reward.valid, reward.reason
    assert reward.object_centre.z == pytest.approx(0.05, abs=0.01)
    assert reward.lift_term == 0.0
    assert desk.restart.wait_for_service(PATIENCE_S)
    future = desk.restart.call_async(Trigger.Request())
    desk.until(future.done, "the service")
    reward = desk.show(scene(seed=12))
    assert reward.valid, reward.reason
    assert reward.object_centre.z == pytest.approx(0.03, abs=0.01)


def test_an_image_without_the_arms_state_begins_the_holding_anew(desk: Desk) -> None:
    desk.reward.restart()
    # Lifted from 0.03 m to 0.24 m, 6 cm from the palm at (0.50, 0, 0.28).
    for step, height in enumerate((0.03, 0.10, 0.17)):
        assert not desk.show(scene((0.55, 0.0, height), seed=30 + step)).success
    held = [desk.show(scene((0.55, 0.0, 0.24), seed=40 + k)) for k in range(4)]
    assert [reward.valid for reward in held] == [True] * 4
    # 100 ms apart: the fourth is the first that is 0.25 s after the first.
    assert [reward.success for reward in held] == [False, False, False, True]
    assert not desk.show(scene((0.55, 0.0, 0.24), seed=50), arm_late_ms=-90).valid
    again = [desk.show(scene((0.55, 0.0, 0.24), seed=60 + k)) for k in range(4)]
    assert [reward.success for reward in again] == [False, False, False, True]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "no calibration file is given"),
        ({"calibration": "CAMERA", "prompt": "the blue one"}, "is none of: auto, box"),
        ({"calibration": "CAMERA", "tracker": "colour", "rat": "3.0"}, "did you mean 'rate'"),
    ],
    ids=["no calibration", "prompt", "unknown parameter"],
)
def test_what_cannot_be_configured_says_why(
    given: dict[str, str], reason: str, desk: Desk, tmp_path: Path
) -> None:
    words = {"CAMERA": str(save_calibration(tmp_path / "camera.json"))}
    arguments = [
        part for name, value in given.items() for part in ("-p", f"{name}:='{words.get(value, value)}'")
    ]
    if "rat" in given:
        arguments[-1] = "rat:=3.0"
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "-r", "__ns:=/refused", *arguments], context=context, domain_id=DOMAIN)
    node = RewardNode(context=context)
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert reason in node.refusal
    finally:
        node.destroy_node()
        context.try_shutdown()
