"""Where the client's commands want the arm: the robot's motion generators.

Joint commands are taken as they are; Cartesian ones become a joint motion by damped least squares. What a
real robot checks and this one does not: discontinuities of commanded motions.
"""

from __future__ import annotations

import numpy as np

from rfs_core import robot
from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_model import Array
from rfs_drivers.emulated.fci_protocol import CYCLE_S, StateGenerator, from_column_major

CARTESIAN = (StateGenerator.CARTESIAN_POSITION, StateGenerator.CARTESIAN_VELOCITY)
"""Generators that are commanded by poses or twists."""

_JOINT = (StateGenerator.JOINT_POSITION, StateGenerator.JOINT_VELOCITY)


class Reference:
    """Desired joints (`q`, `dq`, `ddq`) and what was commanded of the end effector."""

    def __init__(self, q: Array, pose: Array) -> None:
        """
        Args:
            q: joint positions to rest at, rad. Shape: (7,).
            pose: end effector there, base frame. Shape: (4, 4).
        """
        self.rest(q)
        self.pose = pose
        """End effector, base frame. Shape: (4, 4)."""
        self.twist: Array = np.zeros(6)
        """m/s, rad/s. Shape: (6,)."""
        self.twist_rate: Array = np.zeros(6)
        """m/s2, rad/s2. Shape: (6,)."""
        self.elbow: Array = np.zeros(2)
        """Third joint, rad, and the sign of the fourth; a commanded one is only echoed. Shape: (2,)."""

    def rest(self, q: Array) -> None:
        """Stand still at joint positions, rad."""
        self.q, self.dq, self.ddq = q, np.zeros(7), np.zeros(7)

    @staticmethod
    def is_finite(command: np.void, generator: StateGenerator) -> bool:
        """Whether all of a command is finite that its generator looks at."""
        if generator in _JOINT:
            return bool(np.all(np.isfinite(_joint_values(command, generator))))
        position = generator is StateGenerator.CARTESIAN_POSITION
        wanted = [command["O_T_EE_c"] if position else command["O_dP_EE_c"]]
        if command["valid_elbow"]:
            wanted.append(command["elbow_c"])
        return all(bool(np.all(np.isfinite(values))) for values in wanted)

    def follow(self, command: np.void, generator: StateGenerator, flange_to_ee: Array) -> str:
        """Go on by one cycle with a command; the error flag that it raises, empty for none.

        Args:
            command: a finite one.
            generator: that the motion was begun with.
            flange_to_ee: end effector in the flange. Shape: (4, 4).
        """
        before = self.dq
        if generator in _JOINT:
            values = _joint_values(command, generator)
            if generator is StateGenerator.JOINT_POSITION:
                if np.any(values < robot.ARM_LIMITS[0]) or np.any(values > robot.ARM_LIMITS[1]):
                    return "joint_motion_generator_position_limits_violation"
                self.dq = (values - self.q) / CYCLE_S
                self.q = np.array(values)
            else:
                self.dq = np.array(values)
                self.q = self.q + CYCLE_S * self.dq
        else:
            self._follow_cartesian(command, generator, flange_to_ee)
        self.ddq = (self.dq - before) / CYCLE_S
        if np.any(np.abs(self.dq) > 1.05 * robot.ARM_VELOCITY_LIMITS):
            return "joint_motion_generator_velocity_limits_violation"
        return ""

    def extrapolate(self, generator: StateGenerator, flange_to_ee: Array) -> None:
        """A lost command: go on as before. Reporting a desired velocity of zero would make motions crawl."""
        if generator in _JOINT or generator in CARTESIAN:
            self.q = np.clip(self.q + CYCLE_S * self.dq, *robot.ARM_LIMITS)
            self.ddq = np.zeros(7)
            if generator in CARTESIAN:
                self.pose = fci_model.forward(self.q) @ flange_to_ee

    def mirror(self, pose: Array, twist: Array) -> None:
        """Without a Cartesian command the end effector is said to be wanted where it is."""
        self.pose, self.twist, self.twist_rate = pose, twist, np.zeros(6)
        self.elbow = elbow(self.q)

    def _follow_cartesian(self, command: np.void, generator: StateGenerator, flange_to_ee: Array) -> None:
        at = fci_model.chain(self.q)
        pose = at.flange @ flange_to_ee
        jacobian = fci_model.jacobian(at, pose[:3, 3])
        if generator is StateGenerator.CARTESIAN_POSITION:
            wanted = from_column_major(command["O_T_EE_c"])
            twist: Array = np.concatenate([wanted[:3, 3] - self.pose[:3, 3], np.zeros(3)]) / CYCLE_S
            twist[3:] = _small_turn(wanted, self.pose) / CYCLE_S
            error = np.concatenate([wanted[:3, 3] - pose[:3, 3], _small_turn(wanted, pose)])
            self.pose = wanted
        else:
            twist = np.array(command["O_dP_EE_c"], dtype=np.float64)
            error = CYCLE_S * twist
            self.pose = pose
        self.twist_rate = (twist - self.twist) / CYCLE_S
        self.twist = twist
        if command["valid_elbow"]:
            self.elbow = np.array(command["elbow_c"])
        gram = jacobian @ jacobian.T + 1e-6 * np.eye(6)
        step = jacobian.T @ np.linalg.solve(gram, error)
        self.dq = step / CYCLE_S
        self.q = self.q + step


def elbow(q: Array) -> Array:
    """Third joint, rad, and on which side the fourth one bends. Shape: (2,)."""
    return np.array([q[2], 1.0 if q[3] >= -0.467 else -1.0])


def _joint_values(command: np.void, generator: StateGenerator) -> Array:
    values: Array = command["q_c"] if generator is StateGenerator.JOINT_POSITION else command["dq_c"]
    return values


def _small_turn(wanted: Array, pose: Array) -> Array:
    """Rotation vector from one (4, 4) pose to another close to it, rad. Shape: (3,)."""
    turn = wanted[:3, :3] @ pose[:3, :3].T
    skew = [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
    vector: Array = 0.5 * np.array(skew)
    return vector
