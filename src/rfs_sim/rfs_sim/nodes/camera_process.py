"""The process that makes the pictures of the emulated robot's camera, fed through its standard input.

    python -m rfs_sim.nodes.camera_process '{"camera_link": "/tmp/camera", "camera_name": "table_camera"}'

`rfs_sim.nodes.emulated_camera` starts it: a picture takes longer than a cycle of the arm, and within the
arm's process it would keep the arm waiting. In come frames of a kind, a time (ms) and a length, then so many
bytes: a compiled model, or generalised positions to be shown. What it is too slow for is not shown, as by a
camera that drops frames. Out come lines of JSON: that it is ready, or why not; then the time of every picture
that a reader has taken. It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import threading
from typing import BinaryIO, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_drivers.emulated.camera_link import CameraFeed, CameraSpec
from rfs_sim import cloud
from rfs_sim.emulated_config import EmulatedConfig
from rfs_sim.render import ScenePainter, Snapshot

SERIAL = "EMULATED0001"
MODEL, POSITIONS = b"M", b"Q"
HEADER = struct.Struct("<cdQ")
"""Kind, time of the robot in ms, bytes that follow."""
_CONTROL_HZ = 20
_NICENESS = 5
"""Below the arm, the drivers and the policy."""


class CameraError(RfsError):
    """A camera that cannot show anything."""


class Shot(NamedTuple):
    """What is to be shown."""

    model: mujoco.MjModel
    qpos: NDArray[np.float64]
    time_ms: float


def camera_of(model: mujoco.MjModel, config: EmulatedConfig) -> cloud.Camera:
    """The camera that is emulated."""
    return cloud.Camera.of_model(model, config.camera_name, config.camera_width, config.camera_height)


def spec_of(camera: cloud.Camera, config: EmulatedConfig) -> CameraSpec:
    """What it says of itself."""
    (cx, cy), focal = camera.centre, camera.focal
    fps = max(1, _CONTROL_HZ // config.camera_period)
    return CameraSpec(
        serial=SERIAL, width=camera.width, height=camera.height, fps=fps, fx=focal, fy=focal, cx=cx, cy=cy
    )


def model_bytes(model: mujoco.MjModel) -> bytes:
    """A model as it goes through the pipe."""
    buffer = np.empty(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def model_of(content: bytes) -> mujoco.MjModel:
    """The model of `model_bytes`."""
    return mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": content})


class Frames:
    """Reads frames in a thread of its own and keeps the newest positions."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._new = threading.Condition()
        self._newest: Shot | None = None
        self._over = False
        first = self._frame()
        if first is None or first[0] != MODEL:
            raise CameraError("the feed of the camera's process begins with a model")
        self.model = model_of(first[2])
        """The first one."""
        threading.Thread(target=self._run, name="camera frames", daemon=True).start()

    def next(self) -> Shot | None:
        """The newest positions once there are any that were not returned yet; None at the end."""
        with self._new:
            self._new.wait_for(lambda: self._newest is not None or self._over)
            shot, self._newest = self._newest, None
            return None if self._over else shot

    def _frame(self) -> tuple[bytes, float, bytes] | None:
        header = self._stream.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        kind, time_ms, size = HEADER.unpack(header)
        content = self._stream.read(size)
        return (kind, time_ms, content) if len(content) == size else None

    def _run(self) -> None:
        model = self.model
        while (frame := self._frame()) is not None:
            kind, time_ms, content = frame
            if kind == MODEL:
                model = model_of(content)
                continue
            with self._new:
                self._newest = Shot(model, np.frombuffer(content, dtype="<f8"), time_ms)
                self._new.notify()
        with self._new:
            self._over = True
            self._new.notify()


def show(frames: Frames, feed: CameraFeed, camera: cloud.Camera, painter: ScenePainter) -> None:
    """Pictures of what comes in, while somebody reads them."""
    sensor, number = cloud.DepthSensor(camera), 0
    while (shot := frames.next()) is not None:
        if not feed.connected:
            continue
        data = mujoco.MjData(shot.model)
        data.qpos[:] = shot.qpos
        mujoco.mj_kinematics(shot.model, data)
        mujoco.mj_camlight(shot.model, data)
        depth, _ = sensor.cast(shot.model, data)
        millimetres = np.nan_to_num(depth * 1000.0).round().astype("<u2")
        colour = painter.paint(Snapshot(shot.model, shot.qpos))
        number += 1
        if feed.send(number, shot.time_ms, np.ascontiguousarray(colour), millimetres):
            _say({"shown_ms": shot.time_ms})


def _say(line: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever started it may be gone
        print(json.dumps(line), flush=True)


def main() -> int:
    """Serve until standard input ends."""
    os.nice(_NICENESS)
    config = EmulatedConfig(**json.loads(sys.argv[1]))
    try:
        frames = Frames(sys.stdin.buffer)
        camera = camera_of(frames.model, config)
        feed = CameraFeed(config.camera_link, spec_of(camera, config))
    except RfsError as error:
        _say({"error": str(error)})
        return 1
    with feed:
        painter = ScenePainter(camera.width, camera.height, camera=camera, samples=0)
        # The first picture takes seconds: an arm shall not begin to wait for a camera that is not there yet.
        painter.paint(Snapshot(frames.model, np.array(frames.model.qpos0)))
        _say({"ready": True})
        show(frames, feed, camera, painter)
        painter.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
