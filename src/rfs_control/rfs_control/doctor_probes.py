"""Finds out what the doctor's checks judge. Reads files and runs programs; changes nothing, moves nothing.

Where files lie, which variables are set and how programs are run is given, so that tests can give others.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rfs_control.doctor_facts import Facts
from rfs_control.policy_config import observation_spec
from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_learning.policy import Policy

Run = Callable[[Sequence[str]], str]
"""Standard output of a program. Raises OSError or subprocess.SubprocessError."""

_PROGRAM_S = 60.0
_GIB = 1024.0**3


@dataclass(frozen=True)
class Asked:
    """What the person who calls the doctor wants to use."""

    robot_file: Path | None = None
    task: str = "grasp"
    observation: str = "state"
    """What the policy sees: state, or points."""
    checkpoint: Path | None = None
    device: str = "cpu"
    run_dir: Path = Path("runs")
    calibration: Path | None = None
    parts: frozenset[str] = frozenset({"arm", "hand", "camera"})


def run_program(command: Sequence[str]) -> str:
    """Standard output of a program that succeeds within a minute."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_S, check=True)
    return done.stdout


def gather(
    asked: Asked,
    *,
    root: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
    run: Run = run_program,
    rmw_known: Sequence[str] = (),
) -> Facts:
    """Everything that can be found out.

    Args:
        asked: what shall be used.
        root: where proc, sys and dev lie.
        environment: variables; None: those of this process.
        run: runs a program.
        rmw_known: ROS middlewares that are installed.
    """
    variables = os.environ if environment is None else environment
    problems: dict[str, str] = {}
    kernel = _text(root / "proc/sys/kernel/version") or _text(root / "proc/version")
    realtime = _text(root / "sys/kernel/realtime")
    # Soft limits: what a process gets that does not ask for more.
    rtprio = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    devices = _devices(run, problems)
    return Facts(
        kernel=kernel or None,
        realtime_kernel=None if not kernel else realtime == "1" or "PREEMPT_RT" in kernel,
        rtprio=rtprio,
        memlock_kib=locked if locked < 0 else locked // 1024,
        governors=_governors(root),
        cores=os.cpu_count(),
        load=_number(_text(root / "proc/loadavg").split()[:1]),
        memory_gib=_memory(root),
        disk_gib=_free(asked.run_dir),
        disk_path=str(asked.run_dir),
        clock_synchronized=_clock(run, problems),
        rmw=variables.get("RMW_IMPLEMENTATION", ""),
        rmw_known=tuple(rmw_known),
        receive_buffer=_whole(_text(root / "proc/sys/net/core/rmem_max")),
        shared_memory_gib=_free(root / "dev/shm"),
        discovery_range=variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE", ""),
        static_peers=variables.get("ROS_STATIC_PEERS", ""),
        calibration=_calibration(asked.calibration),
        device=asked.device,
        devices=devices,
        checkpoint=_checkpoint(asked, problems),
        hardware=_hardware(asked, run, problems),
        wanted=asked.parts,
        problems=problems,
    )


def _text(path: Path) -> str:
    """Content of a small file; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(words: Sequence[str]) -> float | None:
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None


def _whole(word: str) -> int | None:
    return int(word) if word.isdigit() else None


def _governors(root: Path) -> tuple[str, ...] | None:
    cpus = root / "sys/devices/system/cpu"
    if not cpus.is_dir():
        return None
    return tuple(sorted({_text(file) for file in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")}))


def _memory(root: Path) -> float | None:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            kib = _number(line.split()[1:])
            return None if kib is None else kib / 1024.0**2
    return None


def _free(path: Path) -> float | None:
    """Free space, GiB, at a folder or at the nearest one above it that exists."""
    for folder in (path.absolute(), *path.absolute().parents):
        if folder.is_dir():
            return shutil.disk_usage(folder).free / _GIB
    return None


def _clock(run: Run, problems: dict[str, str]) -> bool | None:
    try:
        answer = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"]).strip()
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        problems["clock_synchronized"] = f"timedatectl: {' '.join(str(said).split())}"
        return None
    return answer == "yes"


def _devices(run: Run, problems: dict[str, str]) -> tuple[str, ...] | None:
    """Where torch can run; asked in a process of its own, as the first look at a GPU may hang."""
    try:
        count = int(run([sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]).split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        problems["devices"] = f"torch: {error}"
        return None
    return ("cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count)))


def _calibration(path: Path | None) -> dict[str, Any] | None:
    """Serial and age of a calibration file; whether it is intact is for the camera node to say."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        made = datetime.fromisoformat(content["date"])
        serial = str(content["camera_serial"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"problem": f"{path}: not a camera calibration ({type(error).__name__}: {error})"}
    if made.tzinfo is None:
        made = made.replace(tzinfo=UTC)
    return {"serial": serial, "age_days": (datetime.now(UTC) - made).total_seconds() / 86_400.0}


def _checkpoint(asked: Asked, problems: dict[str, str]) -> str | None:
    if asked.checkpoint is None:
        return None
    try:
        policy = Policy.load(
            asked.checkpoint,
            action_spec=robot.DEFAULT_ACTION_SPEC,
            observation_spec=observation_spec(asked.task, asked.observation),
        )
    except RfsError as error:
        problems["checkpoint"] = str(error)
        return None
    return policy.checkpoint_id


def _hardware(asked: Asked, run: Run, problems: dict[str, str]) -> dict[str, Any] | None:
    """Another program asks the devices: drivers and control know nothing of each other."""
    if asked.robot_file is None:
        problems["hardware"] = "no robot file was named: --robot-file fr3_leap"
        return None
    without = [f"--no-{part}" for part in ("arm", "hand", "camera") if part not in asked.parts]
    command = ["ros2", "run", "rfs_drivers", "probe_hardware", "--robot-file", str(asked.robot_file)]
    try:
        answer: dict[str, Any] = json.loads(run([*command, *without]).strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        problems["hardware"] = f"{' '.join(command[:4])}: {error}"
        return None
    return answer
