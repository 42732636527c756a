"""What the command gate refuses and why: one pure function per decision, each answering with a sentence.

An empty sentence means "nothing wrong".
"""

from __future__ import annotations

import numpy as np

from rfs_core import robot, se3
from rfs_core.bounds import hard_bounds
from rfs_core.control import StepLimits
from rfs_core.gate_config import GateConfig
from rfs_core.gate_motion import Motion
from rfs_core.gate_types import Action
from rfs_core.se3 import Array, Pose
from rfs_core.specs import ActionSpec

LIMIT_SLACK = 0.1
"""How far a measured joint may lie outside its limits, rad: calibration, and a limit that gives way."""
REACH = 2.0
"""No palm is further from the base along any axis, m; the FR3 reaches 0.855 m to its flange."""
FAR_OUTSIDE = 3.0
"""A target further from the middle of a joint's range than so many half ranges is no target: refused."""
GUARD_SLACK = 1e-6
"""Rounding that the last guard allows."""
NO_RESIDUAL = 3.0
"""A residual beyond so many times the largest bound that any configuration may have is none: refused."""


def content_problem(action: Action, spec: ActionSpec, base_tolerance: float) -> str:
    """Whether the numbers of an action can mean an action of this robot."""
    name = f"policy action {action.sequence}"
    if action.dimension != spec.size:
        parts = ", ".join(f"{part.name} {part.size}" for part in spec.parts)
        return (
            f"{name} has dimension {action.dimension}, this robot needs {spec.size} "
            f"({parts}); choose a checkpoint of this robot"
        )
    if action.horizon != spec.horizon:
        return f"{name} has horizon {action.horizon}, this robot needs {spec.horizon}"
    if not abs(action.step_dt - spec.control_dt) <= 1e-9:
        return f"{name} has step_dt {action.step_dt} s, this robot needs {spec.control_dt} s"
    size = spec.horizon * spec.size
    for field in ("a_0", "a_b", "a_r", "a"):
        array: Array = getattr(action, field)
        if array.size != size:
            return f"{name}: {field} has {array.size} values, needs {spec.horizon} x {spec.size}"
        if not np.isfinite(array).all():
            step, index = divmod(int(np.flatnonzero(~np.isfinite(array.ravel()))[0]), spec.size)
            return f"{name}: {field} is not finite at step {step}, value {index}"
    excess = base_tolerance * (spec.high - spec.low)
    largest = NO_RESIDUAL * hard_bounds(spec)
    for field, low, high in (
        ("a_b", spec.low - excess, spec.high + excess),
        ("a_r", -largest, largest),
        ("a", spec.low - excess, spec.high + excess),
    ):
        values = getattr(action, field).reshape(spec.horizon, spec.size)
        outside = (values < low) | (values > high)
        if outside.any():
            step, index = (int(i) for i in np.argwhere(outside)[0])
            part = next(p for p in spec.parts if spec.slice(p.name).stop > index)
            allowed = (
                f"at most {largest[index]:.4g} to either side"
                if field == "a_r"
                else f"{spec.low[index]:.4g} to {spec.high[index]:.4g} and at most {excess[index]:.4g} beyond"
            )
            return (
                f"{name}: {field} of {part.name}[{index - spec.slice(part.name).start}] at step {step} is "
                f"{values[step, index]:.4g} {part.unit}, allowed {allowed}"
            )
    return ""


def residual_problem(residual: Array, spec: ActionSpec) -> str:
    """Whether a human's residual can mean one for this robot."""
    if residual.shape != (spec.size,):
        return f"correction has {residual.size} values, this robot needs {spec.size}"
    if not np.isfinite(residual).all():
        return f"correction is not finite at value {int(np.flatnonzero(~np.isfinite(residual))[0])}"
    largest = NO_RESIDUAL * hard_bounds(spec)
    if (np.abs(residual) > largest).any():
        i = int(np.argmax(np.abs(residual) - largest))
        return f"correction has {residual[i]:.4g} at value {i}, allowed at most {largest[i]:.4g}"
    return ""


def binding_problem(action: Action, bound: Action | None) -> str:
    """Whether an action has the publisher, episode and checkpoint of the first one after arming."""
    if bound is None:
        return ""
    if action.publisher != bound.publisher:
        return (
            f"second publisher {action.publisher!r} on policy/action, the gate is bound to "
            f"{bound.publisher!r}; run one policy only"
        )
    if action.episode != bound.episode:
        return f"action belongs to episode {action.episode}, the gate was armed for episode {bound.episode}"
    if action.checkpoint_id != bound.checkpoint_id:
        return (
            f"checkpoint changed from {bound.checkpoint_id} to {action.checkpoint_id} while the gate was "
            "active; swap checkpoints between episodes"
        )
    return ""


def order_problem(
    action: Action, observed_ns: int, motion: Motion, last: tuple[str, int] | None, slack_ns: int
) -> str:
    """Whether an action answers an observation, and has a number, later than those accepted before.

    Args:
        action: as received.
        observed_ns: stamp of its observation on the gate's clock.
        motion: since arming.
        last: publisher and sequence of the last accepted action.
        slack_ns: how exact stamps are.
    """
    name = f"policy action {action.sequence}"
    if last is not None and last[0] == action.publisher and action.sequence <= last[1]:
        return f"{name} is out of order: {last[1]} of {action.publisher!r} was accepted before"
    if motion.observed_ns is not None and observed_ns <= motion.observed_ns:
        return f"{name} answers an observation that is not newer than the last one answered"
    if observed_ns < motion.armed_ns - slack_ns:
        return f"{name} answers an observation from before the gate was armed"
    return ""


def starvation(age_ns: int, stale_after_ns: int, last_refusal: str) -> str:
    """The sentence for a policy that has answered nothing for too long."""
    return (
        f"no new action of the policy: the last one answers an observation {age_ns / 1e6:.0f} ms old, "
        f"allowed: less than {stale_after_ns / 1e6:.0f} ms"
        + (f"; last refusal: {last_refusal}" if last_refusal else "")
    )


def joints_problem(values: Array, limits: Array, names: tuple[str, ...], what: str) -> str:
    """Whether measured joints are finite, as many as the robot has, and near their limits at most."""
    if values.shape != (len(names),):
        return f"{what} has shape {values.shape}, needs ({len(names)},)"
    if not np.isfinite(values).all():
        return f"{what} is not finite at {names[int(np.flatnonzero(~np.isfinite(values))[0])]}"
    outside = (values < limits[0] - LIMIT_SLACK) | (values > limits[1] + LIMIT_SLACK)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        return (
            f"{what}: {names[i]} is at {values[i]:.3f} rad, allowed {limits[0][i]:.3f} to {limits[1][i]:.3f} "
            f"and {LIMIT_SLACK} beyond"
        )
    return ""


def far_joints_problem(values: Array, limits: Array, names: tuple[str, ...], what: str) -> str:
    """Whether a target is further from the middle of a joint's range than `FAR_OUTSIDE` half ranges."""
    far = np.abs(values - (limits[0] + limits[1]) / 2.0) > FAR_OUTSIDE * (limits[1] - limits[0]) / 2.0
    if not far.any():
        return ""
    i = int(np.argmax(far))
    return f"{what}: {names[i]} is {values[i]:.3g} rad, allowed: {limits[0][i]:.3g} to {limits[1][i]:.3g} rad"


def pose_problem(pose: Pose, what: str) -> str:
    """Whether a pose is one finite pose with a unit quaternion, within reach of the base."""
    if pose.position.shape != (1, 3) or pose.quaternion.shape != (1, 4):
        return f"{what} has shapes {pose.position.shape} and {pose.quaternion.shape}, needs (1, 3) and (1, 4)"
    if not (np.isfinite(pose.position).all() and np.isfinite(pose.quaternion).all()):
        return f"{what} is not finite"
    largest = float(np.abs(pose.position).max())
    if largest > REACH:
        return f"{what} is {largest:.3g} m from the base along an axis, the arm reaches less than {REACH} m"
    # Bounded before it is squared: no overflow.
    norm = float(np.linalg.norm(np.clip(pose.quaternion, -10.0, 10.0)))
    if abs(norm - 1.0) > 1e-3:
        return f"{what} has a quaternion of norm {norm:.4f}, needs 1"
    return ""


def joints_jump(
    values: Array,
    before: Array,
    dt_s: float,
    speed: Array | float,
    slack: float,
    names: tuple[str, ...],
    what: str,
) -> str:
    """Whether joints moved faster than they can: |change| > speed * dt + slack."""
    change = np.abs(values - before)
    allowed = np.broadcast_to(np.asarray(speed) * dt_s + slack, change.shape)
    if (change > allowed).any():
        i = int(np.argmax(change - allowed))
        return (
            f"{what} jumped: {names[i]} by {change[i]:.3f} rad in {1e3 * dt_s:.0f} ms, "
            f"possible are {allowed[i]:.3f} rad"
        )
    return ""


def pose_jump(
    pose: Pose, before: Pose, dt_s: float, speed: float, turn: float, slack: float, what: str
) -> str:
    """Whether a pose moved faster than it can."""
    distance, angle = pose_difference(pose, before)
    milliseconds = 1e3 * dt_s
    if distance > speed * dt_s + slack:
        possible = speed * dt_s + slack
        return f"{what} jumped by {distance:.3f} m in {milliseconds:.0f} ms, possible are {possible:.3f} m"
    if angle > turn * dt_s + slack:
        possible = turn * dt_s + slack
        return f"{what} jumped by {angle:.3f} rad in {milliseconds:.0f} ms, possible are {possible:.3f} rad"
    return ""


def pose_difference(a: Pose, b: Pose) -> tuple[float, float]:
    """Distance (m) and angle (rad) between two poses, N = 1."""
    error = se3.pose_error(a, b)[0]
    return float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))


def command_problem(palm: Pose, hand: Array, measured: Pose, limits: StepLimits) -> str:
    """The last guard before the drivers: whether a command is finite and within leash and joint limits."""
    problem = pose_problem(palm, "command")
    if problem:
        return problem
    if hand.shape != robot.HAND_LIMITS[0].shape or not np.isfinite(hand).all():
        return "command of the hand is not 16 finite values"
    if (hand < robot.HAND_LIMITS[0] - GUARD_SLACK).any() or (hand > robot.HAND_LIMITS[1] + GUARD_SLACK).any():
        return "command of the hand is outside its joint limits"
    distance, angle = pose_difference(palm, measured)
    if distance > limits.leash_position + GUARD_SLACK or angle > limits.leash_rotation + GUARD_SLACK:
        return (
            f"command is {distance:.3f} m and {angle:.3f} rad from the measured palm, allowed "
            f"{limits.leash_position} m and {limits.leash_rotation} rad"
        )
    return ""


def mismatch_problem(palm: Pose, computed: Pose, config: GateConfig) -> str:
    """Whether the measured palm is where the measured joints put it."""
    distance, angle = pose_difference(palm, computed)
    if distance > config.mismatch_position or angle > config.mismatch_rotation:
        return (
            f"arm/current_pose is {distance:.3f} m and {angle:.3f} rad from the palm computed from "
            f"arm/joint_states, allowed: {config.mismatch_position} m and {config.mismatch_rotation} rad; "
            "check the hand's mount"
        )
    return ""


def publisher_problem(policies: int, commanders: int) -> str:
    """Whether there is one policy at most, and nobody but the gate on the drivers' topics."""
    # A process that was killed keeps its place in the graph until its lease ends.
    killed = "(one that was killed counts for up to 20 s)"
    if commanders > 1:
        topics = "arm/target_pose or hand/target"
        return f"{commanders} publishers on {topics}, allowed: this gate only; stop the others {killed}"
    if policies > 1:
        return f"{policies} publishers on policy/action, allowed: 1; stop the second policy {killed}"
    return ""
