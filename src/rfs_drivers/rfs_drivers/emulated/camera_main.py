"""An emulated camera in a process of its own, showing a table with a blue block that wanders about.

    ros2 run rfs_drivers emulated_camera --link /tmp/camera
    ros2 run rfs_perception realsense_node --ros-args -p source:=emulated:/tmp/camera -p points:=false

Prints one line of JSON when it feeds. Then each line of JSON on standard input is an operation, answered by
one line: {"do": "unplug"}, {"do": "plug"}, {"do": "freeze", "on": true}, {"do": "blind", "on": true} (no
depth), {"do": "status"}. Ends at SIGINT, SIGTERM, or with --end-with-input.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_drivers.emulated.camera_link import CameraFeed, CameraSpec
from rfs_drivers.errors import EmulatorError

_PICTURES = 24
TABLE_MM, BLOCK_MM, BLOCK = 900, 780, 90
"""Depth of table and block, mm; edge of the block, pixels (at 640 pixels of width)."""


def pictures(spec: CameraSpec, seed: int = 0) -> list[tuple[NDArray[np.uint8], NDArray[np.uint16]]]:
    """One round of the block over the table, with a sensor's noise: no two images are equal."""
    rng = np.random.default_rng(seed)
    edge = max(4, BLOCK * spec.width // 640)
    scenes = []
    for k in range(_PICTURES):
        angle = 2.0 * np.pi * k / _PICTURES
        u = round(spec.width * (0.5 + 0.2 * np.cos(angle))) - edge // 2
        v = round(spec.height * (0.5 + 0.2 * np.sin(angle))) - edge // 2
        colour = np.full((spec.height, spec.width, 3), (158, 133, 107), dtype=np.int16)
        depth = np.full((spec.height, spec.width), TABLE_MM, dtype=np.int16)
        colour[v : v + edge, u : u + edge] = (51, 115, 191)
        depth[v : v + edge, u : u + edge] = BLOCK_MM
        noise = rng.integers(-6, 7, (spec.height, spec.width), dtype=np.int16)
        scenes.append(
            (np.clip(colour + noise[..., None], 0, 255).astype(np.uint8), (depth + noise // 3).astype("<u2"))
        )
    return scenes


class EmulatedCamera:
    """The feed, its clock and its faults."""

    def __init__(self, link: str, spec: CameraSpec, seed: int = 0) -> None:
        self._link, self._spec = link, spec
        self._pictures = pictures(spec, seed)
        self._nothing = np.zeros((spec.height, spec.width), dtype="<u2")
        self._feed: CameraFeed | None = CameraFeed(link, spec)
        self._frozen = self._blind = False
        self._shown = 0
        self.number = 0
        """Pairs since the start."""

    def tick(self, time_ms: float) -> None:
        """Show the next picture."""
        self.number += 1
        if not self._frozen:
            self._shown += 1
        colour, depth = self._pictures[self._shown % len(self._pictures)]
        if self._feed is not None:
            self._feed.send(self.number, time_ms, colour, self._nothing if self._blind else depth)

    def perform(self, request: dict[str, Any]) -> dict[str, Any]:
        """An operation of the fault interface.

        Raises:
            EmulatorError: there is no such operation.
        """
        match request:
            case {"do": "unplug"}:
                if self._feed is not None:
                    self._feed.close()
                    self._feed = None
            case {"do": "plug"}:
                self._feed = self._feed or CameraFeed(self._link, self._spec)
            case {"do": "freeze", "on": bool(on)}:
                self._frozen = on
            case {"do": "blind", "on": bool(on)}:
                self._blind = on
            case {"do": "status"}:
                pass
            case _:
                raise EmulatorError(
                    f"{request}: unknown, known are unplug, plug, status, and freeze, blind with "
                    '"on": true or false'
                )
        return {
            "plugged": self._feed is not None,
            "frozen": self._frozen,
            "blind": self._blind,
            "number": self.number,
        }

    def close(self) -> None:
        """Unplug for good."""
        if self._feed is not None:
            self._feed.close()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="emulated_camera", description="An emulated RealSense camera.")
    p.add_argument("--link", required=True, help="path of the socket that the camera feeds")
    p.add_argument("--serial", default=CameraSpec.serial, help="serial number of the camera")
    p.add_argument("--size", default="640x480", help="width x height, pixels")
    p.add_argument("--fps", type=int, default=30, help="pairs of images per second")
    p.add_argument("--seed", type=int, default=0, help="of the noise")
    p.add_argument("--end-with-input", action="store_true", help="end when standard input does")
    return p


def spec_of(arguments: argparse.Namespace) -> CameraSpec:
    """What camera is asked for.

    Raises:
        EmulatorError: one that cannot be.
    """
    size = arguments.size.split("x")
    if len(size) != 2 or not all(n.isdecimal() and 16 <= int(n) <= 4096 for n in size):
        raise EmulatorError(f"--size is {arguments.size!r}, needs two numbers from 16 to 4096, as 640x480")
    if not 1 <= arguments.fps <= 1000:
        raise EmulatorError(f"--fps is {arguments.fps}, needs 1 to 1000")
    width, height = map(int, size)
    focal = 605.0 * width / 640.0
    return CameraSpec(
        arguments.serial, width, height, arguments.fps, focal, focal, (width - 1) / 2, (height - 1) / 2
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    try:
        spec = spec_of(arguments)
        camera = EmulatedCamera(arguments.link, spec, arguments.seed)
    except RfsError as error:
        print(f"emulated_camera: {error}", file=sys.stderr)
        return 1
    running = True

    def end(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    print(json.dumps({"link": arguments.link}), flush=True)
    listening, pending = True, b""
    started, period = time.monotonic(), 1.0 / spec.fps
    try:
        while running:
            due = started + (camera.number + 1) * period
            wait = max(0.0, due - time.monotonic())
            ready, _, _ = select.select([0] if listening else [], [], [], wait)
            if ready:
                data = os.read(0, 65536)
                if not data:
                    listening = False
                    running = not arguments.end_with_input
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    print(_answer(camera, line), flush=True)
            if time.monotonic() >= due:
                camera.tick((due - started) * 1e3)
    finally:
        camera.close()
    return 0


def _answer(camera: EmulatedCamera, line: bytes) -> str:
    try:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise EmulatorError(f'{line!r}: needs a line of JSON such as {{"do": "status"}}')
        return json.dumps({"ok": True, **camera.perform(request)})
    except RfsError as error:
        return json.dumps({"ok": False, "error": str(error)})


if __name__ == "__main__":
    sys.exit(main())
