#!/usr/bin/env python3
"""How far the reward of images is from the simulator's truth: rendered episodes through the reward node.

    scripts/evaluate_reward.py                            # 50 episodes, colour tracker, about 5 minutes
    scripts/evaluate_reward.py --tracker labels --episodes 10 --json figures.json --pictures seen.png

A policy plays episodes of grasp. At 10 Hz of robot time colour (JPEG), depth (with noise) and the arm's state
are published as a camera and a driver do; the node answers with a reward for each stamp. In each episode a
board is held before the camera for half a second: no reward may be valid there, nor wherever the object shows
fewer than ten pixels. Prints errors of the centre and of the reward's terms.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from rfs_core import robot, se3
from rfs_core.errors import RfsError
from rfs_msgs.msg import Reward
from rfs_perception import calibration
from rfs_perception.frame import Intrinsics, project
from rfs_perception.nodes import messages
from rfs_perception.nodes.reward_node import RewardNode
from rfs_ros.conversions import joint_state_msg, stamp_msg, stamp_ns
from rfs_ros.qos import IMAGES, REWARDS, STATES
from rfs_sim.cloud import Camera, DepthSensor
from rfs_sim.nodes.sim_messages import object_labels
from rfs_sim.render import ScenePainter, Snapshot, play, policy_actor
from rfs_sim.world import World

ROOT = Path(__file__).resolve().parent.parent
PERIOD_NS = 100_000_000
HIDDEN_BELOW = 10
"""Pixels: with fewer the object counts as hidden."""
BOARD = range(20, 25)
"""Images of an episode before which a board is held."""
ANSWER_S = 120.0


@dataclass
class Figures:
    """What was measured."""

    centre: list[float] = field(default_factory=list)
    """m, of valid rewards."""
    distance: list[float] = field(default_factory=list)
    """m, error of the distance between palm and object."""
    lift: list[float] = field(default_factory=list)
    """m, error of the rise."""
    seen: int = 0
    """Images in which the object is seen."""
    seen_valid: int = 0
    hidden: int = 0
    hidden_valid: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """Everything in plain numbers."""

        def spread(values: list[float]) -> dict[str, float]:
            p50, p90 = np.percentile(np.abs(values), (50, 90)) if values else (np.nan, np.nan)
            return {"median_mm": round(float(p50) * 1e3, 2), "p90_mm": round(float(p90) * 1e3, 2)}

        return {
            "centre_error": spread(self.centre),
            "distance_error": spread(self.distance),
            "rise_error": spread(self.lift),
            "images_with_object": self.seen,
            "valid_of_them": round(self.seen_valid / max(1, self.seen), 4),
            "images_hidden": self.hidden,
            "valid_where_hidden": self.hidden_valid,
            "reasons": dict(sorted(self.reasons.items(), key=lambda item: -item[1])[:8]),
        }


class Desk:
    """The reward node in this process, and what a camera and an arm publish to it."""

    def __init__(self, arguments: argparse.Namespace, camera: Camera, folder: Path) -> None:
        (cx, cy), focal = camera.centre, camera.focal
        self.intrinsics = Intrinsics(camera.width, camera.height, focal, focal, cx, cy)
        path = folder / "camera.json"
        calibration.save(
            path,
            calibration.Calibration(
                camera_serial="simulated",
                position=tuple(camera.position),
                quaternion_wxyz=tuple(se3.quat_from_matrix(camera.rotation[None])[0]),
                method="the simulator's own",
                date="2026-01-01T00:00:00+00:00",
                rms_position_m=0.0,
                rms_rotation_rad=0.0,
                rms_reprojection_px=0.0,
                poses=0,
                image_size=(camera.width, camera.height),
            ),
        )
        names = {"tracker": arguments.tracker, "weights": arguments.weights, "calibration": str(path)}
        given = [part for name, value in names.items() if value for part in ("-p", f"{name}:={value}")]
        rclpy.init(
            args=[
                "--ros-args",
                "-r",
                "__ns:=/evaluate_reward",
                *given,
                "-p",
                "rate:=30.0",
                "-p",
                "silent_after:=60.0",
            ]
        )
        self.reward = RewardNode()
        self._node = rclpy.create_node("desk", namespace="/evaluate_reward")
        publish = self._node.create_publisher
        self._colour = publish(CompressedImage, "camera/color/compressed", IMAGES)
        self._depth = publish(Image, "camera/depth", IMAGES)
        self._labels = publish(Image, "camera/labels", IMAGES)
        self._info = publish(CameraInfo, "camera/camera_info", IMAGES)
        self._arm = publish(JointState, "arm/joint_states", STATES)
        self._answers: dict[int, Reward] = {}
        self._answered = threading.Condition()
        self._node.create_subscription(Reward, "reward", self._on_reward, REWARDS)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.reward)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        self.reward.trigger_configure()
        self.reward.trigger_activate()
        if self.reward.refusal:
            raise RfsError(self.reward.refusal)
        deadline = time.monotonic() + ANSWER_S
        while self._colour.get_subscription_count() < 1 and time.monotonic() < deadline:
            time.sleep(0.05)

    def _on_reward(self, message: Reward) -> None:
        with self._answered:
            # Between images the node may say that none come; that is no answer to one.
            self._answers[stamp_ns(message.header.stamp)] = message
            self._answered.notify_all()

    def show(
        self,
        stamp: int,
        colour: NDArray[np.uint8],
        depth: NDArray[np.float32],
        labels: NDArray[np.uint8],
        q: NDArray[np.float64],
    ) -> Reward:
        """Publish one moment and wait for its reward."""
        self._arm.publish(joint_state_msg(stamp, robot.ARM_JOINT_NAMES, q))
        self._info.publish(messages.info_msg(stamp, self.intrinsics))
        if self.reward.uses_labels:
            image = Image(
                width=labels.shape[1], height=labels.shape[0], encoding="mono8", step=labels.shape[1]
            )
            image.header.stamp, image.header.frame_id = stamp_msg(stamp), calibration.CAMERA_FRAME
            image.data = labels.tobytes()
            self._labels.publish(image)
        self._depth.publish(messages.depth_msg(stamp, depth))
        self._colour.publish(messages.colour_msg(stamp, colour, 90))
        with self._answered:
            if not self._answered.wait_for(lambda: stamp in self._answers, timeout=ANSWER_S):
                raise RfsError(f"no reward within {ANSWER_S:g} s")
            answer = self._answers[stamp]
            self._answers.clear()
            return answer

    def close(self) -> None:
        """The node ends."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self.reward.destroy_node()
        self._node.destroy_node()
        rclpy.try_shutdown()


def with_board(colour: NDArray[np.uint8], depth: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
    """Hold a white board 40 cm before the camera, over all but the outermost pixels."""
    height, width = depth.shape
    rows, columns = slice(4, height - 4), slice(4, width - 4)
    colour[rows, columns], depth[rows, columns], labels[rows, columns] = 235, 0.4, 0


def picture(colour: NDArray[np.uint8], reward: Reward, camera: Camera, desk: Desk) -> NDArray[np.uint8]:
    """The image with the mask that was found and the centre."""
    image = colour.copy()
    mask = desk.reward.last_mask
    if mask is not None:
        image[mask] = (0.4 * image[mask] + (153, 36, 0)).astype(np.uint8)
    if reward.valid:
        c = reward.object_centre
        local = (np.array([[c.x, c.y, c.z]]) - camera.position) @ camera.rotation
        u, v = project(local, desk.intrinsics)[0]
        cv2.circle(image, (round(u), round(v)), 3, (0, 255, 0), -1)
    text = f"{reward.total:.2f}" if reward.valid else "not valid"
    cv2.putText(image, text, (5, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return image


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--tracker", default="colour", choices=("colour", "labels", "sam2", "sam2_meta"))
    parser.add_argument("--weights", default="", help="of SAM 2")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints" / "grasp_rfs.safetensors")
    parser.add_argument("--size", default="320x240", help="of the images, pixels")
    parser.add_argument("--noise", type=float, default=0.002, help="of the depth, m")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--pictures", type=Path, help="a sheet of images with masks of the first episode")
    arguments = parser.parse_args()
    width, height = (int(n) for n in arguments.size.split("x"))
    world = World("grasp")
    camera = Camera.of_model(world.model, "table_camera", width, height)
    sensor, painter = DepthSensor(camera), ScenePainter(width, height, camera=camera, samples=0)
    figures, sheet = Figures(), []
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(arguments, camera, Path(folder))
        try:
            for episode in range(arguments.episodes):
                world.reset(arguments.seed, episode)
                desk.reward.restart()
                rest = float(world.state.object_pose.position[0, 2])
                actor = policy_actor(arguments.checkpoint, arguments.seed, episode)
                for _ in play(world, actor):
                    if world.steps % 2:
                        continue
                    number = world.steps // 2
                    colour = painter.paint(Snapshot(world.model, world.qpos)).copy()
                    cast, geom = sensor.cast(world.model, world.data())
                    noise = rng.normal(0.0, arguments.noise, cast.shape)
                    depth = np.nan_to_num(cast + noise).astype(np.float32)
                    labels = object_labels(world.model, geom)
                    if number in BOARD:
                        with_board(colour, depth, labels)
                    stamp = (episode * 1000 + number + 1) * PERIOD_NS
                    reward = desk.show(stamp, colour, depth, labels, world.state.arm_position[0])
                    note(figures, reward, world, int(labels.sum()), rest)
                    if episode == 0 and number % 3 == 0:
                        sheet.append(picture(colour, reward, camera, desk))
                print(f"\repisode {episode + 1} of {arguments.episodes}", end="", file=sys.stderr, flush=True)
        finally:
            desk.close()
            painter.close()
    print(file=sys.stderr)
    if arguments.pictures is not None and sheet:
        sheet = sheet[: len(sheet) // 4 * 4]
        rows = [np.hstack(sheet[i : i + 4]) for i in range(0, len(sheet), 4)]
        cv2.imwrite(str(arguments.pictures), np.vstack(rows)[..., ::-1])
    table = {"episodes": arguments.episodes, "tracker": arguments.tracker, **figures.table()}
    print(json.dumps(table, indent=2))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")
    return 0


def note(figures: Figures, reward: Reward, world: World, pixels: int, rest: float) -> None:
    """Compare one reward with the truth."""
    if pixels < HIDDEN_BELOW:
        figures.hidden += 1
        figures.hidden_valid += reward.valid
        return
    figures.seen += 1
    if not reward.valid:
        words = "".join(c for c in reward.reason if not c.isdigit())[:60]
        figures.reasons[words] = figures.reasons.get(words, 0) + 1
        return
    figures.seen_valid += 1
    truth = world.state.object_pose.position[0]
    c = reward.object_centre
    figures.centre.append(float(np.linalg.norm((c.x, c.y, c.z) - truth)))
    true_distance = float(np.linalg.norm(truth - world.state.palm.position[0]))
    figures.distance.append(-reward.distance_term - true_distance)
    true_rise = min(max(float(truth[2]) - rest, 0.0), 0.2)
    figures.lift.append(reward.lift_term / 5.0 - true_rise)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RfsError as error:
        print(f"evaluate_reward: {error}", file=sys.stderr)
        sys.exit(1)
