"""The compiled model and where things are in it: addresses by name, in the project's order of joints and
contacts."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core import robot
from rfs_core.scene import Body
from rfs_sim import mjcf
from rfs_sim.mjcf import SceneConfig

Index = NDArray[np.intp]


@dataclass(frozen=True)
class BodyIndex:
    """Addresses of one of the task's bodies."""

    body: int
    qpos: Index | None
    """Position, then quaternion wxyz; None where it never moves. Shape: (7,)"""
    dof: Index | None
    """Linear, then angular velocity. Shape: (6,)"""


@dataclass(frozen=True)
class ModelIndex:
    """Addresses in MuJoCo's arrays."""

    arm_qpos: Index
    """Shape: (7,)"""
    arm_dof: Index
    hand_qpos: Index
    """In the order of `robot.HAND_JOINT_NAMES`; the model's tree has mcp before rot. Shape: (16,)"""
    hand_dof: Index
    object_qpos: Index
    """Position, then quaternion wxyz, of the first object. Shape: (7,)"""
    object_dof: Index
    """Linear, then angular velocity. Shape: (6,)"""
    arm_ctrl: Index
    """The position actuators; the velocity actuators' controls stay 0. Shape: (7,)"""
    arm_damper: Index
    hand_ctrl: Index
    hand_damper: Index
    contact_sensors: Index
    """In `sensordata`, order of `robot.CONTACT_NAMES`. Shape: (5,)"""
    object_body: int
    object_geoms: dict[str, int]
    """Slot geom of each kind of shape, first object."""
    object_solids: Index
    """Geoms of the first object's solids."""
    bodies: dict[str, BodyIndex]
    """The task's further bodies by name."""

    @classmethod
    def of(
        cls, model: mujoco.MjModel, object_name: str = "object", bodies: tuple[Body, ...] = ()
    ) -> "ModelIndex":
        """Finds everything by name; KeyError names what the model lacks."""

        def indices(values: list[int]) -> Index:
            return np.array(values, dtype=np.intp)

        def actuators(names: tuple[str, ...], suffix: str = "") -> Index:
            return indices([model.actuator(name + suffix).id for name in names])

        def addresses(body: Body) -> BodyIndex:
            number = int(model.body(body.name).id)
            if not body.moves:
                return BodyIndex(number, None, None)
            joint = model.joint(body.name)
            return BodyIndex(number, joint.qposadr[0] + np.arange(7), joint.dofadr[0] + np.arange(6))

        free = model.joint(object_name)
        geoms = [model.geom(i) for i in range(model.ngeom)]
        return cls(
            arm_qpos=indices([model.joint(n).qposadr[0] for n in robot.ARM_JOINT_NAMES]),
            arm_dof=indices([model.joint(n).dofadr[0] for n in robot.ARM_JOINT_NAMES]),
            hand_qpos=indices([model.joint(n).qposadr[0] for n in robot.HAND_JOINT_NAMES]),
            hand_dof=indices([model.joint(n).dofadr[0] for n in robot.HAND_JOINT_NAMES]),
            object_qpos=free.qposadr[0] + np.arange(7),
            object_dof=free.dofadr[0] + np.arange(6),
            arm_ctrl=actuators(robot.ARM_JOINT_NAMES),
            arm_damper=actuators(robot.ARM_JOINT_NAMES, "_damping"),
            hand_ctrl=actuators(robot.HAND_JOINT_NAMES),
            hand_damper=actuators(robot.HAND_JOINT_NAMES, "_damping"),
            contact_sensors=indices([model.sensor(f"{n}_contact").adr[0] for n in robot.CONTACT_NAMES]),
            object_body=int(model.body(object_name).id),
            object_geoms={kind: int(model.geom(f"{object_name}_{kind}").id) for kind in mjcf.SLOT_KINDS},
            object_solids=indices([g.id for g in geoms if g.name.startswith(f"{object_name}_solid_")]),
            bodies={body.name: addresses(body) for body in bodies},
        )


def compile_model(config: SceneConfig | None = None) -> mujoco.MjModel:
    """Compiles the model of `mjcf.write`."""
    return mujoco.MjModel.from_xml_string(mjcf.write(config or SceneConfig()))
