"""What the emulated robot takes to be on its flange."""

from __future__ import annotations

import numpy as np
import pytest

from rfs_drivers.emulated.fci_mounting import Mounting
from rfs_drivers.emulated.fci_protocol import SetterStatus, column_major


def transform(*position: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = position
    return matrix


def test_the_franka_hand_is_mounted_turned_by_45_degrees() -> None:
    frame = Mounting().flange_to_ee
    assert frame[2, 3] == 0.1034
    # The flange's x axis is seen under 45 degrees.
    np.testing.assert_allclose(frame[:3, 0], [np.sqrt(0.5), -np.sqrt(0.5), 0.0])


def test_the_end_effector_counts_from_the_nominal_one() -> None:
    mounting = Mounting()
    assert mounting.set_end_effector(column_major(transform(0.0, 0.0, 0.1)).tobytes()) is SetterStatus.SUCCESS
    assert mounting.flange_to_ee[2, 3] == pytest.approx(0.2034)
    assert mounting.nominal_to_ee[2, 3] == 0.1


def test_the_stiffness_frame_moves_no_end_effector() -> None:
    mounting = Mounting()
    payload = column_major(transform(0.01, 0.0, 0.0)).tobytes()
    assert mounting.set_stiffness_frame(payload) is SetterStatus.SUCCESS
    assert mounting.ee_to_stiffness[0, 3] == 0.01
    assert mounting.flange_to_ee[2, 3] == 0.1034


@pytest.mark.parametrize("matrix", [2.0 * np.eye(4), np.diag([1.0, 1.0, -1.0, 1.0]), np.full((4, 4), np.nan)])
def test_what_is_no_rotation_is_refused_and_changes_nothing(matrix: np.ndarray) -> None:
    mounting = Mounting()
    payload = column_major(matrix).tobytes()
    assert mounting.set_end_effector(payload) is SetterStatus.INVALID_ARGUMENT
    assert mounting.set_stiffness_frame(payload) is SetterStatus.INVALID_ARGUMENT
    np.testing.assert_array_equal(mounting.nominal_to_ee, np.eye(4))
    np.testing.assert_array_equal(mounting.ee_to_stiffness, np.eye(4))


def test_a_load_is_mass_centre_and_inertia() -> None:
    mounting = Mounting()
    assert mounting.set_load(np.arange(13.0).tobytes()) is SetterStatus.SUCCESS
    assert mounting.load_mass == 0.0
    assert mounting.load_centre.tolist() == [1.0, 2.0, 3.0]
    assert mounting.load_inertia.tolist() == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]


@pytest.mark.parametrize("mass", [-0.1, float("nan"), float("inf")])
def test_a_load_that_cannot_be_is_refused(mass: float) -> None:
    mounting = Mounting()
    assert mounting.set_load(np.array([mass] + [0.0] * 12).tobytes()) is SetterStatus.INVALID_ARGUMENT
    assert mounting.load_mass == 0.0
