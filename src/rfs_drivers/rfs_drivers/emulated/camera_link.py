"""The cable of an emulated camera: a Unix socket from whoever makes the images to a librealsense device.

The feeding side (a renderer, a simulation, a test) is the camera: it says once what it is, then sends pairs
of images. While nobody feeds, nothing can be opened: the camera is unplugged. Needs no librealsense.

On the wire: one line of JSON (CameraSpec), then per pair a header (frame number, time in ms) and the bytes of
depth (16 bit, little endian) and colour (RGB, 8 bit).
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import struct
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rfs_drivers.errors import EmulatorError

_HEADER = struct.Struct("<Qd")
_LINE_LIMIT = 4096
_BUFFER = 4 << 20


@dataclass(frozen=True)
class CameraSpec:
    """What an emulated camera says of itself; colour and depth share their pixels."""

    serial: str = "EMULATED0001"
    width: int = 640
    """Pixels in a row."""
    height: int = 480
    fps: int = 30
    """Nominal pairs per second."""
    fx: float = 605.0
    """Focal lengths, pixels."""
    fy: float = 605.0
    cx: float = 319.5
    """Principal point, pixels."""
    cy: float = 239.5
    depth_unit: float = 0.001
    """m per unit of the depth image."""
    name: str = "RFS emulated RealSense"


class CameraFeed:
    """The camera's end. Serves one reader at a time; without a reader, pairs are thrown away."""

    def __init__(self, path: str | Path, spec: CameraSpec | None = None) -> None:
        """
        Args:
            path: Where the socket appears; what stands there from a feed that was killed is replaced.
            spec: What the camera is.

        Raises:
            EmulatorError: something else is there, another camera too, or the folder cannot be written.
        """
        self.spec = spec or CameraSpec()
        self.path = Path(path)
        if self.path.exists() and not self.path.is_socket():
            raise EmulatorError(f"{path} exists and is not a socket: choose another path")
        if _somebody_listens(self.path):
            raise EmulatorError(f"another emulated camera feeds at {path}: end it, or choose another path")
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listening.bind(str(path))
        except OSError as error:
            self._listening.close()
            raise EmulatorError(f"no socket can be made at {path}: {error}") from error
        self._listening.listen(1)
        self._inode = self.path.stat().st_ino
        self._lock = threading.Lock()
        self._reader: socket.socket | None = None
        self.sent = 0
        """Pairs that a reader has taken."""
        threading.Thread(target=self._accept, name="camera feed", daemon=True).start()

    @property
    def connected(self) -> bool:
        """Whether somebody reads."""
        return self._reader is not None

    def send(self, number: int, time_ms: float, colour: NDArray[np.uint8], depth: NDArray[np.uint16]) -> bool:
        """Send a pair; False where nobody reads. Shapes: (height, width, 3), (height, width)."""
        spec = self.spec
        if colour.shape != (spec.height, spec.width, 3) or depth.shape != (spec.height, spec.width):
            raise EmulatorError(
                f"images are {colour.shape} and {depth.shape}, this camera's are "
                f"{(spec.height, spec.width, 3)} and {(spec.height, spec.width)}"
            )
        with self._lock:
            if self._reader is None:
                return False
            try:
                self._reader.sendall(_HEADER.pack(number, time_ms))
                self._reader.sendall(np.ascontiguousarray(depth, dtype="<u2").data.cast("B"))
                self._reader.sendall(np.ascontiguousarray(colour, dtype=np.uint8).data.cast("B"))
            except OSError:
                self._drop()
                return False
        self.sent += 1
        return True

    def _accept(self) -> None:
        while True:
            try:
                reader, _ = self._listening.accept()
            except OSError:
                return  # closed
            with self._lock:
                self._drop()
                reader.settimeout(5.0)
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
                try:
                    reader.sendall(json.dumps(asdict(self.spec)).encode() + b"\n")
                except OSError:
                    reader.close()
                    continue
                self._reader = reader

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close(self) -> None:
        """Unplug."""
        with self._lock:
            self._drop()
        # A thread that waits in accept is woken by a shutdown, not by a close.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        # Somebody may have put another socket there since; as long as ours is open, its inode is not reused.
        with contextlib.suppress(FileNotFoundError):
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        self._listening.close()

    def __enter__(self) -> CameraFeed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _somebody_listens(path: Path) -> bool:
    """Whether a socket is served; asked by a socket of another kind, so that its reader is not disturbed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        try:
            other.connect(str(path))
        except OSError as error:
            return error.errno == errno.EPROTOTYPE
    return True


class CameraLink:
    """The computer's end."""

    def __init__(self, path: str | Path, timeout_s: float = 5.0) -> None:
        """
        Raises:
            EmulatorError: nothing feeds there, or not in our words.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
            self.spec = CameraSpec(**json.loads(self._line()))
        except (OSError, ValueError, TypeError) as error:
            self._socket.close()
            raise EmulatorError(f"no emulated camera feeds at {path}: {error}") from error
        # Only the wait for the first line is bounded: images may pause.
        self._socket.settimeout(None)
        spec = self.spec
        self.depth = np.empty((spec.height, spec.width), dtype="<u2")
        """Of the pair received last; overwritten by the next."""
        self.colour = np.empty((spec.height, spec.width, 3), dtype=np.uint8)
        self._header = bytearray(_HEADER.size)

    def _line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = self._socket.recv(1)
            if not byte or len(line) > _LINE_LIMIT:
                raise ValueError("the feed closed before it said what it is")
            line += byte
        return bytes(line)

    def receive(self) -> tuple[int, float] | None:
        """Wait for a pair: its number and time (ms); None when the cable was pulled."""
        for part in (memoryview(self._header), self.depth.data.cast("B"), self.colour.data.cast("B")):
            filled = 0
            while filled < len(part):
                try:
                    count = self._socket.recv_into(part[filled:], 0, socket.MSG_WAITALL)
                except OSError:
                    return None
                if count == 0:
                    return None
                filled += count
        number, time_ms = _HEADER.unpack(self._header)
        return int(number), float(time_ms)

    def close(self) -> None:
        """Hang up; a `receive` in another thread returns None."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
