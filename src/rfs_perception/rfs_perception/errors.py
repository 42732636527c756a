"""Errors of perception: one sentence each, with what to do next."""

from __future__ import annotations

from rfs_core.errors import RfsError


class PerceptionError(RfsError):
    """Something seen, or not seen, that must not be used."""


class CameraError(PerceptionError):
    """A camera that cannot be opened, or that stopped delivering."""


class CalibrationError(PerceptionError):
    """A calibration that is missing, damaged, foreign, or not good enough."""


class TrackerError(PerceptionError):
    """A tracker that cannot be started or prompted as asked."""
