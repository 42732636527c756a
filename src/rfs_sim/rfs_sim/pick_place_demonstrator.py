"""A scripted demonstrator of pick-place: grasp's takes the brick, that of stack and place puts it down.

No clock and no memory: which of the two acts is read from the observation. The brick is carried while thumb
and a finger hold it above the table, and put down once it is near where it shall stand; else it is grasped.
The defects are those of `set_down_demonstrator`: an offset of where it stands in the end, and fingers that
open in part.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import grasp, held, pick_place
from rfs_sim.demonstrator import GraspDemonstrator
from rfs_sim.set_down_demonstrator import (
    OPENED,
    PLACE,
    SetDownDemonstrator,
    SetDownDemonstratorConfig,
    opening,
    variants,
)

Array = NDArray[np.float64]

LIFTED = 0.015
"""m above the table, from which it is carried."""
SIDEWAYS_FROM = 0.03
"""m above the table, from which it is carried sideways at full speed."""
AT_MARK = 0.03
"""m beside where it shall stand, within which it is put down and not grasped again."""

MAIN = PLACE
VARIANTS: Mapping[str, SetDownDemonstratorConfig] = {
    name: replace(config, hover=0.06) for name, config in variants(MAIN).items()
}
"""Those of place; carried higher, since it comes from the table."""


class PickPlaceDemonstrator(SetDownDemonstrator):
    """Demonstrates pick-place to N environments."""

    def __init__(
        self,
        num_envs: int,
        config: SetDownDemonstratorConfig | None = None,
        observation_spec: ObservationSpec = pick_place.OBSERVATION_SPEC,
    ) -> None:
        """
        Args:
            num_envs: N.
            config: how it moves and what is wrong with it; None: nothing is.
            observation_spec: of the observations it will be given.
        """
        super().__init__(num_envs, config or VARIANTS["flawless"], observation_spec)
        self._grasps = GraspDemonstrator(num_envs)

    def policy(self, observation: NDArray[np.float32]) -> Array:
        part = self._parts(observation)
        brick, contacts = part["object_position"], part["contacts"] > 0.5
        height = brick[:, 2] - held.BRICK.half_height
        to_mark = part["goal_position"] - brick
        to_mark[:, :2] += self.aim(part["target_position"]) + self._aim
        there = np.linalg.norm(to_mark[:, :2], axis=1) < AT_MARK
        opened = opening(part["hand_position"])
        gripped = contacts[:, 3] & contacts[:, :3].any(axis=1) & (opened < OPENED)
        carried = gripped & (height > LIFTED)
        low = height < LIFTED

        put = super().policy(observation)
        away = np.clip(height / SIDEWAYS_FROM - 0.5, 0.0, 1.0)[:, None]
        sideways = put.copy()
        sideways[:, :2] *= np.where(there[:, None], 1.0, away)
        taken = self._grasps.policy(self._as_grasp(part))
        use_put = carried | (there & low) | (there & gripped)
        action = np.where(use_put[:, None], sideways, taken)
        return np.asarray(robot.DEFAULT_ACTION_SPEC.clip(action))

    def _as_grasp(self, part: Mapping[str, Array]) -> NDArray[np.float32]:
        """The observation that grasp's demonstrator would have, its goal above the table. Shape: (N, O)"""
        above = part["object_position"].copy()
        above[:, 2] = held.BRICK.half_height + grasp.DEFAULT.goal_rise
        values = {**part, "goal_position": above}
        return np.concatenate(
            [values[name.name].reshape(len(above), -1) for name in grasp.OBSERVATION_SPEC.parts], axis=1
        ).astype(np.float32)
