"""Decides which moments of the robot's movement become looks at the board: it stands still, the board is seen
well, and the pose is new. Pure; the command feeds it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from rfs_core.config import param
from rfs_perception.charuco import Board, BoardConfig
from rfs_perception.frame import Intrinsics
from rfs_perception.hand_eye import Look


@dataclass(frozen=True)
class CollectConfig:
    """What a look must be."""

    looks: int = param(15, doc="Looks to collect.", low=6, high=200)
    still_for: float = param(0.5, doc="The arm has stood still for so long.", unit="s", low=0.0, high=10.0)
    still_below: float = param(
        0.01, doc="Still: every joint slower than this.", unit="rad/s", low=0.0, high=1.0
    )
    new_distance: float = param(
        0.04, doc="New: the palm so far from every look before ...", unit="m", low=0.0
    )
    new_turn: float = param(0.15, doc="... or turned by so much.", unit="rad", low=0.0)
    sharp: float = param(
        1.0, doc="Largest RMS distance of corners from the pose.", unit="px", low=0.05, high=20.0
    )
    board: BoardConfig = field(default_factory=BoardConfig)


class LookCollector:
    """Feed it joint speeds and images; it keeps the looks."""

    def __init__(self, config: CollectConfig) -> None:
        """
        Raises:
            CalibrationError: a board that cannot be.
        """
        self._config = config
        self.board = Board(config.board)
        self._moved_ns: int | None = None
        self.looks: list[Look] = []
        self.reason = "nothing comes on arm/joint_states: start the arm's driver and configure it"
        """Why the last image was not taken."""

    def moving(self, stamp_ns: int, velocity: NDArray[np.float64]) -> None:
        """The arm's joint speeds at a moment (rad/s). Shape: (7,)"""
        if self._moved_ns is None:
            self.reason = "no image comes on camera/color/compressed: start realsense_node"
        if self._moved_ns is None or np.abs(velocity).max() >= self._config.still_below:
            self._moved_ns = stamp_ns

    def image(
        self,
        stamp_ns: int,
        colour: NDArray[np.uint8],
        intrinsics: Intrinsics,
        palm_in_base: NDArray[np.float64],
    ) -> bool:
        """Take a look; whether it was kept. Shapes: (H, W, 3), (4, 4)"""
        config = self._config
        if self._moved_ns is None:
            return False
        if stamp_ns - self._moved_ns < config.still_for * 1e9:
            self.reason = "the arm moves"
            return False
        for look in self.looks:
            relative = np.linalg.inv(look.palm_in_base) @ palm_in_base
            turn = Rotation.from_matrix(relative[:3, :3]).magnitude()
            if np.linalg.norm(relative[:3, 3]) < config.new_distance and turn < config.new_turn:
                self.reason = "this pose was looked at before: move on"
                return False
        view = self.board.find(colour, intrinsics)
        if view is None:
            self.reason = "the board is not seen, or too little of it"
            return False
        if view.rms_px > config.sharp:
            self.reason = f"the board's corners scatter by {view.rms_px:.1f} px: blurred, or not flat?"
            return False
        self.looks.append(Look(palm_in_base, view))
        self.reason = ""
        return True
