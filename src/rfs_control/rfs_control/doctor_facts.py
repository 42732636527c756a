"""What the doctor's checks take and answer."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Verdict(enum.Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """The robot can be used; something is not as it should be."""
    FAILED = "failed"
    """Do not go on."""
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """Answer of a check."""

    name: str
    verdict: Verdict
    found: str
    """What is the case, in words."""
    advice: str = ""
    """What to do; empty where all is well."""


@dataclass(frozen=True)
class Facts:
    """What was found; None: not known. Why something could not be found out stands in `problems`."""

    kernel: str | None = None
    """Version line of the kernel."""
    realtime_kernel: bool | None = None
    rtprio: int | None = None
    """Highest real-time priority that this user may ask for; -1: any."""
    memlock_kib: int | None = None
    """Memory that this user may lock, KiB; -1: any."""
    governors: tuple[str, ...] | None = None
    """Frequency governors of the cores, each once; empty: the kernel has none to choose."""
    cores: int | None = None
    load: float | None = None
    """Load average of the last minute."""
    memory_gib: float | None = None
    """Available memory."""
    disk_gib: float | None = None
    """Free space where runs and bags are written."""
    disk_path: str = ""
    clock_synchronized: bool | None = None
    rmw: str | None = None
    """RMW_IMPLEMENTATION; empty: not set."""
    rmw_known: tuple[str, ...] = ()
    """Implementations that are installed."""
    receive_buffer: int | None = None
    """net.core.rmem_max, bytes."""
    shared_memory_gib: float | None = None
    """Free space of /dev/shm."""
    discovery_range: str | None = None
    """ROS_AUTOMATIC_DISCOVERY_RANGE; empty: not set, which means SUBNET."""
    static_peers: str = ""
    """ROS_STATIC_PEERS."""
    calibration: dict[str, Any] | None = None
    """Serial and age_days of the calibration, or problem; None: none was named."""
    device: str | None = None
    """Where the policy shall run."""
    devices: tuple[str, ...] | None = None
    """Where it could run."""
    checkpoint: str | None = None
    """Identity of the checkpoint that fits robot and task."""
    hardware: dict[str, Any] | None = None
    """What `rfs_drivers probe_hardware` answered."""
    wanted: frozenset[str] = frozenset({"arm", "hand", "camera"})
    """Parts that shall be there."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why a fact is None, by its name."""


def unknown(name: str, facts: Facts, fact: str, verdict: Verdict = Verdict.WARNING) -> Finding:
    """Nobody could say."""
    why = facts.problems.get(fact, "")
    return Finding(
        name,
        verdict,
        f"not known{': ' if why else ''}{why}",
        "find it out by hand; this machine did not tell",
    )


def part_of(name: str, facts: Facts, part: str) -> tuple[dict[str, Any] | None, Finding]:
    """What was answered about a part of the robot, or why there is nothing to check."""
    nothing = Finding(name, Verdict.SKIPPED, f"no {part} is used")
    if part not in facts.wanted:
        return None, nothing
    if facts.hardware is None:
        return None, unknown(name, facts, "hardware", Verdict.FAILED)
    answer = facts.hardware.get(part)
    if answer is None:
        return None, Finding(name, Verdict.SKIPPED, "the robot file cannot be used")
    return answer, nothing
