"""The stand-in is tested as it is installed; where ROS 2's own launch is found, there is nothing to test."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["ROS_DOMAIN_ID"] = "41"
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

try:
    import launch
except ImportError:
    collect_ignore_glob = ["test_*"]
else:
    if not hasattr(launch.LaunchContext, "temporary_directory"):
        collect_ignore_glob = ["test_*"]

NODES = Path(__file__).parent / "nodes"


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess]:
    """Run a Python with the given arguments to its end."""

    def run(arguments: list[str], **options) -> subprocess.CompletedProcess:
        options = {"capture_output": True, "text": True, "timeout": 60, **options}
        return subprocess.run([sys.executable, *arguments], check=False, **options)

    return run
