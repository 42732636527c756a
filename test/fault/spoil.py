"""Messages that must not be followed: good ones in which one thing is wrong, chosen at random.

Numbers become NaN, an infinity or 1e300; arrays get another length; names are lost, doubled, unknown; text
and counters say something else. Every function changes its message and returns what was done, for the report.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np

WILD = (np.nan, np.inf, -np.inf, 1e300, -1e300)
ACTION_FIELDS = (
    "frame_id",
    "observation_stamp",
    "publisher",
    "sequence",
    "episode",
    "checkpoint_id",
    "horizon",
    "dimension",
    "step_dt",
    "a_0",
    "a_b",
    "a_r",
    "a",
)
POSE_FIELDS = ("frame_id", "position", "orientation")
JOINT_FIELDS = ("name", "position")
NAME_FAULTS = ("lost", "doubled", "unknown", "none", "too many")


def wild_array(rng: np.random.Generator, good: Any) -> tuple[array.array[float], str]:
    """An array with wild values in some places, or of another length."""
    values = np.array(good, dtype=np.float64)
    code = "f" if getattr(good, "typecode", "d") == "f" else "d"
    if rng.random() < 0.3:
        sizes = [0, 1, values.size - 1, values.size + 1, 2 * values.size]
        size = int(rng.choice([n for n in sizes if n != values.size]))
        values, what = np.resize(values, size), f"{size} values"
    else:
        places = rng.choice(values.size, int(rng.integers(1, 4)), replace=False)
        wild = float(rng.choice(WILD))
        values[places] = wild
        what = f"{wild} at {sorted(int(p) for p in places)}"
    with np.errstate(over="ignore"):
        return array.array(code, values.astype(code).tobytes()), what


def action(rng: np.random.Generator, message: Any) -> str:
    """Spoil one field of a PolicyAction."""
    field = str(rng.choice(ACTION_FIELDS))
    if field in ("a_0", "a_b", "a_r", "a"):
        changed, what = wild_array(rng, getattr(message, field))
        setattr(message, field, changed)
        return f"{field}: {what}"
    if field == "frame_id":
        message.header.frame_id = str(rng.choice(["", "world", "camera", "fr3_link8"]))
    elif field == "observation_stamp":
        message.observation_stamp.sec += int(rng.choice([-100, 100, 100_000]))
    elif field in ("publisher", "checkpoint_id"):
        setattr(message, field, str(rng.choice(["", "other", "\x00", "x" * 1000])))
    elif field == "sequence":
        message.sequence = int(rng.integers(0, message.sequence))
    elif field == "episode":
        message.episode += int(rng.integers(1, 1000))
    elif field in ("horizon", "dimension"):
        good = getattr(message, field)
        setattr(message, field, int(rng.choice([n for n in (0, 1, 3, 7, 22, 23, 255) if n != good])))
    else:
        message.step_dt = float(rng.choice([*WILD, 0.0, -0.05, 0.1]))
    return f"{field}: {message.header.frame_id if field == 'frame_id' else getattr(message, field)}"


def correction(rng: np.random.Generator, message: Any) -> str:
    """Spoil one field of a Correction."""
    if rng.random() < 0.2:
        message.header.frame_id = str(rng.choice(["", "world", "camera"]))
        return f"frame_id: {message.header.frame_id!r}"
    message.residual, what = wild_array(rng, message.residual)
    return f"residual: {what}"


def pose(rng: np.random.Generator, message: Any) -> str:
    """Spoil one field of a PoseStamped."""
    field = str(rng.choice(POSE_FIELDS))
    if field == "frame_id":
        message.header.frame_id = str(rng.choice(["", "world", "camera", "fr3_link8"]))
        return f"frame_id: {message.header.frame_id!r}"
    part = getattr(message.pose, field)
    axis = str(rng.choice(list("xyz" if field == "position" else "wxyz")))
    # Of a quaternion, 2 in one component is wild enough; a zero quaternion as well.
    wild = float(rng.choice(WILD if field == "position" else (*WILD, 2.0)))
    if field == "orientation" and rng.random() < 0.2:
        part.w = part.x = part.y = part.z = 0.0
        return "orientation: zero"
    setattr(part, axis, wild)
    return f"{field}.{axis}: {wild}"


def joints(rng: np.random.Generator, message: Any) -> str:
    """Spoil one field of a JointState."""
    if rng.random() < 0.6:
        message.position, what = wild_array(rng, message.position)
        return f"position: {what}"
    names, fault = list(message.name), str(rng.choice(NAME_FAULTS))
    i, j = (int(k) for k in rng.choice(len(names), 2, replace=False))
    if fault == "lost":
        del names[i]
    elif fault == "doubled":
        names[i] = names[j]
    elif fault == "unknown":
        names[i] = str(rng.choice(["", "fr3_joint9", names[i].upper(), names[i] + " "]))
    elif fault == "none":
        names = []
    else:
        names.append("more")
    message.name = names
    return f"name {i} {fault}"
