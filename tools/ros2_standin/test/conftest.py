"""The stand-in is tested as it is installed. Where ROS 2's own launch is found, there is nothing to test.

LAUNCH_COMMAND names another command that takes what `ros2 launch` takes: the promises of test_launch.py are
then checked on that one, except for those in which the stand-in differs on purpose.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import LAUNCH, Launched, write_launch_file

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

try:
    import launch
except ImportError:
    collect_ignore_glob = ["test_*"]
else:
    if not hasattr(launch.LaunchContext, "temporary_directory") and "LAUNCH_COMMAND" not in os.environ:
        collect_ignore_glob = ["test_*"]


@pytest.fixture
def start_launch(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    """Start a launch file given as text: the actions of a LaunchDescription and, before, what they need."""
    started = []

    def start(actions: str, *arguments: str, before: str = "", name: str = "test.launch.py") -> Launched:
        path = write_launch_file(tmp_path / name, actions, before)
        environment = {**os.environ, "ROS_LOG_DIR": str(tmp_path / "log")}
        environment.pop("PYTHONUNBUFFERED", None)
        process = subprocess.Popen(
            [*LAUNCH, str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        started.append(process)
        return Launched(process)

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        process.stdout.close()
        process.wait()


@pytest.fixture
def run_launch(start_launch: Callable[..., Launched]) -> Callable[..., tuple[int, str]]:
    """Run a launch file given as text to its end: exit code and output."""

    def run(actions: str, *arguments: str, **options: str) -> tuple[int, str]:
        launched = start_launch(actions, *arguments, **options)
        return launched.finish(), launched.output

    return run


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess]:
    """Run a Python with the given arguments to its end."""

    def run(arguments: list[str], **options) -> subprocess.CompletedProcess:
        options = {"capture_output": True, "text": True, "timeout": 60, **options}
        return subprocess.run([sys.executable, *arguments], check=False, **options)

    return run
