"""Configuration of the reward node; every field is a ROS parameter of the same name."""

from __future__ import annotations

from dataclasses import dataclass

from rfs_core.config import param
from rfs_perception.errors import TrackerError
from rfs_perception.reward import EstimatorConfig
from rfs_perception.trackers.base import Prompt
from rfs_perception.trackers.make import NAMES


@dataclass(frozen=True)
class RewardConfig(EstimatorConfig):
    """The tracker, what it is told, and how often it looks."""

    tracker: str = param(
        "sam2",
        doc="sam2: SAM 2 of transformers; sam2_meta: of Meta's package; colour: by colour and depth, without "
        "weights; labels: what a simulator says.",
        choices=NAMES,
    )
    weights: str = param(
        "", doc="SAM 2's: a local folder or file, or a name on the hub; empty: the tiny model."
    )
    device: str = param("", doc="Where SAM 2 computes: cpu, cuda; empty: a GPU where there is one.")
    prompt: str = param(
        "auto",
        doc="What the object is: auto (what stands on the table), box U0 V0 U1 V1, or click U V (pixels).",
    )
    calibration: str = param("", doc="File that says where the camera stands.")
    max_calibration_error: float = param(
        0.01, doc="A calibration with a larger RMS error is refused.", unit="m", low=0.0, high=0.1
    )
    rate: float = param(10.0, doc="Images looked at, at most.", unit="Hz", low=0.1, high=30.0)
    arm_patience: float = param(0.3, doc="Wait for the arm's state of an image.", unit="s", low=0.0, high=5.0)
    silent_after: float = param(
        1.0, doc="Without images for so long, the reward is said to be invalid.", unit="s", low=0.1, high=60.0
    )
    autostart: bool = param(False, doc="Configure and activate without a life cycle manager.")


def parse_prompt(text: str) -> Prompt | None:
    """A prompt from a parameter; None for the automatic seed.

    Raises:
        TrackerError: not one of the three forms.
    """
    word, *numbers = text.split()
    try:
        values = [float(n) for n in numbers]
    except ValueError:
        values = []
    if word == "auto" and not numbers:
        return None
    if word == "box" and len(values) == 4:
        return Prompt(box=(values[0], values[1], values[2], values[3]))
    if word == "click" and len(values) >= 2 and len(values) % 2 == 0:
        return Prompt(points=tuple(zip(values[::2], values[1::2], strict=True)))
    raise TrackerError(f"prompt {text!r} is none of: auto, box U0 V0 U1 V1, click U V")
