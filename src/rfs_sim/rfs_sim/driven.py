"""One world of a task whose robot is moved by torques from outside: the physics behind emulated devices.

The arm's torques come every millisecond, the fingers' every two; where they come from is not this module's
business. What an emulated arm and an emulated hand need of a body is here: `ArmInWorld`, `HandInWorld`.

After a reset the world stands still, whatever torques come, until `release`: the drivers are started anew
meanwhile, and nothing falls.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core import robot
from rfs_core.se3 import Pose
from rfs_core.world_state import WorldState
from rfs_sim.gap import CameraError
from rfs_sim.mjcf import SceneConfig
from rfs_sim.randomization import DisturbanceConfig
from rfs_sim.world import Outcome, outcome_of
from rfs_sim.worlds import CARRYING_NOSLIP, Worlds

Array = NDArray[np.float64]

PHYSICS_DT = 0.001
"""s: one cycle of the arm's control interface."""
HAND_DT_STEPS = 2
"""Physics steps between two looks of the servos at their positions."""
STEPS_PER_TICK = round(robot.CONTROL_DT / PHYSICS_DT)
TAU_EXT_TIME = 0.01
"""s: low pass over the contact torques that the arm reports; a robot filters them too."""
COMPLIANT = DisturbanceConfig(arm=1.0)
"""Pulses on the joints, N m. The simulated driver resists with 200 N m s/rad: pulses of 10 N m move its
joints at 0.05 rad/s. Joints of an arm under Cartesian impedance resist with little more than their inertia of
about 1 kg m2: 1 N m moves them as fast within a control step."""


class _Worlds(Worlds):
    """Worlds whose physics somebody else steps."""

    def disturbance_now(self) -> Array:
        """Torque pulse of the present control step, N m. Shape: (23,)"""
        now = np.minimum(self._steps, self._torque.shape[1] - 1)
        pulse: Array = self._torque[0, now[0]]
        return pulse

    def look(self) -> None:
        """Make the state anew from the engine's arrays."""
        self.state = self._read()


class DrivenWorld:
    """One world of a task, its robot driven by torques."""

    def __init__(
        self,
        task: str,
        seed: int = 0,
        world: str = "training",
        disturbance: DisturbanceConfig | None = None,
    ) -> None:
        """The world of episode 0 of `seed`, standing still, until a reset.

        Args:
            task: name of the task.
            seed: of the world that is shown before the first reset.
            disturbance: torque pulses on the joints in an episode; None: `COMPLIANT`.
            world: `training` or `gap`, see `Worlds`.

        Raises:
            RfsError: an unknown task or world.
        """
        options = {} if world == "training" else {"world": world}
        self._worlds = _Worlds(
            task,
            1,
            # What is held must not creep out of a grip: that is the solver's, not a robot's.
            scene=SceneConfig(physics_dt=PHYSICS_DT, noslip=CARRYING_NOSLIP),
            disturbance=COMPLIANT if disturbance is None else disturbance,
            **options,
        )
        self.task = task
        self.max_episode_steps: int = self._worlds.task.MAX_EPISODE_STEPS
        self.action_spec = robot.DEFAULT_ACTION_SPEC
        engine = self._worlds.engine
        self._index = engine.index
        self._model = engine.models[0]
        self._data = mujoco.MjData(self._model)
        self._shown = mujoco.MjData(self._model)
        self._touched = np.zeros(len(robot.CONTACT_NAMES), dtype=np.bool_)
        self._drivers_dof = np.concatenate((self._index.arm_dof, self._index.hand_dof))
        self.seed, self.episode = seed, 0
        """What the last reset was for."""
        self.steps = 0
        """Physics steps since the last release."""
        self.moving = False
        """Whether torques move it; False between a reset and `release`."""
        self.disturbed = False
        """Whether the episode's disturbances act."""
        self.hand_torque = np.zeros(16)
        """Of the servos, N m."""
        self.push = np.zeros(6)
        """Wrench on the flange (N, N m; base frame)."""
        self.tau_ext = np.zeros(7)
        """Torques of contacts and push on the arm's joints, low-passed, N m."""
        # For those who record what was commanded; the devices are the ones who know.
        self.applied_target = Pose(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0, 0.0]]))
        self.hand_target = np.zeros((1, 16))
        self.reset(seed, 0)

    def reset(self, seed: int, episode: int) -> None:
        """Put the world into the first state of an episode; it stands still until `release`."""
        worlds, model = self._worlds, self._model
        worlds.reset(seed, [episode])
        self.seed, self.episode = seed, episode
        # The actuators of the simulated driver have no part in this: torques come from the devices.
        index = self._index
        for actuators in (index.arm_ctrl, index.arm_damper, index.hand_ctrl, index.hand_damper):
            model.actuator_gainprm[actuators] = 0.0
            model.actuator_biasprm[actuators] = 0.0
        mujoco.mj_resetData(model, self._data)
        self._data.qpos[:] = worlds.engine.qpos[0]
        mujoco.mj_forward(model, self._data)
        self.steps, self.moving, self.disturbed = 0, False, False
        self._touched[:] = False
        self.hand_torque = np.zeros(16)
        self.tau_ext = np.zeros(7)
        start = worlds.starts[0]
        self.applied_target = Pose(worlds.target.position.copy(), worlds.target.quaternion.copy())
        self.hand_target = np.array(start.hand_position)[None]

    def release(self) -> None:
        """Torques move it from now on, with the episode's disturbances."""
        self.steps, self.moving, self.disturbed = 0, True, True

    def stand_still(self) -> None:
        """Stop where everything is, as if a person held it, until `reset` and `release`."""
        self.moving = self.disturbed = False
        self._data.qvel[:] = 0.0
        self.tau_ext = np.zeros(7)

    def step(self, arm_torque: Array) -> bool:
        """One millisecond under the arm's torques (N m) and `hand_torque`; True where it ends a control step.

        Shape: (7,)
        """
        if not self.moving:
            return False
        data, index = self._data, self._index
        force = data.qfrc_applied
        force[:] = 0.0
        if self.disturbed:
            force[self._drivers_dof] = self._worlds.disturbance_now()
        force[index.arm_dof] += arm_torque
        # The servos' current bounds their torque; the joint's own limit in the model is an actuator's.
        force[index.hand_dof] += self.hand_torque
        pushed = self._push_force(force) if self.push.any() else np.zeros(7)
        mujoco.mj_step(self._model, data)
        self._touched |= data.sensordata[index.contact_sensors] > 0.0
        share = PHYSICS_DT / TAU_EXT_TIME
        self.tau_ext = self.tau_ext + share * (data.qfrc_constraint[index.arm_dof] + pushed - self.tau_ext)
        self.steps += 1
        if self.steps % STEPS_PER_TICK:
            return False
        self._end_control_step()
        return True

    def _push_force(self, force: Array) -> Array:
        """Adds the push to generalised forces; its share on the arm's joints."""
        own = np.zeros(self._model.nv)
        site = self._model.site("flange").id
        body = self._model.body("fr3_link7").id
        point = self._data.site_xpos[site]
        mujoco.mj_applyFT(self._model, self._data, self.push[:3], self.push[3:], point, body, own)
        force += own
        share: Array = own[self._index.arm_dof]
        return share

    def _end_control_step(self) -> None:
        engine, data = self._worlds.engine, self._data
        # MuJoCo resets a world that it cannot integrate: its clock then shows.
        unstable = abs(data.time - self.steps * PHYSICS_DT) > 1e-6 or not np.isfinite(data.qpos).all()
        engine.unstable[0] = unstable
        if not unstable:
            self._show()
            engine.contacts[0] = self._touched
        else:
            engine.contacts[0] = False
        self._touched[:] = False
        self._worlds.stepped()

    def _show(self) -> None:
        self._worlds.engine.qpos[0] = self._data.qpos
        self._worlds.engine.qvel[0] = self._data.qvel

    # What the arm's and the hand's bodies need

    @property
    def arm(self) -> tuple[Array, Array]:
        """Positions and velocities of the arm's joints now (copies). Shape: (7,)"""
        index = self._index
        return self._data.qpos[index.arm_qpos], self._data.qvel[index.arm_dof]

    @property
    def hand(self) -> tuple[Array, Array]:
        """Positions and velocities of the fingers' joints now (copies). Shape: (16,)"""
        index = self._index
        return self._data.qpos[index.hand_qpos], self._data.qvel[index.hand_dof]

    def place(self, arm: Array | None = None, hand: Array | None = None) -> None:
        """Put arm or fingers at rest at joint positions, as a person would by hand."""
        index = self._index
        if arm is not None:
            self._data.qpos[index.arm_qpos] = arm
            self._data.qvel[index.arm_dof] = 0.0
        if hand is not None:
            self._data.qpos[index.hand_qpos] = hand
            self._data.qvel[index.hand_dof] = 0.0
        mujoco.mj_forward(self._model, self._data)
        self._show()
        self._worlds.look()

    # What perception, reward, cameras and recordings need

    @property
    def state(self) -> WorldState:
        """The world at the last control step (N = 1)."""
        return self._worlds.state

    @property
    def seen(self) -> WorldState:
        """That state as perception reports it."""
        return self._worlds.seen

    @property
    def camera_error(self) -> CameraError | None:
        """Where points seem to be that a camera sees; None: where they are."""
        return self._worlds.camera_error

    def outcome(self) -> Outcome:
        """The task's judgement of that state."""
        return outcome_of(self._worlds)

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled model; a reset writes the drawn object into it."""
        return self._model

    def copy_of_model(self) -> mujoco.MjModel:
        """The model as it is now, for another thread."""
        return self._model.__copy__()

    @property
    def qpos(self) -> Array:
        """Generalised positions at the last control step (a copy). Shape: (nq,)"""
        return self._worlds.engine.qpos[0].copy()

    def data(self) -> mujoco.MjData:
        """Positions of everything, for cameras and rays; overwritten by the next call."""
        self._shown.qpos[:] = self._worlds.engine.qpos[0]
        mujoco.mj_kinematics(self._model, self._shown)
        mujoco.mj_camlight(self._model, self._shown)
        return self._shown

    def close(self) -> None:
        """Give the physics back."""
        self._worlds.close()


class ArmInWorld:
    """What an emulated arm moves: torques in, motion out. Its steps are those of the whole world."""

    def __init__(self, world: DrivenWorld) -> None:
        self._world = world
        self.q, self.dq = world.arm
        """rad, rad/s. Shape: (7,)"""

    @property
    def tau_ext(self) -> Array:
        """Torques of the surroundings on the joints, N m. Shape: (7,)"""
        return self._world.tau_ext

    def step(self, torque: Array, dt: float) -> None:
        """One millisecond; the caller's hooks around it are set by whoever joins arm and hand."""
        self._world.step(torque)
        self.q, self.dq = self._world.arm

    def push(self, wrench: Array) -> None:
        """Apply a wrench (N, N m; base frame) at the flange from now on. Shape: (6,)"""
        self._world.push = np.asarray(wrench, dtype=np.float64)

    def place(self, q: Array) -> None:
        """Put the arm at rest at joint positions."""
        self._world.place(arm=np.clip(q, robot.ARM_LIMITS[0], robot.ARM_LIMITS[1]))
        self.q, self.dq = self._world.arm


class HandInWorld:
    """What emulated servos move, in the order of `robot.HAND_JOINT_NAMES`."""

    def __init__(self, world: DrivenWorld) -> None:
        self._world = world

    @property
    def position(self) -> Array:
        """rad. Shape: (16,)"""
        return self._world.hand[0]

    @position.setter
    def position(self, value: Array) -> None:
        self._world.place(hand=value)

    @property
    def velocity(self) -> Array:
        """rad/s. Shape: (16,)"""
        return self._world.hand[1]

    @velocity.setter
    def velocity(self, value: Array) -> None:
        """At rest after being placed; nothing else sets it."""

    def step(self, torque: Array, dt: float) -> None:
        """Torques until the next look of the servos; time passes with the arm's steps."""
        self._world.hand_torque = torque
