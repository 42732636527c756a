"""An emulated LEAP hand in a process of its own, for tests and benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rfs_drivers.errors import EmulatorError


class EmulatedLeapBus:
    """A context manager; calling it performs an operation of the fault interface.

    with EmulatedLeapBus() as hand:
        hand("missing", motor=13)
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> EmulatedLeapBus:
        self._folder = tempfile.TemporaryDirectory(prefix="leap_")
        self.port = str(Path(self._folder.name) / "leap_hand")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rfs_drivers.emulated.leap_bus_main"]
            + ["--link", self.port, "--end-with-input", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()
        return self

    def _line(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EmulatorError(f"emulated_leap_bus ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __call__(self, operation: str, **arguments: object) -> dict[str, Any]:
        """One operation of the fault interface; see `leap_bus`."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": operation, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._line()
        if not answer.pop("ok"):
            raise EmulatorError(answer["error"])
        return answer

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
        self._folder.cleanup()
