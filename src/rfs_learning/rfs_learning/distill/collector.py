"""Fills a store with episodes, batch by batch, until a round has what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.config import to_mapping
from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec
from rfs_core.tasks import points as points_task
from rfs_learning.distill.config import DistillConfig
from rfs_learning.distill.rollouts import Acting, play
from rfs_learning.distill.store import Store, StoreHeader
from rfs_learning.policy import Policy
from rfs_learning.vec_env import VecEnv, make_env

_MOST_TRIES = 20
"""Episodes per wanted one, beyond which the teacher does not master its task."""
_DECIDES_ROWS = (
    "engine", "physics_dt", "points", "viewpoints", "camera_spread", "camera_position_error",
    "camera_rotation_error", "point_noise", "action_noise",
)  # fmt: skip


class Collector:
    """A teacher, environments and the store that they fill."""

    def __init__(self, config: DistillConfig, student: str | None = None) -> None:
        """
        Args:
            student: who acts in later rounds than 0.

        Raises:
            RfsError: no teacher, a teacher that does not fit the task, or a store of other settings.
        """
        if not config.teacher:
            raise RfsError(
                "teacher is empty; pass a checkpoint, -p teacher:=checkpoints/grasp_rfs.safetensors"
            )
        self.config = config
        self.student = student
        """Names the episodes that are its own; None: those that name nobody."""
        self.teacher = Policy.load(config.teacher)
        header = self.teacher.header
        self.env: VecEnv = make_env(
            config.engine, header.task, config.envs, physics_dt=config.physics_dt, autoreset=False,
            **self._observation(),
        )  # fmt: skip
        self.observation_spec = self.env.observation_spec
        self.own_size = self.observation_spec.size - 3 * points_task.count_of(self.observation_spec)
        settings = to_mapping(config)
        decides = (
            _DECIDES_ROWS if config.observation == "points" else ("engine", "physics_dt", "action_noise")
        )
        self.store = Store(
            Path(config.data_dir or Path(config.run_dir) / "rows"),
            StoreHeader(
                task=header.task,
                action_spec=self.env.action_spec,
                observation_spec=self.observation_spec,
                state_spec=header.observation_spec,
                teacher=self.teacher.checkpoint_id,
                seed=config.seed,
                settings={name: settings[name] for name in decides},
            ),
        )
        self._action_noise = action_noise(self.env.action_spec, config.action_noise)

    def belongs(self, line: dict[str, Any]) -> bool:
        """Whether the student learns from an episode: from all of the teacher's, and from its own."""
        return bool(line["round"] == 0 or line.get("student") == self.student)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of all episodes that belong to the student."""
        return [line for line in self.store.episodes if self.belongs(line)]

    def of_round(self, number: int) -> list[dict[str, Any]]:
        """Those of one round."""
        return [line for line in self.lines if line["round"] == number]

    def missing(self, number: int) -> int:
        """Episodes that round `number` still lacks."""
        lines = self.of_round(number)
        if number == 0:
            return max(0, self.config.episodes - sum(bool(line["success"]) for line in lines))
        return max(0, self.config.round_episodes - len(lines))

    def batch(self, number: int, student: Acting | None = None) -> tuple[int, int]:
        """Play one batch of round `number` and keep it; returns how many were played, and how many succeeded.

        Raises:
            RfsError: the teacher hardly ever succeeds.
        """
        lines = self.of_round(number)
        if number == 0 and len(lines) > _MOST_TRIES * max(self.config.episodes, self.config.envs):
            won = sum(bool(line["success"]) for line in lines)
            raise RfsError(
                f"teacher {self.teacher.checkpoint_id} succeeded in {won} of {len(lines)} episodes: train it "
                "further, or lower action_noise"
            )
        first = self.store.next_episode
        episodes = np.arange(first, first + self.config.envs)
        kept, won = [], 0
        for episode, success, rows in play(
            self.env,
            self.teacher,
            self.config.seed,
            episodes,
            self.own_size,
            student,
            self._action_noise if number == 0 else None,
        ):
            won += success
            line: dict[str, Any] = {"episode": episode, "round": number, "success": success}
            if number > 0 and self.student is not None:
                line["student"] = self.student
            kept.append((line, rows if success or number > 0 else None))
        self.store.append(kept)
        return len(episodes), won

    def fill(
        self,
        number: int,
        student: Acting | None = None,
        told: Callable[[int, int], None] = lambda played, won: None,
    ) -> None:
        """Play batches until round `number` has its episodes; `told` of each batch."""
        while self.missing(number):
            told(*self.batch(number, student))

    def _observation(self) -> dict[str, Any]:
        config = self.config
        if config.observation == "state":
            return {}
        camera = {
            "viewpoints": config.viewpoints,
            "spread": config.camera_spread,
            "position_error": config.camera_position_error,
            "rotation_error": config.camera_rotation_error,
            "errors": "up_to",
            "noise": config.point_noise,
            "count": config.points,
        }
        return {"observation": "points", "camera": camera}


def action_noise(spec: ActionSpec, share: float) -> NDArray[np.float64] | None:
    """Standard deviation per value of an action: a share of half its range, of a fifth of that for the
    fingers, whose range is their joints'. None where the share is 0."""
    if share == 0:
        return None
    deviation = share * (np.asarray(spec.high) - np.asarray(spec.low)) / 2
    if "hand_target" in spec.names:
        deviation[spec.slice("hand_target")] /= 5
    return deviation
