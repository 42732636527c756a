"""The LEAP's fingers as capsules: where they are for given joints, and how far they run into each other.

The RFS paper counts a grasp as infeasible where two fingers run more than 0.5 cm into each other. Here a
finger is its proximal, medial and distal link, the thumb its proximal and distal one, each a capsule: two
half spheres and the cylinder between them. Capsules of different fingers intersect by the sum of their radii
less the distance of their axes (Ericson, "Real-Time Collision Detection", 2004, section 5.1.9).

Numbers: link frames as in MuJoCo Menagerie `leap_hand` (MIT, (c) 2023 Ananye Agarwal; see NOTICE); the
capsules of medial and distal links are those that collide in simulation. The proximal links of the fingers
are boxes there and neighbours among them pass through each other; their capsule lies inside the box, so what
it finds is a penetration of the boxes, too.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_core.arrays import Array, like, namespace, zeros

INFEASIBLE = 0.005
"""m: fingers that penetrate each other by more make a grasp infeasible (RFS paper, feasibility metric)."""

PALM_FRAME_IN_LEAP = (-0.030, -0.0224, -0.034)
"""m, the project's palm frame in the LEAP's palm body, same axes."""

_S = float(np.sqrt(0.5))


@dataclass(frozen=True)
class Capsule:
    """Half spheres at both ends and the cylinder between them, in the link's frame."""

    start: tuple[float, float, float]
    """m"""
    end: tuple[float, float, float]
    """m"""
    radius: float
    """m"""


@dataclass(frozen=True)
class FingerLink:
    """A link that turns about its own -z axis."""

    name: str
    joint: str
    position: tuple[float, float, float]
    """m, in the frame of the link before; of a finger's first link in the LEAP's palm body."""
    quaternion: tuple[float, float, float, float]
    """wxyz, likewise"""
    capsule: Capsule | None = None


def _finger(prefix: str, base: tuple[float, float, float]) -> tuple[FingerLink, ...]:
    """Base, proximal, medial and distal link of the index, middle or ring finger."""
    return (
        FingerLink(f"{prefix}_bs", f"{prefix}_mcp", base, (0.5, 0.5, 0.5, -0.5)),
        FingerLink(
            f"{prefix}_px",
            f"{prefix}_rot",
            (-0.0122, 0.0381, 0.0145),
            (0.5, -0.5, -0.5, 0.5),
            Capsule((0.0015, -0.0002, -0.011), (0.0135, -0.0002, -0.011), 0.011),
        ),
        FingerLink(
            f"{prefix}_md",
            f"{prefix}_pip",
            (0.015, 0.0143, -0.013),
            (0.5, 0.5, -0.5, 0.5),
            Capsule((0.002, -0.008, 0.015), (0.002, -0.0345, 0.015), 0.0125),
        ),
        FingerLink(
            f"{prefix}_ds",
            f"{prefix}_dip",
            (0.0, -0.0361, 0.0002),
            (1.0, 0.0, 0.0, 0.0),
            Capsule((-0.0005, -0.022, 0.0145), (-0.0008, -0.0390, 0.0145), 0.0108),
        ),
    )


FINGERS: tuple[tuple[FingerLink, ...], ...] = (
    _finger("if", (-0.007, 0.023, -0.0187)),
    _finger("mf", (-0.0071, -0.0224, -0.0187)),
    _finger("rf", (-0.00709, -0.0678, -0.0187)),
    (
        FingerLink("th_mp", "th_cmc", (-0.0693, -0.0012, -0.0216), (_S, 0.0, _S, 0.0)),
        FingerLink("th_bs", "th_axl", (0.0, 0.0143, -0.013), (0.5, 0.5, -0.5, 0.5)),
        FingerLink(
            "th_px",
            "th_mcp",
            (0.0, 0.0145, -0.017),
            (_S, -_S, 0.0, 0.0),
            Capsule((-0.002, 0.006, -0.0145), (-0.002, 0.036, -0.0145), 0.0125),
        ),
        FingerLink(
            "th_ds",
            "th_ipl",
            (0.0, 0.0466, 0.0002),
            (0.0, 0.0, 0.0, 1.0),
            Capsule((-0.0005, -0.014, -0.0145), (-0.0008, -0.0510, -0.0145), 0.0108),
        ),
    ),
)
"""Index, middle, ring finger and thumb, from the palm outwards."""

CAPSULES = tuple(link.name for finger in FINGERS for link in finger if link.capsule)
"""Names of the links that are capsules here, in the order of `capsule_axes`."""

RADII: NDArray[np.float64] = np.array(
    [link.capsule.radius for finger in FINGERS for link in finger if link.capsule]
)
"""m. Shape: (C,)"""

_FINGER_OF = [f for f, finger in enumerate(FINGERS) for link in finger if link.capsule]

PAIRS: NDArray[np.intp] = np.array(
    [(a, b) for a, b in combinations(range(len(CAPSULES)), 2) if _FINGER_OF[a] != _FINGER_OF[b]]
)
"""Indices of two capsules of different fingers. Shape: (P, 2)"""

_REACH: NDArray[np.float64] = RADII[PAIRS].sum(axis=1)
_PALM: NDArray[np.float64] = -np.array(PALM_FRAME_IN_LEAP)
_UNTURNED: NDArray[np.float64] = np.eye(3)


class _Constants(NamedTuple):
    """A `FingerLink` as arrays."""

    joint: int
    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    capsule: NDArray[np.float64] | None

    @classmethod
    def of(cls, link: FingerLink) -> "_Constants":
        capsule = link.capsule
        return cls(
            robot.HAND_JOINT_NAMES.index(link.joint),
            np.array(link.position),
            np.asarray(se3.matrix_from_quat(np.array(link.quaternion))),
            None if capsule is None else np.array([capsule.start, capsule.end]),
        )


_CHAINS = tuple(tuple(_Constants.of(link) for link in finger) for finger in FINGERS)


def capsule_axes(hand_position: Array) -> Array:
    """Ends of the capsules' axes in the palm frame, m.

    Args:
        hand_position: rad, order of `robot.HAND_JOINT_NAMES`. Shape: (N, 16)

    Returns:
        Shape: (N, C, 2, 3)
    """
    xp = namespace(hand_position)
    ends = []
    for finger in _CHAINS:
        position = xp.broadcast_to(like(_PALM, hand_position), (len(hand_position), 3))
        rotation = xp.broadcast_to(like(_UNTURNED, hand_position), (len(hand_position), 3, 3))
        for link in finger:
            position = position + rotation @ like(link.position, hand_position)
            turn = _about_z(-hand_position[:, link.joint])
            rotation = rotation @ like(link.rotation, hand_position) @ turn
            if link.capsule is not None:
                both = like(link.capsule, hand_position)
                ends.append(position[:, None] + both @ xp.permute_dims(rotation, (0, 2, 1)))
    return xp.stack(ends, axis=1)


def penetration(hand_position: Array) -> Array:
    """How far two fingers run into each other at most, m; 0 where none touch.

    Args:
        hand_position: rad, order of `robot.HAND_JOINT_NAMES`. Shape: (N, 16)

    Returns:
        Shape: (N,)
    """
    axes = capsule_axes(hand_position)
    a, b = axes[:, PAIRS[:, 0]], axes[:, PAIRS[:, 1]]
    apart = segment_distance(a[:, :, 0], a[:, :, 1], b[:, :, 0], b[:, :, 1])
    deepest = namespace(apart).max(like(_REACH, apart) - apart, axis=1)
    return deepest.clip(0.0, None)


def infeasible(hand_position: Array) -> Array:
    """Whether fingers penetrate each other by more than INFEASIBLE. Shapes: (N, 16) -> (N,)"""
    return penetration(hand_position) > INFEASIBLE


def segment_distance(p0: Array, p1: Array, q0: Array, q1: Array) -> Array:
    """Shortest distance between segments p0 p1 and q0 q1 (points, where both ends are equal).

    Shapes: four of (..., 3) -> (...)
    """
    u, v, w = p1 - p0, q1 - q0, p0 - q0
    a, b, c = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    d, e = (u * w).sum(-1), (v * w).sum(-1)
    # Nearest points of the lines, the first one kept on its segment; where they are parallel any will do.
    across = a * c - b * b
    s = _ratio(b * e - c * d, across).clip(0.0, 1.0)
    t = _ratio(b * s + e, c).clip(0.0, 1.0)
    # The second one was moved onto its segment: the first one's nearest to it.
    s = _ratio(b * t - d, a).clip(0.0, 1.0)
    between = w + s[..., None] * u - t[..., None] * v
    return namespace(between).sqrt((between * between).sum(-1))


def _ratio(above: Array, below: Array) -> Array:
    """above / below; 0 where below vanishes."""
    xp = namespace(above)
    small = below < 1e-15
    return xp.where(small, 0.0, above / xp.where(small, 1.0, below))


def _about_z(angle: Array) -> Array:
    """Rotation matrices. Shape: (N,) -> (N, 3, 3)"""
    xp, matrix = namespace(angle), zeros((len(angle), 3, 3), angle)
    matrix[:, 0, 0] = matrix[:, 1, 1] = xp.cos(angle)
    matrix[:, 1, 0] = xp.sin(angle)
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    matrix[:, 2, 2] = 1.0
    return matrix
