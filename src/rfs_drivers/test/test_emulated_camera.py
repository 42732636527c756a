"""The emulated camera's cable and its faults; librealsense is not needed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from rfs_drivers.emulated.camera_link import CameraFeed, CameraLink, CameraSpec
from rfs_drivers.emulated.camera_main import EmulatedCamera, main
from rfs_drivers.errors import EmulatorError

SPEC = CameraSpec("9", 32, 24, 30, 30.0, 30.0, 15.5, 11.5)


def received(link: CameraLink, show: Callable[[], object]) -> tuple[np.ndarray, np.ndarray]:
    """Colour and depth of the next pair that `show` sends."""
    thread = Thread(target=show)
    thread.start()
    assert link.receive() is not None
    thread.join()
    return link.colour.copy(), link.depth.copy()


def test_what_is_sent_is_received(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    depth = rng.integers(0, 5000, (24, 32), dtype=np.uint16)
    with CameraFeed(tmp_path / "camera", SPEC) as feed:
        assert not feed.send(1, 0.0, colour, depth)  # nobody reads
        link = CameraLink(tmp_path / "camera")
        assert link.spec == SPEC
        thread = Thread(target=lambda: feed.send(7, 233.5, colour, depth))
        thread.start()
        assert link.receive() == (7, 233.5)
        thread.join()
        np.testing.assert_array_equal(link.colour, colour)
        np.testing.assert_array_equal(link.depth, depth)
        link.close()


def test_a_pulled_cable_ends_the_reading_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    feed = CameraFeed(tmp_path / "camera", SPEC)
    link = CameraLink(tmp_path / "camera")
    feed.close()
    assert link.receive() is None
    assert not (tmp_path / "camera").exists()
    with pytest.raises(EmulatorError, match="no emulated camera feeds"):
        CameraLink(tmp_path / "camera")


def test_a_second_camera_at_a_link_is_refused_and_does_not_disturb_the_first(tmp_path: Path) -> None:
    with CameraFeed(tmp_path / "camera", SPEC) as feed:
        link = CameraLink(tmp_path / "camera")
        with pytest.raises(EmulatorError, match="another emulated camera feeds at"):
            CameraFeed(tmp_path / "camera", SPEC)
        colour, depth = np.zeros((24, 32, 3), dtype=np.uint8), np.zeros((24, 32), dtype=np.uint16)
        thread = Thread(target=lambda: feed.send(1, 0.0, colour, depth))
        thread.start()
        assert link.receive() == (1, 0.0)
        thread.join()
        link.close()


def test_what_a_killed_camera_left_is_replaced_and_only_ones_own_socket_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "camera"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(path))
    feed = CameraFeed(path, SPEC)
    path.unlink()
    with CameraFeed(path, SPEC):
        feed.close()
        assert path.is_socket()
    assert not path.exists()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--fps", "0"), "--fps is 0, needs 1 to 1000"),
        (("--fps", "-3"), "--fps is -3"),
        (("--size", "640"), "--size is '640', needs two numbers"),
        (("--size", "640x0"), "--size is '640x0'"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_and_leaves_no_socket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str], sentence: str
) -> None:
    assert main(["--link", str(tmp_path / "camera"), "--size", "64x48", *option]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "camera").exists()


def test_what_is_no_feed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a socket")
    with pytest.raises(EmulatorError, match="is not a socket"):
        CameraFeed(tmp_path / "file", SPEC)
    with pytest.raises(EmulatorError, match="no socket can be made"):
        CameraFeed(tmp_path / "missing" / "camera", SPEC)


def test_every_picture_differs_until_it_is_frozen_and_depth_can_be_blinded(tmp_path: Path) -> None:
    camera = EmulatedCamera(str(tmp_path / "camera"), SPEC)
    link = CameraLink(tmp_path / "camera")
    first, second = (received(link, lambda: camera.tick(0.0)) for _ in range(2))
    assert (first[0] != second[0]).any()
    camera.perform({"do": "freeze", "on": True})
    third, fourth = (received(link, lambda: camera.tick(0.0)) for _ in range(2))
    np.testing.assert_array_equal(third[0], fourth[0])
    camera.perform({"do": "blind", "on": True})
    assert not received(link, lambda: camera.tick(0.0))[1].any()
    link.close()
    camera.close()


def test_the_cable_is_pulled_and_plugged_and_what_is_unknown_is_said(tmp_path: Path) -> None:
    camera = EmulatedCamera(str(tmp_path / "camera"), SPEC)
    assert camera.perform({"do": "unplug"})["plugged"] is False
    with pytest.raises(EmulatorError):
        CameraLink(tmp_path / "camera")
    assert camera.perform({"do": "plug"})["plugged"] is True
    CameraLink(tmp_path / "camera").close()
    for request in ({"do": "melt"}, {"do": "freeze"}, {"do": "freeze", "on": "yes"}, {}):
        with pytest.raises(EmulatorError, match="unknown, known are unplug"):
            camera.perform(request)
    camera.close()
