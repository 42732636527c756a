"""The robot side of the FCI without sockets: modes, motions and the state, 1 ms at a time.

Where the arm shall be stands in `fci_reference`, when it stops by itself in `fci_reflexes`, what it carries
in `fci_mounting`. What a real robot checks and this one does not: self-collision, power. Guessed, and so
unverified on hardware: the 20-command rule, what recovery does beyond clearing the errors.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_model import Array
from rfs_drivers.emulated.fci_mounting import Mounting
from rfs_drivers.emulated.fci_plant import ArmBody, Body
from rfs_drivers.emulated.fci_protocol import (
    CYCLE_S,
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
    column_major,
)
from rfs_drivers.emulated.fci_reference import CARTESIAN, Reference, elbow
from rfs_drivers.emulated.fci_reflexes import Reflexes

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


class MotionEnd(NamedTuple):
    """A motion that is over: what the second reply to its Move request says."""

    motion_id: int
    status: MoveStatus


class FciRobot:
    """One robot arm as its client sees it."""

    def __init__(self, body: Body | None = None, *, strict: bool = True, time_ms: int = 0) -> None:
        """
        Args:
            body: what moves; the emulator's own arm by default.
            strict: abort a motion after LOST_COMMANDS_LIMIT missing commands.
            time_ms: robot time at the start.
        """
        self.body: Body = body if body is not None else ArmBody()
        self.strict = strict
        self.mode = RobotMode.IDLE
        self._stop_pressed = False
        self.why = ""
        """What the last reflex was about, with numbers; a real robot does not tell."""
        self.generator = StateGenerator.IDLE
        self.controller = StateController.OTHER
        self.missed = 0
        self.applied = 0
        self._record = np.zeros(1, dtype=STATE_DTYPE)
        state = self._record[0]
        self._view = {name: state[name] for name in STATE_DTYPE.names or () if state[name].ndim}
        self._time_ms = time_ms
        self._errors = np.zeros(len(ERROR_NAMES), dtype=bool)
        self._reflex_reason = np.zeros(len(ERROR_NAMES), dtype=bool)
        self._motion_id: int | None = None
        self._has_command = False
        self._cycles = 0
        self._lost = 0
        self._history: deque[bool] = deque(maxlen=100)
        self._reflexes = Reflexes()
        self._mounting = Mounting()
        self._hold = self.body.q.copy()
        at = fci_model.chain(self.body.q)
        self._reference = Reference(self._hold.copy(), at.flange @ self._mounting.flange_to_ee)
        self._tau_d = np.zeros(7)
        self._mass_age = 0
        self._mass = np.eye(7)
        self._gravity = np.zeros(7)
        self._write_mounting()
        self._write_state(np.zeros(6), at)

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
        external = self.controller is StateController.EXTERNAL
        self._reference.rest(self.body.q.copy() if external else self._hold.copy())
        self._tau_d = np.zeros(7)
        return MoveStatus.MOTION_STARTED

    def stop(self) -> MotionEnd | None:
        """StopMove: also fine while idle."""
        return self._end(MoveStatus.PREEMPTED, RobotMode.IDLE) if self.in_motion else None

    def recover(self) -> RecoveryStatus:
        """AutomaticErrorRecovery."""
        if self._stop_pressed or self.in_motion:
            return RecoveryStatus.NOT_POSSIBLE
        self._errors[:] = False
        self.mode = RobotMode.IDLE
        self._hold = self.body.q.copy()
        return RecoveryStatus.SUCCESS

    def set_collision_behavior(self, payload: bytes) -> SetterStatus:
        """Thresholds of contact and collision."""
        return self._reflexes.set_collision_behavior(payload)

    def set_end_effector(self, payload: bytes) -> SetterStatus:
        """SetNEToEE."""
        return self._mounted(self._mounting.set_end_effector(payload))

    def set_stiffness_frame(self, payload: bytes) -> SetterStatus:
        """SetEEToK."""
        return self._mounted(self._mounting.set_stiffness_frame(payload))

    def set_load(self, payload: bytes) -> SetterStatus:
        """SetLoad."""
        return self._mounted(self._mounting.set_load(payload))

    def _mounted(self, status: SetterStatus) -> SetterStatus:
        self._write_mounting()
        return status

    @property
    def load_mass(self) -> float:
        """kg, as the client set it."""
        return self._mounting.load_mass

    @property
    def force_threshold(self) -> float:
        """N: the smallest nominal threshold along the axes."""
        return self._reflexes.force_threshold

    # ---- what happens to it --------------------------------------------------------------------------

    def reflex(self, error: str, why: str = "") -> MotionEnd | None:
        """Raise an error flag; a motion ends in Reflex. A user stop that is pressed stays the mode."""
        index = ERROR_NAMES.index(error)
        self.why = f"{error}: {why}" if why else error
        self._errors[index] = True
        self._reflex_reason[:] = False
        self._reflex_reason[index] = True
        if self.in_motion:
            return self._end(MoveStatus.REFLEX_ABORTED, RobotMode.REFLEX)
        if not self._stop_pressed:
            self.mode = RobotMode.REFLEX
        return None

    def user_stop(self, pressed: bool) -> MotionEnd | None:
        """Press or release the user stop; what was raised before or meanwhile is there after the release."""
        self._stop_pressed = pressed
        if not pressed:
            if self.mode is RobotMode.USER_STOPPED:
                self.mode = RobotMode.REFLEX if self._errors.any() else RobotMode.IDLE
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
            reflex = self._reflexes.to_body(self.body, wrench)
            end = self.reflex(*reflex) if reflex is not None else end
        if not self.in_motion:
            self._reference.rest(self._hold)
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
            self._reference.extrapolate(self.generator, self._mounting.flange_to_ee)
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
            reflex = self._reflexes.to_torque(torque)
            if reflex is not None:
                return self.reflex(*reflex)
            self._tau_d = torque
            if self.generator is StateGenerator.NONE:
                return None
        if not self._reference.is_finite(command, self.generator):
            return self._end(MoveStatus.INPUT_ERROR_ABORTED, RobotMode.IDLE)
        error = self._reference.follow(command, self.generator, self._mounting.flange_to_ee)
        return self.reflex(error) if error else None

    def _torque(self) -> Array:
        if self._mass_age == 0:
            at = fci_model.chain(self.body.q)
            self._mass = fci_model.mass_matrix(at) + np.diag(fci_model.ARMATURE)
            self._gravity = fci_model.gravity_torque(at)
        self._mass_age = (self._mass_age + 1) % 20
        body = self.body
        if self.in_motion and self.controller is StateController.EXTERNAL:
            return self._tau_d
        reference = self._reference
        target, speed = (reference.q, reference.dq) if self.in_motion else (self._hold, np.zeros(7))
        w = _STIFFNESS_RATE
        acceleration = w * w * (target - body.q) + 2.0 * w * (speed - body.dq)
        return self._mass @ np.clip(acceleration, -200.0, 200.0) + fci_model.FRICTION * speed

    def _external_wrench(self, at: fci_model.Chain) -> Array:
        """Wrench of the environment at the stiffness frame's origin, base axes, from joint torques.

        Shape: (6,).
        """
        if not self.body.tau_ext.any():
            return np.zeros(6)
        jacobian = fci_model.jacobian(at, self._stiffness_frame(at)[:3, 3])
        gram = jacobian @ jacobian.T + 1e-9 * np.eye(6)
        wrench = np.linalg.solve(gram, jacobian @ self.body.tau_ext)
        return np.asarray(wrench, dtype=np.float64)

    def _stiffness_frame(self, at: fci_model.Chain) -> Array:
        """K in the base frame. Shape: (4, 4)."""
        frame: Array = at.flange @ self._mounting.flange_to_ee @ self._mounting.ee_to_stiffness
        return frame

    def _end(self, status: MoveStatus, mode: RobotMode) -> MotionEnd:
        assert self._motion_id is not None
        end = MotionEnd(self._motion_id, status)
        self._motion_id = None
        self.mode = mode
        planned = status is MoveStatus.SUCCESS and self.controller is not StateController.EXTERNAL
        self._hold = self._reference.q.copy() if planned else self.body.q.copy()
        self.generator, self.controller = StateGenerator.IDLE, StateController.OTHER
        return end

    def _write_mounting(self) -> None:
        v, mounting = self._view, self._mounting
        v["F_T_NE"][:] = column_major(mounting.flange_to_nominal)
        v["NE_T_EE"][:] = column_major(mounting.nominal_to_ee)
        v["F_T_EE"][:] = column_major(mounting.flange_to_ee)
        v["EE_T_K"][:] = column_major(mounting.ee_to_stiffness)
        self._record["m_load"] = mounting.load_mass
        v["F_x_Cload"][:] = mounting.load_centre
        v["I_load"][:] = mounting.load_inertia
        v["O_ddP_O"][:] = (0.0, 0.0, -9.81)

    def _write_state(self, wrench: Array, at: fci_model.Chain) -> None:
        record, v, body, reference = self._record, self._view, self.body, self._reference
        pose = at.flange @ self._mounting.flange_to_ee
        if self.generator not in CARTESIAN:
            moving = self.in_motion
            twist = fci_model.jacobian(at, pose[:3, 3]) @ body.dq if moving else np.zeros(6)
            reference.mirror(pose, twist)
        record["message_id"] = self._time_ms
        v["O_T_EE"][:] = column_major(pose)
        v["O_T_EE_d"][:] = v["O_T_EE_c"][:] = column_major(reference.pose)
        v["elbow"][:] = elbow(body.q)
        v["elbow_d"][:] = v["elbow_c"][:] = reference.elbow
        v["q"][:] = v["theta"][:] = body.q
        v["dq"][:] = v["dtheta"][:] = body.dq
        in_torque = self.controller is StateController.EXTERNAL
        v["q_d"][:] = body.q if in_torque and self.generator is StateGenerator.NONE else reference.q
        v["dq_d"][:], v["ddq_d"][:] = reference.dq, reference.ddq
        v["tau_J_d"][:] = self._tau_d
        v["tau_J"][:] = self._tau_d + self._gravity
        v["tau_ext_hat_filtered"][:] = -body.tau_ext
        v["O_F_ext_hat_K"][:] = -wrench
        axes = self._stiffness_frame(at)[:3, :3]
        v["K_F_ext_hat_K"][:3] = -(wrench[:3] @ axes)
        v["K_F_ext_hat_K"][3:] = -(wrench[3:] @ axes)
        v["O_dP_EE_d"][:] = v["O_dP_EE_c"][:] = reference.twist
        v["O_ddP_EE_c"][:] = reference.twist_rate
        thresholds = self._reflexes.thresholds
        size = np.abs(wrench)
        v["cartesian_contact"][:] = size > thresholds["force_lower_nom"]
        v["cartesian_collision"][:] = size > thresholds["force_upper_nom"]
        tau = np.abs(body.tau_ext)
        v["joint_contact"][:] = tau > thresholds["tau_lower_nom"]
        v["joint_collision"][:] = tau > thresholds["tau_upper_nom"]
        record["motion_generator_mode"] = self.generator
        record["controller_mode"] = self.controller
        v["errors"][:] = self._errors
        v["reflex_reason"][:] = self._reflex_reason
        record["robot_mode"] = self.mode
        rate = sum(self._history) / len(self._history) if self._history else 0.0
        record["control_command_success_rate"] = rate
