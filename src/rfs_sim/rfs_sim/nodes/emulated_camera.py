"""The camera of the emulated robot: an emulated RealSense that shows the world to its driver.

Pictures are made in a process of their own (`rfs_sim.nodes.camera_process`); the arm's thread only hands over
positions, and never waits. Stamps are robot time.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_sim.driven import DrivenWorld
from rfs_sim.emulated_config import EmulatedConfig
from rfs_sim.nodes import camera_process

_JOIN_S = 5.0

Shot = tuple[mujoco.MjModel, NDArray[np.float64], float]


class EmulatedCamera:
    """Feeds what is to be shown to the process that makes the pictures."""

    def __init__(self, config: EmulatedConfig, world: DrivenWorld) -> None:
        """
        Args:
            config: where the cable ends (`camera_link`), and which camera of the model it is.
            world: what it shows.

        Raises:
            CameraError: something else stands at the cable's end.
        """
        self._period = config.camera_period
        self._model = world.copy_of_model()
        self._shown = (world.seed, world.episode)
        self._shots: queue.Queue[Shot | None] = queue.Queue(maxsize=1)
        self.sent = 0
        """Pictures that a reader has taken."""
        self.shown_ns = 0
        """Robot time of the newest of them."""
        asked = {
            name: getattr(config, name)
            for name in ("camera_link", "camera_name", "camera_width", "camera_height", "camera_period")
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rfs_sim.nodes.camera_process", json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for its parent, whose end it sees.
            process_group=0,
        )
        self._write(camera_process.MODEL, 0.0, camera_process.model_bytes(self._model))
        said = self._said()
        if "ready" not in said:
            self._process.wait(_JOIN_S)
            raise camera_process.CameraError(
                said.get("error", "the camera's process did not start; it says why, above")
            )
        self._threads = [
            threading.Thread(target=work, name="emulated camera", daemon=True)
            for work in (self._feed, self._count)
        ]
        for thread in self._threads:
            thread.start()

    def publish(self, tick: int, stamp_ns: int, world: DrivenWorld) -> None:
        """A picture at every `camera_period`-th control tick; called from the arm's thread."""
        if self._shown != (world.seed, world.episode):
            # A reset has drawn another object, and written it into the model.
            self._model, self._shown = world.copy_of_model(), (world.seed, world.episode)
        if tick % self._period == 0 and not self._shots.full():
            self._shots.put_nowait((self._model, world.qpos, stamp_ns / 1e6))

    def close(self) -> None:
        """Unplug."""
        self._shots.put(None)
        for thread in self._threads:
            thread.join(_JOIN_S)
        self._process.wait(_JOIN_S)

    def _count(self) -> None:
        while said := self._said():
            self.sent += 1
            self.shown_ns = round(said["shown_ms"] * 1e6)

    def _feed(self) -> None:
        model = self._model
        try:
            while (shot := self._shots.get()) is not None:
                if shot[0] is not model:
                    model = shot[0]
                    self._write(camera_process.MODEL, shot[2], camera_process.model_bytes(model))
                self._write(camera_process.POSITIONS, shot[2], shot[1].astype("<f8").tobytes())
            self._pipe.close()
        except BrokenPipeError:
            print("the emulated camera's process has ended: the camera is unplugged", file=sys.stderr)
            while self._shots.get() is not None:
                pass

    @property
    def _pipe(self) -> Any:
        assert self._process.stdin is not None
        return self._process.stdin

    def _write(self, kind: bytes, time_ms: float, content: bytes) -> None:
        self._pipe.write(camera_process.HEADER.pack(kind, time_ms, len(content)))
        self._pipe.write(content)
        self._pipe.flush()

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return dict(json.loads(line)) if line else {}
