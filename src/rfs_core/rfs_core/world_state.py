"""What a task may know of N worlds at one instant: arrays that any engine fills and task terms read.

Every array has the number of worlds N as its first axis: numpy arrays of float64, or torch tensors of one
device whose floats have one dtype, as the engine has them (`rfs_core.arrays`). Positions and poses are in
the base frame `fr3_link0`; SI units.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from rfs_core.arrays import Array, to_numpy
from rfs_core.se3 import Pose


@dataclass
class BodyState:
    """A body of the task beside the object, in N worlds."""

    pose: Pose
    """Shapes: (N, 3), (N, 4) wxyz"""
    velocity: Array
    """m/s in the base frame, then rad/s in the body's frame; 0 where it never moves. Shape: (N, 6)"""


@dataclass
class WorldState:
    """State of N worlds at a control tick."""

    time: Array
    """s since the episode's start. Shape: (N,)"""
    arm_position: Array
    """rad, order of `robot.ARM_JOINT_NAMES`. Shape: (N, 7)"""
    arm_velocity: Array
    """rad/s. Shape: (N, 7)"""
    arm_target: Array
    """rad, joint targets the arm's tracker holds (q_cmd). Shape: (N, 7)"""
    hand_position: Array
    """rad, order of `robot.HAND_JOINT_NAMES`. Shape: (N, 16)"""
    hand_velocity: Array
    """rad/s. Shape: (N, 16)"""
    hand_target: Array
    """rad, joint targets the hand holds. Shape: (N, 16)"""
    palm: Pose
    """Palm frame. Shapes: (N, 3), (N, 4) wxyz"""
    fingertip_position: Array
    """m, centres of the rounded ends: index, middle, ring, thumb. Shape: (N, 4, 3)"""
    object_pose: Pose
    """The object's centre and axes. Shapes: (N, 3), (N, 4) wxyz"""
    object_velocity: Array
    """m/s in the base frame, then rad/s in the object's frame. Shape: (N, 6)"""
    object_rest_height: Array
    """m, height of the object's centre where it stood at the start. Shape: (N,)"""
    goal_position: Array
    """m, where the object's centre shall go. Shape: (N, 3)"""
    contacts: Array
    """Which parts of the hand touched the object within the last control step, order of
    `robot.CONTACT_NAMES`. Shape: (N, 5)"""
    held_steps: Array
    """Consecutive control steps, up to now, at which the task's momentary condition held. Shape: (N,)"""
    bodies: dict[str, BodyState] = field(default_factory=dict)
    """The task's further bodies by name."""

    @property
    def num_worlds(self) -> int:
        """N."""
        return int(self.time.shape[0])

    def take(self, worlds: Array) -> "WorldState":
        """The state of some worlds only, in the order given (copies where `worlds` is an index array)."""
        return self._each(lambda array: array[worlds])

    def numpy(self) -> "WorldState":
        """The same state as numpy arrays (tensors of the CPU share their memory)."""
        return self._each(to_numpy)

    def _each(self, change: Callable[[Array], Array]) -> "WorldState":
        values: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Pose):
                values[item.name] = Pose(*map(change, value))
            elif item.name == "bodies":
                values[item.name] = {
                    name: BodyState(Pose(*map(change, body.pose)), change(body.velocity))
                    for name, body in value.items()
                }
            else:
                values[item.name] = change(value)
        return WorldState(**values)
