"""A SpaceMouse by pyspacemouse, with what the library leaves to its users.

- One `read` of the library handles one report; here every report that has come is taken, so that a push is
  not seen a second late.
- The library keeps the last deflection for good; here what is not renewed counts as zero.
- An unplugged device is told of by an error, and can be opened again once it is back.

The library cannot tell a report that was cut short from a whole one; USB delivers reports whole.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.config import param
from rfs_drivers.errors import DriverError

AXES = ("x", "y", "z", "roll", "pitch", "yaw")
_MOST_REPORTS = 512
"""Taken at once; a device sends 125 a second and kind."""

UDEV_RULE = 'SUBSYSTEM=="hidraw", ATTRS{idVendor}=="256f", MODE="0660", TAG+="uaccess"'


class SpaceMouseError(DriverError):
    """The device cannot be opened, or has gone."""


@dataclass(frozen=True)
class SpaceMouseConfig:
    """The device and how often it is read."""

    device: str = param(
        "", doc="Name in pyspacemouse's list, such as SpaceMouseCompact; empty: the first found."
    )
    rate_hz: float = param(
        100.0, doc="Messages on spacemouse/joy per second.", unit="Hz", low=10.0, high=500.0
    )
    stale_s: float = param(
        0.1,
        doc="Age of the newest report from which on the cap counts as at rest.",
        unit="s",
        low=0.02,
        high=1.0,
    )
    reopen_s: float = param(
        1.0, doc="Pause between two attempts to open the device.", unit="s", low=0.1, high=60.0
    )


@dataclass(frozen=True)
class Push:
    """The cap and the buttons now."""

    axes: NDArray[np.float64]
    """x forward, y left, z up, roll, pitch, yaw (REP 103), -1 to 1. Shape: (6,)"""
    buttons: tuple[bool, ...]


class SpaceMouse:
    """One opened device."""

    def __init__(self, config: SpaceMouseConfig) -> None:
        """Args: config: which device.

        Raises:
            SpaceMouseError: the library or hidapi is missing, no device, or no right to open it.
        """
        self._config = config
        self._device: Any = _open(config.device)
        self.name = str(self._device.name)
        self.reports = 0
        """Taken so far."""
        self._told = -1.0  # what the library has before the first report
        self._moved_s: float | None = None

    def poll(self, now_s: float) -> Push:
        """Take every report that has come.

        Args:
            now_s: of any steady clock, always the same one.

        Raises:
            SpaceMouseError: the device has gone; open another.
        """
        if self._device is None:
            raise SpaceMouseError(f"{self.name} is closed")
        try:
            state = self._device.state
            for _ in range(_MOST_REPORTS):
                if state.t == self._told:
                    break
                self._told, self._moved_s = state.t, now_s
                self.reports += 1
                state = self._device.read()
        except Exception as error:
            if type(error).__name__ != "HIDException":
                raise
            self.close()
            raise SpaceMouseError(f"{self.name} has gone ({error}): plug it in again") from error
        at_rest = self._moved_s is None or now_s - self._moved_s >= self._config.stale_s
        axes = np.zeros(6) if at_rest else np.array([float(getattr(state, name)) for name in AXES])
        # A button is reported when it changes only.
        return Push(np.clip(axes, -1.0, 1.0), tuple(bool(button) for button in state.buttons))

    def close(self) -> None:
        """Let go of the device; again does nothing."""
        device, self._device = self._device, None
        if device is not None:
            device.close()


def _open(name: str) -> Any:
    try:
        import pyspacemouse
    except ImportError as error:
        raise SpaceMouseError(
            f"pyspacemouse is missing ({error}): install requirements/extra-drivers.txt"
        ) from error
    except OSError as error:
        raise SpaceMouseError(f"hidapi is missing ({error}): install libhidapi-hidraw0") from error
    known = [supported[0] for supported in pyspacemouse.get_supported_devices()]
    if name and name not in known:
        raise SpaceMouseError(f"device is {name!r}, known to pyspacemouse: {', '.join(known)}")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return pyspacemouse.open(
                device=name or None, nonblocking=True, axis_convention=pyspacemouse.AxisConvention.ROS
            )
    except RuntimeError as error:
        sentence = str(error)
        if "HID API" in sentence:
            raise SpaceMouseError("hidapi is missing: install libhidapi-hidraw0") from error
        if "Failed to open" in sentence:
            raise SpaceMouseError(
                f"the SpaceMouse cannot be opened: its hidraw device needs a udev rule, {UDEV_RULE}; "
                "then plug it in again"
            ) from error
        wanted = name or "SpaceMouse"
        raise SpaceMouseError(f"no {wanted} found ({sentence.rstrip('.')}): is it plugged in?") from error
