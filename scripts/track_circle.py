#!/usr/bin/env python3
"""A circle with the palm of the emulated robot that MuJoCo moves, through the real driver and client library.

    scripts/track_circle.py
    scripts/track_circle.py --radius 0.05 --period 4 --turns 3 --json circle.json

The arm is that of robot:=emulated, with the parameters of config/robot/emulated.yaml; targets come at 10 and
20 Hz by the robot's clock, so that the figures do not depend on how fast this machine is. The circle lies
away from the base: towards it the elbow comes within 0.03 rad of its limit, where the client library's soft
wall keeps the palm up to 11 mm off; --towards-base shows it. Exit code 0 where the mean distance is below
--within at 10 Hz, else 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rfs_drivers.emulated.fci_process import free_address
from rfs_drivers.nodes.benchmark_franka import print_tracking, tracking
from rfs_drivers.probe_hardware import read_robot_file
from rfs_sim.driven import PHYSICS_DT, DrivenWorld
from rfs_sim.nodes.emulated_devices import EmulatedDevices

ROBOT_FILE = Path(__file__).resolve().parent.parent / "config" / "robot" / "emulated.yaml"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--radius", type=float, default=0.05, help="m")
    made.add_argument("--period", type=float, default=4.0, help="robot time of one turn, s")
    made.add_argument("--turns", type=float, default=2.0)
    made.add_argument("--towards-base", action="store_true", help="where the elbow is near its limit")
    made.add_argument("--within", type=float, default=0.010, help="largest mean lag at 10 Hz, m")
    made.add_argument("--json", type=Path, help="file for the figures")
    made.add_argument("--serve", metavar="ADDRESS", help="be the robot, in a process of its own")
    return made


def serve(address: str) -> None:
    """The world of grasp, its arm free to move and undisturbed, until standard input ends."""
    world = DrivenWorld("grasp")
    with tempfile.TemporaryDirectory() as folder:
        devices = EmulatedDevices(
            world, address=address, link=f"{folder}/hand", rate_hz=1.0 / PHYSICS_DT, patience_s=0.2,
            admin_port=0, on_cycle=lambda ended: None,
        )  # fmt: skip
        world.moving = True
        devices.start()
        print("ready", flush=True)
        sys.stdin.read()
        devices.close()
    world.close()


def main() -> int:
    """Both rates, each on a robot of its own."""
    arguments = parser().parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return 0
    figures = {}
    for rate in (10.0, 20.0):
        config = replace(read_robot_file(ROBOT_FILE)[0], address=free_address())
        command = [sys.executable, __file__, "--serve", config.address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as robot:
            assert robot.stdin is not None
            assert robot.stdout is not None
            robot.stdout.readline()
            time.sleep(0.5)  # the arm comes to rest under its own control
            shape = (arguments.radius, arguments.period, arguments.turns)
            run = tracking(config, *shape, rate, outward=not arguments.towards_base)
            robot.stdin.close()
        figures[f"tracking_{rate:.0f}_hz"] = run
        print_tracking(run)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    lag = figures["tracking_10_hz"]["lag_mean_mm"]
    print(f"\nmean lag at 10 Hz: {lag:.1f} mm; allowed: {1e3 * arguments.within:g} mm")
    return int(lag > 1e3 * arguments.within)


if __name__ == "__main__":
    sys.exit(main())
