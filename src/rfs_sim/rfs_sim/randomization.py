"""Writes an episode's physical parameters into a compiled model, and draws the disturbances of an episode."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core.config import param
from rfs_core.scene import EpisodeStart, ObjectShape, Solid
from rfs_sim import facts, gains, geom_bounds, mjcf
from rfs_sim.model import ModelIndex

Array = NDArray[np.float64]

REST_DEPTH = 1e-4
"""m: how deep a resting object stands in the soft table. Started there it is at rest; started at depth 0 a
cylinder rocks by 2 degrees, since not all of its contact points begin to carry at once."""

PER_WORLD = (
    "actuator_acc0",
    "actuator_biasprm",
    "actuator_gainprm",
    "body_inertia",
    "body_invweight0",
    "body_mass",
    "body_pos",
    "body_quat",
    "body_subtreemass",
    "dof_invweight0",
    "geom_aabb",
    "geom_friction",
    "geom_rbound",
    "geom_size",
)
"""Fields of the model that `apply_start` changes, itself or through `mj_setConst`: an engine whose worlds
share a model needs them once per world."""

NOT_PER_WORLD = (
    "geom_contype",  # which of the object's slots collide: unused ones are tiny and inside the used one
    "geom_conaffinity",
    "geom_rgba",  # what cameras and rays see
    "bvh_aabb",
    "cam_poscom0",
    "light_poscom0",
    "dof_M0",  # what only MuJoCo's own sleeping and muscles read
    "dof_length",
)
"""Fields that it changes, too, and that such an engine does without."""

DISTURBANCE_JOINTS = 23
"""The arm's 7 joints, then the hand's 16."""


@dataclass(frozen=True)
class DisturbanceConfig:
    """Torque pulses of one control step on every joint, as in the RFS paper every 2 to 5 control steps."""

    every: tuple[int, int] = param((2, 5), doc="Control steps between two pulses, shortest and longest.")
    arm: float = param(
        10.0, doc="Standard deviation on joints 1-4; a quarter of it on the wrist.", unit="N m", low=0.0
    )
    hand: float = param(0.03, doc="Standard deviation on every finger joint.", unit="N m", low=0.0)

    def scaled(self, factor: float) -> "DisturbanceConfig":
        """The same pulses, `factor` times as strong."""
        return DisturbanceConfig(self.every, self.arm * factor, self.hand * factor)


def draw_disturbance(rng: np.random.Generator, steps: int, config: DisturbanceConfig) -> Array:
    """Torques of every control step of an episode, N m, zero between pulses.

    Shape: (steps, 23), arm joints then hand joints. Draws the same amount whatever the strength.
    """
    gaps = rng.integers(config.every[0], config.every[1], size=steps // config.every[0] + 1, endpoint=True)
    pulses = rng.standard_normal((len(gaps), DISTURBANCE_JOINTS))
    at = np.cumsum(gaps) - 1
    inside = at < steps
    torque = np.zeros((steps, DISTURBANCE_JOINTS))
    deviation = np.array([config.arm] * 4 + [config.arm / 4] * 3 + [config.hand] * 16)
    torque[at[inside]] = pulses[inside] * deviation
    return torque


def shape_inertia(shape: ObjectShape, mass: float) -> Array:
    """Principal moments about the centre of a solid of even density, kg m^2. Shape: (3,)

    Box, cylinder, and capsule as a cylinder and two half spheres (solid-body formulas of any mechanics text).
    """
    a, b, c = shape.size
    if shape.kind == "box":
        return mass / 3.0 * np.array([b * b + c * c, a * a + c * c, a * a + b * b])
    r, h = a, 2.0 * c
    if shape.kind == "cylinder":
        side = mass * (3.0 * r * r + h * h) / 12.0
        return np.array([side, side, mass * r * r / 2.0])
    if shape.kind == "capsule":
        cylinder = mass * h / (h + 4.0 / 3.0 * r)
        ball = mass - cylinder
        along = cylinder * r * r / 2.0 + ball * 0.4 * r * r
        across = cylinder * (h * h / 12.0 + r * r / 4.0) + ball * (0.4 * r * r + h * h / 4.0 + 0.375 * h * r)
        return np.array([across, across, along])
    raise ValueError(f"shape '{shape.kind}' is not one of {', '.join(mjcf.SLOT_KINDS)}")


def solids_inertia(solids: Sequence[Solid], mass: float) -> Array:
    """Moments about the centre of mass of solids, unturned, of even density in one body, kg m^2.

    By the parallel axis theorem; the products of inertia are left out, so the body should be symmetric about
    two of the planes through its centre. Shape: (3,)
    """
    volumes = np.array([mjcf.volume_of(s) for s in solids])
    masses = mass * volumes / volumes.sum()
    centre = np.array(mjcf.centroid(solids))
    inertia = np.zeros(3)
    for part, m in zip(solids, masses, strict=True):
        x, y, z = np.array(part.position) - centre
        inertia += shape_inertia(ObjectShape("", part.kind, part.size), m)
        inertia += m * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
    return inertia


def apply_start(
    model: mujoco.MjModel, scratch: mujoco.MjData, index: ModelIndex, start: EpisodeStart
) -> None:
    """Sets object, friction, mass and gains of one world's model, and everything MuJoCo derives from them."""
    _shape_object(model, index, start.shape)
    solid = start.shape.kind == "solids"
    geom = index.object_solids if solid else index.object_geoms[start.shape.kind]
    model.geom_friction[geom, 0] = start.object_friction
    model.body_mass[index.object_body] = start.object_mass
    if solid:
        model.body_inertia[index.object_body] = solids_inertia(start.shape.solids, start.object_mass)
    else:
        model.body_inertia[index.object_body] = shape_inertia(start.shape, start.object_mass)
    for position, damper, kp, kv, gain in (
        (index.arm_ctrl, index.arm_damper, np.array(mjcf.ARM_KP), np.array(mjcf.ARM_KV), start.arm_gain),
        (index.hand_ctrl, index.hand_damper, mjcf.HAND_KP, mjcf.HAND_KV, start.hand_gain),
    ):
        gains.set_gains(model, position, damper, gain * kp, gain * kv)
    for name, body in index.bodies.items():
        if body.qpos is None:
            model.body_pos[body.body] = start.bodies[name].position
            model.body_quat[body.body] = start.bodies[name].quaternion
    mujoco.mj_setConst(model, scratch)  # also the bounds that the broad phase reads
    if geom_bounds.LEFT_BY_SET_CONST and not solid:
        geom_bounds.set_bounds(model, index.object_geoms.values())


def start_qpos(qpos0: Array, index: ModelIndex, start: EpisodeStart) -> Array:
    """Positions of a start as MuJoCo has them, what stands set REST_DEPTH into the table.

    Args:
        qpos0: of the model. Shape: (nq,)
        index: addresses in it.
        start: what to set.

    Returns:
        Shape: (nq,)
    """
    qpos = qpos0.copy()
    qpos[index.arm_qpos] = start.arm_position
    qpos[index.hand_qpos] = start.hand_position
    qpos[index.object_qpos[:3]] = start.object_position
    if not start.held:
        qpos[index.object_qpos[2]] -= REST_DEPTH
    qpos[index.object_qpos[3:]] = start.object_quaternion
    for name, body in index.bodies.items():
        if body.qpos is not None:
            qpos[body.qpos[:3]] = start.bodies[name].position
            qpos[body.qpos[2]] -= REST_DEPTH
            qpos[body.qpos[3:]] = start.bodies[name].quaternion
    return qpos


def _shape_object(model: mujoco.MjModel, index: ModelIndex, shape: ObjectShape) -> None:
    tiny = mjcf.UNUSED_SLOT_SIZE
    solid = shape.kind == "solids"
    model.geom_contype[index.object_solids] = model.geom_conaffinity[index.object_solids] = int(solid)
    model.geom_rgba[index.object_solids, 3] = float(solid)
    for kind, geom in index.object_geoms.items():
        used = kind == shape.kind
        model.geom_contype[geom] = model.geom_conaffinity[geom] = int(used)
        model.geom_rgba[geom, 3] = float(used)
        if used:
            # MuJoCo wants (radius, half length, 0) for round shapes.
            size = shape.size if kind == "box" else (shape.size[0], shape.size[2], 0.0)
        else:
            size = (tiny, tiny, tiny if kind == "box" else 0.0)
        model.geom_size[geom] = size


assert len(facts.ARM_TORQUE) + len(facts.HAND_LINKS) == DISTURBANCE_JOINTS
