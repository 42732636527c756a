"""Demonstrations by a trained policy, for a base policy that has learned what it does and still can be
steered.

    python -m rfs_learning.offline.rollouts --checkpoint checkpoints/grasp_rfs.safetensors --episodes 1000 \
        --spread 1.0 --out runs/grasp_distilled/demos.npz

A trained policy hardly varies, and a flow of what hardly varies leaves its noise no authority. So `spread`
standard deviations are added to the noise that the policy steers by, and successful episodes are kept. It
decides anew at every control step, as demonstrations have one row each. The file is one that `base_trainer`
reads.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from rfs_core.errors import RfsError
from rfs_core.seeding import episode_rng
from rfs_learning.evaluate import NOISE_STREAM, not_negative, positive
from rfs_learning.modulation import Modulation, Steering
from rfs_learning.policy import Policy
from rfs_learning.vec_env import VecEnv, make_env

_LARGEST_NOISE = 3.0


class Spread:
    """A modulation whose a_0 has noise added."""

    def __init__(self, inner: Modulation, spread: float) -> None:
        self._inner, self._spread = inner, spread

    def __call__(self, observation: Tensor, noise: Tensor) -> Steering:
        """See `rfs_learning.modulation.Modulation`."""
        steering = self._inner(observation, noise)
        a_0 = (steering.a_0 + self._spread * noise).clamp(-_LARGEST_NOISE, _LARGEST_NOISE)
        return steering._replace(a_0=a_0)


def play(
    policy: Policy, env: VecEnv, seed: int, episodes: NDArray[np.int64]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32], bool]]:
    """Observations (T, O), actions (T, A) and success of every episode."""
    spec, count = env.action_spec, len(episodes)
    generators = [episode_rng(seed, int(episode), NOISE_STREAM) for episode in episodes]
    rows: list[list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = [[] for _ in episodes]
    over, success = np.zeros(count, bool), np.zeros(count, bool)
    observation = env.reset(seed, episodes)
    while not over.all():
        noise = np.stack(
            [g.standard_normal((spec.horizon, spec.size)).astype(np.float32) for g in generators]
        )
        action = policy.act(observation, noise).a[:, :1]
        for i in np.flatnonzero(~over).tolist():
            rows[i].append((observation[i].copy(), action[i, 0].astype(np.float32)))
        result = env.step(action)
        success |= result.success & ~over
        over |= result.terminated | result.truncated
        observation = result.observation
    return [
        (np.array([o for o, _ in one]), np.array([a for _, a in one]), bool(won))
        for one, won in zip(rows, success, strict=True)
    ]


def main() -> None:
    """Collect and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="policy that acts")
    parser.add_argument("--out", required=True, type=Path, help="file (.npz) to write")
    parser.add_argument("--episodes", type=positive, default=1000, help="successful episodes to keep")
    parser.add_argument("--spread", type=float, default=1.0, help="standard deviation added to a_0")
    parser.add_argument("--seed", type=not_negative, default=12345, help="seed of the episodes")
    parser.add_argument("--engine", default="mujoco", help="engine, an entry point of rfs.engines")
    arguments = parser.parse_args()
    policy = Policy.load(arguments.checkpoint)
    header = policy.header
    policy = policy.with_modulation(Spread(policy.modulation, arguments.spread))
    env = make_env(arguments.engine, header.task, min(256, arguments.episodes), autoreset=False)
    kept: list[tuple[NDArray[np.float32], NDArray[np.float32], bool]] = []
    played = 0
    with tqdm(total=arguments.episodes, unit="episode") as bar:
        while len(kept) < arguments.episodes:
            batch = play(policy, env, arguments.seed, np.arange(played, played + env.num_envs))
            played += env.num_envs
            won = [one for one in batch if one[2]]
            if not won:
                raise RfsError(f"{arguments.checkpoint}: not one success in {env.num_envs} episodes")
            kept += won[: arguments.episodes - len(kept)]
            bar.update(len(kept) - bar.n)
    stored = {
        "task": header.task,
        "action_spec": header.action_spec.to_dict(),
        "observation_spec": header.observation_spec.to_dict(),
        "seed": arguments.seed,
        "command": shlex.join(["python", "-m", "rfs_learning.offline.rollouts", *sys.argv[1:]]),
        "physics_dt": 0.01,
        "control_dt": header.action_spec.control_dt,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        arguments.out,
        observation=np.concatenate([o for o, _, _ in kept]),
        action=np.concatenate([a for _, a, _ in kept]),
        episode_start=np.cumsum([0, *(len(o) for o, _, _ in kept)]),
        success=np.ones(len(kept), bool),
        header=np.array(json.dumps(stored)),
    )
    print(f"written: {arguments.out}: {len(kept)} of {played} episodes")


if __name__ == "__main__":
    main()
