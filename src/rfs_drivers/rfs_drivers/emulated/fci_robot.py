"""The robot side of the FCI without sockets: modes, motions, reflexes and the state, 1 ms at a time.

What a real robot checks and this one does not: discontinuities of commanded motions, self-collision, power.
Guessed, and so unverified on hardware: the 20-command rule, the reflex thresholds' filtering, what recovery
does beyond clearing the errors.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from rfs_core import robot
from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_model import Array
from rfs_drivers.emulated.fci_plant import ArmBody, Body
from rfs_drivers.emulated.fci_protocol import (
    COLLISION_DTYPE,
    COMMAND_DTYPE,
    ERROR_NAMES,
    STATE_DTYPE,
    MoveController,
    MoveGenerator,
    MoveStatus,
    RecoveryStatus,
    RobotMode,
    SetterStatus,
    StateController,
    StateGenerator,
)

CYCLE_S = 0.001
"""Robot time of one state."""

LOST_COMMANDS_LIMIT = 20
"""Consecutive cycles without a command after which a strict robot aborts. From Franka's documentation as
remembered: unverified on hardware."""

FIRST_COMMAND_CYCLES = 500
"""Cycles a motion may stay without its first command."""

_STIFFNESS_RATE = 125.0
"""1/s: in position modes the joints follow with a time constant of 1/125 s."""

_GENERATOR = {
    MoveGenerator.JOINT_POSITION: StateGenerator.JOINT_POSITION,
    MoveGenerator.JOINT_VELOCITY: StateGenerator.JOINT_VELOCITY,
    MoveGenerator.CARTESIAN_POSITION: StateGenerator.CARTESIAN_POSITION,
    MoveGenerator.CARTESIAN_VELOCITY: StateGenerator.CARTESIAN_VELOCITY,
    MoveGenerator.NONE: StateGenerator.NONE,
}

_CARTESIAN = (StateGenerator.CARTESIAN_POSITION, StateGenerator.CARTESIAN_VELOCITY)
_JOINT = (StateGenerator.JOINT_POSITION, StateGenerator.JOINT_VELOCITY)

_IDENTITY = np.eye(4)


def column_major(matrix: Array) -> Array:
    """16 values of a (4, 4) transform as the wire has them."""
    return matrix.T.ravel()


def from_column_major(values: Array) -> Array:
    """(4, 4) transform of the wire's 16 values."""
    return np.asarray(values, dtype=np.float64).reshape(4, 4).T


def _names(dtype: np.dtype[Any]) -> tuple[str, ...]:
    return dtype.names or ()


class MotionEnd(NamedTuple):
    """A motion that is over: what the second reply to its Move request says."""

    motion_id: int
    status: MoveStatus


class FciRobot:
    """One robot arm as its client sees it."""

    def __init__(self, body: Body | None = None, *, strict: bool = True) -> None:
        """
        Args:
            body: what moves; the emulator's own arm by default.
            strict: abort a motion after LOST_COMMANDS_LIMIT missing commands.
        """
        self.body: Body = body if body is not None else ArmBody()
        self.strict = strict
        self.mode = RobotMode.IDLE
        self.why = ""
        """What the last reflex was about, with numbers; a real robot does not tell."""
        self.generator = StateGenerator.IDLE
        self.controller = StateController.OTHER
        self.missed = 0
        self.applied = 0
        self._record = np.zeros(1, dtype=STATE_DTYPE)
        state = self._record[0]
        self._view = {name: state[name] for name in _names(STATE_DTYPE) if state[name].ndim}
        self._time_ms = 0
        self._errors = np.zeros(len(ERROR_NAMES), dtype=bool)
        self._reflex_reason = np.zeros(len(ERROR_NAMES), dtype=bool)
        self._motion_id: int | None = None
        self._has_command = False
        self._cycles = 0
        self._lost = 0
        self._history: deque[bool] = deque(maxlen=100)
        self._collision = np.zeros(1, dtype=COLLISION_DTYPE)[0]
        for name in _names(COLLISION_DTYPE):
            self._collision[name] = 20.0 if name.startswith("tau") else 30.0
        # Franka Hand mounted, as Desk delivers a new robot.
        s = float(np.sqrt(0.5))
        self._flange_to_nominal = np.array(
            [[s, s, 0, 0], [-s, s, 0, 0], [0, 0, 1, 0.1034], [0, 0, 0, 1]], dtype=np.float64
        )
        self._nominal_to_ee = _IDENTITY.copy()
        self._ee_to_stiffness = _IDENTITY.copy()
        self._load = (0.0, np.zeros(3), np.zeros(9))
        self._hold = self.body.q.copy()
        self._q_d, self._dq_d, self._ddq_d = self._hold.copy(), np.zeros(7), np.zeros(7)
        self._tau_d = np.zeros(7)
        self._pose_c = self._end_effector(self.body.q)
        self._twist_c, self._twist_rate_c = np.zeros(6), np.zeros(6)
        self._elbow_c = np.zeros(2)
        self._mass_age = 0
        self._mass = np.eye(7)
        self._gravity = np.zeros(7)
        self._write_frames()
        self._write_state(np.zeros(6), fci_model.chain(self.body.q))

    # ---- what the client asks over TCP ---------------------------------------------------------------

    @property
    def in_motion(self) -> bool:
        """Whether a Move request is being served."""
        return self._motion_id is not None

    @property
    def expects_command(self) -> bool:
        """Whether the client is streaming commands: it has sent the first one of this motion."""
        return self._motion_id is not None and self._has_command

    @property
    def time_ms(self) -> int:
        """Robot time: the message id of the newest state, ms."""
        return self._time_ms

    def move(self, motion_id: int, controller: int, generator: int) -> MoveStatus:
        """Begin a motion; MOTION_STARTED or why not."""
        if self.mode is not RobotMode.IDLE or self.in_motion:
            return MoveStatus.NOT_POSSIBLE
        try:
            asked = MoveController(controller), MoveGenerator(generator)
        except ValueError:
            return MoveStatus.INVALID_ARGUMENT
        if (asked[0] is MoveController.EXTERNAL) != (asked[1] is MoveGenerator.NONE) and (
            asked[1] is MoveGenerator.NONE
        ):
            return MoveStatus.INVALID_ARGUMENT
        self._motion_id = motion_id
        self.mode = RobotMode.MOVE
        self.controller = StateController(int(asked[0]))
        self.generator = _GENERATOR[asked[1]]
        self._has_command = False
        self._cycles = self._lost = 0
        self._history.clear()
        self._q_d = self.body.q.copy() if self.controller is StateController.EXTERNAL else self._hold.copy()
        self._dq_d, self._ddq_d, self._tau_d = np.zeros(7), np.zeros(7), np.zeros(7)
        return MoveStatus.MOTION_STARTED

    def stop(self) -> MotionEnd | None:
        """StopMove: also fine while idle."""
        return self._end(MoveStatus.PREEMPTED, RobotMode.IDLE) if self.in_motion else None

    def recover(self) -> RecoveryStatus:
        """AutomaticErrorRecovery."""
        if self.mode is RobotMode.USER_STOPPED or self.in_motion:
            return RecoveryStatus.NOT_POSSIBLE
        self._errors[:] = False
        self.mode = RobotMode.IDLE
        self._hold = self.body.q.copy()
        return RecoveryStatus.SUCCESS

    def set_collision_behavior(self, payload: bytes) -> SetterStatus:
        """Thresholds of contact and collision."""
        values = np.frombuffer(payload, dtype=COLLISION_DTYPE)[0]
        if any(
            not np.all(np.isfinite(values[name])) or np.any(values[name] < 0)
            for name in _names(COLLISION_DTYPE)
        ):
            return SetterStatus.INVALID_ARGUMENT
        self._collision = values.copy()
        return SetterStatus.SUCCESS

    def set_end_effector(self, payload: bytes) -> SetterStatus:
        """SetNEToEE."""
        return self._set_frame("_nominal_to_ee", payload)

    def set_stiffness_frame(self, payload: bytes) -> SetterStatus:
        """SetEEToK."""
        return self._set_frame("_ee_to_stiffness", payload)

    def set_load(self, payload: bytes) -> SetterStatus:
        """SetLoad. The body does not become heavier: the load is one that the robot compensates."""
        values = np.frombuffer(payload, dtype="<f8")
        if not np.all(np.isfinite(values)) or values[0] < 0:
            return SetterStatus.INVALID_ARGUMENT
        self._load = (float(values[0]), values[1:4].copy(), values[4:13].copy())
        self._write_frames()
        return SetterStatus.SUCCESS

    @property
    def load_mass(self) -> float:
        """kg, as the client set it."""
        return self._load[0]

    @property
    def force_threshold(self) -> float:
        """N: the smallest nominal threshold along the axes."""
        return float(self._collision["force_upper_nom"][:3].min())

    # ---- what happens to it --------------------------------------------------------------------------

    def reflex(self, error: str, why: str = "") -> MotionEnd | None:
        """Raise an error flag; a motion ends in Reflex."""
        index = ERROR_NAMES.index(error)
        self.why = f"{error}: {why}" if why else error
        self._errors[index] = True
        self._reflex_reason[:] = False
        self._reflex_reason[index] = True
        if self.in_motion:
            return self._end(MoveStatus.REFLEX_ABORTED, RobotMode.REFLEX)
        self.mode = RobotMode.REFLEX
        return None

    def user_stop(self, pressed: bool) -> MotionEnd | None:
        """Press or release the user stop."""
        if not pressed:
            if self.mode is RobotMode.USER_STOPPED:
                self.mode = RobotMode.IDLE
            return None
        if self.in_motion:
            return self._end(MoveStatus.EMERGENCY_ABORTED, RobotMode.USER_STOPPED)
        self.mode = RobotMode.USER_STOPPED
        return None

    def place(self, q: Array) -> None:
        """Put the arm at rest at joint positions."""
        self.body.place(q)
        self._hold = self.body.q.copy()

    # ---- one cycle -----------------------------------------------------------------------------------

    def step(self, command: np.void | None) -> MotionEnd | None:
        """Advance by 1 ms with the command received since the last state, if any."""
        end = self._take(command) if self.in_motion else None
        torque = self._torque()
        self.body.step(torque, CYCLE_S)
        self._time_ms += 1
        at = fci_model.chain(self.body.q)
        wrench = self._external_wrench(at)
        if self.in_motion:
            end = self._check(wrench) or end
        if not self.in_motion:
            self._q_d, self._dq_d, self._ddq_d = self._hold, np.zeros(7), np.zeros(7)
            self._tau_d = np.zeros(7)
        self._write_state(wrench, at)
        return end

    def state_bytes(self) -> bytes:
        """The newest state as it goes over the wire. 1377 bytes."""
        return self._record.tobytes()

    def _take(self, command: np.void | None) -> MotionEnd | None:
        self._cycles += 1
        if command is None:
            if self._has_command:
                self._lost += 1
                self.missed += 1
                self._history.append(False)
            too_many = self._lost >= LOST_COMMANDS_LIMIT and self.strict
            if too_many or (not self._has_command and self._cycles > FIRST_COMMAND_CYCLES):
                why = f"{self._lost if too_many else self._cycles} cycles without a command"
                return self.reflex("communication_constraints_violation", why)
            self._extrapolate()
            return None
        self._has_command = True
        self._lost = 0
        self.applied += 1
        self._history.append(True)
        if command["motion_generation_finished"] or command["torque_command_finished"]:
            return self._end(MoveStatus.SUCCESS, RobotMode.IDLE)
        if self.controller is StateController.EXTERNAL:
            torque = np.array(command["tau_J_d"])
            if not np.all(np.isfinite(torque)):
                return self._end(MoveStatus.INPUT_ERROR_ABORTED, RobotMode.IDLE)
            if np.any(np.abs(torque) > fci_model.TORQUE_LIMITS):
                return self.reflex(
                    "tau_j_range_violation", _worst("Nm asked", torque, fci_model.TORQUE_LIMITS)
                )
            self._tau_d = torque
            if self.generator is StateGenerator.NONE:
                return None
        return self._generate(command)

    def _generate(self, command: np.void) -> MotionEnd | None:
        before = self._dq_d
        if self.generator in _JOINT:
            values = command["q_c"] if self.generator is StateGenerator.JOINT_POSITION else command["dq_c"]
            if not np.all(np.isfinite(values)):
                return self._end(MoveStatus.INPUT_ERROR_ABORTED, RobotMode.IDLE)
            if self.generator is StateGenerator.JOINT_POSITION:
                if np.any(values < robot.ARM_LIMITS[0]) or np.any(values > robot.ARM_LIMITS[1]):
                    return self.reflex("joint_motion_generator_position_limits_violation")
                self._dq_d = (values - self._q_d) / CYCLE_S
                self._q_d = np.array(values)
            else:
                self._dq_d = np.array(values)
                self._q_d = self._q_d + CYCLE_S * self._dq_d
        else:
            self._generate_cartesian(command)
        self._ddq_d = (self._dq_d - before) / CYCLE_S
        if np.any(np.abs(self._dq_d) > 1.05 * robot.ARM_VELOCITY_LIMITS):
            return self.reflex("joint_motion_generator_velocity_limits_violation")
        return None

    def _generate_cartesian(self, command: np.void) -> None:
        """Joint motion of a Cartesian command by damped least squares; the commanded elbow is only echoed."""
        at = fci_model.chain(self._q_d)
        flange_to_ee = self._flange_to_nominal @ self._nominal_to_ee
        pose = at.flange @ flange_to_ee
        jacobian = fci_model.jacobian(at, pose[:3, 3])
        if self.generator is StateGenerator.CARTESIAN_POSITION:
            wanted = from_column_major(command["O_T_EE_c"])
            turn = wanted[:3, :3] @ pose[:3, :3].T
            rotation = 0.5 * np.array(
                [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
            )
            twist: Array = np.concatenate([wanted[:3, 3] - self._pose_c[:3, 3], np.zeros(3)]) / CYCLE_S
            turn_c = wanted[:3, :3] @ self._pose_c[:3, :3].T
            twist[3:] = (
                0.5
                / CYCLE_S
                * np.array(
                    [turn_c[2, 1] - turn_c[1, 2], turn_c[0, 2] - turn_c[2, 0], turn_c[1, 0] - turn_c[0, 1]]
                )
            )
            error = np.concatenate([wanted[:3, 3] - pose[:3, 3], rotation])
            self._pose_c = wanted
        else:
            twist = np.array(command["O_dP_EE_c"], dtype=np.float64)
            error = CYCLE_S * twist
            self._pose_c = pose
        self._twist_rate_c = (twist - self._twist_c) / CYCLE_S
        self._twist_c = twist
        if command["valid_elbow"]:
            self._elbow_c = np.array(command["elbow_c"])
        gram = jacobian @ jacobian.T + 1e-6 * np.eye(6)
        step = jacobian.T @ np.linalg.solve(gram, error)
        self._dq_d = step / CYCLE_S
        self._q_d = self._q_d + step

    def _extrapolate(self) -> None:
        """A lost command: go on as before. Reporting a desired velocity of zero would make motions crawl."""
        if self.generator in _JOINT or self.generator in _CARTESIAN:
            self._q_d = np.clip(self._q_d + CYCLE_S * self._dq_d, *robot.ARM_LIMITS)
            self._ddq_d = np.zeros(7)
            if self.generator in _CARTESIAN:
                self._pose_c = self._end_effector(self._q_d)

    def _torque(self) -> Array:
        if self._mass_age == 0:
            at = fci_model.chain(self.body.q)
            self._mass = fci_model.mass_matrix(at) + np.diag(fci_model.ARMATURE)
            self._gravity = fci_model.gravity_torque(at)
        self._mass_age = (self._mass_age + 1) % 20
        body = self.body
        if self.in_motion and self.controller is StateController.EXTERNAL:
            return self._tau_d
        target, speed = (self._q_d, self._dq_d) if self.in_motion else (self._hold, np.zeros(7))
        w = _STIFFNESS_RATE
        acceleration = w * w * (target - body.q) + 2.0 * w * (speed - body.dq)
        return self._mass @ np.clip(acceleration, -200.0, 200.0) + fci_model.FRICTION * speed

    def _external_wrench(self, at: fci_model.Chain) -> Array:
        """Wrench of the environment on the flange, from joint torques. Shape: (6,)."""
        if not self.body.tau_ext.any():
            return np.zeros(6)
        jacobian = fci_model.jacobian(at, at.flange[:3, 3])
        gram = jacobian @ jacobian.T + 1e-9 * np.eye(6)
        wrench = np.linalg.solve(gram, jacobian @ self.body.tau_ext)
        return np.asarray(wrench, dtype=np.float64)

    def _check(self, wrench: Array) -> MotionEnd | None:
        if np.any(np.abs(wrench) > self._collision["force_upper_nom"]):
            largest = self._collision["force_upper_nom"]
            return self.reflex("cartesian_reflex", _worst("N, Nm from outside", wrench, largest, "component"))
        tau = self.body.tau_ext
        if np.any(np.abs(tau) > self._collision["tau_upper_nom"]):
            largest = self._collision["tau_upper_nom"]
            return self.reflex("joint_reflex", _worst("Nm from outside", tau, largest))
        if np.any(np.abs(self.body.dq) > 1.1 * robot.ARM_VELOCITY_LIMITS):
            why = _worst("rad/s", self.body.dq, robot.ARM_VELOCITY_LIMITS)
            return self.reflex("joint_velocity_violation", why)
        low, high = robot.ARM_LIMITS
        if np.any(self.body.q <= low) or np.any(self.body.q >= high):
            why = _worst("rad from the middle", self.body.q - (low + high) / 2, (high - low) / 2)
            return self.reflex("joint_position_limits_violation", why)
        return None

    def _end(self, status: MoveStatus, mode: RobotMode) -> MotionEnd:
        assert self._motion_id is not None
        end = MotionEnd(self._motion_id, status)
        self._motion_id = None
        self.mode = mode
        self._hold = self.body.q.copy() if self.controller is StateController.EXTERNAL else self._q_d.copy()
        if status is not MoveStatus.SUCCESS:
            self._hold = self.body.q.copy()
        self.generator, self.controller = StateGenerator.IDLE, StateController.OTHER
        return end

    def _set_frame(self, name: str, payload: bytes) -> SetterStatus:
        matrix = from_column_major(np.frombuffer(payload, dtype="<f8"))
        rotation = matrix[:3, :3]
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
            return SetterStatus.INVALID_ARGUMENT
        setattr(self, name, matrix)
        self._write_frames()
        return SetterStatus.SUCCESS

    def _end_effector(self, q: Array) -> Array:
        pose: Array = fci_model.forward(q) @ self._flange_to_nominal @ self._nominal_to_ee
        return pose

    def _write_frames(self) -> None:
        v = self._view
        self._flange_to_ee = self._flange_to_nominal @ self._nominal_to_ee
        v["F_T_NE"][:] = column_major(self._flange_to_nominal)
        v["NE_T_EE"][:] = column_major(self._nominal_to_ee)
        v["F_T_EE"][:] = column_major(self._flange_to_ee)
        v["EE_T_K"][:] = column_major(self._ee_to_stiffness)
        self._record["m_load"] = self._load[0]
        v["F_x_Cload"][:] = self._load[1]
        v["I_load"][:] = self._load[2]
        v["O_ddP_O"][:] = (0.0, 0.0, -9.81)

    def _write_state(self, wrench: Array, at: fci_model.Chain) -> None:
        record, v, body = self._record, self._view, self.body
        pose = at.flange @ self._flange_to_ee
        if self.generator not in _CARTESIAN:
            self._pose_c = pose
            self._twist_rate_c = np.zeros(6)
            if self.in_motion:
                self._twist_c = fci_model.jacobian(at, pose[:3, 3]) @ body.dq
            else:
                self._twist_c = np.zeros(6)
            self._elbow_c = np.array([self._q_d[2], 1.0 if self._q_d[3] >= -0.467 else -1.0])
        record["message_id"] = self._time_ms
        v["O_T_EE"][:] = column_major(pose)
        v["O_T_EE_d"][:] = v["O_T_EE_c"][:] = column_major(self._pose_c)
        v["elbow"][:] = (body.q[2], 1.0 if body.q[3] >= -0.467 else -1.0)
        v["elbow_d"][:] = v["elbow_c"][:] = self._elbow_c
        v["q"][:] = v["theta"][:] = body.q
        v["dq"][:] = v["dtheta"][:] = body.dq
        in_torque = self.controller is StateController.EXTERNAL
        v["q_d"][:] = body.q if in_torque and self.generator is StateGenerator.NONE else self._q_d
        v["dq_d"][:], v["ddq_d"][:] = self._dq_d, self._ddq_d
        v["tau_J_d"][:] = self._tau_d
        v["tau_J"][:] = self._tau_d + self._gravity
        v["tau_ext_hat_filtered"][:] = -body.tau_ext
        v["O_F_ext_hat_K"][:] = -wrench
        v["K_F_ext_hat_K"][:3] = -(wrench[:3] @ pose[:3, :3])
        v["K_F_ext_hat_K"][3:] = -(wrench[3:] @ pose[:3, :3])
        v["O_dP_EE_d"][:] = v["O_dP_EE_c"][:] = self._twist_c
        v["O_ddP_EE_c"][:] = self._twist_rate_c
        size = np.abs(wrench)
        v["cartesian_contact"][:] = size > self._collision["force_lower_nom"]
        v["cartesian_collision"][:] = size > self._collision["force_upper_nom"]
        tau = np.abs(body.tau_ext)
        v["joint_contact"][:] = tau > self._collision["tau_lower_nom"]
        v["joint_collision"][:] = tau > self._collision["tau_upper_nom"]
        record["motion_generator_mode"] = self.generator
        record["controller_mode"] = self.controller
        v["errors"][:] = self._errors
        v["reflex_reason"][:] = self._reflex_reason
        record["robot_mode"] = self.mode
        rate = sum(self._history) / len(self._history) if self._history else 0.0
        record["control_command_success_rate"] = rate


def _worst(unit: str, values: Array, largest: Array, kind: str = "joint") -> str:
    """The value that exceeds its limit most."""
    index = int(np.argmax(np.abs(values) / np.maximum(largest, 1e-9)))
    return f"{kind} {index + 1}: {values[index]:.1f} {unit}, allowed {largest[index]:.1f}"


def parse_command(packet: bytes) -> np.void | None:
    """The RobotCommand in a UDP packet, None where its size is wrong."""
    if len(packet) != COMMAND_DTYPE.itemsize:
        return None
    record: np.void = np.frombuffer(packet, dtype=COMMAND_DTYPE)[0]
    return record
