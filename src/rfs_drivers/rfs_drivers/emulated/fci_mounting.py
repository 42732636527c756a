"""What the emulated robot takes to be mounted on its flange: end effector, stiffness frame, load."""

from __future__ import annotations

import numpy as np

from rfs_drivers.emulated.fci_model import Array
from rfs_drivers.emulated.fci_protocol import SetterStatus, from_column_major


class Mounting:
    """Franka Hand mounted, as Desk delivers a new robot, until the client says otherwise."""

    def __init__(self) -> None:
        s = float(np.sqrt(0.5))
        self.flange_to_nominal: Array = np.array(
            [[s, s, 0, 0], [-s, s, 0, 0], [0, 0, 1, 0.1034], [0, 0, 0, 1]], dtype=np.float64
        )
        """Nominal end effector in the flange, as entered in Desk. Shape: (4, 4)."""
        self.nominal_to_ee: Array = np.eye(4)
        """Shape: (4, 4)."""
        self.ee_to_stiffness: Array = np.eye(4)
        """Shape: (4, 4)."""
        self.flange_to_ee: Array = self.flange_to_nominal @ self.nominal_to_ee
        """End effector in the flange. Shape: (4, 4)."""
        self.load_mass = 0.0
        """kg. The body does not become heavier: the load is one that the robot compensates."""
        self.load_centre: Array = np.zeros(3)
        """In the flange, m. Shape: (3,)."""
        self.load_inertia: Array = np.zeros(9)
        """kg m2, column by column. Shape: (9,)."""

    def set_end_effector(self, payload: bytes) -> SetterStatus:
        """SetNEToEE."""
        matrix = _transform(payload)
        if matrix is None:
            return SetterStatus.INVALID_ARGUMENT
        self.nominal_to_ee = matrix
        self.flange_to_ee = self.flange_to_nominal @ matrix
        return SetterStatus.SUCCESS

    def set_stiffness_frame(self, payload: bytes) -> SetterStatus:
        """SetEEToK."""
        matrix = _transform(payload)
        if matrix is None:
            return SetterStatus.INVALID_ARGUMENT
        self.ee_to_stiffness = matrix
        return SetterStatus.SUCCESS

    def set_load(self, payload: bytes) -> SetterStatus:
        """SetLoad."""
        values = np.frombuffer(payload, dtype="<f8")
        if not np.all(np.isfinite(values)) or values[0] < 0:
            return SetterStatus.INVALID_ARGUMENT
        self.load_mass = float(values[0])
        self.load_centre, self.load_inertia = values[1:4].copy(), values[4:13].copy()
        return SetterStatus.SUCCESS


def _transform(payload: bytes) -> Array | None:
    """The transform in a request; None where it is none."""
    matrix = from_column_major(np.frombuffer(payload, dtype="<f8"))
    if not np.all(np.isfinite(matrix)) or not np.allclose(matrix[3], (0.0, 0.0, 0.0, 1.0), atol=1e-6):
        return None
    rotation = matrix[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
        return None
    return matrix
