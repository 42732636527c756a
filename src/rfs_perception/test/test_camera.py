"""The same images come out of librealsense that went in: from an emulated camera, and from its recording."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyrealsense2", reason="needs pyrealsense2: make setup EXTRAS=perception")

from rfs_drivers.emulated.camera_link import CameraFeed, CameraSpec
from rfs_drivers.errors import EmulatorError
from rfs_perception.camera import Camera, RecordingEnded, find
from rfs_perception.camera_config import CameraConfig, FilterConfig
from rfs_perception.errors import CameraError
from rfs_perception.frame import Frame

SPEC = CameraSpec("77", 64, 48, 30, 60.0, 60.0, 31.5, 23.5)
PATIENCE_S = 60.0


def images(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A pair that tells its number: colour is the number, depth 500 mm more."""
    return np.full((48, 64, 3), number % 200, np.uint8), np.full((48, 64), 500 + number % 200, np.uint16)


class Feeder:
    """Feeds numbered pairs until it is told to stop."""

    def __init__(self, path: Path) -> None:
        self.feed = CameraFeed(path, SPEC)
        self.running = threading.Event()
        self.running.set()
        self.number = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while self.running.is_set():
            self.number += 1
            self.feed.send(self.number, self.number * 1000.0 / SPEC.fps, *images(self.number))
            time.sleep(1.0 / SPEC.fps)

    def close(self) -> None:
        self.running.clear()
        self.thread.join(10.0)
        self.feed.close()


@pytest.fixture
def feeder(tmp_path: Path) -> Iterator[Feeder]:
    feeder = Feeder(tmp_path / "camera")
    yield feeder
    feeder.close()


def read(camera: Camera, count: int) -> list[Frame]:
    frames, deadline = [], time.monotonic() + PATIENCE_S
    while len(frames) < count:
        assert time.monotonic() < deadline, f"{len(frames)} of {count} frames"
        if (frame := camera.read(0.2)) is not None:
            frames.append(frame)
    return frames


def read_to_the_end(camera: Camera) -> list[Frame]:
    frames, deadline = [], time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < deadline
        try:
            frame = camera.read(0.5)
        except RecordingEnded:
            return frames
        if frame is not None:
            frames.append(frame)


def check(frames: list[Frame]) -> None:
    for frame in frames:
        content = int(frame.colour[0, 0, 0])
        assert content == frame.number % 200
        assert (frame.colour == content).all()
        # Depth of the same moment, in m. The library's alignment leaves lines of holes by rounding.
        measured = frame.depth[frame.depth > 0.0]
        np.testing.assert_allclose(measured, 0.5 + 0.001 * content, atol=1e-6)
        assert measured.size > 0.8 * frame.depth.size
        assert frame.stamp_ns == pytest.approx(frame.number * 1e9 / 30, abs=1e3)
    assert frames[0].intrinsics.fx == 60.0
    assert frames[0].intrinsics.cx == 31.5


def test_images_come_through_the_library_and_its_recorder_unchanged(feeder: Feeder, tmp_path: Path) -> None:
    recording = tmp_path / "look.db3"
    config = CameraConfig(source=f"emulated:{feeder.feed.path}", record=str(recording))
    camera = Camera(find(config.source), config)
    assert camera.serial == "77"
    live = read(camera, 50)  # more than the library has frames
    camera.close()
    check(live)

    replayed = Camera(find(f"file:{recording}", real_time=False), CameraConfig())
    assert replayed.serial == "77"
    frames = read_to_the_end(replayed)
    replayed.close()
    check(frames)
    # All of them on a machine that keeps up; a reader that is late sees the newest.
    assert len(frames) > 10
    assert {f.number for f in frames} & {f.number for f in live[10:]}


def test_a_cable_that_is_pulled_ends_the_images_and_can_be_plugged_again(tmp_path: Path) -> None:
    path = tmp_path / "camera"
    first = Feeder(path)
    camera = Camera(find(f"emulated:{path}"), CameraConfig())
    read(camera, 3)
    first.close()
    camera.drain()
    assert camera.read(0.3) is None
    camera.close()
    with pytest.raises(CameraError, match="no emulated camera feeds"):
        find(f"emulated:{path}")
    second = Feeder(path)
    camera = Camera(find(f"emulated:{path}"), CameraConfig())
    check(read(camera, 3))
    camera.close()
    second.close()


def test_filters_are_applied(feeder: Feeder) -> None:
    # All depths are 0.5 m and more: a threshold below leaves nothing.
    config = CameraConfig(
        filters=FilterConfig(threshold_max=0.4, spatial=True, temporal=True, disparity=True)
    )
    camera = Camera(find(f"emulated:{feeder.feed.path}"), config)
    assert not read(camera, 1)[0].depth.any()
    camera.close()


def test_a_recording_is_never_written_over(feeder: Feeder, tmp_path: Path) -> None:
    path = tmp_path / "look.db3"
    path.write_bytes(b"precious")
    config = CameraConfig(source=f"emulated:{feeder.feed.path}", record=str(path))
    with pytest.raises(CameraError, match="exists already; name another file"):
        Camera(find(config.source), config)
    assert path.read_bytes() == b"precious"
    wrong = CameraConfig(source=config.source, record=str(tmp_path / "look.bag"))
    with pytest.raises(CameraError, match="cannot be started"):
        Camera(find(wrong.source), wrong)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("usb:3", "did you mean|known: emulated:SOCKET, file:FILE.db3, serial:NUMBER"),
        ("file:none.db3", "does not exist"),
        ("file:look.bag", "plays .db3 files only"),
        ("emulated:/nowhere", "no emulated camera feeds at /nowhere"),
        ("serial:123", "no camera 123 is connected"),
    ],
)
def test_a_source_that_is_not_there_is_named(source: str, reason: str) -> None:
    with pytest.raises(CameraError, match=reason):
        find(source)


class Failing:
    """librealsense while a camera is being plugged in: every call of the device fails."""

    class camera_info:
        serial_number, name = 0, 1

    def __init__(self, *devices: object) -> None:
        self._devices = devices

    def context(self) -> Failing:
        return self

    def query_devices(self) -> tuple[object, ...]:
        if not self._devices:
            raise RuntimeError("failed to set power state")
        return self._devices


class FailingDevice:
    """A device that is gone before it is asked, and what keeps it going."""

    closed = False

    @property
    def device(self) -> FailingDevice:
        return self

    def get_info(self, what: int) -> str:
        raise RuntimeError("info not supported by the device")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("devices", "reason"),
    [((), "failed to set power state"), ((FailingDevice(),), "info not supported")],
    ids=["list", "device"],
)
def test_an_error_of_the_library_while_it_looks_is_a_camera_error(
    devices: tuple[object, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rfs_perception.camera.library", lambda: Failing(*devices))
    with pytest.raises(CameraError, match=f"cannot be listed: {reason}.*plug the camera anew"):
        find("")


def test_a_camera_that_is_gone_while_it_is_opened_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rfs_perception.camera.library", Failing)
    device = FailingDevice()
    with pytest.raises(CameraError, match="camera unknown cannot be started: info not supported"):
        Camera(device, CameraConfig())  # type: ignore[arg-type]
    assert device.closed


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "look.db3"
    path.write_bytes(b"not a recording")
    with pytest.raises(CameraError, match="cannot be played"):
        find(f"file:{path}")


def test_images_of_another_size_are_refused_by_the_feed(feeder: Feeder) -> None:
    with pytest.raises(EmulatorError, match="this camera's are"):
        feeder.feed.send(1, 0.0, np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10), np.uint16))
