"""An emulated SpaceMouse Compact: reports on a socket that stands for a hidraw device.

`build_hidapi` compiles a small hidapi whose devices are such sockets. A process that is started with
`environment(...)` loads it in place of the system's, so that the real easyhid and pyspacemouse run.

Fault interface: `unplug`, `plug`, `stall` (deflected, but silent), `send` (any bytes).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from rfs_drivers.emulated.fault_values import number
from rfs_drivers.errors import EmulatorError

VENDOR, PRODUCT = 0x256F, 0xC635
"""SpaceMouse Compact, in pyspacemouse's table of devices."""
FULL = 350
"""A full deflection as the device reports it."""
BUTTONS = 2
PERIOD_S = 0.008
"""A deflected cap is reported at 125 Hz, one at rest not at all."""

FOLDER_VARIABLE = "RFS_HIDAPI_FOLDER"
_SOURCE = Path(__file__).with_name("hidapi.c")


def build_hidapi(folder: Path) -> Path:
    """Compile the library into a folder; returns the folder, for LD_LIBRARY_PATH.

    Raises:
        EmulatorError: no C compiler, or it failed; with what it said.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise EmulatorError("the emulated SpaceMouse needs a C compiler: install gcc")
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libhidapi-hidraw.so.0"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wl,-soname,libhidapi-hidraw.so.0"]
    done = subprocess.run([*command, "-o", str(library), str(_SOURCE)], capture_output=True, text=True)
    if done.returncode:
        raise EmulatorError(f"{_SOURCE.name} was not compiled by {compiler}: {done.stderr.strip()}")
    link = folder / "libhidapi-hidraw.so"  # by this name linkers, and so Python, look for it
    link.unlink(missing_ok=True)
    link.symlink_to(library.name)
    return folder


def environment(library: Path, devices: Path) -> dict[str, str]:
    """Variables for a process that shall see the emulated devices.

    Args:
        library: folder of `build_hidapi`.
        devices: folder of the emulated devices' sockets.
    """
    before = os.environ.get("LD_LIBRARY_PATH", "")
    paths = f"{library}{os.pathsep}{before}" if before else str(library)
    return {"LD_LIBRARY_PATH": paths, FOLDER_VARIABLE: str(devices)}


class EmulatedSpaceMouse:
    """The device. It is unplugged until `plug`."""

    def __init__(self, folder: Path, name: str = "compact") -> None:
        """Args: folder: where its socket appears when it is plugged in; name: of the socket."""
        self.path = folder / f"{VENDOR:04x}_{PRODUCT:04x}_{name}.hid"
        self.sent = 0
        """Reports sent since the start."""
        self._server: socket.socket | None = None
        self._readers: list[socket.socket] = []
        self._deflected: list[bytes] = []
        self._stalled = False
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._thread.start()

    @property
    def opened(self) -> bool:
        """Whether a driver has it open."""
        with self._lock:
            self._accept()
            return bool(self._readers)

    def plug(self) -> None:
        """Appear; nothing where it is plugged in already."""
        with self._lock:
            if self._server is not None:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._server.bind(str(self.path))
            self._server.listen(4)
            self._server.setblocking(False)

    def unplug(self) -> None:
        """Disappear, also for who has it open; what was pushed is forgotten."""
        with self._lock:
            if self._server is None:
                return
            self._accept()
            self.path.unlink(missing_ok=True)
            for each in (self._server, *self._readers):
                each.close()
            self._server, self._readers, self._deflected, self._stalled = None, [], [], False

    def push(self, **axes: float) -> None:
        """Deflect the cap: x forward, y left, z up, roll, pitch, yaw about them, -1 to 1; none: let go.

        The device's own axes are x right, y to the user, z down.

        Raises:
            EmulatorError: there is no such axis, or its value is not from -1 to 1.
        """
        reports = _reports(axes)
        self._send_all(reports)
        with self._lock:
            self._stalled = False
            self._deflected = reports if any(axes.values()) else []

    def press(self, *buttons: bool) -> None:
        """The left and the right button."""
        if len(buttons) > BUTTONS:
            raise EmulatorError(f"{len(buttons)} buttons, this device has {BUTTONS}: left, right")
        mask = sum(1 << i for i, pressed in enumerate(buttons) if pressed)
        self._send_all([struct.pack("<BH", 3, mask)])

    def stall(self) -> None:
        """Go on being deflected, and say nothing more."""
        with self._lock:
            self._stalled = True

    def send(self, report: bytes) -> None:
        """Send any bytes as a report."""
        self._send_all([report])

    def close(self) -> None:
        """Unplug for good."""
        self._end.set()
        self._thread.join(1.0)
        self.unplug()

    def _repeat(self) -> None:
        while not self._end.wait(PERIOD_S):
            with self._lock:
                self._accept()
                if not self._stalled:
                    self._deliver(self._deflected)

    def _send_all(self, reports: list[bytes]) -> None:
        with self._lock:
            self._accept()
            self._deliver(reports)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._server is not None:
                reader, _ = self._server.accept()
                reader.setblocking(False)
                self._readers.append(reader)

    def _deliver(self, reports: list[bytes]) -> None:
        for reader in list(self._readers):
            try:
                for report in reports:
                    reader.send(report)
                    self.sent += 1
            except BlockingIOError:
                continue  # its queue is full, as a kernel's would be: the report is lost
            except OSError:
                reader.close()
                self._readers.remove(reader)


def _reports(axes: Mapping[str, float]) -> list[bytes]:
    unknown = set(axes) - {"x", "y", "z", "roll", "pitch", "yaw"}
    if unknown:
        raise EmulatorError(f"unknown axes {sorted(unknown)}; known: x, y, z, roll, pitch, yaw")

    def raw(name: str) -> int:
        return round(-FULL * number(name, axes.get(name, 0.0), -1.0, 1.0))

    return [
        struct.pack("<B3h", 1, raw("y"), raw("x"), raw("z")),
        struct.pack("<B3h", 2, raw("pitch"), raw("roll"), raw("yaw")),
    ]
