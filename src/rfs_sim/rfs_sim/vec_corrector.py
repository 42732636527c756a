"""The scripted human beside a vector environment: corrections in many worlds, without ROS.

The stand-in and the law of corrections are those of the correction node (`rfs_core.scripted_correction`,
`rfs_core.correction`); here the policy's decisions take no time, and a correction acts from the control
step it is made in. A chunk's corrections are all made at its beginning, from what was seen until then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.correction import CorrectionConfig, CorrectionLaw
from rfs_core.scripted_correction import ScriptedConfig, ScriptedHuman, Sight
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng

STREAM = "correction"
"""Stream of an episode's random numbers that its noise is drawn from."""


class VecCorrector:
    """One stand-in per environment; see `rfs_learning.offline.collect.Corrector`."""

    def __init__(self, human: ScriptedConfig | None = None, law: CorrectionConfig | None = None) -> None:
        self._human, self._law = human or ScriptedConfig(), law or CorrectionConfig()
        self._humans: list[ScriptedHuman] = []
        self._laws: list[CorrectionLaw] = []
        self._at_s = 0.0

    def reset(self, env: Any, seed: int, episodes: NDArray[np.int64]) -> None:
        """Episodes begin in all environments."""
        spec = env.action_spec
        self._laws = [CorrectionLaw(self._law, spec) for _ in episodes]
        self._humans = [
            ScriptedHuman(env.task, self._human, self._law.position, episode_rng(seed, int(episode), STREAM))
            for episode in episodes
        ]
        self._at_s = 0.0

    def __call__(self, env: Any, output: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Residual (N, H, A) of the coming chunk and whether it is engaged (N, H)."""
        spec, state = env.action_spec, env.worlds.state
        count = env.num_envs
        residual = np.zeros((count, spec.horizon, spec.size))
        engaged = np.zeros((count, spec.horizon), dtype=bool)
        for i in range(count):
            palm, thing = (
                Pose(pose.position[i : i + 1].copy(), pose.quaternion[i : i + 1].copy())
                for pose in (state.palm, state.object_pose)
            )
            reading = self._humans[i].look(Sight(self._at_s, palm, thing, state.goal_position[i].copy()))
            for h in range(spec.horizon):
                now = self._at_s + h * spec.control_dt
                made = self._laws[i].step(now, reading, float(palm.position[0, 2]))
                residual[i, h], engaged[i, h] = made.residual, made.engaged
        self._at_s += spec.horizon * spec.control_dt
        return residual, engaged
