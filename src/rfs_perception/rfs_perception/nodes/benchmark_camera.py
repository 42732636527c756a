"""How steadily and how cheaply the camera node reads: from an emulated camera, then from its own recording.

    ros2 run rfs_perception benchmark_camera                     # five minutes each, 640 x 480 at 30 Hz
    ros2 run rfs_perception benchmark_camera --seconds 60 --json figures.json

Both go through the real librealsense: sensors, syncer, alignment, threshold, a cloud of 1,024 points of every
frame, images at 10 Hz. The recording (1.5 MB a pair) is of --record-seconds and played again and again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from rfs_core.errors import RfsError
from rfs_perception import calibration, outputs
from rfs_perception.errors import CameraError

_WARM_UP_S = 5.0
_PATIENCE_S = 60.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="benchmark_camera", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--seconds", type=float, default=300.0, help="length of each part")
    p.add_argument("--record-seconds", type=float, default=20.0, help="length of the recording")
    p.add_argument("--size", type=size, default=(640, 480), help="pixels, such as 640x480")
    p.add_argument(
        "--only", choices=("emulated", "recording"), default="", help="one of the two parts; default: both"
    )
    p.add_argument("--json", type=Path, default=None, help="where to write the figures")
    return p


def size(text: str) -> tuple[int, int]:
    """Width and height, from such as 640x480."""
    width, height = text.split("x")
    return int(width), int(height)


class Watch:
    """The node as a process, seen through its diagnostics."""

    def __init__(self, namespace: str, **parameters: object) -> None:
        self._namespace = namespace
        given = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rfs_perception.nodes.realsense_node", "--ros-args"]
            + ["-r", f"__ns:={namespace}", "--log-level", "warn", "-p", "autostart:=true", *given]
        )
        self._node = rclpy.create_node("benchmark_camera", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self.rows: list[dict[str, str]] = []
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self._namespace.lstrip("/")):
                row = {value.key: value.value for value in status.values}
                if "rate_hz" in row:
                    self.rows.append(row)

    def spin(self, seconds: float) -> None:
        """Listen for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            if self._process.poll() is not None:
                raise CameraError(f"the camera node ended with code {self._process.returncode}")
            self._executor.spin_once(timeout_sec=min(left, 0.5))

    def wait_for_frames(self) -> None:
        """Until it reads."""
        deadline = time.monotonic() + _PATIENCE_S
        while not (self.rows and int(self.rows[-1]["frames"]) > 0):
            if time.monotonic() > deadline:
                raise CameraError(f"the camera node gave no frame within {_PATIENCE_S:g} s")
            self.spin(0.5)

    def close(self) -> None:
        """End the node; a recording is finished then."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._executor.shutdown()
        self._node.destroy_node()


def measure(seconds: float, **parameters: object) -> dict[str, Any]:
    """Figures of the node over `seconds`, after a warm-up."""
    watch = Watch(f"/benchmark_{os.getpid()}", **parameters)
    try:
        watch.wait_for_frames()
        watch.spin(_WARM_UP_S)
        first, count = watch.rows[-1], len(watch.rows)
        began = time.monotonic()
        watch.spin(seconds)
        took = time.monotonic() - began
        last, rows = watch.rows[-1], watch.rows[count:]
    finally:
        watch.close()
    shares = [float(row["cpu_share_of_node"]) for row in rows]

    def gained(key: str) -> int:
        return int(last[key]) - int(first[key])

    return {
        "seconds": round(took, 1),
        "frames": gained("frames"),
        "rate_hz": round(gained("frames") / took, 2),
        "dropped": gained("dropped"),
        "unpaired": gained("unpaired"),
        "clouds": gained("clouds"),
        "cpu_share_mean": round(sum(shares) / len(shares), 3) if shares else None,
        "cpu_share_largest": max(shares) if shares else None,
        "work_ms_p50": float(last["work_ms_p50"]),
        "work_ms_p99": float(last["work_ms_p99"]),
    }


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both parts."""
    figures: dict[str, Any] = {}
    width, height = arguments.size
    # A camera 0.9 m above the table that looks straight down, as the emulated one shows it.
    where = folder / "camera.json"
    calibration.save(
        where,
        calibration.Calibration(
            camera_serial="EMULATED0001",
            position=(0.55, 0.0, 0.9),
            quaternion_wxyz=(0.0, 1.0, 0.0, 0.0),
            method="by construction",
            date="2026-01-01T00:00:00+00:00",
            rms_position_m=0.0,
            rms_rotation_rad=0.0,
            rms_reprojection_px=0.0,
            poses=0,
            image_size=(width, height),
        ),
    )
    link, recording = folder / "camera", folder / "look.db3"
    # A workspace with a piece of the table in it: 27,000 points, about as many as arm, hand and object fill.
    common: dict[str, object] = {
        "calibration": where,
        "cloud.low": "[0.43,-0.13,-0.1]",
        "cloud.high": "[0.68,0.13,0.6]",
    }
    camera = subprocess.Popen(
        [sys.executable, "-m", "rfs_drivers.emulated.camera_main", "--link", str(link)]
        + ["--size", f"{width}x{height}", "--end-with-input"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not link.exists():
            if camera.poll() is not None or time.monotonic() > deadline:
                raise CameraError("the emulated camera did not start")
            time.sleep(0.1)
        if arguments.only != "recording":
            figures["emulated camera"] = measure(arguments.seconds, source=f"emulated:{link}", **common)
            print(json.dumps(figures), flush=True)
        if arguments.only == "emulated":
            return figures
        measure(arguments.record_seconds, source=f"emulated:{link}", record=recording, **common)
    finally:
        assert camera.stdin is not None
        camera.stdin.close()
        camera.wait(10.0)
    replay = measure(arguments.seconds, source=f"file:{recording}", repeat=True, **common)
    replay["file_mb"] = round(recording.stat().st_size / 1e6)
    print(json.dumps({"recording": replay}), flush=True)
    return {**figures, "recording": replay}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    # Ctrl-C ends the processes that were started, too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="camera_"))
    try:
        outputs.prepare(arguments.json)
        figures = run(arguments, folder)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    except (RfsError, OSError) as error:
        print(f"benchmark_camera: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
