"""A toy task that needs no simulator: a point in the plane walks to a goal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rfs_core.seeding import episode_rng
from rfs_core.specs import ActionSpec, ObservationSpec, Part
from rfs_learning.checkpoint import Checkpoint, CheckpointHeader
from rfs_learning.flow import FlowBase
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture
from rfs_learning.vec_env import StepResult

ACTION = ActionSpec((Part("step", (2,), "m", -0.1, 0.1),), control_dt=0.05, horizon=2)
OBSERVATION = ObservationSpec((Part("position", (2,), "m", -1.0, 1.0), Part("goal", (2,), "m", -1.0, 1.0)))


class PointEnv:
    """N points; success: within 5 cm of the goal after `max_episode_steps`; leaving the square ends it."""

    action_spec, observation_spec, task, max_episode_steps = ACTION, OBSERVATION, "point", 11

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.played: list[int] = []

    def reset(self, seed: int, episodes: np.ndarray) -> np.ndarray:
        self.played += [int(e) for e in episodes]
        draws = np.stack([episode_rng(seed, int(e), "reset").uniform(-0.5, 0.5, 4) for e in episodes])
        self.position, self.goal = draws[:, :2].copy(), draws[:, 2:]
        self.steps = np.zeros(self.num_envs, int)
        self.over = np.zeros(self.num_envs, bool)
        return self._observe()

    def step(self, chunk: np.ndarray) -> StepResult:
        assert chunk.shape == (self.num_envs, 2, 2)
        reward, executed = np.zeros((self.num_envs, 2)), np.zeros((self.num_envs, 2), bool)
        terminated = np.zeros(self.num_envs, bool)
        truncated, success = terminated.copy(), terminated.copy()
        for h in range(2):
            alive = ~self.over
            executed[:, h] = alive
            self.position[alive] += chunk[alive, h]
            self.steps[alive] += 1
            distance = np.linalg.norm(self.position - self.goal, axis=1)
            # Where nothing is executed a reward means nothing; whoever counts it is found out.
            reward[:, h] = np.where(alive, 1.0 - distance, 99.0)
            out = alive & (np.abs(self.position) > 1.0).any(axis=1)
            late = alive & ~out & (self.steps >= self.max_episode_steps)
            terminated |= out
            truncated |= late
            success |= late & (distance < 0.05)
            self.over |= out | late
        outcome = np.where(success, "success", np.where(terminated, "left the square", "missed the goal"))
        name = np.where(self.goal[:, 0] > 0, "right", "left")
        log = {"outcome": outcome, "object": name}
        observation = self._observe()
        return StepResult(
            observation, reward, executed, terminated, truncated, success, observation.copy(), log
        )

    def _observe(self) -> np.ndarray:
        return np.concatenate([self.position, self.goal], axis=1).astype(np.float32)


def write_demos(path: Path, episodes: int = 20, seed: int = 0, **changes: Any) -> Path:
    """Demonstrations that walk 30 % of the way at each step; `changes` replace arrays of the file."""
    env, rng = PointEnv(episodes), np.random.default_rng(seed)
    observation = env.reset(seed, np.arange(episodes))
    seen, done = [], []
    for _ in range(5):
        chunk = np.zeros((episodes, 2, 2))
        position = observation[:, :2].astype(np.float64)
        for h in range(2):
            seen.append(np.concatenate([position, observation[:, 2:]], axis=1))
            step = 0.3 * (observation[:, 2:] - position) + 0.005 * rng.standard_normal((episodes, 2))
            chunk[:, h] = np.clip(step, -0.1, 0.1)
            position = position + chunk[:, h]
            done.append(chunk[:, h])
        observation = env.step(chunk).observation
    length = len(seen)
    arrays: dict[str, Any] = {
        "observation": np.stack(seen, axis=1).reshape(-1, 4).astype(np.float32),
        "action": np.stack(done, axis=1).reshape(-1, 2).astype(np.float32),
        "episode_start": np.arange(episodes + 1, dtype=np.int64) * length,
        "success": np.arange(episodes) % 2 == 0,
        "header": np.array(
            json.dumps(
                {
                    "task": "point",
                    "action_spec": ACTION.to_dict(),
                    "observation_spec": OBSERVATION.to_dict(),
                    "seed": seed,
                    "command": "write_demos",
                    "physics_dt": 0.01,
                    "control_dt": 0.05,
                }
            )
        ),
    }
    arrays |= changes
    np.savez(path, **arrays)
    return path


def make_checkpoint(seed: int = 0, integrator: Integrator | None = None, **changes: Any) -> Checkpoint:
    """An untrained policy for the toy task; `changes` replace fields of the header."""
    integrator = integrator or Integrator("euler", 10)
    architecture = MlpArchitecture(OBSERVATION.size, 4, hidden_width=16, hidden_layers=2, time_features=4)
    torch.manual_seed(seed)
    flow = FlowBase(architecture, integrator, horizon=2)
    fields: dict[str, Any] = {
        "kind": "flow_base",
        "name": "toy",
        "task": "point",
        "action_spec": ACTION,
        "observation_spec": OBSERVATION,
        "architecture": architecture.to_dict(),
        "integrator": integrator,
        "seed": seed,
        "command": "make_checkpoint",
        "config": {"steps": 0},
    }
    return flow.to_checkpoint(CheckpointHeader(**{**fields, **changes}))
