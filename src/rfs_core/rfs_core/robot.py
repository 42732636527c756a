"""The robot: Franka FR3 arm and LEAP hand. Names, limits and mounts, each with its source.

Orders here are the project's; messages and models are always mapped by name.
"""

from __future__ import annotations

import math

import numpy as np

from rfs_core.se3 import Array, Pose
from rfs_core.specs import ActionSpec, Part


def _constant(values: object) -> Array:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


BASE_FRAME = "fr3_link0"
"""Frame that every pose on the wire is given in."""

ARM_JOINT_NAMES = tuple(f"fr3_joint{i}" for i in range(1, 8))
"""As in franka_description."""

HAND_JOINT_NAMES = tuple(f"{f}_{j}" for f in ("if", "mf", "rf") for j in ("rot", "mcp", "pip", "dip")) + (
    "th_cmc",
    "th_axl",
    "th_mcp",
    "th_ipl",
)
"""In the order of the LEAP hand's motor IDs 0-15: per finger side (rot), forward (mcp), pip, dip; then the
thumb. Names as in MuJoCo Menagerie's leap_hand; its actuator order differs (mcp before rot)."""

CONTACT_NAMES = ("if_tip", "mf_tip", "rf_tip", "th_tip", "palm")
"""Parts of the hand whose contact with the object is observed."""

FR3_JOINT_ORIGINS = (
    ((0.0, 0.0, 0.333), 0.0),
    ((0.0, 0.0, 0.0), -math.pi / 2),
    ((0.0, -0.316, 0.0), math.pi / 2),
    ((0.0825, 0.0, 0.0), math.pi / 2),
    ((-0.0825, 0.384, 0.0), -math.pi / 2),
    ((0.0, 0.0, 0.0), math.pi / 2),
    ((0.088, 0.0, 0.0), math.pi / 2),
)
"""Origin of each joint in the frame before it: (x, y, z) in m and roll about x in rad; every joint turns
about its z. franka_description, robots/fr3/kinematics.yaml."""

FR3_FLANGE_Z = 0.107
"""Distance of the flange (link8) from joint 7 along its axis, m. franka_description."""

ARM_LIMITS = _constant(
    [
        [-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.5409, -3.0159],
        [2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0159],
    ]
)
"""Lower and upper joint positions, rad. Shape: (2, 7). franka_description, robots/fr3/joint_limits.yaml."""

ARM_VELOCITY_LIMITS = _constant([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26])
"""Joint speeds, rad/s. Shape: (7,). franka_description, robots/fr3/joint_limits.yaml."""

ARM_TORQUE_LIMITS = _constant([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0])
"""Joint torques, Nm. Shape: (7,). franka_description, robots/fr3/joint_limits.yaml."""

_FINGER_LOW, _FINGER_HIGH = (-1.047, -0.314, -0.506, -0.366), (1.047, 2.23, 1.885, 2.042)
HAND_LIMITS = _constant(
    [
        _FINGER_LOW * 3 + (-0.349, -0.349, -0.47, -1.34),
        _FINGER_HIGH * 3 + (2.094, 2.094, 1.90, 1.88),
    ]
)
"""Lower and upper joint positions, rad. Shape: (2, 16). LEAP hand URDF and MuJoCo Menagerie's leap_hand.
The two disagree on the thumb: URDF th_axl [-0.47, 2.443], th_mcp [-1.20, 1.90]; Menagerie th_axl
[-0.349, 2.094], th_mcp [-0.47, 2.443]. Kept is what both allow, so that no target is beyond either."""

HAND_VELOCITY_LIMIT = 8.48
"""rad/s, every joint. LEAP hand URDF."""

ARM_HOME = _constant([0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, math.pi / 2, math.pi / 4])
"""Franka's ready pose, rad. Shape: (7,)."""

HAND_OPEN = _constant([0.0] * 12 + [0.0, 0.0, 0.0, 0.0])
"""Straight fingers, rad. Shape: (16,)."""

PALM_IN_FLANGE = Pose(
    _constant([[-0.0225, 0.0, 0.085]]), _constant([[0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5)]])
)
"""Where the hand is mounted: its palm frame in the flange, N = 1. The palm frame lies on the palm's surface
under the middle finger. Palm x (along the fingers) lies along the flange's axis, and the palm (-z) faces the
flange's -x; the opposite facing puts joint 7 at its limit. The wrist's end of the LEAP stands 15 mm (an
adapter plate) off the flange, its middle plane on the flange's axis."""

CONTROL_DT = 0.05
"""Time between two control steps, s."""

HORIZON = 2
"""Control steps of one decision."""

ARM_DELTA_POSITION_LIMIT = 0.03
"""Largest change of the palm target per control step, each axis, m."""

ARM_DELTA_ROTATION_LIMIT = 0.1
"""Largest change of the palm target per control step, each component of the rotation vector, rad."""

DEFAULT_ACTION_SPEC = ActionSpec(
    parts=(
        Part(
            "arm_delta_position", (3,), "m", -ARM_DELTA_POSITION_LIMIT, ARM_DELTA_POSITION_LIMIT, BASE_FRAME
        ),
        Part(
            "arm_delta_rotation", (3,), "rad", -ARM_DELTA_ROTATION_LIMIT, ARM_DELTA_ROTATION_LIMIT, BASE_FRAME
        ),
        Part("hand_target", (16,), "rad", tuple(HAND_LIMITS[0]), tuple(HAND_LIMITS[1])),
    ),
    control_dt=CONTROL_DT,
    horizon=HORIZON,
)
"""Palm displacement in the base frame and absolute finger targets, 22 values per control step."""
