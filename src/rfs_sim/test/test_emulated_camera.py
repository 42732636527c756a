"""The emulated robot's camera shows its world over the cable of an emulated RealSense."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rfs_drivers.emulated.camera_link import CameraLink
from rfs_sim import cloud
from rfs_sim.driven import DrivenWorld
from rfs_sim.emulated_config import EmulatedConfig
from rfs_sim.nodes.camera_process import CameraError, camera_of
from rfs_sim.nodes.emulated_camera import EmulatedCamera

PATIENCE_S = 60.0


def test_a_reader_gets_the_depth_of_the_world_and_robot_time(tmp_path: Path) -> None:
    link = tmp_path / "camera"
    config = EmulatedConfig(camera_link=str(link), camera_width=64, camera_height=48, camera_period=2)
    world = DrivenWorld("grasp", seed=2)
    camera = EmulatedCamera(config, world)
    received: list[tuple[float, np.ndarray, np.ndarray]] = []

    def read() -> None:
        reader = CameraLink(link, timeout_s=PATIENCE_S)
        assert (reader.spec.width, reader.spec.height) == (64, 48)
        while (pair := reader.receive()) is not None:
            received.append((pair[1], reader.colour.copy(), reader.depth.copy()))
        reader.close()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    tick = 0
    while not received and time.monotonic() < deadline:
        camera.publish(tick, tick * 50_000_000, world)
        tick += 1
        time.sleep(0.01)
    camera.close()
    thread.join(PATIENCE_S)
    time_ms, colour, depth = received[0]
    assert time_ms % 100.0 == 0.0  # every second control tick of 50 ms
    seen, _ = cloud.DepthSensor(camera_of(world.model, config)).cast(world.model, world.data())
    expected = np.nan_to_num(seen * 1000.0).round()
    np.testing.assert_allclose(depth, expected, atol=1.0)
    assert (depth > 0).mean() > 0.5
    assert colour.std() > 5.0  # not one flat colour
    assert not link.exists()
    world.close()


def test_pictures_that_nobody_reads_cost_nothing_and_stop_nothing(tmp_path: Path) -> None:
    config = EmulatedConfig(camera_link=str(tmp_path / "camera"), camera_period=1)
    world = DrivenWorld("grasp")
    camera = EmulatedCamera(config, world)
    for tick in range(50):
        camera.publish(tick, tick * 50_000_000, world)
    camera.close()
    assert camera.sent == 0
    world.close()


def test_something_else_at_the_end_of_the_cable_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "camera"
    path.write_text("mine")
    world = DrivenWorld("grasp")
    with pytest.raises(CameraError, match="not a socket"):
        EmulatedCamera(EmulatedConfig(camera_link=str(path)), world)
    assert path.read_text() == "mine"
    world.close()
