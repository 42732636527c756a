"""What an engine is: the seam between the tasks and whatever integrates the physics.

    Worlds (task, control law, episodes)  ──reset, step──>  Engine  ──read──>  Measured

An engine builds N worlds from one `SceneConfig`, puts some of them into an `EpisodeStart`, holds joint
targets for a control step, and says what is measured then. It knows no reward, no success and no policy. Its
arrays are of one kind and device (`rfs_core.arrays`), and everything above runs on them unchanged.
See docs/engines.md.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import numpy as np

from rfs_core import robot
from rfs_core.arrays import Array
from rfs_core.errors import RfsError
from rfs_core.scene import EpisodeStart
from rfs_core.se3 import Pose
from rfs_core.world_state import BodyState
from rfs_sim.mjcf import SceneConfig

_log = logging.getLogger("rfs_sim")


class EngineError(RfsError):
    """An engine was asked for something it cannot do, or is not installed."""


@dataclass
class Measured:
    """What an engine reports of N worlds; new arrays at every call, base frame, SI units."""

    arm_position: Array
    """rad, order of `robot.ARM_JOINT_NAMES`. Shape: (N, 7)"""
    arm_velocity: Array
    """rad/s. Shape: (N, 7)"""
    hand_position: Array
    """rad, order of `robot.HAND_JOINT_NAMES`. Shape: (N, 16)"""
    hand_velocity: Array
    """rad/s. Shape: (N, 16)"""
    object_pose: Pose
    """The object's body frame, quaternion wxyz. Shapes: (N, 3), (N, 4)"""
    object_velocity: Array
    """m/s in the base frame, then rad/s in the object's frame. Shape: (N, 6)"""
    bodies: dict[str, BodyState] = field(default_factory=dict)
    """The task's further bodies by name."""


class Engine(Protocol):
    """N worlds of a scene, stepped together."""

    num_worlds: int
    """N."""
    scene: SceneConfig
    """What the worlds contain."""
    substeps: int
    """Physics steps of a control step."""
    example: Array
    """An array of the engine's kind, float dtype and device, for `rfs_core.arrays.of` and the like."""
    contacts: Array
    """bool: parts of the hand that touched the object at any physics step of the last control step, order of
    `robot.CONTACT_NAMES`; after a reset those of the start. Shape: (N, 5)"""
    unstable: Array
    """bool: worlds whose last control step could not be integrated (not finite, or contacts were dropped);
    they are as before that step, and the episode ends. Shape: (N,)"""

    def reset(self, worlds: Sequence[int], starts: Sequence[EpisodeStart]) -> None:
        """Put some worlds into starts, at rest: poses, shape, mass, friction and gains."""
        ...

    def step(self, arm_target: Array, hand_target: Array, disturbance: Array | None = None) -> None:
        """Advance all worlds by one control step with the joint targets held.

        Args:
            arm_target: rad. Shape: (N, 7)
            hand_target: rad. Shape: (N, 16)
            disturbance: torque on the arm's, then the hand's joints, held for the step, N m. Shape: (N, 23)
        """
        ...

    def read(self) -> Measured:
        """The worlds now."""
        ...

    def problems(self) -> Mapping[str, int]:
        """How many worlds became unstable since the engine was made, by reason."""
        ...

    def close(self) -> None:
        """Free threads and memory."""
        ...


EngineFactory = Callable[[int, SceneConfig], Engine]
"""Makes an engine of N worlds of a scene."""


def substeps_of(scene: SceneConfig) -> int:
    """Physics steps of a control step. Raises EngineError where `physics_dt` does not divide it."""
    ratio = robot.CONTROL_DT / scene.physics_dt if scene.physics_dt > 0 else 0.0
    substeps = round(ratio)
    if substeps < 1 or abs(ratio - substeps) > 1e-9:
        raise EngineError(
            f"physics_dt {scene.physics_dt:g} s does not divide the control step of "
            f"{robot.CONTROL_DT:g} s: choose 0.01, 0.005, 0.0025, ..."
        )
    return substeps


def require(engine: str, modules: Iterable[str], install: str) -> None:
    """Raise EngineError, one line with the command to type, unless all modules can be imported.

    Args:
        engine: its name.
        modules: names to import.
        install: the command that installs them.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineError(f"engine {engine} needs {', '.join(missing)}, not installed here: {install}")


def require_versions(engine: str, tested: Mapping[str, str], install: str) -> None:
    """Raise EngineError unless distributions have the major and minor version that the engine is tested with.

    Engines change the fields of their models between minor versions; a wrong pair fails late or not at all.

    Args:
        engine: its name.
        tested: version by distribution, such as {"mujoco-warp": "4.0.0"}.
        install: the command that installs the tested versions.
    """
    drifted = []
    for name, wanted in tested.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "none"
        if found.split(".")[:2] != wanted.split(".")[:2]:
            drifted.append(f"{name} {found} (tested with {wanted})")
    if drifted:
        raise EngineError(f"engine {engine}: other versions than tested: {', '.join(drifted)}: {install}")


class ProblemCounter:
    """Counts unstable worlds by reason, and tells of each reason at its 1st, 2nd, 4th, 8th ... world."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._counts: dict[str, int] = {}
        self._told: dict[str, int] = {}

    def add(self, reason: str, worlds: int, advice: str = "") -> None:
        """Note that so many worlds were lost for a reason; `advice`: what to do about it."""
        if worlds < 1:
            return
        count = self._counts.get(reason, 0) + worlds
        self._counts[reason] = count
        if count >= self._told.get(reason, 1):
            self._told[reason] = 2 * count
            hint = f": {advice}" if advice else ""
            _log.warning("engine %s: %d worlds %s so far, reset%s", self._engine, count, reason, hint)

    @property
    def counts(self) -> dict[str, int]:
        """Worlds by reason."""
        return dict(self._counts)


def rows(values: Iterable[Array]) -> np.ndarray:
    """One row per world from the starts' values."""
    return np.stack([np.asarray(value) for value in values])
