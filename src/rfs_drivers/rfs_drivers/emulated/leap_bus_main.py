"""An emulated LEAP hand as a process of its own.

    ros2 run rfs_drivers emulated_leap_bus --link /tmp/leap_hand

Prints one line of JSON with its port when it is ready. Then each line of JSON on its standard input is an
operation of the fault interface (see `leap_bus`), answered by one line: {"ok": true, ...} or
{"ok": false, "error": "..."}. Ends at SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence

from rfs_core.errors import RfsError
from rfs_drivers.emulated.leap_bus import LeapBus
from rfs_drivers.errors import EmulatorError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="emulated_leap_bus", description="An emulated LEAP hand, 16 servos.")
    p.add_argument("--link", default="", help="symbolic link to the port, as udev makes them")
    p.add_argument("--delay-ms", type=float, default=0.0, help="added to every reply: a slower wire")
    p.add_argument("--seed", type=int, default=0, help="of the fault interface's dice")
    p.add_argument(
        "--end-with-input", action="store_true", help="end when standard input does; for tests and benchmarks"
    )
    return p


def _answer(bus: LeapBus, line: str) -> str:
    try:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise EmulatorError(f'{line.strip()!r}: needs a line of JSON such as {{"do": "status"}}')
        return json.dumps({"ok": True, **bus.perform(request)})
    except RfsError as error:
        return json.dumps({"ok": False, "error": str(error)})


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    try:
        bus = LeapBus(arguments.link, seed=arguments.seed)
        bus.perform({"do": "faults", "delay_ms": arguments.delay_ms})
    except (RfsError, OSError) as error:
        print(f"emulated_leap_bus: {error}", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: bus.stop())
    print(json.dumps({"port": bus.path, "link": arguments.link}), flush=True)
    control: int | None = sys.stdin.fileno()
    pending = b""
    try:
        while bus.running:
            if not bus.serve(control):
                continue
            assert control is not None
            data = os.read(control, 65536)
            if not data:
                control = None
                if arguments.end_with_input:
                    break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                if line.strip():
                    print(_answer(bus, line.decode(errors="replace")), flush=True)
    finally:
        bus.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
