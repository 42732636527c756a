"""Isaac Lab's scene as an `Engine` (`rfs_sim.seam`) of float32 tensors: joint targets in, states out.

It only maps: names and orders of joints, quaternions xyzw to wxyz, world frame to each environment's base
frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import warp as wp
from isaaclab.scene import InteractiveScene
from isaaclab.sim import SimulationContext
from isaaclab_newton.physics import NewtonManager

from rfs_core import robot, se3
from rfs_core.scene import EpisodeStart
from rfs_core.se3 import Pose
from rfs_core.world_state import BodyState
from rfs_sim.isaaclab.cfg import JOINTS
from rfs_sim.isaaclab.fields import WorldFields
from rfs_sim.isaaclab.solver import LoopSolver, WatchedSolver
from rfs_sim.mjcf import SceneConfig
from rfs_sim.randomization import REST_DEPTH
from rfs_sim.seam import EngineError, Measured, ProblemCounter, rows, substeps_of

_ARM = len(robot.ARM_JOINT_NAMES)


class IsaacEngine:
    """The worlds of an Isaac Lab scene. `example`, `contacts`, `unstable`: see `rfs_sim.seam.Engine`.

    Attributes:
        when_closed: called by `close`; nothing, unless it is set.
    """

    def __init__(self, sim: SimulationContext, isaac: InteractiveScene, scene: SceneConfig) -> None:
        """
        Args:
            sim: playing.
            isaac: made from `cfg.scene_cfg(scene)`.
            scene: what the worlds contain.
        """
        self.scene, self.num_worlds, self.substeps = scene, isaac.num_envs, substeps_of(scene)
        self._sim, self._isaac, self._robot = sim, isaac, isaac["robot"]
        self.device = str(sim.device)
        solver = NewtonManager._solver
        if not isinstance(solver, WatchedSolver):
            raise EngineError(
                f"the scene runs on {type(solver).__name__}, not on a solver of rfs_sim.isaaclab.solver: "
                f"make the environment by its gym id or by rfs_sim.isaaclab.env.RfsEnv"
            )
        self._solver = solver
        if isinstance(solver, LoopSolver):
            solver.set_noslip(scene.noslip)
        self._fields = WorldFields(solver, scene)
        names = list(self._robot.joint_names)
        self._joints = torch.tensor([names.index(name) for name in JOINTS], device=self.device)
        self._order = torch.argsort(self._joints)
        self._object = scene.objects[0]
        self._things = [self._object, *(body.name for body in scene.bodies if body.moves)]
        self._starts: list[EpisodeStart | None] = [None] * self.num_worlds
        self._touched = wp.to_torch(solver.touched)
        self._pool = wp.to_torch(solver.contacts_dropped)
        self._dropped, self._not_finite = wp.to_torch(solver.overflow), wp.to_torch(solver.not_finite)
        self.example = torch.zeros(0, device=self.device)
        self.contacts = torch.zeros(
            self.num_worlds, len(robot.CONTACT_NAMES), dtype=torch.bool, device=self.device
        )
        self.unstable = torch.zeros(self.num_worlds, dtype=torch.bool, device=self.device)
        self._fixed = {
            body.name: Pose(self._zeros(3), self._tensor(np.tile([1.0, 0.0, 0.0, 0.0], (self.num_worlds, 1))))
            for body in scene.bodies
            if not body.moves
        }
        self._problems = ProblemCounter("isaaclab")
        self.when_closed: Callable[[], None] = lambda: None
        self._before: tuple[torch.Tensor, ...] = ()
        solver.when_changed = self._set_fields

    def reset(self, worlds: Sequence[int], starts: Sequence[EpisodeStart]) -> None:
        """Puts worlds into starts of episodes, at rest."""
        if not worlds:
            return
        ids = torch.tensor(worlds, dtype=torch.int32, device=self.device)
        which = ids.long()
        for world, start in zip(worlds, starts, strict=True):
            self._starts[world] = start
            self._fields.set(world, start)
        joints = self._tensor(rows([*s.arm_position, *s.hand_position] for s in starts))
        self._write_joints(joints[:, self._order], torch.zeros_like(joints), ids)
        held = rows(
            [
                *(s.arm_position if s.arm_target is None else s.arm_target),
                *(s.hand_position if s.hand_target is None else s.hand_target),
            ]
            for s in starts
        )
        target = self._robot.actuators.target_command
        target.set_position_index(value=self._tensor(held)[:, self._order], env_ids=ids)
        for name in self._things:
            places = [
                (s.object_position, s.object_quaternion)
                if name == self._object
                else (s.bodies[name].position, s.bodies[name].quaternion)
                for s in starts
            ]
            position, quaternion = rows(p for p, _ in places), rows(q for _, q in places)
            standing = [name != self._object or not s.held for s in starts]
            position[:, 2] -= REST_DEPTH * np.array(standing)
            pose = torch.cat((self._tensor(position), _xyzw(self._tensor(quaternion))), dim=1)
            pose[:, :3] += self._isaac.env_origins[which]
            self._write_body(name, pose, torch.zeros((len(worlds), 6), device=self.device), ids)
        for name, fixed in self._fixed.items():
            fixed.position[which] = self._tensor(rows(s.bodies[name].position for s in starts))
            fixed.quaternion[which] = self._tensor(rows(s.bodies[name].quaternion for s in starts))
        self._written(which)
        self.contacts = self.contacts.clone()
        self.contacts[which] = torch.from_numpy(rows(s.contacts for s in starts)).to(self.device)
        self.unstable = self.unstable.clone()
        self.unstable[which] = False

    def step(
        self, arm_target: torch.Tensor, hand_target: torch.Tensor, disturbance: torch.Tensor | None = None
    ) -> None:
        """Advances all worlds by one control step; see `rfs_sim.seam.Engine.step`."""
        self.command(arm_target, hand_target, disturbance)
        for _ in range(self.substeps):
            self._isaac.write_data_to_sim()
            self._sim.step(render=False)
            self._isaac.update(self.scene.physics_dt)
        self.finish()

    def command(
        self, arm_target: torch.Tensor, hand_target: torch.Tensor, disturbance: torch.Tensor | None = None
    ) -> None:
        """The first part of `step`, for a loop that is not ours: sets the targets."""
        self._before = tuple(value.clone() for value in self._state())
        self._solver.forget()
        target = self._robot.actuators.target_command
        target.set_position_index(value=torch.cat((arm_target, hand_target), dim=1).float()[:, self._order])
        torque = self._zeros(len(JOINTS)) if disturbance is None else disturbance.float()
        target.set_effort_index(value=torque[:, self._order])

    def finish(self) -> None:
        """The last part of `step`: what happened in it."""
        # The pool of contacts is shared: where it ran out, nobody knows whose are missing.
        finite, dropped = self._not_finite == 0, (self._dropped > 0) | (self._pool > 0)
        self.unstable = ~finite | dropped
        self.contacts = (self._touched > 0) & ~self.unstable[:, None]
        if bool(self.unstable.any()):
            self._restore()
            self._problems.add("not finite", int((~finite).sum()))
            advice = "raise env.sim.physics.solver_cfg.njmax or nconmax"
            self._problems.add("without memory for all contacts", int((finite & dropped).sum()), advice)

    def read(self) -> Measured:
        """The worlds now (copies)."""
        data = self._robot.data
        position, velocity = data.joint_pos.torch[:, self._joints], data.joint_vel.torch[:, self._joints]
        thing = self._body(self._object)
        return Measured(
            arm_position=position[:, :_ARM],
            arm_velocity=velocity[:, :_ARM],
            hand_position=position[:, _ARM:],
            hand_velocity=velocity[:, _ARM:],
            object_pose=thing.pose,
            object_velocity=thing.velocity,
            bodies={body.name: self._body(body.name) for body in self.scene.bodies},
        )

    def problems(self) -> dict[str, int]:
        """Worlds that were lost since the engine was made, by reason."""
        return self._problems.counts

    def close(self) -> None:
        """Calls `when_closed`: the scene belongs to its environment."""
        self.when_closed()

    def _set_fields(self) -> None:
        """What the starts had set, once more: Newton has written its own model over it."""
        for world, start in enumerate(self._starts):
            if start is not None:
                self._fields.set(world, start)

    # --- Isaac Lab's buffers ---

    def _body(self, name: str) -> BodyState:
        if name in self._fixed:
            fixed = self._fixed[name]
            return BodyState(Pose(fixed.position.clone(), fixed.quaternion.clone()), self._zeros(6))
        data = self._isaac[name].data
        pose, velocity = data.root_link_pose_w.torch, data.root_link_vel_w.torch
        quaternion = torch.cat((pose[:, 6:], pose[:, 3:6]), dim=1)
        turning = se3.quat_rotate(se3.quat_conjugate(quaternion), velocity[:, 3:])
        return BodyState(
            Pose(pose[:, :3] - self._isaac.env_origins, quaternion),
            torch.cat((velocity[:, :3], turning), dim=1),
        )

    def _state(self) -> list[torch.Tensor]:
        data = self._robot.data
        state = [data.joint_pos.torch, data.joint_vel.torch]
        for name in self._things:
            body = self._isaac[name].data
            state += [body.root_link_pose_w.torch, body.root_link_vel_w.torch]
        return state

    def _restore(self) -> None:
        """Puts the unstable worlds back to where they were before the control step."""
        which = torch.nonzero(self.unstable).flatten()
        ids = which.int()
        position, velocity, *rest = (value[which] for value in self._before)
        self._write_joints(position, velocity, ids)
        for i, name in enumerate(self._things):
            self._write_body(name, rest[2 * i], rest[2 * i + 1], ids)
        self._written(which)

    def _write_joints(self, position: torch.Tensor, velocity: torch.Tensor, ids: torch.Tensor) -> None:
        self._robot.write_joint_position_to_sim_index(position=position, env_ids=ids)
        self._robot.write_joint_velocity_to_sim_index(velocity=velocity, env_ids=ids)

    def _write_body(self, name: str, pose: torch.Tensor, velocity: torch.Tensor, ids: torch.Tensor) -> None:
        thing = self._isaac[name]
        thing.write_root_link_pose_to_sim_index(root_pose=pose, env_ids=ids)
        thing.write_root_link_velocity_to_sim_index(root_velocity=velocity, env_ids=ids)

    def _written(self, which: torch.Tensor) -> None:
        # A world that came to no number would stay so: what its solver starts from is not a number either.
        mask = torch.zeros(self.num_worlds + 1, dtype=torch.bool, device=self.device)
        mask[which] = True
        self._solver.reset(NewtonManager.get_state_0(), world_mask=wp.from_torch(mask), flags=0)
        self._isaac.write_data_to_sim()
        self._sim.forward()
        self._isaac.update(0.0)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    def _zeros(self, width: int) -> torch.Tensor:
        return torch.zeros(self.num_worlds, width, device=self.device)


def _xyzw(wxyz: torch.Tensor) -> torch.Tensor:
    return torch.cat((wxyz[:, 1:], wxyz[:, :1]), dim=1)
