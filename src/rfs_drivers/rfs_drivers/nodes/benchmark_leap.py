"""How fast and how cheaply the LEAP driver reads and writes 16 servos, against an emulated hand.

    ros2 run rfs_drivers benchmark_leap
    ros2 run rfs_drivers benchmark_leap --cycles 5000 --node-seconds 0 --json figures.json
    ros2 run rfs_drivers benchmark_leap --port /dev/leap_hand         # the bus of a hand; nothing moves

Part 1: sync write of goals and fast sync read of current, velocity and position, as fast as it goes. On a
hand only reads. Part 2: the node as a process, at 60 Hz with targets at 20 Hz; emulated hand only.
A pseudo-terminal has no wire time: at 4 Mbps the bytes of one cycle take about 0.9 ms (computed), USB more.
"""

from __future__ import annotations

import argparse
import contextlib
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
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState

from rfs_core.errors import RfsError
from rfs_drivers import leap_table, xl330
from rfs_drivers.emulated.leap_bus_process import EmulatedLeapBus
from rfs_drivers.servo_bus import BusError, ServoBus

_WARM_UP_S = 3.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="benchmark_leap", description="Rates of the LEAP hand driver.")
    p.add_argument("--port", default="", help="a hand's port; empty: an emulated hand")
    p.add_argument("--cycles", type=int, default=3000, help="writes and reads of part 1")
    p.add_argument("--node-seconds", type=float, default=10.0, help="length of part 2; 0: none")
    p.add_argument("--delay-ms", type=float, default=0.0, help="the emulated hand's answers come later")
    p.add_argument("--json", type=Path, default=None, help="where to write the figures")
    return p


def bus_rates(port: str, cycles: int, write: bool) -> dict[str, float]:
    """Rates and times of write and read, over one bus."""
    bus = ServoBus(port, 4_000_000, 0.034)
    goals = dict.fromkeys(leap_table.MOTORS, leap_table.ZERO_TICK)
    times, failed = [], 0
    started, cpu = time.perf_counter(), time.process_time()
    try:
        for _ in range(cycles):
            begin = time.perf_counter()
            try:
                if write:
                    bus.write_all(xl330.GOAL_POSITION, goals)
                bus.read_all(leap_table.MOTORS, xl330.PRESENT_CURRENT, xl330.PRESENT_POSITION)
            except BusError:
                failed += 1
            times.append(time.perf_counter() - begin)
    finally:
        wall = time.perf_counter() - started
        cpu = time.process_time() - cpu
        bus.close()
    return {
        "rate_hz": cycles / wall,
        "mean_ms": float(np.mean(times)) * 1e3,
        "median_ms": float(np.median(times)) * 1e3,
        "p99_ms": float(np.percentile(times, 99)) * 1e3,
        "cpu_ms_per_cycle": cpu / cycles * 1e3,
        "failed": failed,
    }


def node_figures(port: str, seconds: float) -> dict[str, float]:
    """Processor share and rate of the node at 60 Hz while it follows a slow wave."""
    namespace = f"/benchmark_{os.getpid()}"
    arguments = ["-p", f"port:={port}", "-p", "autostart:=true", "-p", "bus_watchdog:=2.0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rfs_drivers.nodes.leap_node", "--ros-args", "-r", f"__ns:={namespace}"]
        + arguments
    )
    rclpy.init()
    node = rclpy.create_node("benchmark_leap", namespace=namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    rates: list[tuple[float, float]] = []

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            values = {value.key: value.value for value in status.values}
            if status.name.startswith(namespace.lstrip("/")) and "rate_hz" in values:
                rates.append((float(values["rate_hz"]), float(values["cpu_share_of_node"])))

    node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
    publisher = node.create_publisher(JointState, "hand/target", 10)
    started = time.monotonic()

    def send() -> None:
        angle = 0.4 - 0.3 * np.cos(time.monotonic() - started)
        publisher.publish(JointState(name=list(leap_table.NAMES), position=[angle] * 16))

    node.create_timer(0.05, send)
    try:
        while time.monotonic() - started < _WARM_UP_S + seconds and process.poll() is None:
            executor.spin_once(timeout_sec=0.1)
            if time.monotonic() - started < _WARM_UP_S:
                rates.clear()
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10.0)
        if process.poll() is None:
            process.kill()
            process.wait()
        node.destroy_node()
        rclpy.try_shutdown()
    if not rates:
        raise RfsError("leap_node reported nothing: see its messages above")
    return {
        "rate_hz": float(np.mean([r for r, _ in rates])),
        "cpu_share": float(np.mean([c for _, c in rates])),
    }


def _print(title: str, figures: dict[str, float]) -> None:
    print(title)
    for name, value in figures.items():
        print(f"  {name:18} {value:9.3f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    figures: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    try:
        if arguments.port:
            figures["bus"] = bus_rates(arguments.port, arguments.cycles, write=False)
            _print(f"fast sync read of 16 servos at {arguments.port}", figures["bus"])
        else:
            with EmulatedLeapBus("--delay-ms", str(arguments.delay_ms)) as hand:
                figures["bus"] = bus_rates(hand.port, arguments.cycles, write=True)
                _print("write and fast sync read of 16 emulated servos", figures["bus"])
                if arguments.node_seconds > 0.0:
                    figures["node"] = node_figures(hand.port, arguments.node_seconds)
                    _print("node, asked for 60 Hz", figures["node"])
    except RfsError as error:
        print(f"benchmark_leap: {error}", file=sys.stderr)
        return 1
    print(f"load average {figures['load_average']:.1f}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
