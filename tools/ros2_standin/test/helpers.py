"""Helpers of the tests: launch files as text, launches as processes."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

LAUNCH = shlex.split(os.environ.get("LAUNCH_COMMAND", "ros2 launch"))
NODES = Path(__file__).parent / "nodes"

standin_only = pytest.mark.skipif(
    "LAUNCH_COMMAND" in os.environ, reason="the stand-in differs here on purpose"
)


class Launched:
    """A running launch."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.output = ""

    def read_until(self, text: str) -> str:
        """Read what it prints up to the line with this text; that line."""
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return line
        raise AssertionError(f"'{text}' was not printed:\n{self.output}")

    def finish(self, timeout: float = 30.0) -> int:
        """Read the rest; the exit code."""
        rest, _ = self.process.communicate(timeout=timeout)
        self.output += rest
        return self.process.returncode

    def stop(self, signal_number: int = signal.SIGINT) -> int:
        """Send a signal to it alone and wait for its end; the exit code."""
        self.process.send_signal(signal_number)
        return self.finish()


def write_launch_file(path: Path, actions: str, before: str = "") -> Path:
    """A launch file with everything imported that the tests use."""
    path.write_text(
        "import os, sys\n"
        "from launch import LaunchDescription\n"
        "from launch.actions import *\n"
        "from launch.conditions import *\n"
        "from launch.event_handlers import *\n"
        "from launch.events import Shutdown as ShutdownEvent, matches_action\n"
        "from launch.events.process import ShutdownProcess, SignalProcess\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource\n"
        "from launch.substitutions import *\n"
        "from launch_ros.actions import *\n"
        "from launch_ros.parameter_descriptions import ParameterFile, ParameterValue\n"
        f"{before}\n"
        "def generate_launch_description():\n"
        f"    return LaunchDescription([{actions}])\n"
    )
    return path


def logged(output: str) -> list[str]:
    """What LogInfo actions have printed, in order."""
    start = "[INFO] [launch.user]: "
    return [line.removeprefix(start) for line in output.splitlines() if line.startswith(start)]


def eventually(condition: Callable[[], bool], timeout: float = 15.0) -> bool:
    """True as soon as the condition is."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def exists(pid: int) -> bool:
    """True while a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def ros2(*arguments: str, timeout: float = 30.0) -> subprocess.CompletedProcess:
    """Run a `ros2` command to its end."""
    return subprocess.run(
        ["ros2", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
