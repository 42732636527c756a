"""Messages of the FCI on the wire."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from rfs_drivers.emulated import fci_protocol as fci


def test_sizes_are_the_ones_libfranka_accepts() -> None:
    assert fci.STATE_DTYPE.itemsize == 1377
    assert fci.COMMAND_DTYPE.itemsize == 371
    # 4 vectors of 7 and 4 of 6 doubles.
    assert fci.COLLISION_DTYPE.itemsize == 8 * (4 * 7 + 4 * 6) == 416
    assert len(fci.ERROR_NAMES) == 41


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("O_T_EE", 8),
        ("F_T_EE", 136),
        ("m_ee", 392),
        ("elbow", 496),
        ("tau_J", 512),
        ("q", 596),
        ("ddq_d", 708),
        ("tau_ext_hat_filtered", 840),
        ("O_ddP_O", 940),
        ("O_T_EE_c", 976),
        ("theta", 1088),
        ("accelerometer_top", 1144),
        ("motion_generator_mode", 1288),
        ("errors", 1290),
        ("reflex_reason", 1331),
        ("robot_mode", 1372),
        ("control_command_success_rate", 1373),
    ],
)
def test_state_fields_stand_where_libfranka_reads_them(name: str, offset: int) -> None:
    assert fci.STATE_DTYPE.fields is not None
    assert fci.STATE_DTYPE.fields[name][1] == offset


@pytest.mark.parametrize(
    ("name", "offset"),
    [("q_c", 8), ("O_T_EE_c", 120), ("valid_elbow", 312), ("tau_J_d", 314), ("torque_command_finished", 370)],
)
def test_command_fields_stand_where_libfranka_writes_them(name: str, offset: int) -> None:
    assert fci.COMMAND_DTYPE.fields is not None
    assert fci.COMMAND_DTYPE.fields[name][1] == offset


def test_errors_that_the_driver_names_have_their_index() -> None:
    assert fci.ERROR_NAMES[6] == "joint_reflex"
    assert fci.ERROR_NAMES[7] == "cartesian_reflex"
    assert fci.ERROR_NAMES[25] == "communication_constraints_violation"
    assert fci.ERROR_NAMES[40] == "base_acceleration_invalid_reading"


def test_requests_are_taken_whole_however_the_stream_is_cut() -> None:
    first = struct.pack("<III", 0, 0, 16) + struct.pack("<HH", 10, 5000)
    second = struct.pack("<III", 10, 1, 12)
    stream, buffer, taken = first + second, bytearray(), []
    for byte in stream:
        buffer.append(byte)
        taken += fci.take_requests(buffer)
    assert taken == [fci.Request(0, 0, struct.pack("<HH", 10, 5000)), fci.Request(10, 1, b"")]
    assert not buffer


@pytest.mark.parametrize("size", [0, 11, 10_000_000])
def test_a_stream_that_is_not_fci_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="claims a size"):
        fci.take_requests(bytearray(struct.pack("<III", 1, 0, size)))


def test_a_reply_names_its_whole_size() -> None:
    assert fci.reply(1, 7, b"\x01") == struct.pack("<III", 1, 7, 13) + b"\x01"


def test_a_packet_of_another_size_is_no_command() -> None:
    assert fci.parse_command(b"\0" * 370) is None
    assert fci.parse_command(b"\0" * 371) is not None


def test_a_transform_goes_column_by_column() -> None:
    matrix = np.arange(16.0).reshape(4, 4)
    assert fci.column_major(matrix)[:4].tolist() == [0.0, 4.0, 8.0, 12.0]
    np.testing.assert_array_equal(fci.from_column_major(fci.column_major(matrix)), matrix)
