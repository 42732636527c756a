"""The toy task of toy_task.py as an engine that processes find: `install` writes its entry point.

Slow moments come on demand: with a file `hold` in the folder of the engine, environments wait at their 20th
decision of training until it is gone, or until whoever started their process is.
"""

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
from toy_task import PointEnv

from rfs_core.specs import ActionSpec, Part

HERE = Path(__file__).resolve().parent
HOLD_AT = 20
EVALUATED_FROM = 1_000_000
"""Seeds from here on are evaluations."""
ACTION = ActionSpec((Part("hand_target", (2,), "rad", -0.1, 0.1),), control_dt=0.05, horizon=2)
"""That of PointEnv with the name of a part that has a residual bound."""


class ToyEnv:
    """PointEnv with autoreset, and with what an engine is told."""

    def __init__(self, num_envs, autoreset, disturbance, folder):
        self._env = PointEnv(num_envs)
        self.num_envs, self.task, self.max_episode_steps = num_envs, "point", self._env.max_episode_steps
        self.action_spec, self.observation_spec = ACTION, self._env.observation_spec
        self.autoreset_stride = num_envs
        self._autoreset, self._disturbance, self._folder, self._steps = autoreset, disturbance, folder, 0
        self._parent = os.getppid()

    def reset(self, seed, episodes):
        self._seed, self._episodes = seed, np.array(episodes)
        self._rng = np.random.default_rng(seed)
        return self._env.reset(seed, self._episodes)

    def step(self, chunk):
        self._hold()
        pushed = chunk + (self._disturbance - 1.0) * 0.05
        result = self._env.step(pushed)
        ended = result.terminated | result.truncated
        if self._autoreset and ended.any():
            kept = {name: getattr(self._env, name).copy() for name in ("position", "goal", "steps", "over")}
            self._episodes = self._episodes + np.where(ended, self.autoreset_stride, 0)
            self._env.reset(self._seed, self._episodes)
            for name, values in kept.items():
                getattr(self._env, name)[~ended] = values[~ended]
        return dataclasses.replace(result, observation=self._env._observe())

    def _hold(self):
        if self._seed >= EVALUATED_FROM:
            return
        self._steps += 1
        hold = self._folder / "hold"
        while self._steps >= HOLD_AT and hold.exists() and os.getppid() == self._parent:
            (self._folder / "holding").write_text(str(os.getpid()))
            time.sleep(0.02)


def make_env(task, num_envs, *, physics_dt=0.01, autoreset=True, disturbance=1.0, threads=1):
    folder = Path(os.environ.get("TOY_ENGINE", HERE))
    return ToyEnv(num_envs, autoreset, disturbance, folder)


def film(checkpoint, task, seed, episode, out, *, physics_dt=0.01):
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(b"video of %d" % episode)
    return out, "as played"


def install(folder):
    """Environment variables with which a Python process finds the engine `toy`."""
    info = folder / "toy_engine-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-engine\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[rfs.engines]\ntoy=toy_engine:make_env\n[rfs.films]\ntoy=toy_engine:film\n"
    )
    path = os.pathsep.join([str(folder), str(HERE), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "TOY_ENGINE": str(folder), "OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    sys.exit("this is a module for tests")
