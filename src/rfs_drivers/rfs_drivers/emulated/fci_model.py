"""Kinematics, inertia and URDF of the emulated arm, cheap enough for a thousand cycles a second in Python.

Geometry and limits are those of `rfs_core.robot`; a test holds this module's forward kinematics and Jacobian
to `rfs_core.kinematics`, which is made for batches and costs several times as much for one arm. Masses are
near those of franka_description; centres of mass and inertias are nominal (compact bodies), so dynamics are
plausible, not identified. The client's model (pinocchio, from the URDF) and the plant share them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot

Array = NDArray[np.float64]

LINK_MASS = np.array([2.93, 2.94, 2.24, 2.62, 2.33, 1.82, 0.63])
"""kg, of the link behind each joint; rounded from franka_description, robots/fr3/inertials.yaml."""

LINK_CENTRE = np.array(
    [
        [0.0, -0.03, -0.07],
        [0.0, -0.07, 0.03],
        [0.03, 0.03, -0.06],
        [-0.04, 0.04, 0.03],
        [0.0, 0.04, -0.12],
        [0.05, 0.0, 0.0],
        [0.01, 0.01, 0.06],
    ]
)
"""m, in each joint's frame; nominal."""

LINK_INERTIA = np.array([0.024, 0.022, 0.016, 0.018, 0.024, 0.006, 0.002])
"""kg m2 about the centre of mass, the same about every axis; nominal."""

ARMATURE = np.array([0.2, 0.2, 0.2, 0.2, 0.08, 0.08, 0.08])
"""kg m2, rotor inertia at the joint; nominal. Without it the wrist is too light for the client's damping."""

FRICTION = np.array([0.5, 0.5, 0.5, 0.5, 0.2, 0.2, 0.2])
"""Nm s/rad, viscous; nominal. Small: the robot's torque control closes its loop at the link and so makes up
for most of the motor's friction."""

TORQUE_LIMITS = robot.ARM_TORQUE_LIMITS
"""Nm."""

_VELOCITY_OFFSET = (0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35)
_DECELERATION_LIMIT = (6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0)

_GRAVITY = 9.81


class Chain(NamedTuple):
    """The arm at one configuration, in the base frame."""

    flange: Array
    """Homogeneous transform of link8. Shape: (4, 4)."""
    axes: Array
    """Joint axes. Shape: (7, 3)."""
    origins: Array
    """Joint origins, m. Shape: (7, 3)."""
    rotations: Array
    """Rotation of each joint's frame. Shape: (7, 3, 3)."""


def forward(q: Array) -> Array:
    """Transform of the flange. Shape: (4, 4)."""
    x, y, z, p = _walk(q, None)
    d = robot.FR3_FLANGE_Z
    return np.array(
        [
            [x[0], y[0], z[0], p[0] + d * z[0]],
            [x[1], y[1], z[1], p[1] + d * z[1]],
            [x[2], y[2], z[2], p[2] + d * z[2]],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def chain(q: Array) -> Chain:
    """Transform of the flange, and where every joint is."""
    frames: list[tuple[_Vector, _Vector, _Vector, _Vector]] = []
    x, y, z, p = _walk(q, frames)
    d = robot.FR3_FLANGE_Z
    flange = np.array(
        [
            [x[0], y[0], z[0], p[0] + d * z[0]],
            [x[1], y[1], z[1], p[1] + d * z[1]],
            [x[2], y[2], z[2], p[2] + d * z[2]],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
    stacked = np.array(frames)  # (7, 4, 3): x, y, z, origin
    return Chain(flange, stacked[:, 2], stacked[:, 3], stacked[:, :3].transpose(0, 2, 1))


def jacobian(at: Chain, point: Array) -> Array:
    """Linear then angular velocity of a point fixed to the flange, per joint speed. Shape: (6, 7)."""
    arm = point - at.origins
    a, r = at.axes, arm
    result = np.empty((6, 7))
    result[0] = a[:, 1] * r[:, 2] - a[:, 2] * r[:, 1]
    result[1] = a[:, 2] * r[:, 0] - a[:, 0] * r[:, 2]
    result[2] = a[:, 0] * r[:, 1] - a[:, 1] * r[:, 0]
    result[3:] = a.T
    return result


def mass_matrix(at: Chain) -> Array:
    """Joint-space inertia of the links, without armature. Shape: (7, 7)."""
    linear = _centre_jacobians(at)  # (link, joint, 3)
    angular = np.where(_BEHIND[:, :, None], at.axes[None], 0.0)
    weighted = linear * LINK_MASS[:, None, None]
    turned = angular * LINK_INERTIA[:, None, None]
    mass: Array = np.einsum("ljx,lkx->jk", weighted, linear) + np.einsum("ljx,lkx->jk", turned, angular)
    return mass


def gravity_torque(at: Chain) -> Array:
    """Torques that hold the arm against gravity, Nm. Shape: (7,)."""
    torque: Array = _GRAVITY * np.einsum("l,lj->j", LINK_MASS, _centre_jacobians(at)[:, :, 2])
    return torque


# Joint j moves link l where j <= l.
_BEHIND = np.tril(np.ones((7, 7), dtype=bool))


def _centre_jacobians(at: Chain) -> Array:
    centres = at.origins + np.einsum("lij,lj->li", at.rotations, LINK_CENTRE)
    arm = centres[:, None, :] - at.origins[None, :, :]
    return np.where(_BEHIND[:, :, None], np.cross(at.axes[None], arm), 0.0)


_Vector = tuple[float, float, float]


def _walk(
    q: Array, frames: list[tuple[_Vector, _Vector, _Vector, _Vector]] | None
) -> tuple[_Vector, _Vector, _Vector, _Vector]:
    """Axes and origin of the last joint's frame; every joint's frame is appended to `frames`."""
    x0 = x1 = x2 = y0 = y1 = y2 = z0 = z1 = z2 = 0.0
    x0 = y1 = z2 = 1.0
    p0 = p1 = p2 = 0.0
    cos, sin = math.cos, math.sin
    for angle, (dx, dy, dz, turn) in zip(q.tolist(), _STEPS, strict=True):
        if dx:
            p0, p1, p2 = p0 + dx * x0, p1 + dx * x1, p2 + dx * x2
        if dy:
            p0, p1, p2 = p0 + dy * y0, p1 + dy * y1, p2 + dy * y2
        if dz:
            p0, p1, p2 = p0 + dz * z0, p1 + dz * z1, p2 + dz * z2
        if turn > 0:
            y0, y1, y2, z0, z1, z2 = z0, z1, z2, -y0, -y1, -y2
        elif turn < 0:
            y0, y1, y2, z0, z1, z2 = -z0, -z1, -z2, y0, y1, y2
        c, s = cos(angle), sin(angle)
        x0, x1, x2, y0, y1, y2 = (
            c * x0 + s * y0,
            c * x1 + s * y1,
            c * x2 + s * y2,
            c * y0 - s * x0,
            c * y1 - s * x1,
            c * y2 - s * x2,
        )
        if frames is not None:
            frames.append(((x0, x1, x2), (y0, y1, y2), (z0, z1, z2), (p0, p1, p2)))
    return (x0, x1, x2), (y0, y1, y2), (z0, z1, z2), (p0, p1, p2)


_STEPS = tuple((*xyz, round(roll / (math.pi / 2))) for xyz, roll in robot.FR3_JOINT_ORIGINS)


def urdf(name: str = "fr3") -> str:
    """URDF with all that libfranka and its pinocchio model read; no meshes.

    libfranka wants seven movable joints whose names contain joint1 to joint7, each with velocity-dependent
    limits, and a link called exactly link8.
    """
    lines = [f'<?xml version="1.0"?>\n<robot name="{name}">', '<link name="link0"/>']
    for i, (xyz, roll) in enumerate(robot.FR3_JOINT_ORIGINS):
        low, high = robot.ARM_LIMITS[:, i]
        centre = " ".join(f"{v:.6g}" for v in LINK_CENTRE[i])
        inertia = LINK_INERTIA[i]
        lines.append(
            f'<link name="link{i + 1}"><inertial><origin xyz="{centre}" rpy="0 0 0"/>'
            f'<mass value="{LINK_MASS[i]}"/><inertia ixx="{inertia}" ixy="0" ixz="0" iyy="{inertia}" iyz="0" '
            f'izz="{inertia}"/></inertial></link>'
        )
        lines.append(
            f'<joint name="{name}_joint{i + 1}" type="revolute"><parent link="link{i}"/>'
            f'<child link="link{i + 1}"/><origin xyz="{xyz[0]} {xyz[1]} {xyz[2]}" rpy="{roll!r} 0 0"/>'
            f'<axis xyz="0 0 1"/><limit lower="{low}" upper="{high}" effort="{TORQUE_LIMITS[i]}" '
            f'velocity="{robot.ARM_VELOCITY_LIMITS[i]}"/><position_based_velocity_limits '
            f'velocity_offset="{_VELOCITY_OFFSET[i]}" deceleration_limit="{_DECELERATION_LIMIT[i]}"/></joint>'
        )
    lines.append(
        f'<link name="link8"/><joint name="{name}_joint8" type="fixed"><parent link="link7"/>'
        '<child link="link8"/>'
        f'<origin xyz="0 0 {robot.FR3_FLANGE_Z}" rpy="0 0 0"/></joint></robot>'
    )
    return "\n".join(lines)
