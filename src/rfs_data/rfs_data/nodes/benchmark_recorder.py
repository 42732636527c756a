"""What recording costs: the real recorder in a process of its own, and a robot that only publishes.

    ros2 run rfs_data benchmark_recorder --seconds 60
    ros2 run rfs_data benchmark_recorder --seconds 1800 --folder /data/benchmark

Prints the recorder's share of a core, messages lost on the way and dropped steps, as the bag's own check
finds them. The bag is removed afterwards unless --folder is given.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor

from rfs_data.bag_reader import Bag
from rfs_data.episode import read_episode
from rfs_data.errors import BagError
from rfs_data.nodes.synthetic import SyntheticRobot

_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 30.0


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spin_until(executor: SingleThreadedExecutor, done: Callable[[], bool], timeout_s: float) -> bool:
    """Let the robot publish until `done`; False when the time is up before."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        executor.spin_once(timeout_sec=0.05)
    return True


def measure(seconds: float, images: bool, folder: Path) -> int:
    """Record one episode of synthetic traffic and print what it cost. Returns the exit code."""
    rclpy.init(args=[])
    robot = SyntheticRobot(images=images)
    executor = SingleThreadedExecutor()
    executor.add_node(robot)
    command = [sys.executable, "-m", "rfs_data.nodes.recorder_node", "--ros-args", "-p", f"folder:={folder}"]
    recorder = subprocess.Popen(command)
    name = time.strftime("benchmark-%Y%m%d-%H%M%S")
    try:
        if not spin_until(executor, lambda: robot.count_subscribers("reward") > 0, _START_TIMEOUT_S):
            print("the recorder does not subscribe", file=sys.stderr)
            return 1
        spin_until(executor, lambda: False, 2.0)
        cpu, begin = cpu_seconds(recorder.pid), time.monotonic()
        robot.begin(name)
        spin_until(executor, lambda: False, seconds)
        wall = time.monotonic() - begin
        cpu = cpu_seconds(recorder.pid) - cpu
        robot.finish()
        spin_until(executor, lambda: (folder / name).exists(), _END_TIMEOUT_S)
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait(_END_TIMEOUT_S)
        executor.shutdown()
        robot.destroy_node()
        rclpy.try_shutdown()
    return _print(folder / name, wall, cpu, robot.decisions)


def _print(path: Path, wall: float, cpu: float, published: int) -> int:
    bag = Bag(path)
    flows = bag.header["flows"].values()
    lost = {topic: flow["lost"] for topic, flow in bag.header["flows"].items() if flow["lost"]}
    print(f"wall time               {wall:8.1f} s")
    print(f"recorder, of a core     {100.0 * cpu / wall:8.1f} %")
    print(f"bag                     {bag.mcap.stat().st_size / wall / 1e6:8.2f} MB/s")
    print(f"messages                {sum(flow['received'] for flow in flows) / wall:8.0f} /s")
    print(f"messages lost           {sum(lost.values()):8d}  {lost or ''}")
    print(f"messages dropped        {sum(flow['dropped'] for flow in flows):8d}")
    print(f"steps published         {published:8d}")
    recorded = bag.header["messages"].get("policy/action", 0)
    print(f"steps dropped           {published - recorded:8d}")
    try:
        episode = read_episode(path)
    except BagError as error:
        print(f"the bag cannot be read: {error}")
        return 3
    print(f"steps read back         {len(episode.a_b):8d}")
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_data benchmark_recorder`."""
    parser = argparse.ArgumentParser(
        prog="benchmark_recorder",
        description=__doc__.split("\n\n")[0],
        epilog="example: ros2 run rfs_data benchmark_recorder --seconds 60",
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the episode")
    parser.add_argument("--no-images", action="store_true", help="without cloud, JPEG and depth")
    parser.add_argument("--folder", type=Path, default=None, help="keep the bag here")
    arguments = parser.parse_args(argv)
    if arguments.folder is not None:
        sys.exit(measure(arguments.seconds, not arguments.no_images, arguments.folder))
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(measure(arguments.seconds, not arguments.no_images, Path(folder)))


if __name__ == "__main__":
    main()
