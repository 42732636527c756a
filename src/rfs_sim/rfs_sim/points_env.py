"""The vector environment seen through a camera: the observation's bodies and contacts give way to a cloud.

It wraps the environment of states and follows the same contract. What a state policy would have seen stays at
hand (`state_observation`), for teachers and critics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core.cloud import CloudConfig, CloudError
from rfs_core.tasks import points as points_task
from rfs_sim.point_camera import PointCamera, PointCameraConfig, own_values, unseen

if TYPE_CHECKING:
    from rfs_sim.vec_env import StepResult, TaskVecEnv


class PointsVecEnv:
    """N episodes of a task, each with a camera of its own.

    Attributes:
        num_envs, action_spec, observation_spec, max_episode_steps, task, worlds, episodes: see
            `rfs_sim.vec_env.TaskVecEnv`.
        unseen: clouds that the pipeline refused since the environment was made.
    """

    def __init__(
        self, env: TaskVecEnv, camera: PointCameraConfig, pipeline: CloudConfig | None = None
    ) -> None:
        """Wrap `env`; whether the next episode begins by itself is taken over from it."""
        self.autoreset, env.autoreset = env.autoreset, False
        self.camera, self.pipeline = camera, pipeline or CloudConfig()
        self.num_envs, self.task = env.num_envs, env.task
        self.action_spec, self.max_episode_steps = env.action_spec, env.max_episode_steps
        self.observation_spec = points_task.observation_spec(env.task, camera.count)
        self.unseen = 0
        self._env = env
        self._seed = 0
        self._cameras: list[PointCamera] = []
        self._data = mujoco.MjData(env.worlds.engine.models[0])
        self._observation = np.zeros((env.num_envs, self.observation_spec.size), np.float32)
        self._over = np.zeros(env.num_envs, np.bool_)

    @property
    def worlds(self) -> Any:
        """The worlds below."""
        return self._env.worlds

    @property
    def episodes(self) -> NDArray[np.integer]:
        """The episode that each env plays now. Shape: (N,)"""
        return self._env.episodes

    @property
    def autoreset_stride(self) -> int:
        """By how much the number of an env's episode grows when it ends."""
        return self._env.autoreset_stride

    @autoreset_stride.setter
    def autoreset_stride(self, stride: int) -> None:
        self._env.autoreset_stride = stride

    def reset(self, seed: int, episodes: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """See `TaskVecEnv.reset`."""
        self._env.reset(seed, episodes)
        self._seed = seed
        self._cameras = [self._camera_of(int(episode)) for episode in self._env.episodes]
        self._over[:] = False
        self._observation = self._seen(np.arange(self.num_envs), self._observation)
        return self._observation

    def step(self, chunk: NDArray[np.float64]) -> StepResult:
        """See `TaskVecEnv.step`. The last cloud of an episode that ends inside a chunk is of the chunk's
        end: the world goes on that long."""
        result = self._env.step(chunk)
        going_on = result.executed.any(axis=1)
        self._over = ~going_on | result.terminated | result.truncated
        final = self._seen(np.flatnonzero(going_on), self._observation)
        result.final_observation = self._observation = final
        if self.autoreset and self._over.any():
            who = np.flatnonzero(self._over)
            self._env.next_episodes(who)
            for i in who.tolist():
                self._cameras[i] = self._camera_of(int(self._env.episodes[i]))
            self._over[:] = False
            self._observation = self._seen(who, final)
        result.observation = self._observation
        return result

    def state_observation(self) -> NDArray[np.float32]:
        """What a state policy sees now. Shape: (N, size of the task's OBSERVATION_SPEC)"""
        observation: NDArray[np.float32] = self.worlds.observe()
        return observation

    def privileged(self) -> NDArray[np.float32]:
        """See `TaskVecEnv.privileged`."""
        return self._env.privileged()

    def close(self) -> None:
        """Ends the physics threads."""
        self._env.close()

    def _seen(self, who: NDArray[np.intp], before: NDArray[np.float32]) -> NDArray[np.float32]:
        """The observation now of `who`, a copy of `before` for the others."""
        observation, spec, state = before.copy(), self.observation_spec, self.worlds.state
        for name, values in own_values(state, self.worlds.seen.goal_position).items():
            if name in spec.names:
                observation[who, spec.slice(name)] = values[who]
        where = spec.slice(points_task.POINTS)
        for i in who.tolist():
            observation[i, where] = self._cloud(i).ravel()
        return observation

    def _camera_of(self, episode: int) -> PointCamera:
        error = self.worlds.camera_error
        moved = None if error is None else error.transform
        return PointCamera(self.camera, self.pipeline, self._seed, episode, moved)

    def _cloud(self, i: int) -> NDArray[np.float32]:
        engine = self.worlds.engine
        model = engine.models[i]
        self._data.qpos[:] = engine.qpos[i]
        mujoco.mj_kinematics(model, self._data)
        try:
            return self._cameras[i].points(model, self._data, int(self._env.steps[i]))
        except CloudError:
            self.unseen += 1
            return unseen(self.pipeline, self.camera.count)
