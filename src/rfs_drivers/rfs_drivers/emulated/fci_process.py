"""An emulated robot for tests and benchmarks: in a process of its own, or in a thread of this one."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from rfs_drivers.emulated.fci_admin import AdminClient
from rfs_drivers.emulated.fci_server import FciServer
from rfs_drivers.errors import EmulatorError

_numbers = itertools.count(2)


def free_address() -> str:
    """A loopback address that no other process of this project uses: the FCI's port is fixed.

    127.(64 + p1).p0.n, with the process id's lower 14 bits and a running number.
    """
    pid = os.getpid() & 0x3FFF
    return f"127.{64 + (pid >> 8)}.{pid & 0xFF}.{2 + next(_numbers) % 250}"


class EmulatedFci:
    """A context manager; calling it performs an operation of the fault interface.

    with EmulatedFci() as robot:
        robot("reflex", error="joint_reflex")
    """

    def __init__(self, *arguments: str, address: str | None = None, in_process: bool = False) -> None:
        """
        Args:
            arguments: of the `emulated_fci` command; ignored in process.
            address: 127.x.y.z; a free one by default.
            in_process: a thread instead of a process; it competes with the caller for the interpreter.
        """
        self.address = address or free_address()
        self._arguments: Sequence[str] = arguments
        self._in_process = in_process
        self._process: subprocess.Popen[str] | None = None
        self._server: FciServer | None = None
        self._admin: AdminClient | None = None

    def __enter__(self) -> EmulatedFci:
        if self._in_process:
            self._server = FciServer(self.address)
            self._thread = self._server.start_thread()
            port = self._server.admin.port
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rfs_drivers.emulated.fci_main", "--address", self.address]
                + list(self._arguments),
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            if not line:
                raise EmulatorError(f"emulated_fci ended with code {self._process.wait()}")
            port = json.loads(line)["admin_port"]
        self._admin = AdminClient(self.address, port)
        return self

    def __call__(self, operation: str, **arguments: object) -> dict[str, Any]:
        """One operation of the fault interface; see `fci_admin`."""
        assert self._admin is not None
        return self._admin(operation, **arguments)

    def kill(self) -> None:
        """End the process as by kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __exit__(self, *_: object) -> None:
        if self._admin is not None:
            self._admin.close()
        if self._server is not None:
            self._server.stop()
            self._thread.join(5.0)
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
