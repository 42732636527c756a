"""Keeps a camera going: opens it, reads it, lets it go when it is silent, looks for it until it is back.

Says of every moment either a frame that may be used, or why there is none. No clock and no thread inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rfs_perception.camera import RecordingEnded
from rfs_perception.errors import CameraError, PerceptionError
from rfs_perception.frame import Frame
from rfs_perception.frozen import FrozenDetector


class OpenCamera(Protocol):
    """What is read."""

    serial: str
    live: bool
    unpaired: int

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, None where none came in time; raises CameraError."""

    def drain(self) -> None:
        """Throw away what has waited."""

    def close(self) -> None:
        """Let go."""


@dataclass
class CaptureCounts:
    """What happened since the start."""

    frames: int = 0
    """Frames that could be used."""
    dropped: int = 0
    """Gaps in the camera's own count."""
    unpaired: int = 0
    """Images without a partner."""
    frozen: int = 0
    """Frames refused because nothing changes."""
    opened: int = 0
    """Times the camera was opened."""
    lost: int = 0
    """Times it was let go because it was silent or gone."""


class CaptureLoop:
    """Call `step` for ever, from one thread."""

    def __init__(
        self,
        open_camera: Callable[[], OpenCamera],
        lost_after_s: float,
        reopen_every_s: float,
        frozen_after_s: float,
        repeat: bool = False,
    ) -> None:
        """
        Args:
            open_camera: Opens it; raises PerceptionError where it is not there or may not be used.
            lost_after_s: Silent for so long (s) is lost.
            reopen_every_s: Time between two tries to open it (s).
            frozen_after_s: Unchanged for so long (s) is frozen; 0: never.
            repeat: A recording begins anew at its end.
        """
        self._open_camera = open_camera
        self._lost_after, self._reopen_every, self._frozen_after = (
            lost_after_s,
            reopen_every_s,
            frozen_after_s,
        )
        self._repeat = repeat
        self._frozen = FrozenDetector(frozen_after_s)
        self._next_try = float("-inf")
        self._heard_at = 0.0
        self._last_number: int | None = None
        self._unpaired_before = 0
        self.camera: OpenCamera | None = None
        """None while it is not open."""
        self.reason = "the camera was not opened yet"
        """Why the last step gave no frame; empty where it did or the next one is merely awaited."""
        self.ended = False
        """A recording was played to its end."""
        self.counts = CaptureCounts()

    def open(self, now: float) -> None:
        """Open the camera now.

        Raises:
            PerceptionError: it is not there, or may not be used.
        """
        self._next_try = now + self._reopen_every
        self.camera = self._open_camera()
        self._frozen = FrozenDetector(self._frozen_after)
        self._heard_at, self._last_number, self._unpaired_before = now, None, 0
        self.counts.opened += 1
        self.reason = ""

    def resume(self, now: float) -> None:
        """Nobody has read for a while: throw away what has waited, and do not count it as dropped."""
        if self.camera is not None:
            self.camera.drain()
        self._heard_at, self._last_number = now, None

    def step(self, now: float, timeout_s: float = 0.1) -> Frame | None:
        """The next frame, or None: either none came within `timeout_s`, or `reason` says why.

        Args:
            now: Steady clock, s.
            timeout_s: Longest wait for the camera; a camera that is not open is not waited for.
        """
        if self.ended:
            return None
        if self.camera is None:
            if now < self._next_try:
                return None
            try:
                self.open(now)
            except PerceptionError as error:
                self.reason = str(error)
                return None
        assert self.camera is not None
        try:
            frame = self.camera.read(timeout_s)
        except RecordingEnded as end:
            self.close()
            self.ended, self.reason = not self._repeat, str(end)
            self._next_try = now
            return None
        except CameraError as error:
            self.lose(str(error))
            return None
        self.counts.unpaired += self.camera.unpaired - self._unpaired_before
        self._unpaired_before = self.camera.unpaired
        if frame is None:
            if self.camera.live and now - self._heard_at > self._lost_after:
                self.lose(
                    f"no image from camera {self.camera.serial} for {now - self._heard_at:.1f} s: "
                    "unplugged? looking for it"
                )
            return None
        self._heard_at = now
        if self._last_number is not None and frame.number > self._last_number:
            self.counts.dropped += frame.number - self._last_number - 1
        self._last_number = frame.number
        if frozen := self._frozen.update(frame):
            self.counts.frozen += 1
            self.reason = (
                f"camera {self.camera.serial} is frozen: fresh stamps, but the same image ({frozen}) for "
                f"more than {self._frozen_after:g} s; plug it anew"
            )
            return None
        self.reason = ""
        self.counts.frames += 1
        return frame

    def lose(self, reason: str) -> None:
        """Let the camera go for this reason; the next steps look for it."""
        self.close()
        self.counts.lost += 1
        self.reason = reason

    def close(self) -> None:
        """Let the camera go."""
        camera, self.camera = self.camera, None
        if camera is not None:
            camera.close()
