"""The reward on the robot: near the palm, and lifted (RFS paper, real-world reward).

    r = - distance_weight * |palm - object| + lift_weight * min(max(rise, 0), lift_height)

The palm comes from forward kinematics, the object from the mask. An image in which the object is not found
gives no numbers but the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rfs_core.config import param
from rfs_perception.errors import PerceptionError
from rfs_perception.frame import Frame
from rfs_perception.object_model import ModelConfig, ObjectModel
from rfs_perception.object_points import ObjectConfig, middle, seen_through, visible_points
from rfs_perception.seed import SeedConfig, find_object
from rfs_perception.trackers.base import Prompt, Tracker

_SINKS = 0.005
"""m below the table that an object may seem to be."""
_CLEAR = 0.5
"""Of the points of the first look: with so many, an object is seen well."""


@dataclass(frozen=True)
class RewardTermsConfig:
    """Weights, and what counts as success."""

    distance_weight: float = param(1.0, doc="Reward per metre between palm and object.", unit="1/m", low=0.0)
    lift_weight: float = param(5.0, doc="Reward per metre of lift.", unit="1/m", low=0.0)
    lift_height: float = param(
        0.20, doc="Lift beyond this earns nothing more; success asks for it.", unit="m"
    )
    near_palm: float = param(0.15, doc="Success: the object this near the palm.", unit="m", low=0.0)
    hold_for: float = param(0.25, doc="Success: for so long.", unit="s", low=0.0)

    @property
    def longest_gap(self) -> float:
        """Of two looks (s): what happened in a longer one nobody saw. Above hold_for, as looks are uneven."""
        return 1.5 * self.hold_for


@dataclass(frozen=True)
class EstimatorConfig:
    """From mask to reward."""

    terms: RewardTermsConfig = field(default_factory=RewardTermsConfig)
    object: ObjectConfig = field(default_factory=ObjectConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    seed: SeedConfig = field(default_factory=SeedConfig)


class Scored(NamedTuple):
    """What one image says."""

    valid: bool
    """False: all numbers are NaN."""
    reason: str
    """Why not valid; empty where it is."""
    distance_term: float
    lift_term: float
    centre: NDArray[np.float64]
    """Of the object, base frame (m). Shape: (3,)"""
    success: bool
    mask: NDArray[np.bool_] | None
    """What the tracker saw, also where that was not enough. Shape: (H, W)"""

    @property
    def total(self) -> float:
        """Sum of the terms."""
        return self.distance_term + self.lift_term


class RewardEstimator:
    """Tracks one object through the images of an episode. Belongs to one thread."""

    def __init__(
        self,
        tracker: Tracker,
        camera_in_base: NDArray[np.float64],
        config: EstimatorConfig,
        prompt: Prompt | None = None,
    ) -> None:
        """
        Args:
            tracker: Finds the object in images.
            camera_in_base: Shape: (4, 4)
            config: What counts as the object, and what it earns.
            prompt: What the object is in the first image; None: what stands on the table.
        """
        self._tracker, self._camera, self._config, self._prompt = tracker, camera_in_base, config, prompt
        self.restart()

    def restart(self) -> None:
        """A new episode: forget the object and where it stood."""
        self._model: ObjectModel | None = None
        self._started = False
        self._rest_height = float("nan")
        self._clear_points = 0
        self._centre = np.zeros(3)
        self._palm = np.eye(4)
        self._scored_ns = 0
        self._since_ns: int | None = None

    def interrupt(self) -> None:
        """An image was not scored, or none came: whether the object was held meanwhile nobody knows."""
        self._since_ns = None

    @property
    def rest_height(self) -> float:
        """Height of the object's centre when it was first seen (m); NaN before."""
        return self._rest_height

    def look(self, frame: Frame, palm_in_base: NDArray[np.float64]) -> Scored:
        """Score one image.

        Args:
            frame: Colour and depth; stamps grow.
            palm_in_base: Pose of the palm when it was taken. Shape: (4, 4)
        """
        mask = None
        try:
            if self._started:
                found = self._tracker.track(frame)
            else:
                found = self._tracker.start(frame, self._first_prompt(frame))
                self._started = True
            mask = found.mask
            if mask is None:
                raise PerceptionError(found.reason)
            centre = self._locate(mask, frame, palm_in_base)
        except PerceptionError as error:
            self.interrupt()
            nan = float("nan")
            return Scored(False, str(error), nan, nan, np.full(3, nan), False, mask)
        return self._score(centre, frame.stamp_ns, palm_in_base, mask)

    def _first_prompt(self, frame: Frame) -> Prompt | None:
        if self._prompt is not None or not self._tracker.needs_prompt:
            return self._prompt
        return Prompt(mask=find_object(frame, self._camera, self._config.seed))

    def _locate(
        self, mask: NDArray[np.bool_], frame: Frame, palm_in_base: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        config = self._config
        points = visible_points(mask, frame, self._camera, config.object)
        if self._model is None:
            centre = middle(points, self._camera, frame.intrinsics.fx, config.object)
            self._model = ObjectModel(points, centre, config.model)
            self._rest_height = float(centre[2])
            self._clear_points = len(points)
        else:
            with_hand = palm_in_base @ np.linalg.inv(self._palm)
            pushed = np.eye(4)
            pushed[:2, 3] = palm_in_base[:2, 3] - self._palm[:2, 3]
            guesses = [np.eye(4), with_hand, pushed]
            if len(points) > _CLEAR * self._clear_points:
                # Seen well enough to tell by itself where it is, such as after a fall.
                thrown = np.eye(4)
                thrown[:3, 3] = (
                    middle(points, self._camera, frame.intrinsics.fx, config.object) - self._centre
                )
                guesses.append(thrown)
            centre = self._model.follow(
                points,
                guesses,
                lambda surface: seen_through(surface, frame, self._camera),
                floor=config.object.table - _SINKS,
            )
        self._palm, self._centre = palm_in_base, centre
        return centre

    def _score(
        self,
        centre: NDArray[np.float64],
        stamp_ns: int,
        palm_in_base: NDArray[np.float64],
        mask: NDArray[np.bool_],
    ) -> Scored:
        terms = self._config.terms
        distance = float(np.linalg.norm(centre - palm_in_base[:3, 3]))
        rise = float(centre[2]) - self._rest_height
        held = rise >= terms.lift_height and distance <= terms.near_palm
        if abs(stamp_ns - self._scored_ns) > terms.longest_gap * 1e9:
            self.interrupt()
        self._scored_ns = stamp_ns
        if not held:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = stamp_ns
        success = self._since_ns is not None and stamp_ns - self._since_ns >= terms.hold_for * 1e9
        return Scored(
            valid=True,
            reason="",
            distance_term=-terms.distance_weight * distance,
            lift_term=terms.lift_weight * min(max(rise, 0.0), terms.lift_height),
            centre=centre,
            success=success,
            mask=mask,
        )
