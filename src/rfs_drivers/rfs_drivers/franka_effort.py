"""How much of a setpoint the arm's joints can bear.

The impedance controller of the client library bounds neither force nor torque as a whole: an arm that is kept
from its setpoint by a table is asked for more and more, and the robot ends control when a joint's share
exceeds what it can deliver (tau_j_range_violation; at the wrist that is 12 Nm). The driver knows the law, the
joints and their torques, so it hands on only as much of the distance as they can bear.

The law is that of franky 2.0.0: wrench = stiffness * error + damping * (twist - measured twist), the posture
projected by I - J^T pinv(J^T). Stiffness is measured by test_franka_driver.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rfs_core import robot
from rfs_core.se3 import Array
from rfs_drivers.franka_config import FrankaConfig


class Impedance(NamedTuple):
    """The law of the session: wrench = stiffness * clipped error + damping * (twist - measured twist).

    Linear, then angular, in the base frame.
    """

    stiffness: Array
    """N/m, Nm/rad. Shape: (6,)."""
    damping: Array
    """N s/m, Nm s/rad. Shape: (6,)."""
    clip: Array
    """m, rad. Shape: (6,)."""
    torque: Array
    """What it may ask of each joint, Nm. Shape: (7,)."""

    @classmethod
    def of(cls, config: FrankaConfig) -> Impedance:
        """The law that a configuration asks for; damping 1 is critical for 1 kg, 1 kg m2."""
        ratio = np.repeat([config.damping_ratio, config.rotational_damping_ratio], 3)
        stiffness = np.repeat([config.translational_stiffness, config.rotational_stiffness], 3)
        return cls(
            stiffness=stiffness,
            damping=2.0 * ratio * np.sqrt(stiffness),
            clip=np.repeat([config.translational_error_clip, config.rotational_error_clip], 3),
            torque=config.torque_share * robot.ARM_TORQUE_LIMITS,
        )


def posture_torque(stiffness: float, target: Array, q: Array, dq: Array, jacobian: Array) -> Array:
    """What the posture asks of the joints beside the palm's impedance, Nm. Shape: (7,).

    Args:
        stiffness: Nm/rad; its damping is critical for 1 kg m2.
        target: the posture, rad. q, dq: rad, rad/s. Shape: (7,).
        jacobian: Shape: (6, 7).
    """
    torque = stiffness * (target - q) - 2.0 * np.sqrt(stiffness) * dq
    # A little damping: at a singular pose the projection is not defined.
    gram = jacobian @ jacobian.T + 1e-6 * np.eye(6)
    projected: Array = torque - jacobian.T @ np.linalg.solve(gram, jacobian @ torque)
    return projected


def bearable_share(
    error: Array,
    twist: Array,
    measured_twist: Array,
    jacobian: Array,
    impedance: Impedance,
    other: Array | float = 0.0,
) -> float:
    """The largest share, 0 to 1, of a clipped error and a twist that no joint is overloaded by.

    Counted as the arm moves now, and as if something stopped it before the next look: then damping no longer
    takes the measured twist off.

    Args:
        error: of the setpoint from the measured pose, clipped, m and rad, base frame. Shape: (6,).
        twist: of the setpoint, m/s and rad/s. Shape: (6,).
        measured_twist: of the arm. Shape: (6,).
        jacobian: of the controlled point in the base frame. Shape: (6, 7).
        impedance: the law.
        other: torques that are asked for beside it, Nm. Shape: (7,).
    """
    asked = jacobian.T @ (impedance.stiffness * error + impedance.damping * twist)
    resisted = jacobian.T @ (impedance.damping * measured_twist)
    size = np.maximum(np.abs(asked), 1e-9)
    # share * asked + other - resisted must stay within +-torque, in the direction of what is asked.
    moving = (impedance.torque + np.sign(asked) * (resisted - other)) / size
    stopped = (impedance.torque - np.sign(asked) * other) / size
    return float(np.clip(np.minimum(moving, stopped).min(), 0.0, 1.0))
