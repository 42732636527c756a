"""Errors of the drivers: one sentence each, with what to do next."""

from __future__ import annotations

from rfs_core.errors import RfsError


class DriverError(RfsError):
    """A device cannot be used as asked."""


class EmulatorError(RfsError):
    """An emulated device cannot do what it was asked to."""
