"""What a task may know of N worlds at one instant: arrays that any engine fills and task terms read.

Every array has the number of worlds N as its first axis. Positions and poses are in the base frame
`fr3_link0`; SI units; float64.
"""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.se3 import Pose


@dataclass
class BodyState:
    """A body of the task beside the object, in N worlds."""

    pose: Pose
    """Shapes: (N, 3), (N, 4) wxyz"""
    velocity: NDArray[np.float64]
    """m/s in the base frame, then rad/s in the body's frame; 0 where it never moves. Shape: (N, 6)"""


@dataclass
class WorldState:
    """State of N worlds at a control tick."""

    time: NDArray[np.float64]
    """s since the episode's start. Shape: (N,)"""
    arm_position: NDArray[np.float64]
    """rad, order of `robot.ARM_JOINT_NAMES`. Shape: (N, 7)"""
    arm_velocity: NDArray[np.float64]
    """rad/s. Shape: (N, 7)"""
    arm_target: NDArray[np.float64]
    """rad, joint targets the arm's tracker holds (q_cmd). Shape: (N, 7)"""
    hand_position: NDArray[np.float64]
    """rad, order of `robot.HAND_JOINT_NAMES`. Shape: (N, 16)"""
    hand_velocity: NDArray[np.float64]
    """rad/s. Shape: (N, 16)"""
    hand_target: NDArray[np.float64]
    """rad, joint targets the hand holds. Shape: (N, 16)"""
    palm: Pose
    """Palm frame. Shapes: (N, 3), (N, 4) wxyz"""
    fingertip_position: NDArray[np.float64]
    """m, centres of the rounded ends: index, middle, ring, thumb. Shape: (N, 4, 3)"""
    object_pose: Pose
    """The object's centre and axes. Shapes: (N, 3), (N, 4) wxyz"""
    object_velocity: NDArray[np.float64]
    """m/s in the base frame, then rad/s in the object's frame. Shape: (N, 6)"""
    object_rest_height: NDArray[np.float64]
    """m, height of the object's centre where it stood at the start. Shape: (N,)"""
    goal_position: NDArray[np.float64]
    """m, where the object's centre shall go. Shape: (N, 3)"""
    contacts: NDArray[np.bool_]
    """Which parts of the hand touched the object within the last control step, order of
    `robot.CONTACT_NAMES`. Shape: (N, 5)"""
    held_steps: NDArray[np.int64]
    """Consecutive control steps, up to now, at which the task's momentary condition held. Shape: (N,)"""
    bodies: dict[str, BodyState] = field(default_factory=dict)
    """The task's further bodies by name."""

    @property
    def num_worlds(self) -> int:
        """N."""
        return int(self.time.shape[0])

    def take(self, worlds: NDArray[np.intp] | NDArray[np.bool_]) -> "WorldState":
        """The state of some worlds only, in the order given (copies where `worlds` is an index array)."""
        values: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Pose):
                values[item.name] = _take(value, worlds)
            elif item.name == "bodies":
                values[item.name] = {
                    name: BodyState(_take(body.pose, worlds), body.velocity[worlds])
                    for name, body in value.items()
                }
            else:
                values[item.name] = value[worlds]
        return WorldState(**values)


def _take(pose: Pose, worlds: NDArray[np.intp] | NDArray[np.bool_]) -> Pose:
    return Pose(pose.position[worlds], pose.quaternion[worlds])
