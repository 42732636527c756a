"""MuJoCo on the CPU as the engine of N independent worlds: set a start, hold joint targets, step one control
step, read arrays.

One `mujoco.rollout` call advances all worlds by one control step, in C, without the GIL. Every world has a
model of its own, into which a reset writes the drawn object, friction, mass and gains. Each control step
starts its solver cold, so that a world's next state depends on its state and targets only: the node (N = 1)
and the vector environment (any N) integrate alike, bit for bit.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from rfs_core import robot
from rfs_core.scene import EpisodeStart
from rfs_core.se3 import Pose
from rfs_core.world_state import BodyState
from rfs_sim import randomization
from rfs_sim.mjcf import SceneConfig
from rfs_sim.model import ModelIndex, compile_model
from rfs_sim.randomization import REST_DEPTH as REST_DEPTH
from rfs_sim.seam import EngineError as EngineError
from rfs_sim.seam import Measured, ProblemCounter, substeps_of

Array = NDArray[np.float64]

CONTROL_SPEC = mujoco.mjtState.mjSTATE_CTRL.value | mujoco.mjtState.mjSTATE_QFRC_APPLIED.value
"""What a control step sets: actuator controls, then applied joint forces."""


class Substeps(NamedTuple):
    """What the drivers would have measured within the last control step, one row per physics step.

    The last row is the state at the end of the step.
    """

    time: Array
    """s since the control step began. Shape: (S,)"""
    arm_position: Array
    """rad. Shape: (N, S, 7)"""
    arm_velocity: Array
    """rad/s. Shape: (N, S, 7)"""
    hand_position: Array
    """rad. Shape: (N, S, 16)"""
    hand_velocity: Array
    """rad/s. Shape: (N, S, 16)"""


class MujocoEngine:
    """N worlds of the scene, stepped together: an `Engine` (`rfs_sim.seam`) of float64 numpy arrays.

    Attributes:
        models: one `mujoco.MjModel` per world.
        index: addresses of joints, actuators and sensors, equal in all models.
        substeps: physics steps of a control step.
        qpos, qvel: state of all worlds. Shapes: (N, nq), (N, nv). Read only; `reset` and `step` write them.
        contacts: parts of the hand that touched the object in the last control step. Shape: (N, 5)
        unstable: worlds whose last step MuJoCo could not integrate; their state is that of the step before.
            Shape: (N,)
    """

    def __init__(self, num_worlds: int, scene: SceneConfig | None = None, threads: int = 1) -> None:
        """
        Args:
            num_worlds: N, at least 1.
            scene: what the worlds contain.
            threads: of the physics; 1 runs on the calling thread.
        """
        scene = scene or SceneConfig()
        if num_worlds < 1:
            raise EngineError(f"num_worlds is {num_worlds}, needs at least 1.")
        self.substeps = substeps_of(scene)
        self.scene = scene
        self.num_worlds = num_worlds
        template = compile_model(scene)
        self.models = [template] + [copy.copy(template) for _ in range(num_worlds - 1)]
        self.index = ModelIndex.of(template, bodies=scene.bodies)
        self._scratch = mujoco.MjData(template)
        self._data = [mujoco.MjData(template) for _ in range(max(1, threads))]
        self._rollout = Rollout(nthread=0 if threads <= 1 else threads)

        nq, nv, nu = template.nq, template.nv, template.nu
        size = mujoco.mj_stateSize(template, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)
        if size != 1 + nq + nv:
            raise EngineError(
                f"unexpected state of size {size}: this engine knows models without activations."
            )
        self._state = np.zeros((num_worlds, size))
        self._state[:, 1 : 1 + nq] = template.qpos0
        self._before = np.zeros((num_worlds, size))
        self._control = np.zeros((num_worlds, self.substeps, nu + nv))
        self._states = np.zeros((num_worlds, self.substeps, size))
        self._sensors = np.zeros((num_worlds, self.substeps, template.nsensordata))
        self._expected_time = self.substeps * scene.physics_dt

        self.qpos = self._state[:, 1 : 1 + nq]
        self.qvel = self._state[:, 1 + nq :]
        self.contacts = np.zeros((num_worlds, len(robot.CONTACT_NAMES)), dtype=np.bool_)
        self.unstable = np.zeros(num_worlds, dtype=np.bool_)
        self.example = np.zeros(0)
        self._problems = ProblemCounter("mujoco")
        self._fixed = {
            name: Pose(np.zeros((num_worlds, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (num_worlds, 1)))
            for name, body in self.index.bodies.items()
            if body.qpos is None
        }
        self._states_qpos = self._states[:, :, 1 : 1 + nq]
        self._states_qvel = self._states[:, :, 1 + nq :]
        self._force_dofs = nu + np.concatenate((self.index.arm_dof, self.index.hand_dof))

    def reset(self, worlds: Sequence[int], starts: Sequence[EpisodeStart]) -> None:
        """Puts worlds into starts of episodes, at rest."""
        for world, start in zip(worlds, starts, strict=True):
            self._reset(world, start)

    def _reset(self, world: int, start: EpisodeStart) -> None:
        index = self.index
        randomization.apply_start(self.models[world], self._scratch, index, start)
        self.qvel[world] = 0.0
        self.qpos[world] = randomization.start_qpos(self.models[world].qpos0, index, start)
        for name, fixed in self._fixed.items():
            fixed.position[world] = start.bodies[name].position
            fixed.quaternion[world] = start.bodies[name].quaternion
        self.contacts[world] = start.contacts
        self.unstable[world] = False

    def step(self, arm_target: Array, hand_target: Array, disturbance: Array | None = None) -> None:
        """Advances all worlds by one control step with the joint targets held.

        Args:
            arm_target: rad. Shape: (N, 7)
            hand_target: rad. Shape: (N, 16)
            disturbance: torque on the arm's, then the hand's joints, held for the step, N m. Shape: (N, 23)
        """
        control, index = self._control, self.index
        control[:, :, index.arm_ctrl] = arm_target[:, None]
        control[:, :, index.hand_ctrl] = hand_target[:, None]
        control[:, :, self._force_dofs] = 0.0 if disturbance is None else disturbance[:, None]
        self._before[:] = self._state
        self._before[:, 0] = 0.0
        self._rollout.rollout(
            self.models,
            self._data,
            self._before,
            control,
            control_spec=CONTROL_SPEC,
            skip_checks=True,
            nstep=self.substeps,
            state=self._states,
            sensordata=self._sensors,
        )
        last = self._states[:, -1]
        # MuJoCo resets a world that it cannot integrate: its clock then shows.
        in_time = np.abs(last[:, 0] - self._expected_time) < 1e-9
        self.unstable = ~(in_time & np.isfinite(last).all(axis=1))
        if self.unstable.any():
            self._problems.add("not finite", int(self.unstable.sum()))
            self._states[self.unstable] = self._before[self.unstable, None]
        self._state[:] = last
        self.contacts = (self._sensors[:, :, index.contact_sensors] > 0.0).any(axis=1)
        self.contacts[self.unstable] = False

    def read(self) -> Measured:
        """The worlds now (copies)."""
        index = self.index
        return Measured(
            arm_position=self.qpos[:, index.arm_qpos],
            arm_velocity=self.qvel[:, index.arm_dof],
            hand_position=self.qpos[:, index.hand_qpos],
            hand_velocity=self.qvel[:, index.hand_dof],
            object_pose=Pose(self.qpos[:, index.object_qpos[:3]], self.qpos[:, index.object_qpos[3:]]),
            object_velocity=self.qvel[:, index.object_dof],
            bodies=self.bodies(),
        )

    def problems(self) -> dict[str, int]:
        """Worlds that MuJoCo could not integrate, since the engine was made."""
        return self._problems.counts

    def bodies(self) -> dict[str, BodyState]:
        """The task's further bodies now, by name (copies)."""
        states = {}
        for name, body in self.index.bodies.items():
            if body.qpos is None:
                fixed = self._fixed[name]
                pose = Pose(fixed.position.copy(), fixed.quaternion.copy())
                states[name] = BodyState(pose, np.zeros((self.num_worlds, 6)))
            else:
                pose = Pose(self.qpos[:, body.qpos[:3]], self.qpos[:, body.qpos[3:]])
                states[name] = BodyState(pose, self.qvel[:, body.dof])
        return states

    def last_inputs(self) -> tuple[Array, Array]:
        """Initial states and controls of the last `step`, as `mujoco.rollout` takes them (for benchmarks)."""
        return self._before, self._control

    def substep_states(self) -> Substeps:
        """Joint states within the last control step, after each physics step (copies)."""
        index = self.index
        return Substeps(
            time=self.scene.physics_dt * np.arange(1, self.substeps + 1),
            arm_position=self._states_qpos[:, :, index.arm_qpos],
            arm_velocity=self._states_qvel[:, :, index.arm_dof],
            hand_position=self._states_qpos[:, :, index.hand_qpos],
            hand_velocity=self._states_qvel[:, :, index.hand_dof],
        )

    def copy_into(self, world: int, data: mujoco.MjData) -> None:
        """Writes a world's state into `data` and computes its poses: for rendering and ray casting with
        `models[world]`."""
        data.qpos[:] = self.qpos[world]
        data.qvel[:] = self.qvel[world]
        mujoco.mj_forward(self.models[world], data)

    def close(self) -> None:
        """Ends the physics threads."""
        self._rollout.close()
