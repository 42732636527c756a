"""Videos: what goes in comes out, nothing blocks the world, and failures are not silent."""

import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
from PIL import Image

from rfs_sim import video
from rfs_sim.video import (
    GifSink,
    Job,
    Mp4Sink,
    VideoError,
    VideoRecorder,
    add_caption,
    find_ffmpeg,
    open_sink,
)

GREY = np.full((48, 64, 3), 128, dtype=np.uint8)

needs_ffmpeg = pytest.mark.skipif(find_ffmpeg() is None, reason="imageio-ffmpeg is not installed")


class Grey:
    """Paints a snapshot (an int) as a plain picture of that brightness."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.thread = threading.current_thread()
        self.closed = False

    def paint(self, snapshot):
        if self.gate is not None:
            self.gate.wait(10.0)
        if snapshot < 0:
            raise ValueError("no such brightness")
        return np.full((48, 64, 3), snapshot, dtype=np.uint8)

    def close(self):
        self.closed = True


class ListSink:
    def __init__(self, path):
        self.path = path
        self.frames = []
        self.closed = False

    def append(self, picture):
        self.frames.append(int(picture[0, 0, 0]))

    def close(self):
        self.closed = True


def decode(path):
    """All frames of a video, decoded by ffmpeg. Shape: (frames, 48, 64, 3)."""
    command = [
        find_ffmpeg(),
        "-loglevel",
        "error",
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 48, 64, 3)


@needs_ffmpeg
def test_mp4_holds_every_frame_in_order(tmp_path):
    sink = open_sink(tmp_path / "videos" / "a.mp4", fps=20)
    for brightness in (20, 120, 220):
        sink.append(np.full((48, 64, 3), brightness, dtype=np.uint8))
    sink.close()
    frames = decode(sink.path)
    assert len(frames) == 3
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), (20, 120, 220), atol=6)  # H.264 is lossy


@needs_ffmpeg
def test_mp4_refuses_odd_and_changing_sizes(tmp_path):
    with pytest.raises(VideoError, match="even"):
        open_sink(tmp_path / "a.mp4", fps=20).append(np.zeros((47, 64, 3), np.uint8))
    sink = open_sink(tmp_path / "b.mp4", fps=20)
    sink.append(GREY)
    with pytest.raises(VideoError, match="shape"):
        sink.append(np.zeros((48, 66, 3), np.uint8))
    sink.close()


def test_encoder_that_dies_is_an_error_that_says_so(tmp_path):
    sink = Mp4Sink(tmp_path / "a.mp4", 20, shutil.which("false"))
    large = np.zeros((480, 640, 3), np.uint8)  # more than a pipe's buffer takes
    with pytest.raises(VideoError, match="exit code 1"):
        sink.append(large)


def test_without_ffmpeg_an_mp4_becomes_a_gif(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "find_ffmpeg", lambda: None)
    sink = open_sink(tmp_path / "a.mp4", fps=20)
    assert isinstance(sink, GifSink)
    assert sink.path == tmp_path / "a.gif"


def test_unknown_kind_of_video_is_refused_by_name(tmp_path):
    with pytest.raises(VideoError, match=r"\.avi"):
        open_sink(tmp_path / "a.avi", fps=20)


def test_gif_keeps_every_second_frame_at_half_the_rate(tmp_path):
    sink = GifSink(tmp_path / "a.gif", fps=20, width=32, every=2)
    for brightness in (0, 50, 100, 150, 200):
        sink.append(np.full((48, 64, 3), brightness, dtype=np.uint8))
    assert not sink.path.exists()
    sink.close()
    with Image.open(sink.path) as image:
        assert image.n_frames == 3
        assert image.size == (32, 24)
        assert image.info["duration"] == 100  # ms: 2 frames of 1/20 s


def test_caption_changes_the_lower_edge_only():
    captioned = add_caption(GREY, "episode 1")
    assert captioned.shape == GREY.shape
    assert np.array_equal(captioned[:24], GREY[:24])
    assert not np.array_equal(captioned[-10:], GREY[-10:])
    assert (GREY == 128).all()


def test_recorder_paints_in_its_own_thread_and_in_order(tmp_path):
    painters = []
    sink = ListSink(tmp_path / "a")
    recorder = VideoRecorder(sink, lambda: painters.append(Grey()) or painters[0])
    for brightness in range(5):
        recorder.submit(Job(brightness))
    recorder.submit(Job(9, repeat=3))
    assert recorder.wait(backlog=0, timeout_s=10.0)
    recorder.close(timeout_s=10.0)
    assert sink.frames == [0, 1, 2, 3, 4, 9, 9, 9]
    assert (recorder.written, recorder.dropped) == (8, 0)
    assert sink.closed
    assert painters[0].closed
    assert painters[0].thread is not threading.current_thread()


def test_submit_does_not_wait_for_a_painter_that_is_stuck(tmp_path):
    gate = threading.Event()
    sink = ListSink(tmp_path / "a")
    recorder = VideoRecorder(sink, lambda: Grey(gate))
    for brightness in range(100):
        recorder.submit(Job(brightness))  # would hang here
    assert recorder.backlog == 100
    assert sink.frames == []
    assert not recorder.wait(backlog=0, timeout_s=0.05)
    gate.set()
    assert recorder.wait(backlog=0, timeout_s=10.0)
    recorder.close(timeout_s=1.0)
    assert len(sink.frames) == 100


def test_recorder_that_is_behind_repeats_pictures_and_keeps_the_pace(tmp_path):
    gate = threading.Event()
    sink = ListSink(tmp_path / "a")
    recorder = VideoRecorder(sink, lambda: Grey(gate), comfortable=3)
    for brightness in range(10):
        recorder.submit(Job(brightness))
    recorder.submit(Job(99, essential=True))
    gate.set()
    assert recorder.wait(backlog=0, timeout_s=10.0)
    recorder.close(timeout_s=1.0)
    # 11 jobs. The first is painted; then one of four while more than 3 are open (the present one counts):
    # 4 at 7 open, 8 at 3 open. From there on all: 8, 9, 99.
    assert sink.frames == [0, 0, 0, 0, 4, 4, 4, 4, 8, 9, 99]


def test_last_picture_of_an_episode_is_painted_even_in_a_hurry(tmp_path):
    gate = threading.Event()
    sink = ListSink(tmp_path / "a")
    recorder = VideoRecorder(sink, lambda: Grey(gate), comfortable=1)
    for brightness in (1, 2):
        recorder.submit(Job(brightness))
    recorder.submit(Job(3, essential=True))
    for brightness in (4, 5, 6):
        recorder.submit(Job(brightness))
    gate.set()
    assert recorder.wait(backlog=0, timeout_s=10.0)
    recorder.close(timeout_s=1.0)
    # 6 is alone when its turn comes, so nothing hurries any more.
    assert sink.frames == [1, 1, 3, 3, 3, 6]


def test_close_drops_what_it_has_no_time_for_and_still_closes_the_file(tmp_path):
    class Slow(Grey):
        def paint(self, snapshot):
            time.sleep(0.05)
            return super().paint(snapshot)

    sink = ListSink(tmp_path / "a")
    recorder = VideoRecorder(sink, Slow)
    for _ in range(4000):  # 50 s of painting, in a hurry
        recorder.submit(Job(1))
    recorder.close(timeout_s=0.2)
    assert sink.closed
    assert recorder.dropped > 3000
    assert recorder.written + recorder.dropped == 4000


def test_error_of_the_painter_is_raised_at_close_and_keeps_the_frames_before_it(tmp_path):
    sink = ListSink(tmp_path / "a")
    recorder = VideoRecorder(sink, Grey)
    for brightness in (7, -1, 8):
        recorder.submit(Job(brightness))
    recorder.wait(backlog=0, timeout_s=10.0)
    with pytest.raises(VideoError, match="no such brightness"):
        recorder.close(timeout_s=10.0)
    assert sink.frames == [7]
    assert sink.closed
    assert recorder.dropped == 2
