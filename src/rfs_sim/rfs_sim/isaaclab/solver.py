"""The solvers below Isaac Lab: Newton's MuJoCo Warp, watched, and the same on a CPU with C MuJoCo.

`WatchedSolver` notes, in the step itself (so that a captured graph does it as well), what Isaac Lab's contact
sensors do not tell: which parts of the hand touched the object in any physics step, not in the last one only,
and in which worlds something overflowed or is no longer a number.

`LoopSolver` replaces MuJoCo Warp's step by `mj_step`, world after world. On a CPU that needs no compilation
of kernels and is faster; all that surrounds it, Isaac Lab's and Newton's, stays. It knows what this project's
scenes have: no tendons, no equality constraints, pyramidal friction cones.
"""

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import warp as wp
from isaaclab_newton.physics.mjwarp_manager import NewtonMJWarpManager
from newton import Model, ModelBuilder
from newton.solvers import SolverMuJoCo

from rfs_core import robot
from rfs_sim import facts, mjcf

_UNSTABLE = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)

SHARED = -1
"""Newton's number of the world whose shapes are in every world."""
OBJECT = "object"
OBJECT_PART = len(robot.CONTACT_NAMES)
NO_PART = -1


@wp.kernel
def _note_contacts(
    nacon: wp.array(dtype=int),
    naconmax: int,
    geom: wp.array(dtype=wp.vec2i),
    world: wp.array(dtype=int),
    part: wp.array(dtype=int),
    object_part: int,
    touched: wp.array2d(dtype=int),
):
    i = wp.tid()
    if i >= wp.min(nacon[0], naconmax):
        return
    a = part[geom[i][0]]
    b = part[geom[i][1]]
    if a == object_part and b >= 0 and b < object_part:
        touched[world[i], b] = 1
    if b == object_part and a >= 0 and a < object_part:
        touched[world[i], a] = 1


@wp.kernel
def _note_trouble(
    nacon: wp.array(dtype=int),
    naconmax: int,
    nefc: wp.array(dtype=int),
    njmax: int,
    qpos: wp.array2d(dtype=float),
    qvel: wp.array2d(dtype=float),
    overflow: wp.array(dtype=int),
    not_finite: wp.array(dtype=int),
    contacts_dropped: wp.array(dtype=int),
):
    w = wp.tid()
    if nefc[w] > njmax:
        overflow[w] = 1
    if w == 0 and nacon[0] > naconmax:
        # The pool of contacts is shared: whose were dropped is not known.
        contacts_dropped[0] = contacts_dropped[0] + 1
    for i in range(qpos.shape[1]):
        if not wp.isfinite(qpos[w, i]):
            not_finite[w] = 1
    for i in range(qvel.shape[1]):
        if not wp.isfinite(qvel[w, i]):
            not_finite[w] = 1


class WatchedSolver(SolverMuJoCo):
    """MuJoCo Warp, and what went on in its steps since `forget`.

    Attributes:
        touched: parts of the hand that touched the object, order of `robot.CONTACT_NAMES`. Shape: (N, 5)
        overflow: worlds with more constraints than fit (`njmax`). Shape: (N,)
        not_finite: worlds whose state is no longer a number. Shape: (N,)
        contacts_dropped: physics steps in which all worlds together had more contacts than fit. Shape: (1,)
        when_changed: called whenever Newton has written its model into the solver's, over what is there.
    """

    def __init__(self, model: Model, **options: Any) -> None:
        """See `SolverMuJoCo`."""
        self.when_changed: Callable[[], None] = lambda: None
        super().__init__(model, **options)
        device, worlds = self.model.device, self.mjw_data.nworld
        names = [self.mj_model.geom(i).name for i in range(self.mj_model.ngeom)]
        self._part = wp.array([part_of(name) for name in names], dtype=int, device=device)
        self.touched = wp.zeros((worlds, OBJECT_PART), dtype=int, device=device)
        self.overflow = wp.zeros(worlds, dtype=int, device=device)
        self.not_finite = wp.zeros(worlds, dtype=int, device=device)
        self.contacts_dropped = wp.zeros(1, dtype=int, device=device)

    def notify_model_changed(self, flags: Any) -> None:
        """See `SolverMuJoCo`."""
        super().notify_model_changed(flags)
        self.when_changed()

    def forget(self) -> None:
        """Before a control step, whose solver starts cold: what comes depends on state and targets only."""
        warm = self.mjw_data.qacc_warmstart
        for array in (self.touched, self.overflow, self.not_finite, self.contacts_dropped, warm):
            array.zero_()

    def _mujoco_warp_step(self) -> None:
        self._physics_step()
        d = self.mjw_data
        wp.launch(
            _note_contacts,
            dim=d.naconmax,
            inputs=[d.nacon, d.naconmax, d.contact.geom, d.contact.worldid, self._part, OBJECT_PART],
            outputs=[self.touched],
            device=self.model.device,
        )
        wp.launch(
            _note_trouble,
            dim=d.nworld,
            inputs=[d.nacon, d.naconmax, d.nefc, d.njmax, d.qpos, d.qvel],
            outputs=[self.overflow, self.not_finite, self.contacts_dropped],
            device=self.model.device,
        )

    def _physics_step(self) -> None:
        super()._mujoco_warp_step()


class LoopSolver(WatchedSolver):
    """C MuJoCo, a model a world.

    Attributes:
        models: one per world; `randomization.apply_start` writes into them.
    """

    def __init__(self, model: Model, **options: Any) -> None:
        """See `SolverMuJoCo`."""
        self.models: list[mujoco.MjModel] = []
        super().__init__(model, **options)
        self._data = mujoco.MjData(self.mj_model)
        self.models = [copy.copy(self.mj_model) for _ in range(self.mjw_data.nworld)]
        for world, own in enumerate(self.models):
            # Its tree of boxes is compiled, and a start moves what is fixed to the world.
            own.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
            self._pull(world)

    def notify_model_changed(self, flags: Any) -> None:
        """See `SolverMuJoCo`: Newton's model has changed, all worlds' models follow."""
        SolverMuJoCo.notify_model_changed(self, flags)
        for world in range(len(self.models)):
            self._pull(world)
        self.when_changed()

    def set_noslip(self, iterations: int) -> None:
        """Iterations that take the creep out of friction, which MuJoCo Warp does not have."""
        for model in self.models:
            model.opt.noslip_iterations = iterations

    def _pull(self, world: int) -> None:
        """What MuJoCo Warp has of a world, into its C model."""
        model = self.models[world]
        for name in PER_WORLD_FIELDS:
            mine, theirs = getattr(model, name), getattr(self.mjw_model, name).numpy()
            mine[:] = theirs[world if len(theirs) > 1 else 0].reshape(mine.shape)
        mujoco.mj_setConst(model, self._data)

    def _physics_step(self) -> None:
        d, data = self.mjw_data, self._data
        qpos, qvel, warm = d.qpos.numpy(), d.qvel.numpy(), d.qacc_warmstart.numpy()
        ctrl, joint_force, body_force = d.ctrl.numpy(), d.qfrc_applied.numpy(), d.xfrc_applied.numpy()
        contacts, rows = 0, d.efc.force.numpy()
        nefc, actuator = d.nefc.numpy(), d.qfrc_actuator.numpy()
        xpos, xquat = d.xpos.numpy(), d.xquat.numpy()
        for world, model in enumerate(self.models):
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = qpos[world], qvel[world], warm[world]
            data.ctrl[:] = ctrl[world]
            data.qfrc_applied[:], data.xfrc_applied[:] = joint_force[world], body_force[world]
            if model.nmocap:
                data.mocap_pos[:], data.mocap_quat[:] = (
                    d.mocap_pos.numpy()[world],
                    d.mocap_quat.numpy()[world],
                )
            model.opt.timestep = float(self.mjw_model.opt.timestep.numpy()[0])
            mujoco.mj_step(model, data)
            # MuJoCo puts a world that it cannot integrate back to the model's rest, and warns.
            stable = not any(data.warning[w].number for w in _UNSTABLE)
            qpos[world], qvel[world] = (data.qpos, data.qvel) if stable else (np.nan, np.nan)
            warm[world], actuator[world] = data.qacc_warmstart, data.qfrc_actuator
            xpos[world], xquat[world] = data.xpos, data.xquat
            nefc[world] = data.nefc
            kept = min(data.nefc, d.njmax)
            rows[world, :kept] = data.efc_force[:kept]
            contacts = self._report(world, data, contacts)
        d.nacon.numpy()[0] = contacts

    def _report(self, world: int, data: mujoco.MjData, first: int) -> int:
        """A world's contacts, as MuJoCo Warp lists them; returns how many there are by now."""
        d, found = self.mjw_data, data.contact
        count = len(found.dist)
        kept = max(0, min(count, d.naconmax - first))
        at, which = slice(first, first + kept), slice(0, kept)
        to = d.contact
        to.dist.numpy()[at], to.pos.numpy()[at] = found.dist[which], found.pos[which]
        to.frame.numpy()[at] = found.frame[which].reshape(kept, 3, 3)
        to.friction.numpy()[at], to.dim.numpy()[at] = found.friction[which], found.dim[which]
        to.geom.numpy()[at], to.worldid.numpy()[at] = found.geom[which], world
        address = to.efc_address.numpy()
        address[at] = found.efc_address[which, None] + np.arange(address.shape[1])
        return first + count


class NewtonWatchedManager(NewtonMJWarpManager):
    """Isaac Lab's manager of MuJoCo Warp with a `WatchedSolver`."""

    _solver_class: type[WatchedSolver] = WatchedSolver

    @classmethod
    def _prepare_builder_for_finalize(cls, builder: ModelBuilder) -> None:
        super()._prepare_builder_for_finalize(builder)
        keep_apart(builder)

    @classmethod
    def _create_solver(cls, model: Model, solver_cfg: Any) -> WatchedSolver:
        options = cls._filter_solver_kwargs(SolverMuJoCo, solver_cfg)
        options.pop("ls_parallel", None)
        return cls._solver_class(model, **options)


class NewtonLoopManager(NewtonWatchedManager):
    """The same with a `LoopSolver`."""

    _solver_class = LoopSolver


def keep_apart(builder: ModelBuilder) -> None:
    """Filters the pairs that the MJCF excludes and an asset's file cannot name: its other body is in another.

    These are the arm's upper links and whatever is not the robot; and what never moves and the table.
    """
    upper = {a for a, b in mjcf.excluded_pairs((OBJECT,)) if b == OBJECT}
    base = facts.ARM_LINKS[0].name
    links, bases, things, standing = (defaultdict[int, list[int]](list) for _ in range(4))
    for shape, (label, world) in enumerate(zip(builder.shape_label, builder.shape_world, strict=True)):
        link, of_robot = label.split("/")[-2], "/Robot/" in label
        if of_robot and link == base:
            bases[world].append(shape)
        if of_robot and link in upper:
            links[world].append(shape)
        if not of_robot and world != SHARED:
            things[world].append(shape)
        if builder.shape_body[shape] < 0:
            standing[world].append(shape)
    for world in links:
        pairs = itertools.product(links[world], things[world])
        still = itertools.product(bases[world], (*standing[world], *standing[SHARED]))
        for a, b in itertools.chain(pairs, still):
            builder.add_shape_collision_filter_pair(a, b)


def part_of(geom: str) -> int:
    """Index in `robot.CONTACT_NAMES` of what a geom belongs to, OBJECT_PART, or NO_PART.

    Args:
        geom: its name, a USD path and a number, such as `/World/envs/env_0/Robot/.../if_ds/if_tip_29`.
    """
    *_, body, shape = geom.split("/")
    if body == OBJECT:
        return OBJECT_PART
    name = body if body == "palm" else shape.rpartition("_")[0]
    return robot.CONTACT_NAMES.index(name) if name in robot.CONTACT_NAMES else NO_PART


PER_WORLD_FIELDS = (
    "qpos0", "body_pos", "body_quat", "body_ipos", "body_iquat", "body_mass", "body_inertia", "body_gravcomp",
    "jnt_solref", "jnt_solimp", "jnt_pos", "jnt_axis", "jnt_stiffness", "jnt_range", "jnt_actfrcrange",
    "jnt_margin", "dof_armature", "dof_damping", "dof_frictionloss", "dof_solimp", "dof_solref",
    "geom_solmix", "geom_solref", "geom_solimp", "geom_size", "geom_pos", "geom_quat", "geom_friction",
    "geom_margin", "geom_gap", "actuator_gainprm", "actuator_biasprm", "actuator_ctrlrange",
    "actuator_forcerange",
)  # fmt: skip
"""Fields of a model that Newton keeps per world; what MuJoCo derives from them is not among them."""
