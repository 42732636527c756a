"""Videos of episodes, painted and encoded in a thread of their own so that the world never waits for them.

The world hands over small jobs (a snapshot of its joints and a caption); the thread turns each into a picture
and the picture into a frame. MP4 through the ffmpeg that comes with imageio-ffmpeg, GIF through Pillow.
"""

from __future__ import annotations

import collections
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rfs_core.errors import RfsError

Picture = NDArray[np.uint8]
"""RGB. Shape: (height, width, 3)."""


class VideoError(RfsError):
    """A video that cannot be written."""


class Sink(Protocol):
    """Where frames go."""

    path: Path

    def append(self, picture: Picture) -> None:
        """Take the next frame."""

    def close(self) -> None:
        """Finish the file. Raises VideoError where it is not what it should be."""


def find_ffmpeg() -> str | None:
    """Path of an ffmpeg that can encode H.264; None where imageio-ffmpeg is not installed or has none."""
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        return None


class Mp4Sink:
    """H.264 in MP4, in fragments: what is written stays playable even where the process is killed."""

    def __init__(self, path: Path, fps: float, ffmpeg: str, quality: int = 23) -> None:
        """
        Args:
            path: The file; overwritten.
            fps: Frames per second.
            ffmpeg: The program.
            quality: Constant rate factor of x264: 18 is hardly distinguishable from lossless, 28 is coarse.
        """
        self.path = path
        self._fps = fps
        self._ffmpeg = ffmpeg
        self._quality = quality
        self._process: subprocess.Popen[bytes] | None = None
        self._shape: tuple[int, ...] = ()

    def append(self, picture: Picture) -> None:
        """Take the next frame; the first one decides the size, which must be even (yuv420p)."""
        if self._process is None:
            self._start(picture.shape)
        if picture.shape != self._shape:
            raise VideoError(f"{self.path}: frame has shape {picture.shape}, the first one had {self._shape}")
        assert self._process is not None
        pipe: IO[bytes] | None = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(np.ascontiguousarray(picture).data)
        except BrokenPipeError:
            raise VideoError(f"{self.path}: ffmpeg stopped: {self._end()}") from None

    def _start(self, shape: tuple[int, ...]) -> None:
        height, width, _ = shape
        if height % 2 or width % 2:
            raise VideoError(f"{self.path}: MP4 needs even width and height, got {width} x {height}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._shape = shape
        # fmt: off
        command = [
            self._ffmpeg, "-y", "-loglevel", "error",
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(self._fps), "-i", "-",
            "-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", str(self._quality), "-threads", "1",
            "-pix_fmt", "yuv420p", "-movflags", "frag_keyframe+empty_moov+default_base_moof",
            str(self.path),
        ]
        # fmt: on
        # A process group of its own: Ctrl-C in the terminal must not end it before its last frame.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
        )

    def _end(self) -> str:
        """Wait for ffmpeg; returns what it complained about."""
        assert self._process is not None
        process, self._process = self._process, None
        try:
            _, complaint = process.communicate(timeout=10.0)
        except BrokenPipeError:
            complaint = b""
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return "did not finish within 10 s and was killed"
        text = complaint.decode(errors="replace").strip()
        return text or (f"exit code {process.returncode}" if process.returncode else "")

    def close(self) -> None:
        """Finish the file."""
        if self._process is not None:
            complaint = self._end()
            if complaint:
                raise VideoError(f"{self.path}: ffmpeg: {complaint}")


class GifSink:
    """An animated GIF of one palette. Frames are kept in memory until `close`."""

    def __init__(
        self, path: Path, fps: float, width: int | None = 320, every: int = 2, colours: int = 256
    ) -> None:
        """
        Args:
            path: The file; overwritten.
            fps: Frames per second of what is appended.
            width: Largest width of the GIF (pixels); None: as it comes.
            every: Keep one frame out of so many.
            colours: Size of the palette, at most 256.
        """
        self.path = path
        self._duration_ms = round(1000.0 * every / fps)
        self._width = width
        self._every = every
        self._colours = colours
        self._count = 0
        self._frames: list[Image.Image] = []

    def append(self, picture: Picture) -> None:
        """Take the next frame."""
        self._count += 1
        if (self._count - 1) % self._every:
            return
        image = Image.fromarray(picture)
        if self._width is not None and self._width < image.width:
            size = self._width, round(image.height * self._width / image.width)
            image = image.resize(size, Image.Resampling.LANCZOS)
        self._frames.append(image)

    def close(self) -> None:
        """Write the file in one go."""
        if not self._frames:
            return
        # One palette for all, from frames of the whole video, and no dithering: unchanged pixels stay
        # unchanged, which is what GIF compresses.
        samples = self._frames[:: max(1, len(self._frames) // 16)]
        montage = Image.new("RGB", (samples[0].width, samples[0].height * len(samples)))
        for i, sample in enumerate(samples):
            montage.paste(sample, (0, i * sample.height))
        # Maximum coverage keeps the colours of small things, such as the object.
        palette = montage.quantize(self._colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self._frames)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial")
        first.save(
            partial,
            format="GIF",
            save_all=True,
            append_images=rest,
            duration=self._duration_ms,
            loop=0,
            optimize=True,
        )
        os.replace(partial, self.path)
        self._frames = []


def open_sink(path: Path, fps: float) -> Sink:
    """A sink for `path`, by its suffix: .mp4 or .gif. Without an ffmpeg, an .mp4 becomes a .gif beside it.

    Raises:
        VideoError: another suffix.
    """
    if path.suffix == ".gif":
        return GifSink(path, fps)
    if path.suffix == ".mp4":
        ffmpeg = find_ffmpeg()
        return Mp4Sink(path, fps, ffmpeg) if ffmpeg is not None else GifSink(path.with_suffix(".gif"), fps)
    raise VideoError(f"{path}: unknown kind of video {path.suffix!r}, known: .mp4, .gif")


def add_caption(picture: Picture, text: str, colour: tuple[int, int, int] = (255, 255, 255)) -> Picture:
    """The picture with a line of text in a dark bar at its lower edge."""
    image = Image.fromarray(picture)
    size = max(10, picture.shape[0] // 22)
    font = ImageFont.load_default(size)
    bar = round(1.7 * size)
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rectangle((0, image.height - bar, image.width, image.height), fill=(16, 20, 28, 170))
    draw.text((round(0.7 * size), image.height - bar / 2), text, fill=(*colour, 255), font=font, anchor="lm")
    return np.asarray(image)


@dataclass(frozen=True)
class Job:
    """One picture of the video."""

    snapshot: Any
    """What the painter needs to paint it."""
    repeat: int = 1
    """For how many frames it stands."""
    essential: bool = False
    """Never left out for lack of time, as the last picture of an episode."""


class Painter(Protocol):
    """Turns snapshots into pictures; made, used and closed in the thread of the video."""

    def paint(self, snapshot: Any) -> Picture:
        """The picture of a snapshot."""

    def close(self) -> None:
        """Give graphics memory back."""


HURRY_PAINTS_ONE_OF = 4
"""Pictures that a recorder in a hurry repeats instead of painting: all but one of so many."""


class VideoRecorder:
    """Paints and encodes in a thread of its own. `submit` never blocks.

    A recorder that is behind, or that is being closed, shows every fourth picture for the time of four:
    the video keeps its pace and becomes coarser.
    """

    def __init__(self, sink: Sink, make_painter: Callable[[], Painter], comfortable: int = 100) -> None:
        """
        Args:
            sink: Where the frames go; closed by the thread.
            make_painter: Called in the thread, because graphics contexts belong to one thread.
            comfortable: Jobs that may wait before the recorder hurries.
        """
        self.sink = sink
        self.written = 0
        """Frames handed to the sink."""
        self.dropped = 0
        """Jobs thrown away because of `close`'s time limit or an error."""
        self.error: Exception | None = None
        """What ended the recording early."""
        self._make_painter = make_painter
        self._comfortable = comfortable
        self._hurry = False
        self._jobs: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        self._closing = False
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Jobs not painted yet."""
        return len(self._jobs) + self._busy

    def submit(self, job: Job) -> None:
        """Queue one picture. After an error or `close` it is dropped and counted."""
        with self._changed:
            if self._closing or self.error is not None:
                self.dropped += 1
            else:
                self._jobs.append(job)
                self._changed.notify_all()

    def wait(self, backlog: int, timeout_s: float) -> bool:
        """Wait until no more than `backlog` jobs are open; False where that takes longer than `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self.backlog <= backlog or self.error is not None, timeout=timeout_s
            )

    def close(self, timeout_s: float) -> None:
        """Paint what is left for at most `timeout_s`, drop the rest, close the file.

        Raises:
            VideoError: something went wrong since the start; the file holds what was written before.
        """
        deadline = time.monotonic() + timeout_s
        self._hurry = True
        self.wait(0, timeout_s)
        with self._changed:
            self._closing = True
            self.dropped += len(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        self._thread.join(timeout=max(1.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            raise VideoError(f"{self.sink.path}: the encoder did not end in time")
        if self.error is not None:
            raise VideoError(f"{self.sink.path}: {self.error}") from self.error

    def _run(self) -> None:
        painter: Painter | None = None
        try:
            painter = self._make_painter()
            picture: Picture | None = None
            age = 0
            while (job := self._next()) is not None:
                hurry = self._hurry or self.backlog > self._comfortable
                age += 1
                if picture is None or job.essential or not hurry or age >= HURRY_PAINTS_ONE_OF:
                    picture, age = painter.paint(job.snapshot), 0
                for _ in range(job.repeat):
                    self.sink.append(picture)
                    self.written += 1
        except Exception as error:  # noqa: BLE001 - kept for `close`, which raises it in the caller's thread
            self._fail(error)
        finally:
            # Separate steps: a painter that cannot be closed must not cost the file.
            for closing in (painter.close if painter is not None else None, self.sink.close):
                try:
                    if closing is not None:
                        closing()
                except Exception as error:  # noqa: BLE001 - as above
                    self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self.error = self.error or error
            self.dropped += len(self._jobs) + self._busy
            self._jobs.clear()
            self._busy = False
            self._changed.notify_all()

    def _next(self) -> Job | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: bool(self._jobs) or self._closing)
            if not self._jobs:
                return None
            self._busy = True
            return self._jobs.popleft()
