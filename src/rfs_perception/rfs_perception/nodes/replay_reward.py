"""The reward of a recording: .db3 -> camera node -> reward node -> plot and table.

    ros2 run rfs_perception replay_reward --recording look.db3 --calibration camera.json --arm arm.npz
    ros2 run rfs_perception replay_reward --recording look.db3 --calibration camera.json --arm arm.npz \\
        --tracker sam2 --weights /models/sam2.1-hiera-tiny --plot reward.png

Starts both nodes as they run on a robot, plays the arm's states beside the images, and waits for the end of
the recording. --csv writes every reward with its reason. scripts/record_simulation.py records the simulation.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, JointState

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_msgs.msg import Reward
from rfs_perception import arm_file, outputs
from rfs_perception.errors import PerceptionError
from rfs_perception.plot import Row, prepare_plot, save_plot
from rfs_perception.trackers.make import NAMES
from rfs_ros.conversions import joint_state_msg, seconds, stamp_ns
from rfs_ros.qos import IMAGES, RELIABLE, REWARDS

_AHEAD_NS = 100_000_000
"""The arm's states are sent so far ahead of the images, as those of a driver are there first."""
_START_S = 120.0
_SETTLE_S = 3.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="replay_reward", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--recording", type=Path, required=True, help="librealsense's .db3")
    p.add_argument("--calibration", type=Path, required=True, help="of the camera that recorded")
    p.add_argument(
        "--arm", type=Path, help="the arm's states beside it (.npz); without them nothing is valid"
    )
    p.add_argument("--tracker", default="colour", choices=[n for n in NAMES if n != "labels"])
    p.add_argument("--weights", default="", help="of SAM 2")
    p.add_argument("--prompt", default="auto", help="auto, box U0 V0 U1 V1, or click U V")
    p.add_argument("--rate", type=float, default=10.0, help="images looked at per second")
    p.add_argument("--plot", type=Path, default=Path("reward.png"), help="picture to write")
    p.add_argument("--csv", type=Path, help="table to write")
    return p


class Replay:
    """Both nodes, the arm, and what comes out."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.rewards: list[Reward] = []
        self.said = {"camera": "did not answer", "reward": "did not answer"}
        self._stamps, self._positions = [], []
        if arguments.arm is not None:
            stamps, positions = arm_file.load(arguments.arm)
            self._stamps, self._positions = stamps.tolist(), list(positions)
        self._refused: set[str] = set()
        self._images: set[int] = set()
        self._sent = 0
        self._ended = self._reading = False
        self._started = False
        self._namespace = f"/replay_{os.getpid()}"
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        # Ctrl-C ends the nodes that were started, too.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        self._node = rclpy.create_node("replay_reward", namespace=self._namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._arm = self._node.create_publisher(JointState, "arm/joint_states", RELIABLE)
        self._node.create_subscription(Reward, "reward", self._on_reward, REWARDS)
        self._node.create_subscription(CameraInfo, "camera/camera_info", self._on_info, IMAGES)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RELIABLE)
        calibration = f"calibration:={arguments.calibration}"
        self._reward = self._start(
            "reward_node",
            f"tracker:={arguments.tracker}",
            f"weights:='{arguments.weights}'",
            f"prompt:='{arguments.prompt}'",
            f"rate:={float(arguments.rate)}",
            calibration,
        )
        self._camera: subprocess.Popen[bytes] | None = None
        self._camera_parameters = (
            f"source:=file:{arguments.recording}",
            calibration,
            "points:=false",
            "images_period:=1",
            "stamps:=camera",
        )

    def _start(self, node: str, *parameters: str) -> subprocess.Popen[bytes]:
        given = [part for parameter in ("autostart:=true", *parameters) for part in ("-p", parameter)]
        return subprocess.Popen(
            [sys.executable, "-m", f"rfs_perception.nodes.{node}", "--ros-args"]
            + ["-r", f"__ns:={self._namespace}", *given]
        )

    def _on_reward(self, message: Reward) -> None:
        # Not what the node says before the first image and after the last one.
        if stamp_ns(message.header.stamp) in self._images:
            self.rewards.append(message)

    def _on_info(self, message: CameraInfo) -> None:
        self._reading = True
        self._images.add(stamp_ns(message.header.stamp))
        until = stamp_ns(message.header.stamp) + _AHEAD_NS
        while self._sent < len(self._stamps) and self._stamps[self._sent] <= until:
            i = self._sent
            self._arm.publish(joint_state_msg(self._stamps[i], robot.ARM_JOINT_NAMES, self._positions[i]))
            self._sent += 1

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            prefix, _, what = status.name.rpartition(": ")
            if prefix.startswith(self._namespace.lstrip("/")):
                self.said[what] = status.message
                values = {value.key: value.value for value in status.values}
                # Without a number to tell it was not configured, and says why.
                if status.level == DiagnosticStatus.ERROR and not values:
                    self._refused.add(what)
                self._ended |= what == "camera" and values.get("ended") == "true"
                # A node that is configured tells more than why it is not.
                self._started |= what == "reward" and "valid" in values

    def run(self) -> None:
        """Play from beginning to end.

        Raises:
            PerceptionError: a node did not start, or gave nothing; with what it said.
        """
        deadline = time.monotonic() + _START_S
        while not self._started:
            self._spin(self._reward, deadline, "reward")
        # Only now: nothing of the recording shall be missed.
        self._camera = self._start("realsense_node", *self._camera_parameters)
        deadline = time.monotonic() + _START_S
        while not self._reading:
            self._spin(self._camera, deadline, "camera")
        while not self._ended:
            self._spin(self._camera, float("inf"), "camera")
        end = time.monotonic() + _SETTLE_S
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.1)

    def _spin(self, process: subprocess.Popen[bytes], deadline: float, what: str) -> None:
        self._executor.spin_once(timeout_sec=0.1)
        if process.poll() is not None or time.monotonic() > deadline or what in self._refused:
            raise PerceptionError(f"the {what} node did not start: {self.said[what]}")

    def close(self) -> None:
        """End the nodes."""
        for process in (self._reward, self._camera):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(30.0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()


def rows_of(rewards: Sequence[Reward]) -> list[Row]:
    """What is drawn."""
    return [
        Row(seconds(stamp_ns(r.header.stamp)), bool(r.valid), r.distance_term, r.lift_term) for r in rewards
    ]


def write_csv(path: Path, rewards: Sequence[Reward]) -> None:
    """Every reward."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("time_s", "valid", "total", "distance_term", "lift_term", "x", "y", "z", "reason"))
        for r in rewards:
            c = r.object_centre
            numbers = (r.total, r.distance_term, r.lift_term, c.x, c.y, c.z)
            told = [f"{n:.5f}" for n in numbers] if r.valid else [""] * 6
            table.writerow((f"{seconds(stamp_ns(r.header.stamp)):.3f}", int(r.valid), *told, r.reason))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    try:
        outputs.prepare(arguments.csv)
        prepare_plot(arguments.plot)
        replay = Replay(arguments)
        try:
            replay.run()
        finally:
            replay.close()
        if not replay.rewards:
            raise PerceptionError(f"no reward came: {replay.said['reward']}")
        save_plot(rows_of(replay.rewards), arguments.plot, arguments.recording.name)
        if arguments.csv is not None:
            write_csv(arguments.csv, replay.rewards)
    except (RfsError, OSError) as error:
        print(f"replay_reward: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    valid = sum(r.valid for r in replay.rewards)
    print(f"{arguments.plot}: {len(replay.rewards)} rewards, {valid} valid")
    return 0


if __name__ == "__main__":
    sys.exit(main())
