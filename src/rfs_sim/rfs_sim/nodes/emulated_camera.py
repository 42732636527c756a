"""The emulated robot's camera: colour and depth of the world, over the cable of an emulated RealSense.

Painting takes longer than a cycle of the arm, so it has a thread of its own; what it is too slow for is not
shown, as by a camera that drops frames. Stamps are robot time.
"""

from __future__ import annotations

import queue
import threading

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_drivers.emulated.camera_link import CameraFeed, CameraSpec
from rfs_sim import cloud
from rfs_sim.driven import DrivenWorld
from rfs_sim.emulated_config import EmulatedConfig
from rfs_sim.render import ScenePainter, Snapshot

SERIAL = "EMULATED0001"
_JOIN_S = 5.0
_FIRST_S = 60.0
_CONTROL_HZ = 20

Shot = tuple[mujoco.MjModel, NDArray[np.float64], float]


def camera_of(model: mujoco.MjModel, config: EmulatedConfig) -> cloud.Camera:
    """The camera that is emulated."""
    return cloud.Camera.of_model(model, config.camera_name, config.camera_width, config.camera_height)


class EmulatedCamera:
    """Feeds images while somebody reads."""

    def __init__(self, config: EmulatedConfig, world: DrivenWorld) -> None:
        """
        Args:
            config: where the cable ends (`camera_link`), and which camera of the model it is.
            world: what it shows.

        Raises:
            EmulatorError: something else stands at the cable's end.
        """
        self._period = config.camera_period
        self._camera = camera = camera_of(world.model, config)
        (cx, cy), focal = camera.centre, camera.focal
        self._feed = CameraFeed(
            config.camera_link,
            CameraSpec(
                serial=SERIAL,
                width=camera.width,
                height=camera.height,
                fps=max(1, _CONTROL_HZ // config.camera_period),
                fx=focal,
                fy=focal,
                cx=cx,
                cy=cy,
            ),
        )
        self._model = world.copy_of_model()
        self._shots: queue.Queue[Shot | None] = queue.Queue(maxsize=1)
        self.sent = self.dropped = 0
        # The first picture takes seconds and keeps the interpreter: not while an arm waits for its cycles.
        self._ready = threading.Event()
        first = self._model, world.qpos, 0.0
        self._thread = threading.Thread(target=self._run, args=(first,), name="emulated camera", daemon=True)
        self._thread.start()
        self._ready.wait(_FIRST_S)

    def publish(self, tick: int, stamp_ns: int, world: DrivenWorld) -> None:
        """A picture at every `camera_period`-th control tick; called from the arm's thread."""
        if not world.moving and world.steps == 0:
            # A reset draws another object, whose model the world writes to.
            self._model = world.copy_of_model()
        if tick % self._period:
            return
        try:
            self._shots.put_nowait((self._model, world.qpos, stamp_ns / 1e6))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Unplug."""
        self._shots.put(None)
        self._thread.join(_JOIN_S)
        self._feed.close()

    def _run(self, first: Shot) -> None:
        painter = ScenePainter(self._camera.width, self._camera.height, camera=self._camera, samples=0)
        painter.paint(Snapshot(first[0], first[1]))
        self._ready.set()
        sensor = cloud.DepthSensor(self._camera)
        number = 0
        while (shot := self._shots.get()) is not None:
            if not self._feed.connected:
                continue
            model, qpos, time_ms = shot
            data = mujoco.MjData(model)
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            mujoco.mj_camlight(model, data)
            depth, _ = sensor.cast(model, data)
            millimetres = np.nan_to_num(depth * 1000.0).round().astype("<u2")
            colour = painter.paint(Snapshot(model, qpos))
            number += 1
            self.sent += self._feed.send(number, time_ms, np.ascontiguousarray(colour), millimetres)
        painter.close()
