"""What the system tests share: a deployment in processes of its own, and proof that nothing of it is left."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

MARKER = "RFS_TEST_MARKER"


def marked_processes(marker: str) -> dict[int, str]:
    """Every living process that was started with this marker in its environment: pid to command line."""
    found = {}
    needle = f"{MARKER}={marker}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if needle not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue  # dead, and only not reaped yet
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        found[int(entry.name)] = command.strip()
    return found


@dataclass
class Deployment:
    """A running `ros2 launch` or another command, with all of its children."""

    process: subprocess.Popen[str]
    marker: str
    domain: int
    run_dir: Path
    _lines: list[str] = field(default_factory=list)
    _log: Path = field(default_factory=Path)

    def output(self) -> str:
        """Everything printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, timeout_s: float = 180.0) -> None:
        """Wait until `text` was printed; fail with the output where the process ends before or time is up."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output():
            if self.process.poll() is not None:
                pytest.fail(f"ended with {self.process.returncode} before {text!r}:\n{self.output()}")
            if time.monotonic() > deadline:
                pytest.fail(f"{text!r} not seen within {timeout_s} s:\n{self.output()}")
            time.sleep(0.05)

    def wait(self, timeout_s: float = 240.0) -> int:
        """Wait for the end; returns the exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"did not end within {timeout_s} s:\n{self.output()}")

    def interrupt(self) -> float:
        """Ctrl-C, as a terminal sends it: SIGINT to the launch. Returns when, on the monotonic clock."""
        self.process.send_signal(signal.SIGINT)
        return time.monotonic()

    def processes(self) -> dict[int, str]:
        """Its living processes: pid to command line."""
        return marked_processes(self.marker)

    def pid_of(self, executable: str) -> int:
        """The process of a node, by the name of its executable."""
        found = [
            pid
            for pid, command in self.processes().items()
            if any(word.endswith("/" + executable) for word in command.split())
        ]
        assert len(found) == 1, f"{executable}: {found} of {self.processes()}"
        return found[0]

    def report(self) -> dict[str, Any]:
        """Content of report.json."""
        path = self.run_dir / "report.json"
        assert path.exists(), f"no report.json:\n{self.output()}"
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    def kill(self) -> dict[int, str]:
        """End what is still alive; returns what that was."""
        left = self.processes()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(60.0)
        return left


Start = Callable[..., Deployment]


@pytest.fixture
def start(tmp_path: Path, ros_domain: int) -> Iterator[Start]:
    """Start a command in a session of its own; at the end of the test nothing of it may be left."""
    started: list[Deployment] = []

    def start_command(*command: str, run_dir: Path | None = None, **environment: str) -> Deployment:
        marker = uuid.uuid4().hex
        log = tmp_path / f"output_{len(started)}.txt"
        with log.open("w") as file:
            process = subprocess.Popen(
                list(command),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=tmp_path,
                text=True,
                start_new_session=True,
                env={
                    **os.environ,
                    "ROS_DOMAIN_ID": str(ros_domain),
                    "ROS_LOG_DIR": str(tmp_path / "ros_log"),
                    "PYTHONUNBUFFERED": "1",
                    MARKER: marker,
                    **environment,
                },
            )
        deployment = Deployment(process, marker, ros_domain, run_dir or tmp_path / "run", _log=log)
        started.append(deployment)
        return deployment

    yield start_command
    left = {}
    for deployment in started:
        left.update(deployment.kill())
    assert not left, f"still alive at the end of the test: {left}"


@pytest.fixture
def deploy(start: Start, tmp_path: Path) -> Start:
    """Start `ros2 launch rfs_bringup deploy.launch.py` with arguments name=value."""
    count = itertools.count()

    def start_deploy(**arguments: Any) -> Deployment:
        run_dir = tmp_path / f"run_{next(count)}"
        given = {"run_dir": run_dir, **arguments}
        words = [f"{name}:={value}" for name, value in given.items()]
        return start("ros2", "launch", "rfs_bringup", "deploy.launch.py", *words, run_dir=run_dir)

    return start_deploy


@pytest.fixture
def gentle_checkpoint(tmp_path: Path) -> Path:
    """An untrained policy that moves the robot gently."""
    import checkpoints

    return checkpoints.write(tmp_path / "gentle.safetensors")


@pytest.fixture
def probe(ros_domain: int) -> Iterator[Any]:
    """A node in this process, in the domain of the test."""
    from probe import Probe

    made = Probe(ros_domain)
    yield made
    made.close()
