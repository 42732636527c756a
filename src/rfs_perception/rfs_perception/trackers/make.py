"""Trackers by name."""

from __future__ import annotations

from rfs_perception.errors import TrackerError
from rfs_perception.trackers.base import Tracker

NAMES = ("sam2", "sam2_meta", "colour", "labels")


def make(name: str, weights: str = "", device: str = "") -> Tracker:
    """A tracker.

    Args:
        name: One of NAMES.
        weights: For SAM 2: a local path or a name on the hub; empty: the tiny model's.
        device: For SAM 2: cpu, cuda; empty: a GPU where there is one.

    Raises:
        TrackerError: unknown, or it cannot be loaded.
    """
    if name == "labels":
        from rfs_perception.trackers.labels import LabelTracker

        return LabelTracker()
    if name == "colour":
        from rfs_perception.trackers.colour import ColourTracker

        return ColourTracker()
    if name == "sam2":
        from rfs_perception.trackers.sam2 import WEIGHTS, Sam2Tracker

        return Sam2Tracker.load(weights or WEIGHTS, device)
    if name == "sam2_meta":
        from rfs_perception.trackers.sam2 import WEIGHTS
        from rfs_perception.trackers.sam2_meta import MetaSam2Tracker

        return MetaSam2Tracker.load(weights or WEIGHTS, device)
    raise TrackerError(f"unknown tracker {name!r}, known: {', '.join(NAMES)}")
