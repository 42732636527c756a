"""A camera that is unplugged, frozen or at its end is told from one that works. No camera is needed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from rfs_perception.camera import RecordingEnded
from rfs_perception.capture import CaptureLoop
from rfs_perception.errors import CameraError, PerceptionError
from rfs_perception.frame import Frame, Intrinsics
from rfs_perception.frozen import FrozenDetector
from rfs_perception.stamps import StampMap

MS = 1_000_000
INTRINSICS = Intrinsics(16, 16, 20.0, 20.0, 7.5, 7.5)


def frame(number: int, content: int, stamp_ms: float | None = None) -> Frame:
    colour = np.full((16, 16, 3), content % 256, np.uint8)
    stamp = number * 33 * MS if stamp_ms is None else round(stamp_ms * MS)
    depth = np.full((16, 16), 1.0 + 0.001 * (content % 256), np.float32)
    return Frame(stamp, colour, depth, INTRINSICS, number)


class Played:
    """A camera that gives what it was told to: a frame, None, or an error."""

    serial, unpaired = "1", 0

    def __init__(self, *events: object, live: bool = True) -> None:
        self.events = deque(events)
        self.live = live
        self.closed = False

    def read(self, timeout_s: float) -> Frame | None:
        event = self.events.popleft() if self.events else None
        if isinstance(event, Exception):
            raise event
        assert event is None or isinstance(event, Frame)
        return event

    def drain(self) -> None:
        self.events.clear()

    def close(self) -> None:
        self.closed = True


def loop(*cameras: Played | PerceptionError, frozen_after: float = 0.0, repeat: bool = False) -> CaptureLoop:
    waiting = deque(cameras)

    def open_camera() -> Played:
        camera = waiting.popleft()
        if isinstance(camera, PerceptionError):
            raise camera
        return camera

    return CaptureLoop(open_camera, 1.0, 0.5, frozen_after, repeat)


def test_frames_come_through_and_gaps_are_counted() -> None:
    capture = loop(Played(frame(1, 1), frame(2, 2), frame(5, 3)))
    assert [capture.step(0.1 * i).number for i in range(3)] == [1, 2, 5]  # type: ignore[union-attr]
    assert (capture.counts.frames, capture.counts.dropped) == (3, 2)  # 3 and 4 are missing
    assert capture.reason == ""


def test_an_unplugged_camera_is_let_go_looked_for_and_found_again() -> None:
    first, second = Played(frame(1, 1)), Played(frame(1, 2))
    capture = loop(first, CameraError("not there"), second)
    assert capture.step(0.0) is not None
    assert capture.step(0.9) is None
    assert capture.reason == ""  # still within its second
    assert capture.step(1.1) is None
    assert "unplugged" in capture.reason
    assert first.closed
    assert capture.step(1.2) is None
    assert capture.reason == "not there"  # looked for at once; the next look is at 1.7
    assert capture.step(1.6) is None
    assert capture.counts.opened == 1
    found = capture.step(1.7)
    assert found is not None
    assert found.number == 1
    assert capture.reason == ""
    assert (capture.counts.lost, capture.counts.opened, capture.counts.dropped) == (1, 2, 0)


def test_a_recording_that_pauses_is_not_lost() -> None:
    capture = loop(Played(frame(1, 1), None, None, frame(2, 2), live=False))
    assert capture.step(0.0) is not None
    assert capture.step(5.0) is None
    assert capture.step(9.0) is None
    assert capture.step(9.1) is not None
    assert (capture.counts.lost, capture.counts.opened) == (0, 1)


def test_a_camera_that_raises_is_let_go() -> None:
    camera = Played(CameraError("usb error"))
    capture = loop(camera)
    assert capture.step(0.0) is None
    assert capture.reason == "usb error"
    assert camera.closed
    assert capture.camera is None


def test_what_waited_while_nobody_read_is_thrown_away_and_not_called_dropped() -> None:
    camera = Played(frame(1, 1), frame(2, 2))
    capture = loop(camera)
    capture.step(0.0)
    capture.resume(60.0)
    camera.events.append(frame(90, 3))
    found = capture.step(60.1)
    assert found is not None
    assert found.number == 90
    assert capture.counts.dropped == 0


def test_a_recording_ends_or_begins_anew() -> None:
    once = loop(Played(frame(1, 1), RecordingEnded("over")))
    assert once.step(0.0) is not None
    assert once.step(0.1) is None
    assert once.ended
    assert once.reason == "over"
    again = loop(Played(frame(1, 1), RecordingEnded("over")), Played(frame(1, 1)), repeat=True)
    assert again.step(0.0) is not None
    assert again.step(0.1) is None
    assert not again.ended
    assert again.step(0.2) is not None


def test_a_frozen_camera_gives_no_frames_until_something_changes() -> None:
    capture = loop(Played(*[frame(i, 7) for i in range(1, 21)], frame(21, 8)), frozen_after=0.5)
    given = [capture.step(i / 30) is not None for i in range(20)]
    # 33 ms apart: the 17th is 16 * 33 = 528 ms after the first.
    assert given == [True] * 16 + [False] * 4
    assert "is frozen: fresh stamps, but the same image (colour and depth)" in capture.reason
    assert capture.step(0.7) is not None
    assert capture.reason == ""
    assert capture.counts.frozen == 4


@pytest.mark.parametrize("which", ["colour", "depth"])
def test_one_sensor_that_is_frozen_is_told_though_the_other_one_lives(which: str) -> None:
    live = [frame(i, i) for i in range(1, 21)]
    frames = [replace(f, **{which: getattr(live[0], which)}) for f in live]
    detector = FrozenDetector(0.5)
    # 33 ms apart: the 17th is 16 * 33 = 528 ms after the first.
    assert [detector.update(f) for f in frames] == [""] * 16 + [which] * 4


def test_depth_that_measures_nothing_is_not_frozen() -> None:
    nothing = np.zeros((16, 16), np.float32)
    detector = FrozenDetector(0.5)
    assert not any(detector.update(replace(frame(i, i), depth=nothing)) for i in range(1, 101))


def test_zero_switches_the_detector_off() -> None:
    detector = FrozenDetector(0.0)
    assert not any(detector.update(frame(i, 7)) for i in range(100))


def test_capture_times_are_translated_by_the_least_delay() -> None:
    stamps = StampMap()
    # The camera's clock started at 0 when the computer's was at 1000 ms; delays 20, 5 and 30 ms.
    assert stamps.to_ros(0 * MS, 1020 * MS) == 1020 * MS
    assert stamps.to_ros(33 * MS, 1038 * MS) == 1038 * MS
    assert stamps.to_ros(66 * MS, 1096 * MS) == 1071 * MS


def test_no_frame_is_from_the_future() -> None:
    stamps, rng = StampMap(window=10), np.random.default_rng(0)
    for k in range(200):
        captured = k * 33 * MS
        arrived = captured + int(rng.integers(1, 80)) * MS
        assert captured < stamps.to_ros(captured, arrived) <= arrived


@pytest.mark.parametrize("captured", [0, 900_000 * MS])
def test_a_camera_clock_that_jumps_is_learned_anew(captured: int) -> None:
    stamps = StampMap()
    stamps.to_ros(500 * MS, 10_000 * MS)
    assert stamps.to_ros(captured, 10_040 * MS) == 10_040 * MS
