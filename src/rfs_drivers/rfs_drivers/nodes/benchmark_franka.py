"""How well and how cheaply the Franka driver tracks, against an emulated robot.

    ros2 run rfs_drivers benchmark_franka
    ros2 run rfs_drivers benchmark_franka --radius 0.05 --period 4 --turns 3 --json figures.json

Part 1, the driver alone: a horizontal circle, targets at 10 and 20 Hz by the robot's clock, so that the
figures do not depend on how fast this machine is. Part 2, the node as a process: processor share and rates
while it publishes states at 100 Hz and follows targets at 20 Hz.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState

from rfs_core.errors import RfsError
from rfs_drivers.emulated.fci_commander import Commander, circle
from rfs_drivers.emulated.fci_process import EmulatedFci
from rfs_drivers.errors import DriverError
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_connection import RobotState
from rfs_drivers.franka_driver import FrankaDriver, running

WARM_UP_S = 1.0
"""Robot time before figures count: the arm leaves rest."""


def tracking(
    config: FrankaConfig, radius: float, period: float, turns: float, rate: float, outward: bool = False
) -> dict[str, float]:
    """Figures of one run on the emulated robot at the configuration's address, lengths in mm, times in ms.

    Args:
        config: of the driver.
        radius: of the circle, m.
        period: robot time of a turn, s.
        turns: that count.
        rate: of the targets, Hz.
        outward: whether the circle's middle lies away from the base.
    """
    side = -1.0 if outward else 1.0
    lags: list[float] = []
    to_newest: list[float] = []
    off_path: list[float] = []
    moments: list[tuple[float, float]] = []
    commanders: list[Commander] = []

    def look(state: RobotState) -> None:
        if not commanders or state.robot_time < commanders[0].begun + WARM_UP_S:
            return
        commander, palm = commanders[0], state.palm.position[0]
        lags.append(float(np.linalg.norm(palm - commander.position(state.robot_time))))
        to_newest.append(float(np.linalg.norm(palm - commander.targets[-1][1])))
        centre = commander.start.position[0] - [side * radius, 0.0, 0.0]
        off_path.append(abs(float(np.linalg.norm(palm[:2] - centre[:2])) - radius))
        beside = side * (palm - centre)
        moments.append((state.robot_time, float(np.arctan2(beside[1], beside[0]))))

    with running(FrankaDriver(config, on_state=look)) as driver:
        driver.connect().result(30.0)
        driver.enable().result(30.0)
        began, cpu, library = time.monotonic(), time.process_time(), driver.library_cpu
        # However slow the machine: targets come by the robot's clock.
        with Commander(driver, circle(radius, period, outward), 1.0 / rate, patience=60.0) as commander:
            commanders.append(commander)
            end = commander.begun + WARM_UP_S + turns * period
            while (state := driver.state) is not None and state.robot_time < end:
                if driver.status.faults:
                    raise DriverError(f"the run failed: {driver.status.reason}")
                time.sleep(0.02)
        wall = time.monotonic() - began
        of_library = driver.library_cpu - library
        status = driver.status
        cpu = time.process_time() - cpu - of_library
    angle = 2.0 * np.pi * (np.array([t for t, _ in moments]) - commanders[0].begun) / period
    behind = np.unwrap(angle - np.array([a for _, a in moments]))
    behind -= 2.0 * np.pi * np.round(behind.mean() / (2.0 * np.pi))
    return {
        "rate_hz": rate,
        "lag_mean_mm": 1e3 * float(np.mean(lags)),
        "lag_max_mm": 1e3 * float(np.max(lags)),
        "delay_ms": 1e3 * float(behind.mean()) * period / (2.0 * np.pi),
        "to_newest_target_mean_mm": 1e3 * float(np.mean(to_newest)),
        "off_path_mean_mm": 1e3 * float(np.mean(off_path)),
        "target_period_ms": 1e3 * status.target_period,
        "target_jitter_ms": 1e3 * status.target_jitter,
        "cycle_p99_ms": 1e3 * status.cycle_p99,
        "holds": float(status.holds),
        "robot_time_per_wall": (commanders[0].targets[-1][0] - commanders[0].begun) / wall,
        "cpu_share_driver": cpu / wall,
        "cpu_share_library": of_library / wall,
    }


def print_tracking(run: dict[str, float]) -> None:
    """For a person."""
    print(f"\ndriver, targets at {run['rate_hz']:.0f} Hz (by the robot's clock)")
    print(f"  lag behind the path     {run['lag_mean_mm']:6.1f} mm mean, {run['lag_max_mm']:.1f} max")
    print(f"  delay                   {run['delay_ms']:6.0f} ms")
    print(f"  to the newest target    {run['to_newest_target_mean_mm']:6.1f} mm mean")
    print(f"  off the path            {run['off_path_mean_mm']:6.1f} mm mean")
    print(f"  target period           {run['target_period_ms']:6.1f} ms")
    print(f"  target jitter           {run['target_jitter_ms']:6.1f} ms")
    print(f"  cycle of the driver     {run['cycle_p99_ms']:6.1f} ms p99, holds {run['holds']:.0f}")
    print(f"  robot time / wall time  {run['robot_time_per_wall']:6.2f}")
    print(
        f"  share of a core         {100 * run['cpu_share_driver']:6.1f} % driver and benchmark, "
        f"{100 * run['cpu_share_library']:.1f} % libfranka"
    )


def node_costs(robot: EmulatedFci, seconds: float) -> dict[str, float]:
    """Processor shares and rates of the node as a process."""
    namespace = f"/benchmark_{os.getpid()}"
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("benchmark_franka", namespace=namespace, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    poses: list[PoseStamped] = []
    joints: list[float] = []
    reports: list[dict[str, str]] = []

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(namespace.lstrip("/")):
                reports.append({value.key: value.value for value in status.values})

    node.create_subscription(PoseStamped, "arm/current_pose", poses.append, 10)
    node.create_subscription(JointState, "arm/joint_states", lambda _: joints.append(time.monotonic()), 10)
    node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
    targets = node.create_publisher(PoseStamped, "arm/target_pose", 10)
    parameters = {"address": robot.address, "realtime": "ignore", "clock": "robot", "autostart": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "rfs_drivers.nodes.franka_node", "--ros-args", "-r", f"__ns:={namespace}"]
        + [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    )
    try:
        deadline = time.monotonic() + 60.0
        while not (reports and reports[-1].get("phase") == "holding" and poses):
            executor.spin_once(timeout_sec=0.1)
            if time.monotonic() > deadline:
                raise DriverError("franka_node did not come to control the arm within 60 s")
        path, start, began = circle(0.03, 4.0), poses[-1], time.monotonic()
        origin = np.array([getattr(start.pose.position, axis) for axis in "xyz"])
        joints.clear()
        reports.clear()
        due = began
        while (now := time.monotonic()) < began + seconds:
            if now >= due:
                message = PoseStamped()
                message.header.frame_id = start.header.frame_id
                message.header.stamp = node.get_clock().now().to_msg()
                message.pose.orientation = start.pose.orientation
                position = origin + path(now - began)
                message.pose.position.x, message.pose.position.y, message.pose.position.z = position.tolist()
                targets.publish(message)
                due += 0.05
            executor.spin_once(timeout_sec=max(min(due - time.monotonic(), 0.01), 0.0))
        # The first report may cover the time before the motion.
        counted = reports[2:] or reports
        return {
            "state_rate_hz": len(joints) / (time.monotonic() - began),
            "cpu_share_node": float(np.mean([float(r["cpu_share_of_node"]) for r in counted])),
            "cpu_share_library": float(np.mean([float(r["cpu_share_of_library"]) for r in counted])),
            "target_jitter_ms": float(counted[-1]["target_jitter_ms"]),
            "holds": float(counted[-1]["holds"]),
            "faults": float(counted[-1]["faults"]),
        }
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20.0)
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="benchmark_franka", description=__doc__.split("\n")[0] if __doc__ else ""
    )
    parser.add_argument("--radius", type=float, default=0.05, help="m")
    parser.add_argument("--period", type=float, default=4.0, help="robot time of one turn, s")
    parser.add_argument("--turns", type=float, default=2.0)
    parser.add_argument(
        "--node-seconds", type=float, default=10.0, help="wall time of part 2; 0: leave it out"
    )
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    arguments = parser.parse_args(argv)
    figures: dict[str, Any] = {"load_average": os.getloadavg()[0], "cores": os.cpu_count()}
    speed = 2.0 * np.pi * arguments.radius / arguments.period
    print(
        f"circle of radius {100 * arguments.radius:.0f} cm in {arguments.period:g} s, "
        f"{1e3 * speed:.0f} mm/s, load average {figures['load_average']:.1f} on {figures['cores']} cores"
    )
    try:
        for rate in (10.0, 20.0):
            with EmulatedFci() as robot:
                config = FrankaConfig(address=robot.address, realtime="ignore", clock="robot")
                run = tracking(config, arguments.radius, arguments.period, arguments.turns, rate)
            figures[f"tracking_{rate:.0f}_hz"] = run
            print_tracking(run)
        if arguments.node_seconds > 0.0:
            with EmulatedFci() as robot:
                run = node_costs(robot, arguments.node_seconds)
            figures["node"] = run
            print("\nnode as a process, targets at 20 Hz")
            print(f"  states                  {run['state_rate_hz']:6.1f} Hz")
            print(
                f"  share of a core         {100 * run['cpu_share_node']:6.1f} % node, "
                f"{100 * run['cpu_share_library']:.1f} % libfranka"
            )
            print(f"  target jitter           {run['target_jitter_ms']:6.1f} ms")
            print(f"  holds {run['holds']:.0f}, faults {run['faults']:.0f}")
    except RfsError as error:
        print(f"benchmark_franka: {error}", file=sys.stderr)
        return 1
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
