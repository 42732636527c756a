"""An episode's physical parameters in the model that Newton compiled.

The same parameters as `rfs_sim.randomization.apply_start` sets in ours; names, actuators and inertial frames
differ. What MuJoCo derives from them is computed by MuJoCo (`mj_setConst`) and never left as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
import warp as wp

from rfs_core import robot
from rfs_core.scene import Body, EpisodeStart, Solid
from rfs_sim import gains, geom_bounds, mjcf
from rfs_sim.isaaclab.solver import LoopSolver, WatchedSolver
from rfs_sim.mjcf import SceneConfig
from rfs_sim.model import Index
from rfs_sim.randomization import shape_inertia, solids_inertia
from rfs_sim.seam import EngineError

WRITTEN = (
    "geom_pos", "geom_quat", "geom_size", "geom_rbound", "geom_aabb", "geom_friction", "body_mass",
    "body_inertia", "body_ipos", "body_iquat", "body_subtreemass", "body_invweight0", "dof_invweight0",
    "actuator_gainprm", "actuator_biasprm", "actuator_forcerange",
)  # fmt: skip
"""Fields of a model that a start changes, derived ones included."""


@dataclass(frozen=True)
class ModelFields:
    """Addresses in Newton's compiled model."""

    object_body: int
    object_geoms: dict[str, int]
    """Slot geom of each kind of shape; none where the object is made of solids."""
    object_solids: Index
    fixed: list[tuple[int, Solid, str]]
    """Geom of every solid of the bodies that never move, and the body's name. They are the world's."""
    arm_position: Index
    """Position actuators, order of `robot.ARM_JOINT_NAMES`. Shape: (7,)"""
    arm_damper: Index
    hand_position: Index
    hand_damper: Index
    contype: np.ndarray
    """Of all geoms as compiled. Shape: (ngeom,)"""
    conaffinity: np.ndarray

    @classmethod
    def of(
        cls, model: mujoco.MjModel, object_name: str = "object", bodies: Sequence[Body] = ()
    ) -> "ModelFields":
        """Finds everything by name.

        Args:
            model: that Newton compiled.
            object_name: what is grasped.
            bodies: of the task.

        Raises:
            EngineError: the model lacks something; the sentence names it.
        """
        geoms = {_shape(model.geom(i).name): i for i in range(model.ngeom)}
        ids = {model.body(i).name.rpartition("_Geometry_")[2]: i for i in range(model.nbody)}
        joints = {}
        for i in range(model.njnt):
            name = model.joint(i).name
            joints.update(
                {j: i for j in (*robot.ARM_JOINT_NAMES, *robot.HAND_JOINT_NAMES) if name.endswith(f"_{j}")}
            )
        position, damper = {}, {}
        for i in range(model.nu):
            # Newton writes two actuators a joint: one with a stiffness, one without.
            kind = damper if model.actuator_biasprm[i, 1] == 0.0 else position
            kind[int(model.actuator_trnid[i, 0])] = i

        def actuators(of: dict[int, int], names: tuple[str, ...]) -> Index:
            return np.array([of[joints[name]] for name in names], dtype=np.intp)

        try:
            return cls(
                object_body=ids[object_name],
                object_geoms={
                    kind: geoms[f"{object_name}_{kind}"]
                    for kind in mjcf.SLOT_KINDS
                    if f"{object_name}_solid_0" not in geoms
                },
                object_solids=np.array(
                    [i for name, i in geoms.items() if name.startswith(f"{object_name}_solid_")],
                    dtype=np.intp,
                ),
                fixed=[
                    (geoms[f"{body.name}_{i}"], solid, body.name)
                    for body in bodies
                    if body.collides and not body.moves
                    for i, solid in enumerate(body.solids)
                ],
                arm_position=actuators(position, robot.ARM_JOINT_NAMES),
                arm_damper=actuators(damper, robot.ARM_JOINT_NAMES),
                hand_position=actuators(position, robot.HAND_JOINT_NAMES),
                hand_damper=actuators(damper, robot.HAND_JOINT_NAMES),
                contype=model.geom_contype.copy(),
                conaffinity=model.geom_conaffinity.copy(),
            )
        except KeyError as error:
            raise EngineError(
                f"Newton's compiled model has nothing named {error}: names have changed with a version; "
                f"look at it with env.sim.physics.solver_cfg.save_to_mjcf=model.xml"
            ) from error

    def write(self, model: mujoco.MjModel, scratch: mujoco.MjData, start: EpisodeStart) -> None:
        """Sets object, friction, mass and gains, and everything MuJoCo derives from them."""
        self._shape(model, start)
        model.body_mass[self.object_body] = start.object_mass
        model.body_iquat[self.object_body] = (1.0, 0.0, 0.0, 0.0)
        if start.shape.kind == "solids":
            used = self.object_solids
            model.body_ipos[self.object_body] = mjcf.centroid(start.shape.solids)
            model.body_inertia[self.object_body] = solids_inertia(start.shape.solids, start.object_mass)
        else:
            used = np.array([self.object_geoms[start.shape.kind]])
            model.body_ipos[self.object_body] = 0.0
            model.body_inertia[self.object_body] = shape_inertia(start.shape, start.object_mass)
        model.geom_friction[used, 0] = start.object_friction
        for position, damper, kp, kv, gain in (
            (
                self.arm_position,
                self.arm_damper,
                np.array(mjcf.ARM_KP),
                np.array(mjcf.ARM_KV),
                start.arm_gain,
            ),
            (self.hand_position, self.hand_damper, mjcf.HAND_KP, mjcf.HAND_KV, start.hand_gain),
        ):
            gains.set_gains(model, position, damper, gain * kp, gain * kv)
        for geom, solid, name in self.fixed:
            body = start.bodies[name]
            mujoco.mju_mulPose(
                model.geom_pos[geom], model.geom_quat[geom],
                np.array(body.position), np.array(body.quaternion),
                np.array(solid.position), np.array(solid.quaternion),
            )  # fmt: skip
            # Compiled unturned, it would stay so: MuJoCo skips rotations that it believes are none.
            model.geom_sameframe[geom] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
        mujoco.mj_setConst(model, scratch)
        if geom_bounds.LEFT_BY_SET_CONST and self.object_geoms:
            geom_bounds.set_bounds(model, self.object_geoms.values())

    def _shape(self, model: mujoco.MjModel, start: EpisodeStart) -> None:
        tiny, shape = mjcf.UNUSED_SLOT_SIZE, start.shape
        slots = [*self.object_geoms.values(), *self.object_solids]
        model.geom_contype[slots] = model.geom_conaffinity[slots] = 0
        solid = shape.kind == "solids"
        for kind, geom in self.object_geoms.items():
            size = (tiny, tiny, tiny if kind == "box" else 0.0)
            if kind == shape.kind:
                # MuJoCo wants (radius, half length, 0) for round shapes.
                size = shape.size if kind == "box" else (shape.size[0], shape.size[2], 0.0)
            model.geom_size[geom] = size
        used = self.object_solids if solid else np.array([self.object_geoms[shape.kind]])
        model.geom_contype[used] = self.contype[used]
        model.geom_conaffinity[used] = self.conaffinity[used]


class WorldFields:
    """The fields that differ from world to world, in whatever model the solver steps."""

    def __init__(self, solver: WatchedSolver, scene: SceneConfig) -> None:
        """
        Args:
            solver: of the scene; before its first step.
            scene: what is in it.
        """
        self._solver, self._model = solver, solver.mj_model
        self._fields = ModelFields.of(self._model, scene.objects[0], scene.bodies)
        self._scratch = mujoco.MjData(self._model)
        self._views: dict[str, torch.Tensor] = {}
        # What Newton shows, and writes over the solver's model now and then.
        self._shapes = solver.mjc_geom_to_newton_shape.numpy()
        self._shown = wp.to_torch(solver.model.shape_transform)
        if isinstance(solver, LoopSolver):
            return
        for name in WRITTEN:
            array = getattr(solver.mjw_model, name)
            if array.shape[0] != solver.mjw_data.nworld:
                # Newton keeps bounding boxes of the first world only, and objects of others fall through.
                batch = np.repeat(array.numpy()[:1], solver.mjw_data.nworld, axis=0)
                array = wp.array(batch, dtype=array.dtype, device=array.device)
                setattr(solver.mjw_model, name, array)
            self._views[name] = wp.to_torch(array)
        if gains.ONE_ACTUATOR:
            limited = solver.mjw_model.actuator_forcelimited.numpy()
            limited[[*self._fields.arm_position, *self._fields.hand_position]] = True
            solver.mjw_model.actuator_forcelimited.assign(limited)
        # MuJoCo Warp places geoms of the world once, when its data are made.
        self._places = wp.to_torch(solver.mjw_data.geom_xpos), wp.to_torch(solver.mjw_data.geom_xmat)

    def set(self, world: int, start: EpisodeStart) -> None:
        """Writes an episode's parameters into one world."""
        loop = isinstance(self._solver, LoopSolver)
        model = self._solver.models[world] if loop else self._model
        self._fields.write(model, self._scratch, start)
        for geom, _, _ in self._fields.fixed:
            pose = np.concatenate((model.geom_pos[geom], np.roll(model.geom_quat[geom], -1)))
            _copy(pose, self._shown[self._shapes[world, geom]])
            if not loop:
                for view, now in zip(
                    self._places, (self._scratch.geom_xpos, self._scratch.geom_xmat), strict=True
                ):
                    _copy(now[geom], view[world, geom])
        for name, view in self._views.items():
            _copy(getattr(model, name), view[world])


def _copy(values: np.ndarray, to: torch.Tensor) -> None:
    to.copy_(torch.from_numpy(np.array(values, dtype=np.float32)).reshape(to.shape))


def _shape(geom: str) -> str:
    """`object_box` of `/World/envs/env_0/Object/Geometry/object/object_box_36`."""
    return geom.rpartition("/")[2].rpartition("_")[0]
