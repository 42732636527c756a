"""What a task puts into the world, and how an episode begins: the words between tasks and engines.

A task names the bodies of its scene beside robot, table and object (`Body`), and draws episodes
(`EpisodeStart`). An engine builds the bodies once, sets every start, and reports the bodies' states by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Solid:
    """A primitive that a body is made of."""

    kind: str
    """`box`, `cylinder`, `capsule` or `sphere`."""
    size: tuple[float, float, float]
    """m: box: half edges x, y, z; cylinder: radius, radius, half height; capsule: radius, radius, half
    length of its straight part; sphere: its radius three times."""
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """m, centre in the body's frame."""
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """wxyz, in the body's frame."""


@dataclass(frozen=True)
class ObjectShape:
    """What can be grasped, standing on the table as it is first placed: a primitive, or several as one."""

    name: str
    kind: str
    """`box`, `cylinder` (axis upright), `capsule` (axis upright) or `solids`."""
    size: tuple[float, float, float]
    """m: box: half edges x, y, z; cylinder: radius, radius, half height; capsule: radius, radius, half
    length of its straight part; solids: half edges of the box around all of them."""
    solids: tuple[Solid, ...] = ()
    """Where the kind is `solids`: those of the task's OBJECT_SOLIDS, of even density."""

    @property
    def half_height(self) -> float:
        """m, height of the centre above the table."""
        return self.size[2] + (self.size[0] if self.kind == "capsule" else 0.0)


@dataclass(frozen=True)
class Body:
    """A further body of a task's scene: what the object is put on, into or against."""

    name: str
    solids: tuple[Solid, ...]
    mass: float = 0.0
    """kg, spread evenly over the solids; 0: it never moves, and stands where the episode's start puts it."""
    friction: float = 1.0
    """Sliding friction of its contacts, but for those with the object, whose own friction counts."""
    collides: bool = True
    """False: a mark to be seen, such as a place on the table."""
    rgba: tuple[float, float, float, float] = (0.85, 0.62, 0.25, 1.0)

    @property
    def moves(self) -> bool:
        """Whether it is free."""
        return self.mass > 0.0


@dataclass(frozen=True)
class BodyStart:
    """Where one of the task's bodies is when an episode begins."""

    position: Array
    """m. Shape: (3,)"""
    quaternion: Array
    """wxyz. Shape: (4,)"""


def _untouched() -> NDArray[np.bool_]:
    return np.zeros(len(robot.CONTACT_NAMES), dtype=np.bool_)


@dataclass(frozen=True)
class EpisodeStart:
    """Everything random about the start of one episode, and what an engine must set; all is at rest."""

    shape: ObjectShape
    """The object with its size already scaled."""
    object_mass: float
    """kg"""
    object_friction: float
    """sliding friction coefficient"""
    object_position: Array
    """m, centre. Shape: (3,)"""
    object_quaternion: Array
    """wxyz. Shape: (4,)"""
    goal_position: Array
    """m; moves along with the task's TARGET_BODY where it has one. Shape: (3,)"""
    arm_position: Array
    """rad. Shape: (7,)"""
    hand_position: Array
    """rad. Shape: (16,)"""
    arm_gain: float
    """factor on the arm's stiffness and damping"""
    hand_gain: float
    """factor on the hand's stiffness"""
    held: bool = False
    """The object is in the hand; otherwise it stands on the table."""
    arm_target: Array | None = None
    """rad, what the arm's tracker holds; None: `arm_position`. Shape: (7,)"""
    hand_target: Array | None = None
    """rad, what the hand holds, its grip included; None: `hand_position`. Shape: (16,)"""
    contacts: NDArray[np.bool_] = field(default_factory=_untouched)
    """Parts of the hand that touch the object. Shape: (5,)"""
    bodies: Mapping[str, BodyStart] = field(default_factory=dict)
    """Of every body of the task, by name."""
