"""The environment that an RL algorithm sees: its action is z, what it steers is the frozen base policy.

z (see `rfs_learning.steering.SteeringLayout`) becomes a chunk through the very object that is deployed,
`rfs_learning.policy.Policy`, and the chunk goes to the task's environment. It is an rsl_rl environment, so
any of that library's algorithms trains any modulation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rsl_rl.env import VecEnv as RslVecEnv
from tensordict import TensorDict
from torch import Tensor

from rfs_core.errors import RfsError
from rfs_learning.modulation import A0_MODES, Steering
from rfs_learning.policy import Policy, PolicyOutput
from rfs_learning.steering import SteeringLayout
from rfs_learning.vec_env import VecEnv

ACTOR_OBSERVATION = "policy"
"""What the deployed policy sees, normalised as the base policy does it."""
PRIVILEGED_OBSERVATION = "privileged"
"""What only the critic sees, in simulation; absent where the environment offers nothing."""

_LARGEST_PRIVILEGED = 30.0
"""Bound of privileged values, SI units; the fastest finger joint makes 30 rad/s."""


class GivenSteering:
    """A modulation that does what it is told: z is put in before each decision."""

    def __init__(self, layout: SteeringLayout) -> None:
        self.layout = layout
        self.z = torch.zeros(0, layout.size)
        """Shape: (N, layout.size)"""

    def __call__(self, observation: Tensor, noise: Tensor) -> Steering:
        """See `rfs_learning.modulation.Modulation`; the policy pads its batch, so does this."""
        z = torch.zeros(len(noise), self.layout.size, device=noise.device)
        z[: len(self.z)] = self.z
        return self.layout.decode(z, noise)


class ModulatedEnv(RslVecEnv):  # type: ignore[misc]
    """N environments whose action is z and whose step is one decision of H control steps.

    Observations are a TensorDict with the groups `ACTOR_OBSERVATION` and, where the environment has a method
    `privileged() -> (N, P)`, `PRIVILEGED_OBSERVATION`. The reward of a decision is the sum of its control
    steps' rewards, each discounted by gamma^(h/H), minus `residual_penalty` * sum((a_r / bound)^2).

    Extras of a step, beyond those of rsl_rl:
        time_outs: episodes cut at their time limit, float 0 or 1. Shape: (N,)
        final: observations before any reset, TensorDict.
        executed: control steps executed; fewer than H where an episode ended. Shape: (N,)
        success: episodes that ended now and succeeded, bool. Shape: (N,)
        output: the `PolicyOutput` that was executed.
    """

    def __init__(
        self,
        env: VecEnv,
        policy: Policy,
        layout: SteeringLayout,
        gamma: float,
        residual_penalty: float = 0.0,
        base_a0: str = "normal",
        critic_sees_time: bool = False,
    ) -> None:
        """Wrap `env`.

        Args:
            policy: the base policy; its own modulation is not used. Where it is, all tensors are.
            gamma: discount per decision.
            base_a0: a_0 where it is not steered: drawn from N(0, I) by torch's global generator, or 0.
            critic_sees_time: add the elapsed share of the episode to what is privileged. Right where the time
                limit ends the return, wrong where it is bootstrapped: no value would be learned at its end.

        Raises:
            RfsError: the layout is of another action, or base_a0 unknown.
        """
        spec = env.action_spec
        if (layout.horizon, layout.action_size) != (spec.horizon, spec.size):
            raise RfsError(
                f"steering of {layout.horizon} x {layout.action_size} values, the environment takes "
                f"{spec.horizon} x {spec.size}: make the layout from its action_spec"
            )
        if base_a0 not in A0_MODES:
            raise RfsError(f"base_a0 is {base_a0!r}, known are {', '.join(A0_MODES)}")
        self.env, self.layout, self.gamma = env, layout, gamma
        self._given = GivenSteering(layout)
        self._policy = policy.with_modulation(self._given)
        self._residual_penalty, self._base_a0 = residual_penalty, base_a0
        self._critic_sees_time = critic_sees_time
        self.num_envs = env.num_envs
        self.num_actions = layout.size
        self.max_episode_length = -(-env.max_episode_steps // layout.horizon)
        self.device = policy.device
        self.episode_length_buf = torch.zeros(env.num_envs, dtype=torch.long, device=self.device)
        self.draw: Callable[..., Tensor] = torch.randn
        """Draws a_0 where it is not steered."""
        self.cfg: dict[str, Any] = {"task": env.task, "steering": layout.to_dict()}
        self._step_discount = gamma ** (np.arange(layout.horizon) / layout.horizon)
        self._observation: NDArray[np.float32] = np.zeros(
            (env.num_envs, env.observation_spec.size), np.float32
        )

    @property
    def observation(self) -> NDArray[np.float32]:
        """The observation now, in the units of its spec. Shape: (N, O)"""
        return self._observation

    def reset(self, seed: int, episodes: NDArray[np.int64]) -> TensorDict:
        """Start environment i on episode `episodes[i]` of `seed`."""
        self._observation = self.env.reset(seed, episodes)
        self.episode_length_buf = torch.zeros_like(self.episode_length_buf)
        return self.get_observations()

    def get_observations(self) -> TensorDict:
        """Observations of now, by group."""
        return self._groups(self._observation, self._privileged(), self.episode_length_buf)

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        """Decide, execute the chunk, sum up. Shape: actions (N, num_actions), any finite value."""
        self._given.z = actions
        output = self._policy.act(self._observation, self._unsteered())
        result = self.env.step(output.a)
        executed = np.asarray(result.executed, np.float64)
        reward = (result.reward * executed * self._step_discount).sum(axis=1) - self._penalty(output)
        ended = result.terminated | result.truncated
        self._observation = result.observation
        privileged = self._privileged()
        final_privileged = result.log.get("final_privileged", privileged)
        length = self.episode_length_buf + 1
        done = self._tensor(ended)
        self.episode_length_buf = torch.where(done, 0, length)
        extras = {
            "time_outs": self._tensor(np.asarray(result.truncated, np.float32)),
            "final": self._groups(result.final_observation, final_privileged, length),
            "executed": self._tensor(executed.sum(axis=1).astype(np.float32)),
            "success": np.asarray(result.success, bool),
            "output": output,
            "log": {},
        }
        observations = self._groups(self._observation, privileged, self.episode_length_buf)
        return observations, self._tensor(reward.astype(np.float32)), done, extras

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _unsteered(self) -> NDArray[np.float32]:
        shape = (self.num_envs, self.layout.horizon, self.layout.action_size)
        if self.layout.steers or self._base_a0 == "zero":
            return np.zeros(shape, np.float32)
        drawn: NDArray[np.float32] = self.draw(*shape).numpy()
        return drawn

    def _penalty(self, output: PolicyOutput) -> NDArray[np.float64]:
        values = self.layout.residual_values
        if not values or self._residual_penalty == 0:
            return np.zeros(self.num_envs)
        share = output.a_r[:, 0, values] / np.asarray(self.layout.residual_bound)[values]
        penalty: NDArray[np.float64] = self._residual_penalty * (share**2).sum(axis=1)
        return penalty

    def _privileged(self) -> NDArray[np.float32] | None:
        offered = getattr(self.env, "privileged", None)
        return None if offered is None else np.asarray(offered(), np.float32)

    def _groups(
        self, observation: NDArray[np.float32], privileged: NDArray[np.float32] | None, length: Tensor
    ) -> TensorDict:
        groups = {ACTOR_OBSERVATION: self._policy.normalize(observation)}
        seen = []
        if privileged is not None:
            # As with the policy's observation: one world that blows up must not spoil a normaliser.
            bounded = np.clip(np.asarray(privileged, np.float32), -_LARGEST_PRIVILEGED, _LARGEST_PRIVILEGED)
            seen.append(self._tensor(bounded))
        if self._critic_sees_time:
            seen.append((length.float() / self.max_episode_length)[:, None])
        if seen:
            groups[PRIVILEGED_OBSERVATION] = torch.cat(seen, dim=1)
        return TensorDict(groups, batch_size=[self.num_envs])
