"""An emulated SpaceMouse as a process of its own.

    ros2 run rfs_drivers emulated_spacemouse --folder /tmp/spacemouse

Compiles the emulated hidapi, plugs the device in and prints one line of JSON with the environment that a
driver must be started with. Then each line of JSON on its standard input is an operation, answered by one:
{"do": "push", "x": 0.5}, {"do": "press", "buttons": [true, false]}, {"do": "unplug"}, {"do": "plug"},
{"do": "stall"}, {"do": "status"}. Ends with its input, at SIGINT and at SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rfs_drivers.emulated.fault_values import switch
from rfs_drivers.emulated.spacemouse_device import EmulatedSpaceMouse, build_hidapi, environment
from rfs_drivers.errors import EmulatorError


def perform(mouse: EmulatedSpaceMouse, request: Any) -> dict[str, Any]:
    """One operation; EmulatorError for one that does not exist."""
    if not isinstance(request, dict):
        raise EmulatorError('needs a line of JSON such as {"do": "push", "x": 0.5}')
    match request:
        case {"do": "push", **axes}:
            mouse.push(**axes)
        case {"do": "press", "buttons": [*buttons]}:
            mouse.press(*(switch("button", pressed) for pressed in buttons))
        case {"do": "unplug"}:
            mouse.unplug()
        case {"do": "plug"}:
            mouse.plug()
        case {"do": "stall"}:
            mouse.stall()
        case {"do": "status"}:
            return {"opened": mouse.opened, "sent": mouse.sent}
        case _:
            raise EmulatorError(f"{request}: known are push, press, unplug, plug, stall, status")
    return {}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="emulated_spacemouse", description="An emulated SpaceMouse.")
    parser.add_argument("--folder", type=Path, required=True, help="for the library and the device's socket")
    folder = parser.parse_args(argv).folder
    try:
        library = build_hidapi(folder / "lib")
    except EmulatorError as error:
        print(f"emulated_spacemouse: {error}", file=sys.stderr)
        return 1
    mouse = EmulatedSpaceMouse(folder / "devices")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    mouse.plug()
    try:
        print(json.dumps(environment(library, folder / "devices")), flush=True)
        for line in sys.stdin:
            try:
                answer = {"ok": True, **perform(mouse, json.loads(line))}
            except (EmulatorError, ValueError, TypeError, RecursionError) as error:
                answer = {"ok": False, "error": str(error)}
            print(json.dumps(answer), flush=True)
    except KeyboardInterrupt:
        return 0
    finally:
        mouse.close()
    return 0
