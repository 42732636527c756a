"""Franka Control Interface, server version 10: messages as they stand on the wire.

Little endian, packed. TCP (port 1337) carries requests and replies; UDP carries RobotState to the client and
RobotCommand back. Sizes and offsets were checked against libfranka 0.21.2, which refuses any other size.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

VERSION = 10
TCP_PORT = 1337
"""Hard-coded in libfranka: several robots on one machine need several addresses."""

HEADER = struct.Struct("<III")
"""command, command_id, size of the whole message."""
STATE_SIZE = 1377
COMMAND_SIZE = 371

CYCLE_S = 0.001
"""Robot time of one state."""


class Command(IntEnum):
    """What a TCP request asks for."""

    CONNECT = 0
    MOVE = 1
    STOP_MOVE = 2
    SET_COLLISION_BEHAVIOR = 3
    SET_JOINT_IMPEDANCE = 4
    SET_CARTESIAN_IMPEDANCE = 5
    SET_GUIDING_MODE = 6
    SET_EE_TO_K = 7
    SET_NE_TO_EE = 8
    SET_LOAD = 9
    AUTOMATIC_ERROR_RECOVERY = 10
    GET_ROBOT_MODEL = 11


PAYLOAD_SIZE = {
    Command.CONNECT: 4,
    Command.MOVE: 113,
    Command.STOP_MOVE: 0,
    Command.SET_COLLISION_BEHAVIOR: 416,
    Command.SET_JOINT_IMPEDANCE: 56,
    Command.SET_CARTESIAN_IMPEDANCE: 48,
    Command.SET_GUIDING_MODE: 7,
    Command.SET_EE_TO_K: 128,
    Command.SET_NE_TO_EE: 128,
    Command.SET_LOAD: 104,
    Command.AUTOMATIC_ERROR_RECOVERY: 0,
    Command.GET_ROBOT_MODEL: 0,
}
"""Bytes of each request after the header."""

SETTERS = frozenset(range(Command.SET_COLLISION_BEHAVIOR, Command.SET_LOAD + 1))
"""Requests that a robot in motion refuses."""

CONNECT_REQUEST = struct.Struct("<HH")
CONNECT_REPLY = struct.Struct("<BH")
MOVE_MODES = struct.Struct("<II")


class ConnectStatus(IntEnum):
    SUCCESS = 0
    INCOMPATIBLE_VERSION = 1


class MoveStatus(IntEnum):
    SUCCESS = 0
    MOTION_STARTED = 1
    PREEMPTED = 2
    REJECTED_SAFETY = 4
    NOT_POSSIBLE = 5
    INVALID_ARGUMENT = 7
    REFLEX_ABORTED = 8
    EMERGENCY_ABORTED = 9
    INPUT_ERROR_ABORTED = 10
    ABORTED = 11


class SetterStatus(IntEnum):
    SUCCESS = 0
    NOT_POSSIBLE = 1
    INVALID_ARGUMENT = 2


class RecoveryStatus(IntEnum):
    SUCCESS = 0
    NOT_POSSIBLE = 1
    MANUAL_RECOVERY_REQUIRED = 3


class MoveController(IntEnum):
    """controller_mode of a Move request; numbered otherwise than in the state."""

    JOINT_IMPEDANCE = 0
    CARTESIAN_IMPEDANCE = 1
    EXTERNAL = 2


class MoveGenerator(IntEnum):
    """motion_generator_mode of a Move request; numbered otherwise than in the state."""

    JOINT_POSITION = 0
    JOINT_VELOCITY = 1
    CARTESIAN_POSITION = 2
    CARTESIAN_VELOCITY = 3
    NONE = 4


class StateGenerator(IntEnum):
    IDLE = 0
    JOINT_POSITION = 1
    JOINT_VELOCITY = 2
    CARTESIAN_POSITION = 3
    CARTESIAN_VELOCITY = 4
    NONE = 5


class StateController(IntEnum):
    JOINT_IMPEDANCE = 0
    CARTESIAN_IMPEDANCE = 1
    EXTERNAL = 2
    OTHER = 3


class RobotMode(IntEnum):
    OTHER = 0
    IDLE = 1
    MOVE = 2
    GUIDING = 3
    REFLEX = 4
    USER_STOPPED = 5
    AUTOMATIC_ERROR_RECOVERY = 6


ERROR_NAMES = (
    "joint_position_limits_violation",
    "cartesian_position_limits_violation",
    "self_collision_avoidance_violation",
    "joint_velocity_violation",
    "cartesian_velocity_violation",
    "force_control_safety_violation",
    "joint_reflex",
    "cartesian_reflex",
    "max_goal_pose_deviation_violation",
    "max_path_pose_deviation_violation",
    "cartesian_velocity_profile_safety_violation",
    "joint_position_motion_generator_start_pose_invalid",
    "joint_motion_generator_position_limits_violation",
    "joint_motion_generator_velocity_limits_violation",
    "joint_motion_generator_velocity_discontinuity",
    "joint_motion_generator_acceleration_discontinuity",
    "cartesian_position_motion_generator_start_pose_invalid",
    "cartesian_motion_generator_elbow_limit_violation",
    "cartesian_motion_generator_velocity_limits_violation",
    "cartesian_motion_generator_velocity_discontinuity",
    "cartesian_motion_generator_acceleration_discontinuity",
    "cartesian_motion_generator_elbow_sign_inconsistent",
    "cartesian_motion_generator_start_elbow_invalid",
    "force_controller_desired_force_tolerance_violation",
    "start_elbow_sign_inconsistent",
    "communication_constraints_violation",
    "power_limit_violation",
    "cartesian_motion_generator_joint_position_limits_violation",
    "cartesian_motion_generator_joint_velocity_limits_violation",
    "cartesian_motion_generator_joint_velocity_discontinuity",
    "cartesian_motion_generator_joint_acceleration_discontinuity",
    "cartesian_position_motion_generator_invalid_frame",
    "controller_torque_discontinuity",
    "joint_p2p_insufficient_torque_for_planning",
    "tau_j_range_violation",
    "instability_detected",
    "joint_move_in_wrong_direction",
    "cartesian_spline_motion_generator_violation",
    "joint_via_motion_generator_planning_joint_limit_violation",
    "base_acceleration_initialization_timeout",
    "base_acceleration_invalid_reading",
)
"""Names of the 41 error flags, in the order of the wire."""

_F = "<f4"
STATE_DTYPE = np.dtype(
    [
        ("message_id", "<u8"),
        *((name, _F, (16,)) for name in ("O_T_EE", "O_T_EE_d", "F_T_EE", "EE_T_K", "F_T_NE", "NE_T_EE")),
        *(("m_ee", _F), ("I_ee", _F, (9,)), ("F_x_Cee", _F, (3,))),
        *(("m_load", _F), ("I_load", _F, (9,)), ("F_x_Cload", _F, (3,))),
        *(("elbow", _F, (2,)), ("elbow_d", _F, (2,))),
        *((name, _F, (7,)) for name in ("tau_J", "tau_J_d", "dtau_J", "q", "q_d", "dq", "dq_d", "ddq_d")),
        *(("joint_contact", _F, (7,)), ("cartesian_contact", _F, (6,))),
        *(("joint_collision", _F, (7,)), ("cartesian_collision", _F, (6,))),
        ("tau_ext_hat_filtered", _F, (7,)),
        *((name, _F, (6,)) for name in ("O_F_ext_hat_K", "K_F_ext_hat_K", "O_dP_EE_d")),
        ("O_ddP_O", _F, (3,)),
        *((name, _F, (2,)) for name in ("elbow_c", "delbow_c", "ddelbow_c")),
        *(("O_T_EE_c", _F, (16,)), ("O_dP_EE_c", _F, (6,)), ("O_ddP_EE_c", _F, (6,))),
        *(("theta", _F, (7,)), ("dtheta", _F, (7,))),
        *(("accelerometer_top", _F, (18,)), ("accelerometer_bottom", _F, (18,))),
        *(("motion_generator_mode", "u1"), ("controller_mode", "u1")),
        *(("errors", "u1", (41,)), ("reflex_reason", "u1", (41,))),
        *(("robot_mode", "u1"), ("control_command_success_rate", _F)),
    ]
)
"""RobotState, server to client. Matrices are column-major."""

COMMAND_DTYPE = np.dtype(
    [
        ("message_id", "<u8"),
        *(("q_c", "<f8", (7,)), ("dq_c", "<f8", (7,))),
        *(("O_T_EE_c", "<f8", (16,)), ("O_dP_EE_c", "<f8", (6,)), ("elbow_c", "<f8", (2,))),
        *(("valid_elbow", "u1"), ("motion_generation_finished", "u1")),
        *(("tau_J_d", "<f8", (7,)), ("torque_command_finished", "u1")),
    ]
)
"""RobotCommand, client to server. tau_J_d comes without gravity: the robot adds it."""

COLLISION_DTYPE = np.dtype(
    [
        *((f"tau_{name}", "<f8", (7,)) for name in ("lower_acc", "upper_acc", "lower_nom", "upper_nom")),
        *((f"force_{name}", "<f8", (6,)) for name in ("lower_acc", "upper_acc", "lower_nom", "upper_nom")),
    ]
)
"""Payload of SetCollisionBehavior, Nm and N."""


def column_major(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """16 values of a (4, 4) transform as the wire has them."""
    return matrix.T.ravel()


def from_column_major(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(4, 4) transform of the wire's 16 values."""
    return np.asarray(values, dtype=np.float64).reshape(4, 4).T


def parse_command(packet: bytes) -> np.void | None:
    """The RobotCommand in a UDP packet, None where its size is wrong."""
    if len(packet) != COMMAND_DTYPE.itemsize:
        return None
    record: np.void = np.frombuffer(packet, dtype=COMMAND_DTYPE)[0]
    return record


class Request(NamedTuple):
    """One TCP request."""

    command: int
    command_id: int
    payload: bytes


def take_requests(buffer: bytearray) -> list[Request]:
    """Remove and return the complete requests at the front of a receive buffer.

    Raises:
        ValueError: the stream is not FCI: a size smaller than the header or absurdly large.
    """
    requests = []
    while len(buffer) >= HEADER.size:
        command, command_id, size = HEADER.unpack_from(buffer)
        if not HEADER.size <= size <= 65536:
            raise ValueError(f"request {command} claims a size of {size} bytes")
        if len(buffer) < size:
            break
        requests.append(Request(command, command_id, bytes(buffer[HEADER.size : size])))
        del buffer[:size]
    return requests


def reply(command: int, command_id: int, payload: bytes) -> bytes:
    """A TCP reply; the payload begins with the status byte."""
    return HEADER.pack(command, command_id, HEADER.size + len(payload)) + payload
