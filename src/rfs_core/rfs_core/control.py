"""The control law from an action to joint targets, one control step at a time.

The vector environment, the command gate and the simulation node all run these three functions, so that
they move the robot alike, on numpy arrays or torch tensors. No clock inside: one call is one control step.

    step_target   palm target from the action's delta, kept on a leash to the measured palm (gate)
    limit_rate    finger targets, limited in rate and to the joint limits (gate)
    track         arm joint targets that follow the palm target (driver, or the simulated one)
"""

from __future__ import annotations

from dataclasses import dataclass

from rfs_core import robot, se3
from rfs_core.arrays import Array, like, namespace, norm
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose


@dataclass(frozen=True)
class StepLimits:
    """How far commands may run ahead."""

    leash_position: float = 0.06
    """Largest distance of the palm target from the measured palm, m."""
    leash_rotation: float = 0.25
    """Largest angle between the palm target and the measured palm, rad."""
    hand_rate: float = 0.3
    """Largest change of a finger target per control step, rad."""


@dataclass(frozen=True)
class TrackConfig:
    """How the arm follows the palm target."""

    damping: float = 0.05
    """Lambda of the damped least squares."""
    max_step: float = 0.25
    """Largest change of a joint target per control step, rad."""
    max_lead: float = 0.15
    """Largest distance of a joint target from the measured joint, rad: a blocked arm does not wind up."""


DEFAULT_STEP_LIMITS = StepLimits()
DEFAULT_TRACK_CONFIG = TrackConfig()


def step_target(target: Pose, delta: Array, measured: Pose, limits: StepLimits = DEFAULT_STEP_LIMITS) -> Pose:
    """Next palm target: p += dp, R = exp(dr) R, then at most a leash away from the measured palm.

    Args:
        target: palm target of the step before, base frame.
        delta: displacement (m) and rotation vector (rad), both in the base frame. Shape: (N, 6).
        measured: measured palm, base frame.
        limits: the leash.
    """
    offset = target.position + delta[:, :3] - measured.position
    rotation = se3.quat_multiply(se3.quat_from_rotvec(delta[:, 3:]), target.quaternion)
    turn = se3.rotvec_from_quat(se3.quat_multiply(rotation, se3.quat_conjugate(measured.quaternion)))
    position = measured.position + _shorten(offset, limits.leash_position)
    leashed = se3.quat_multiply(
        se3.quat_from_rotvec(_shorten(turn, limits.leash_rotation)), measured.quaternion
    )
    return Pose(position, se3.quat_normalize(leashed))


def limit_rate(
    previous: Array,
    wanted: Array,
    max_change: float = DEFAULT_STEP_LIMITS.hand_rate,
    joint_limits: Array = robot.HAND_LIMITS,
) -> Array:
    """Next finger targets: towards `wanted`, each at most `max_change` from `previous`, within the limits.

    Args:
        previous: targets of the step before, rad. Shape: (N, 16).
        wanted: rad. Shape: (N, 16).
        max_change: rad per control step.
        joint_limits: lower and upper, rad, a constant (see `arrays.like`). Shape: (2, 16).
    """
    limited = previous + (wanted - previous).clip(-max_change, max_change)
    bounds = like(joint_limits, limited)
    return limited.clip(bounds[0], bounds[1])


def track(
    kinematics: ArmKinematics,
    q_cmd: Array,
    q: Array,
    target: Pose,
    config: TrackConfig = DEFAULT_TRACK_CONFIG,
) -> Array:
    """Next arm joint targets: one damped least squares step of the commanded arm towards the palm target.

    The step starts from the joints commanded before, not from the measured ones: a steady load does not
    make the arm creep.

    Args:
        kinematics: of the arm.
        q_cmd: joint targets of the step before, rad. Shape: (N, 7).
        q: measured joints, rad. Shape: (N, 7).
        target: palm target, base frame.
        config: limits of the step.

    Returns:
        rad. Shape: (N, 7).
    """
    pose, jacobian = kinematics.forward_and_jacobian(q_cmd)
    step = kinematics.dls(jacobian, se3.pose_error(target, pose), config.damping)
    moved = q_cmd + step.clip(-config.max_step, config.max_step)
    near = moved.clip(q - config.max_lead, q + config.max_lead)
    limits = like(robot.ARM_LIMITS, near)
    return near.clip(limits[0], limits[1])


def _shorten(vector: Array, length: float) -> Array:
    """Vectors of norm at most `length`, direction kept. Shape: (N, 3)."""
    long = norm(vector, keepdims=True)
    return vector * namespace(vector).where(long > length, length / long.clip(length, None), 1.0)
