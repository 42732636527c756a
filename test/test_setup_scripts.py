"""What set-up and `activate` refuse, before they change anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def in_bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A shell that knows nothing of this environment."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_path_with_a_space_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "my robot"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/setup.sh", folder / "scripts")
    done = in_bash("scripts/setup.sh", folder)
    assert done.returncode == 1
    assert "my robot' has a space in it: move the project" in done.stderr


def test_activate_leaves_a_shell_alone_whose_ros_is_not_the_one_of_the_set_up(tmp_path: Path) -> None:
    """Otherwise the `make setup` that it advises would believe to be inside the environment of before."""
    shutil.copy(ROOT / "activate", tmp_path)
    for path in (tmp_path / ".venv/bin/python", tmp_path / ".setup/mode"):
        path.parent.mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch(mode=0o755)
    (tmp_path / ".setup/mode").write_text("wheels\n")
    show = '. ./activate; echo "$VIRTUAL_ENV|$PATH|$AMENT_PREFIX_PATH"'
    ours = in_bash(show, tmp_path)
    assert ours.stdout.split("|")[0] == str(tmp_path / ".venv")

    other = {"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": "/opt/ros/jazzy"}
    done = in_bash(show, tmp_path, **other)
    assert "ROS 2 jazzy is sourced, but this workspace was set up with ROS 2 from wheels" in done.stderr
    assert done.stdout == "|/usr/bin:/bin|/opt/ros/jazzy\n"
