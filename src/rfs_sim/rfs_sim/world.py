"""The one world of the simulation node: the vector environment's worlds with N = 1, moved by targets.

What the drivers of the real robot do by themselves is here: the last targets are held, and an arm whose
commands have stopped stays where it was measured.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core import robot
from rfs_core.se3 import Pose
from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_core.world_state import WorldState
from rfs_sim.engine import Substeps
from rfs_sim.gap import CameraError
from rfs_sim.mjcf import SceneConfig
from rfs_sim.randomization import DisturbanceConfig
from rfs_sim.worlds import Worlds

FloatArray = NDArray[np.float64]


class Outcome(NamedTuple):
    """The task's judgement of the present state."""

    total: float
    """Sum of all terms of the reward."""
    terms: dict[str, float]
    """The reward's terms by name."""
    success: bool
    """The success condition holds at this step."""
    terminated: bool
    """The task cannot go on."""
    reason: str
    """Why it cannot; empty otherwise."""


class World:
    """One world of a task."""

    def __init__(
        self,
        task: str,
        physics_dt: float = 0.01,
        disturbance: DisturbanceConfig | None = None,
        seed: int = 0,
        world: str = "training",
        objects: str = "seen",
    ) -> None:
        """The world of episode 0 of `seed`, until a reset.

        Args:
            task: Name of the task.
            physics_dt: Time step of the physics (s).
            disturbance: Torque pulses on the joints in an episode; None: the default ones.
            seed: Seed of the world that is shown before the first reset.
            world: `training`, or `gap`.
            objects: `seen`, or in the gap world `unseen`.

        Raises:
            RfsError: an unknown task, world or set of objects, or a physics_dt that does not divide the
                control step.
        """
        self._worlds = Worlds(
            task,
            1,
            scene=SceneConfig(physics_dt=physics_dt),
            disturbance=disturbance,
            world=world,
            objects=objects,
        )
        self.task = task
        self.action_spec: ActionSpec = robot.DEFAULT_ACTION_SPEC
        self.observation_spec: ObservationSpec = self._worlds.task.OBSERVATION_SPEC
        self.max_episode_steps: int = self._worlds.task.MAX_EPISODE_STEPS
        self.steps = 0
        """Control steps since the last reset."""
        self.seed, self.episode = seed, 0
        """Of the last reset."""
        self.target: Pose
        """Palm target in the base frame that the next step follows unless it holds."""
        self.hand_target: FloatArray
        """Finger targets that the next step holds (rad). Shape: (1, 16)"""
        self._held_at: Pose | None = None
        self._data = mujoco.MjData(self._worlds.engine.models[0])
        self.reset(seed, 0)

    @property
    def state(self) -> WorldState:
        """The world now (N = 1)."""
        return self._worlds.state

    @property
    def seen(self) -> WorldState:
        """The world as drivers and perception report it: a camera may not be where its calibration says."""
        return self._worlds.seen

    @property
    def camera_error(self) -> CameraError | None:
        """Where points seem to be that a camera sees; None: where they are."""
        return self._worlds.camera_error

    @property
    def applied_target(self) -> Pose:
        """Palm target of the last step."""
        return self._worlds.target

    def reset(self, seed: int, episode: int) -> None:
        """Put the world into the first state of an episode; arm and hand hold there."""
        self._worlds.reset(seed, [episode])
        self.seed, self.episode = seed, episode
        self.steps = 0
        self.target = _copy(self._worlds.target)
        # Until somebody commands the hand it keeps its grip.
        start = self._worlds.starts[0]
        grip = start.hand_position if start.hand_target is None else start.hand_target
        self.hand_target = np.array(grip)[None]
        self._held_at = None

    def command_arm(self, target: Pose) -> None:
        """Follow another palm target from the next step on. Shapes: (1, 3), (1, 4)."""
        self.target = target

    def command_hand(self, target: FloatArray) -> None:
        """Hold other finger targets from the next step on, within the joints' limits (rad). Shape: (16,)"""
        self.hand_target = np.clip(target, robot.HAND_LIMITS[0], robot.HAND_LIMITS[1])[None]

    def step(self, hold: bool = False, disturbed: bool = True) -> None:
        """One control step.

        Args:
            hold: The arm stays at the palm pose measured when holding began, instead of following its target;
                the fingers keep theirs, so that what they grip is not dropped.
            disturbed: False leaves the episode's disturbances out.
        """
        if not hold:
            self._held_at = None
        elif self._held_at is None:
            self._held_at = _copy(self.state.palm)
        target = self.target if self._held_at is None else self._held_at
        # Copies: the worlds keep what they are given and write into it at a reset.
        self._worlds.step(_copy(target), self.hand_target.copy(), disturbed=disturbed)
        self.steps += 1

    def substep_states(self) -> Substeps:
        """Joint states within the last control step (N = 1)."""
        return self._worlds.substep_states()

    def outcome(self) -> Outcome:
        """The task's judgement of the present state."""
        return outcome_of(self._worlds)

    def observe(self) -> NDArray[np.float32]:
        """What a state policy sees. Shape: (1, O)"""
        return self._worlds.observe()

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled model; a reset writes the drawn object into it."""
        return self._worlds.engine.models[0]

    def copy_of_model(self) -> mujoco.MjModel:
        """The model as it is now, for another thread."""
        return copy.copy(self.model)

    @property
    def qpos(self) -> FloatArray:
        """Generalised positions (a copy). Shape: (nq,)"""
        return self._worlds.engine.qpos[0].copy()

    def data(self) -> mujoco.MjData:
        """Positions of everything, for cameras and rays; overwritten by the next call."""
        self._data.qpos[:] = self._worlds.engine.qpos[0]
        mujoco.mj_kinematics(self.model, self._data)
        mujoco.mj_camlight(self.model, self._data)
        return self._data

    def close(self) -> None:
        """Give the physics back."""
        self._worlds.close()


def outcome_of(worlds: Worlds) -> Outcome:
    """The task's judgement of the present state of the first of some worlds."""
    task, config, state = worlds.task, worlds.task_config, worlds.state
    terms = task.reward_terms(state, config)
    terminated, reason = bool(task.terminated(state, config)[0]), ""
    if terminated:
        reason = task.termination_reason(config)
    if worlds.engine.unstable[0]:
        terminated, reason = True, "the physics could not be integrated"
    return Outcome(
        total=float(task.total_reward(terms)[0]),
        terms={name: float(term[0]) for name, term in terms.items()},
        success=bool(task.success(state, config)[0]),
        terminated=terminated,
        reason=reason,
    )


def _copy(pose: Pose) -> Pose:
    return Pose(pose.position.copy(), pose.quaternion.copy())
