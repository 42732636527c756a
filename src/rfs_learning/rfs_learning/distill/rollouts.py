"""Episodes in which a teacher says what it would do, and who acts: the teacher, or the student it corrects.

The teacher sees the state, the student what a camera shows, of the same moment. In round 0 the teacher acts,
with some noise on what it executes, and only episodes that succeed are kept. In later rounds the student
acts, into the states that its own errors lead to, and every episode is kept with what the teacher would have
done there (DAgger, Ross et al. 2011).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rfs_core.seeding import episode_rng
from rfs_learning.distill.store import Rows
from rfs_learning.policy import Policy, PolicyOutput
from rfs_learning.vec_env import VecEnv

NOISE_STREAM = "distill_noise"


class Acting(Protocol):
    """The part of `Policy` that acting needs."""

    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> PolicyOutput:
        """Args: observation (N, O), noise (N, H, A)."""
        ...


def state_of(env: VecEnv, observation: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a state policy sees now: what the environment offers beside its observation, or that itself."""
    offered = getattr(env, "state_observation", None)
    return observation if offered is None else np.asarray(offered(), np.float32)


def play(
    env: VecEnv,
    teacher: Policy,
    seed: int,
    episodes: NDArray[np.int64],
    own_size: int,
    student: Acting | None = None,
    action_noise: NDArray[np.float64] | None = None,
) -> Iterator[tuple[int, bool, Rows]]:
    """Play `episodes` side by side, each once; yields (episode, success, rows) of each.

    Args:
        env: without autoreset, with `len(episodes)` environments.
        own_size: values of an observation before its cloud.
        student: who acts; None: the teacher.
        action_noise: standard deviation of what is added to the executed chunk (the same for its steps), so
            that there are rows beside the teacher's path. Shape (A,). None: nothing is.
    """
    count, spec = len(episodes), env.action_spec
    generators = [episode_rng(seed, int(episode), NOISE_STREAM) for episode in episodes]
    observation = env.reset(seed, episodes)
    steps: list[list[Any]] = [[] for _ in range(count)]
    success = np.zeros(count, bool)
    over = np.zeros(count, bool)
    shape = (spec.horizon, spec.size)
    for _ in range(-(-env.max_episode_steps // spec.horizon)):
        noise = np.stack([rng.standard_normal(shape).astype(np.float32) for rng in generators])
        shift = np.stack([rng.standard_normal((1, spec.size)) for rng in generators])
        state = state_of(env, observation)
        wanted = teacher.act(state, noise).a
        chunk = wanted if student is None else student.act(observation, noise).a
        for i in np.flatnonzero(~over).tolist():
            steps[i].append((observation[i], state[i], wanted[i].astype(np.float32)))
        result = env.step(chunk if action_noise is None else chunk + shift * action_noise)
        observation = result.observation
        success |= np.asarray(result.success, bool) & ~over
        over |= result.terminated | result.truncated
        if over.all():
            break
    for i in range(count):
        seen = np.stack([step[0] for step in steps[i]])
        yield (
            int(episodes[i]),
            bool(success[i]),
            Rows(
                own=seen[:, :own_size],
                points=seen[:, own_size:].reshape(len(seen), -1, 3),
                state=np.stack([step[1] for step in steps[i]]),
                action=np.stack([step[2] for step in steps[i]]),
            ),
        )
