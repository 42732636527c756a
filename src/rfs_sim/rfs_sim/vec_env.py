"""The task as a vector environment for learning: chunks of actions in, observations and rewards out.

Worlds, task terms and control law run on the engine's arrays, tensors of a GPU perhaps; what goes to learning
is numpy: once per decision a chunk in, and an observation out.

It follows the contract of `rfs_learning.vec_env` without importing it; the registration as `rfs.engines` is
what learning finds it by.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core import arrays, control, hand_geometry, robot
from rfs_core.config import from_mapping
from rfs_core.errors import ConfigError, RfsError
from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_sim.mjcf import SceneConfig
from rfs_sim.point_camera import PointCameraConfig
from rfs_sim.points_env import PointsVecEnv
from rfs_sim.randomization import DisturbanceConfig
from rfs_sim.worlds import Worlds

Array = NDArray[np.float64]


class ActionError(RfsError):
    """An action chunk that must not reach the robot: wrong shape, or not finite."""


@dataclass
class StepResult:
    """What one chunk of actions did. When an episode ends inside the chunk, the rest of it is not
    executed."""

    observation: NDArray[np.float32]
    """After the chunk; with autoreset, of the next episode where one has ended. Shape: (N, O)"""
    reward: Array
    """Of every control step; 0 where not executed. Shape: (N, H)"""
    executed: NDArray[np.bool_]
    """Whether the control step was taken. Shape: (N, H)"""
    terminated: NDArray[np.bool_]
    """The task could not go on: the object is lost. Shape: (N,)"""
    truncated: NDArray[np.bool_]
    """The time was up, and nothing else ended the episode. Shape: (N,)"""
    success: NDArray[np.bool_]
    """The episode has ended in success; False while it goes on. Shape: (N,)"""
    final_observation: NDArray[np.float32]
    """After the last executed control step, before any reset. Shape: (N, O)"""
    log: dict[str, Any] = field(default_factory=dict)
    """Arrays (N,): `reward/<term>`, summed over the chunk; `episode_steps` so far; `object`, the name of
    what is grasped; `object_start` (N, 2), where it truly was (m); `outcome`, how an episode has ended that
    did, in words; `penetration`, how far its fingers run into each other then, m, and `infeasible`, whether
    that is too far (`rfs_core.hand_geometry`). And `final_privileged`, what `privileged` was before any
    reset: (N, P)."""


class TaskVecEnv:
    """N episodes of a task side by side. Env i plays episode `episodes[i]`, then `episodes[i] + N`, and so
    on.

    Attributes:
        num_envs, action_spec, observation_spec, max_episode_steps, task: see `rfs_learning.vec_env`.
        worlds: the worlds below, for cameras and demonstrators.
        episodes: the episode that each env plays now. Shape: (N,)
        autoreset_stride: by how much its number grows when it ends; more than N where other processes play
            the episodes between.
    """

    def __init__(self, task: str, worlds: Worlds, autoreset: bool = True) -> None:
        self.task = task
        self.worlds = worlds
        self.autoreset = autoreset
        self.num_envs = worlds.num_worlds
        self.action_spec: ActionSpec = robot.DEFAULT_ACTION_SPEC
        self.observation_spec: ObservationSpec = worlds.task.OBSERVATION_SPEC
        self.max_episode_steps: int = worlds.task.MAX_EPISODE_STEPS
        self.episodes = np.arange(self.num_envs)
        self.autoreset_stride = self.num_envs
        self._seed: int | None = None
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        self._ended = np.zeros(self.num_envs, dtype=np.bool_)
        self._hand = self.action_spec.slice("hand_target")
        self._observation = self._observe()

    @property
    def device(self) -> str:
        """Where the engine's arrays are, as torch names it."""
        return str(getattr(self.worlds.engine.example, "device", "cpu"))

    def reset(self, seed: int, episodes: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """Starts an episode in every env.

        Args:
            seed: of the run.
            episodes: which episode each env plays; None: 0 ... N-1. Shape: (N,)

        Returns:
            Observation. Shape: (N, O)
        """
        episodes = np.arange(self.num_envs) if episodes is None else np.array(episodes)
        if episodes.shape != (self.num_envs,):
            raise ActionError(
                f"episodes has shape {episodes.shape}, needs one per environment: ({self.num_envs},)."
            )
        self._seed = seed
        self.episodes = episodes
        self._steps[:] = 0
        self._ended[:] = False
        with arrays.outside_inference(self.worlds.engine.example):
            self.worlds.reset(seed, episodes)
            self._observation = self._observe()
        return self._observation

    def step(self, chunk: Array) -> StepResult:
        """Executes a chunk of actions, one control step after the other.

        Args:
            chunk: physical units, clipped here to the action's bounds. Shape: (N, H, A)

        Raises:
            ActionError: shape wrong, a value not finite, or no episode started.
        """
        chunk = self._checked(chunk)
        with arrays.outside_inference(self.worlds.engine.example):
            return self._step(chunk)

    def _step(self, chunk: Array) -> StepResult:
        n, horizon = chunk.shape[:2]
        reward = np.zeros((n, horizon))
        executed = np.zeros((n, horizon), dtype=np.bool_)
        terminated = np.zeros(n, dtype=np.bool_)
        success = np.zeros(n, dtype=np.bool_)
        log: dict[str, Any] = {}
        outcome = np.full(n, "", dtype=object)
        penetration = np.zeros(n)
        task, config = self.worlds.task, self.worlds.task_config
        final = self._observation
        running = ~self._ended
        for h in range(horizon):
            if not running.any():
                break
            executed[:, h] = running
            self._control_step(arrays.of(chunk[:, h], self.worlds.engine.example))
            state = self.worlds.state
            self._steps[running] += 1
            terms = task.reward_terms(state, config)
            for name, term in terms.items():
                key = f"reward/{name}"
                log[key] = log.get(key, 0.0) + arrays.to_numpy(term) * running
            reward[:, h] = arrays.to_numpy(task.total_reward(terms)) * running
            unstable = arrays.to_numpy(self.worlds.engine.unstable)
            terminated |= running & (arrays.to_numpy(task.terminated(state, config)) | unstable)
            ended = running & (terminated | (self._steps >= self.max_episode_steps))
            success |= ended & ~terminated & arrays.to_numpy(task.success(state, config))
            if h == horizon - 1 or ended.any():
                now = running if h == horizon - 1 else ended
                final = np.where(now[:, None], self._observe(), final)
            if ended.any():
                over = state.take(arrays.of(ended, state.time)).numpy()
                penetration[ended] = hand_geometry.penetration(over.hand_position)
                outcome[ended] = task.outcome(over, config)
                outcome[ended & unstable] = "physics unstable"
            self._ended |= ended
            running &= ~ended
        ended = executed[:, 0] & self._ended
        log["episode_steps"] = self._steps.astype(np.float64)
        log["outcome"] = outcome
        log["penetration"] = penetration
        log["infeasible"] = penetration > hand_geometry.INFEASIBLE
        log["object_start"] = np.array([start.object_position[:2] for start in self.worlds.starts])
        log["object"] = np.array([start.shape.name for start in self.worlds.starts])
        self._observation = final
        log["final_privileged"] = self.privileged()
        if self.autoreset and ended.any():
            self.next_episodes(np.flatnonzero(ended))
        return StepResult(
            self._observation, reward, executed, terminated, ended & ~terminated, success, final, log
        )

    def privileged(self) -> NDArray[np.float32]:
        """What a critic may see beyond the observation: velocities, how far joints are from their targets,
        the way from each fingertip to the object, how long success has lasted, how the task's bodies move.

        Shape: (N, P)
        """
        s = self.worlds.state
        tips = s.object_pose.position[:, None] - s.fingertip_position
        parts = (
            s.arm_velocity,
            s.hand_velocity,
            s.arm_target - s.arm_position,
            s.hand_target - s.hand_position,
            s.object_velocity,
            tips.reshape((self.num_envs, -1)),
            s.object_pose.position - s.goal_position,
            s.held_steps[:, None],
            *(body.velocity for body in s.bodies.values()),
        )
        seen = arrays.namespace(tips).concat([arrays.single(part) for part in parts], axis=1)
        return arrays.to_numpy(seen)

    def _observe(self, worlds: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        which = None if worlds is None else arrays.of(worlds, self.worlds.engine.example)
        return arrays.to_numpy(self.worlds.observe(which))

    def close(self) -> None:
        """Ends the physics threads."""
        self.worlds.close()

    def _checked(self, chunk: Array) -> Array:
        if self._seed is None:
            raise ActionError("no episode has been started: call reset(seed, episodes) first.")
        chunk = np.asarray(chunk, dtype=np.float64)
        size = self.action_spec.size
        if chunk.ndim != 3 or chunk.shape[0] != self.num_envs or chunk.shape[2] != size or chunk.shape[1] < 1:
            raise ActionError(
                f"chunk has shape {chunk.shape}, needs ({self.num_envs}, H, {size}) with H >= 1."
            )
        bad = ~np.isfinite(chunk)
        if bad.any():
            env, h, value = (int(i) for i in np.argwhere(bad)[0])
            raise ActionError(
                f"action is not finite: environment {env}, step {h} of the chunk, value {value} is "
                f"{chunk[env, h, value]} ({int(bad.sum())} such values); nothing was executed."
            )
        return np.asarray(self.action_spec.clip(chunk))

    def _control_step(self, action: Array) -> None:
        worlds = self.worlds
        target = control.step_target(worlds.target, action[:, :6], worlds.state.palm)
        worlds.step(target, control.limit_rate(worlds.hand_target, action[:, self._hand]))

    @property
    def steps(self) -> NDArray[np.int64]:
        """Control steps of each env's episode so far. Shape: (N,)"""
        return self._steps

    def next_episodes(self, who: NDArray[np.intp]) -> None:
        """Start the next episode of these envs, as autoreset does."""
        assert self._seed is not None
        self.episodes = self.episodes.copy()
        self.episodes[who] += self.autoreset_stride
        self.worlds.reset(self._seed, self.episodes[who], who)
        self._steps[who] = 0
        self._ended[who] = False
        self._observation = self._observation.copy()
        self._observation[who] = self._observe(who)


def make_env(
    task: str,
    num_envs: int,
    *,
    physics_dt: float = 0.01,
    autoreset: bool = True,
    disturbance: float = 1.0,
    threads: int = 1,
    world: str = "training",
    objects: str = "seen",
    observation: str = "state",
    camera: Mapping[str, Any] | None = None,
    **task_options: object,
) -> TaskVecEnv | PointsVecEnv:
    """The MuJoCo engine's vector environment.

    Args:
        task: name of the task; an unknown one raises UnknownTaskError, which lists what exists.
        num_envs: N.
        physics_dt: time step of the physics, s; must divide the control step of 0.05 s.
        autoreset: start env i's next episode when one ends.
        disturbance: factor on the default torque pulses; 0 turns them off.
        threads: of the physics.
        world: `training`, or `gap`: objects, contacts, hand, camera and delay that differ from training as a
            robot's do (`rfs_sim.gap`).
        objects: `seen`, the task's own, or in the gap world `unseen`.
        observation: `state`, or `points`: a cloud instead of what only a simulator knows.
        camera: with `points`, values of `rfs_sim.point_camera.PointCameraConfig` other than its defaults.
        task_options: values of the task's configuration other than its defaults.
    """
    if observation not in ("state", "points"):
        raise ConfigError(f"observation is {observation!r}, must be state or points")
    if camera and observation != "points":
        raise ConfigError(f"camera is {dict(camera)}, but observation is {observation!r}: choose points")
    worlds = Worlds(
        task,
        num_envs,
        scene=SceneConfig(physics_dt=physics_dt),
        disturbance=DisturbanceConfig().scaled(disturbance),
        threads=threads,
        world=world,
        objects=objects,
        **task_options,
    )
    env = TaskVecEnv(task, worlds, autoreset)
    return env if observation == "state" else PointsVecEnv(env, from_mapping(PointCameraConfig, camera or {}))
