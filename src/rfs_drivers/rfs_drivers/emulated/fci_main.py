"""An emulated Franka robot as a process of its own.

    ros2 run rfs_drivers emulated_fci --address 127.0.0.2
    ros2 run rfs_drivers emulated_fci --address 127.0.0.2 --rate 500 --lockstep-ms 0

Prints one line of JSON with its address and the port of its fault interface when it is ready, and serves
until SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence

import numpy as np

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_drivers.emulated.fci_plant import ArmBody
from rfs_drivers.emulated.fci_robot import FciRobot
from rfs_drivers.emulated.fci_server import FciServer


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="emulated_fci", description="An emulated Franka robot (FCI version 10).")
    p.add_argument("--address", default="127.0.0.2", help="loopback address; one per robot")
    p.add_argument("--rate", type=float, default=1000.0, help="states per second; each is 1 ms of robot time")
    p.add_argument(
        "--lockstep-ms", type=float, default=50.0, help="wait so long for each command of a motion; 0: never"
    )
    p.add_argument("--lenient", action="store_true", help="do not abort after 20 missing commands")
    p.add_argument("--admin-port", type=int, default=0, help="port of the fault interface; 0: any free one")
    p.add_argument("--q", type=float, nargs=7, default=None, help="joint positions at the start, rad")
    p.add_argument(
        "--wall", type=float, default=None, help="height of a horizontal surface under the flange, m"
    )
    p.add_argument("--seed", type=int, default=0, help="of the fault interface's dice")
    p.add_argument(
        "--priority",
        type=int,
        default=0,
        help="SCHED_FIFO priority to ask for, below libfranka's 99; 0: none",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    try:
        start = np.array(arguments.q) if arguments.q else robot.ARM_HOME
        server = FciServer(
            arguments.address,
            lambda: FciRobot(ArmBody(start, arguments.wall), strict=not arguments.lenient),
            rate_hz=arguments.rate,
            lockstep_s=arguments.lockstep_ms / 1000.0,
            admin_port=arguments.admin_port,
            seed=arguments.seed,
            log=lambda line: print(f"emulated_fci: {line}", file=sys.stderr, flush=True),
        )
    except RfsError as error:
        print(f"emulated_fci: {error}", file=sys.stderr)
        return 1
    if arguments.priority > 0:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(min(arguments.priority, 98)))
        except PermissionError:
            print("emulated_fci: no right to real-time scheduling; running without", file=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    print(json.dumps({"address": server.address, "admin_port": server.admin.port}), flush=True)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
