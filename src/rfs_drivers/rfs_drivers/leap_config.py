"""Configuration of the LEAP hand driver."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from typing import Any

import numpy as np

from rfs_core.config import param
from rfs_core.errors import ConfigError
from rfs_core.se3 import Array
from rfs_drivers import leap_table

HANDS = ("leap_right",)

HIGHEST_CURRENT = 0.55
"""A: the most that the hand's makers drive it with, for the full version."""


@dataclass(frozen=True)
class JointConfig:
    """One joint, where it differs from the hand; empty (null in YAML) keeps the hand's value."""

    p_gain: int | None = param(None, doc="P gain in place of the hand's.", low=50, high=2000)
    i_gain: int | None = param(None, doc="I gain in place of the hand's.", low=0, high=200)
    d_gain: int | None = param(None, doc="D gain in place of the hand's.", low=0, high=2000)
    current: float | None = param(
        None, doc="Largest current in place of the hand's.", unit="A", low=0.05, high=HIGHEST_CURRENT
    )
    low: float | None = param(
        None, doc="Lowest position; can only narrow the joint's range.", unit="rad", low=-2.5, high=2.5
    )
    high: float | None = param(
        None, doc="Highest position; can only narrow the joint's range.", unit="rad", low=-2.5, high=2.5
    )


_JointsConfig: Any = make_dataclass(
    "_JointsConfig",
    [(name, JointConfig, field(default=JointConfig())) for name in leap_table.NAMES],
    frozen=True,
)
_JointsConfig.__doc__ = "Joints of the hand by name."
_NO_DIFFERENCE = _JointsConfig()


@dataclass(frozen=True)
class LeapConfig:
    """Every parameter of the LEAP hand driver. The ends of the ranges are hard."""

    hand: str = param(
        "leap_right",
        doc="Which hand the parameters are for: this driver has the joints of that one only.",
        choices=HANDS,
    )
    port: str = param(
        "/dev/leap_hand",
        doc="Serial port: a name that a udev rule gives, or one under /dev/serial/by-id.",
    )
    baud_rate: int = param(4_000_000, doc="Bits per second of the bus.", low=57_600, high=4_000_000)
    autostart: bool = param(
        False, doc="Configure and activate when the node starts, trying again while the hand is away."
    )
    rate: float = param(
        60.0, doc="Cycles, each a write and a read, and hand/joint_states.", unit="Hz", low=30.0, high=60.0
    )
    reply_timeout: float = param(
        0.034,
        doc="Patience with a servo beyond the time on the wire. With a latency timer of 1 ms, 0.010 makes a "
        "lost reply cost less.",
        unit="s",
        low=0.005,
        high=0.1,
    )
    p_gain: int = param(600, doc="Position P gain, as the servo counts.", low=50, high=2000)
    i_gain: int = param(0, doc="Position I gain.", low=0, high=200)
    d_gain: int = param(200, doc="Position D gain.", low=0, high=2000)
    side_gain: float = param(
        0.75, doc="Share of P and D gains for the joints that move fingers sideways.", low=0.1, high=1.0
    )
    current: float = param(
        0.35,
        doc="Largest current of a servo; bounds the grip. Lite hand: 0.3 to 0.35; full: up to 0.55.",
        unit="A",
        low=0.05,
        high=HIGHEST_CURRENT,
    )
    max_speed: float = param(
        6.0, doc="Largest speed of the goal that servos get.", unit="rad/s", low=0.2, high=8.48
    )
    soft_start: float = param(
        1.0,
        doc="After torque comes on, current and speed grow from a fifth to the whole over this time.",
        unit="s",
        low=0.2,
        high=5.0,
    )
    hold_after: float = param(
        0.15,
        doc="Age of the newest target at which the fingers stop; with one cycle more it stays within 200 ms.",
        unit="s",
        low=0.05,
        high=0.165,
    )
    stale_state: float = param(
        0.12, doc="Age of the newest measurement at which the fingers stop.", unit="s", low=0.05, high=0.5
    )
    fault_budget: int = param(
        20, doc="Failed exchanges of the last 60 cycles above which control ends.", low=1, high=59
    )
    missing_after: int = param(
        4,
        doc="Failed exchanges in a row after which every servo is asked whether it is there.",
        low=2,
        high=20,
    )
    bus_watchdog: float = param(
        0.3,
        doc="Silence of the bus after which servos stop by themselves, in steps of 20 ms.",
        unit="s",
        low=0.1,
        high=2.5,
    )
    health_rate: float = param(
        10.0,
        doc="Reads of errors, torque and watchdog; temperatures and voltages come in between.",
        unit="Hz",
        low=2.0,
        high=30.0,
    )
    derate_from: float = param(
        55.0,
        doc="Temperature at which a servo's current begins to be reduced.",
        unit="degC",
        low=30.0,
        high=65.0,
    )
    derate_to: float = param(
        66.0,
        doc="Temperature at which only derate_share is left; recovery is refused above.",
        unit="degC",
        low=31.0,
        high=69.0,
    )
    derate_share: float = param(0.3, doc="Share of the current at derate_to.", low=0.0, high=1.0)
    low_voltage: float = param(
        4.3, doc="Supply voltage below which a warning is given.", unit="V", low=3.5, high=6.0
    )
    outside: float = param(
        0.25,
        doc="How far beyond its limits a joint may stand when torque comes on; further, a horn or a zero is "
        "wrong.",
        unit="rad",
        low=0.05,
        high=0.5,
    )
    reboot_timeout: float = param(
        2.0, doc="Wait for a servo to answer after a reboot.", unit="s", low=0.5, high=10.0
    )
    reconnect_first: float = param(
        0.2, doc="Wait before the first attempt to open the port again; doubled each time.", unit="s",
        low=0.05, high=5.0,
    )  # fmt: skip
    reconnect_longest: float = param(1.0, doc="Longest wait between attempts.", unit="s", low=0.1, high=30.0)
    joints: _JointsConfig = _NO_DIFFERENCE

    def check(self) -> None:
        """What ranges of single fields cannot say.

        Raises:
            ConfigError: with the values that are allowed.
        """
        if not self.port.startswith("/"):
            raise ConfigError(f"port is {self.port!r}, needs a path such as /dev/leap_hand")
        if self.derate_from >= self.derate_to:
            raise ConfigError(
                f"derate_from {self.derate_from} degC must be below derate_to {self.derate_to} degC"
            )
        if self.reconnect_first > self.reconnect_longest:
            raise ConfigError(
                f"reconnect_first {self.reconnect_first} s must not exceed reconnect_longest "
                f"{self.reconnect_longest} s"
            )
        for joint in leap_table.JOINTS:
            own = getattr(self.joints, joint.name)
            for key, value in (("low", own.low), ("high", own.high)):
                if value is not None and not joint.low <= value <= joint.high:
                    raise ConfigError(
                        f"joints.{joint.name}.{key} is {value} rad, allowed: {joint.low} to {joint.high} rad"
                    )
        low, high = self.limits
        for joint, lo, hi in zip(leap_table.JOINTS, low, high, strict=True):
            if lo >= hi:
                raise ConfigError(
                    f"joints.{joint.name}: from {lo} to {hi} rad is empty; low must be below high"
                )

    @property
    def limits(self) -> tuple[Array, Array]:
        """Lowest and highest positions, rad, in the table's order. Shape: (16,) each."""
        low = [self._own(joint.name, "low", joint.low) for joint in leap_table.JOINTS]
        high = [self._own(joint.name, "high", joint.high) for joint in leap_table.JOINTS]
        return np.array(low), np.array(high)

    @property
    def currents(self) -> Array:
        """Largest currents, A, in the table's order. Shape: (16,)."""
        return np.array([self._own(name, "current", self.current) for name in leap_table.NAMES])

    def gains(self, joint: leap_table.Joint) -> tuple[int, int, int]:
        """P, I and D gain of a joint, as its servo counts."""
        share = self.side_gain if joint.side else 1.0
        return (
            int(self._own(joint.name, "p_gain", round(self.p_gain * share))),
            int(self._own(joint.name, "i_gain", self.i_gain)),
            int(self._own(joint.name, "d_gain", round(self.d_gain * share))),
        )

    def _own(self, name: str, key: str, otherwise: float) -> float:
        value = getattr(getattr(self.joints, name), key)
        return otherwise if value is None else value
