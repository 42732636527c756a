"""The LEAP hand's joints: names, motor ids, signs, zeros and limits, from one table.

Sources. Order, ids and zeros: the hand's published joint order (index 0-3, middle 4-7, ring 8-11, thumb
12-15; in each finger side, forward, PIP, DIP; a motor's angle is the joint's plus pi, same sign for all).
Limits: the LEAP hand's URDF, whose joints are named by motor id, and MuJoCo Menagerie's right leap_hand. The
two disagree on the thumb; a joint's range here is what both allow.

Everything outside this file goes by joint name. Menagerie's actuators, for one, come in another order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rfs_core.se3 import Array

TICKS_PER_TURN = 4096
"""Encoder ticks of an XL330-M288, e-manual."""

RADIANS_PER_TICK = 2.0 * math.pi / TICKS_PER_TURN

ZERO_TICK = 2048
"""The encoder where the joint's angle is 0: half a turn."""

VELOCITY_UNIT = 0.229 * 2.0 * math.pi / 60.0
"""rad/s: the unit of an XL330's velocity is 0.229 rpm, e-manual."""

CURRENT_UNIT = 0.001
"""A: the unit of an XL330's current is 1 mA, e-manual."""

TORQUE_PER_AMPERE = 0.354
"""Nm/A, nominal: stall torque 0.52 Nm at 1.47 A, e-manual at 5 V. Friction of the gears is not in it."""


@dataclass(frozen=True)
class Joint:
    """One joint and its motor."""

    name: str
    motor: int
    """Id on the bus."""
    urdf: tuple[float, float]
    """Range in the LEAP hand's URDF, rad."""
    menagerie: tuple[float, float]
    """Range in Menagerie's leap_hand, rad."""
    sign: int = 1
    """1 where the motor turns as the joint does."""
    zero_tick: int = ZERO_TICK

    @property
    def low(self) -> float:
        """Lowest position that both sources allow, rad."""
        return max(self.urdf[0], self.menagerie[0])

    @property
    def high(self) -> float:
        """Highest position that both sources allow, rad."""
        return min(self.urdf[1], self.menagerie[1])

    @property
    def side(self) -> bool:
        """It moves a finger sideways; such joints get lower gains."""
        return self.name.endswith("_rot")

    def __str__(self) -> str:
        return f"{self.name} (motor {self.motor})"


def _finger(name: str, first: int) -> tuple[Joint, ...]:
    ranges = {
        "rot": (-1.047, 1.047),
        "mcp": (-0.314, 2.23),
        "pip": (-0.506, 1.885),
        "dip": (-0.366, 2.042),
    }
    return tuple(
        Joint(f"{name}_{joint}", first + i, urdf=limits, menagerie=limits)
        for i, (joint, limits) in enumerate(ranges.items())
    )


JOINTS: tuple[Joint, ...] = (
    *_finger("if", 0),
    *_finger("mf", 4),
    *_finger("rf", 8),
    Joint("th_cmc", 12, urdf=(-0.349, 2.094), menagerie=(-0.349, 2.094)),
    Joint("th_axl", 13, urdf=(-0.47, 2.443), menagerie=(-0.349, 2.094)),
    Joint("th_mcp", 14, urdf=(-1.20, 1.90), menagerie=(-0.47, 2.443)),
    Joint("th_ipl", 15, urdf=(-1.34, 1.88), menagerie=(-1.34, 1.88)),
)
"""All joints, in the order of their motor ids."""

NAMES = tuple(joint.name for joint in JOINTS)

MOTORS = tuple(joint.motor for joint in JOINTS)

BY_MOTOR = {joint.motor: joint for joint in JOINTS}

LOW: Array = np.array([joint.low for joint in JOINTS])
HIGH: Array = np.array([joint.high for joint in JOINTS])

_SIGN = np.array([joint.sign for joint in JOINTS], dtype=np.float64)
_ZERO = np.array([joint.zero_tick for joint in JOINTS], dtype=np.float64)


def ticks(position: Array) -> list[int]:
    """Encoder values of joint positions (rad), in the table's order. Shape: (16,)."""
    return [int(tick) for tick in np.rint(_ZERO + _SIGN * np.asarray(position) / RADIANS_PER_TICK)]


def radians(encoder: Array) -> Array:
    """Joint positions (rad) of encoder values, in the table's order. Shape: (16,)."""
    position: Array = _SIGN * (np.asarray(encoder, dtype=np.float64) - _ZERO) * RADIANS_PER_TICK
    return position


def signed(values: Array) -> Array:
    """Velocities or currents of motors as those of joints. Shape: (16,)."""
    turned: Array = _SIGN * np.asarray(values, dtype=np.float64)
    return turned
