"""Where the LEAP's fingertips are: forward kinematics of four fingers for a batch of hands, from `facts`."""

import numpy as np

from rfs_core import robot, se3
from rfs_core.arrays import Array, contiguous, like, namespace
from rfs_sim import facts

_FINGERS = ("if", "mf", "rf", "th")


class HandKinematics:
    """Fingertip centres in the base frame. Vectors are kept as (3, 4 fingers, N), contiguous rows."""

    def __init__(self) -> None:
        chains = [[link for link in facts.HAND_LINKS if link.name.startswith(finger)] for finger in _FINGERS]
        self._offset = np.empty((4, 3, 4, 1))  # stage, xyz, finger
        self._rotation = np.empty((4, 3, 3, 4, 1))  # stage, row, column, finger
        self._sign = np.empty((4, 4, 1))
        self._joint: list[list[int]] = [[0] * 4 for _ in range(4)]
        for f, chain in enumerate(chains):
            for stage, link in enumerate(chain):
                position = np.array(link.position)
                if stage == 0:  # from the palm frame
                    position = position - np.array(facts.PALM_FRAME_IN_LEAP)
                quaternion = se3.quat_normalize(np.array(link.quaternion))
                self._offset[stage, :, f, 0] = position
                self._rotation[stage, :, :, f, 0] = se3.matrix_from_quat(quaternion)
                self._sign[stage, f] = link.axis[2]
                self._joint[stage][f] = robot.HAND_JOINT_NAMES.index(link.joint)
        tips = [position for _, position in facts.FINGERTIPS.values()]
        self._tip = np.array(tips).T[:, :, None]

    def fingertips(self, palm: se3.Pose, hand_position: Array) -> Array:
        """Fingertip centres in the base frame, m: index, middle, ring, thumb.

        Args:
            palm: the palm frame in the base frame.
            hand_position: rad, order of `robot.HAND_JOINT_NAMES`. Shape: (N, 16)

        Returns:
            Shape: (N, 4, 3)
        """
        matrix = se3.matrix_from_quat(palm.quaternion)
        xp, joints = namespace(hand_position), hand_position.T
        offsets, rotations = like(self._offset, joints), like(self._rotation, joints)
        signs, tip = like(self._sign, joints), like(self._tip, joints)
        x, y, z = (contiguous(matrix[:, :, i].T)[:, None] for i in range(3))
        p = contiguous(palm.position.T)[:, None]
        for stage in range(4):
            offset, r = offsets[stage], rotations[stage]
            p = p + offset[0] * x + offset[1] * y + offset[2] * z
            a = r[0, 0] * x + r[1, 0] * y + r[2, 0] * z
            b = r[0, 1] * x + r[1, 1] * y + r[2, 1] * z
            z = r[0, 2] * x + r[1, 2] * y + r[2, 2] * z
            angle = signs[stage] * joints[self._joint[stage]]
            c, s = xp.cos(angle), xp.sin(angle)
            x, y = c * a + s * b, c * b - s * a
        p = p + tip[0] * x + tip[1] * y + tip[2] * z
        return xp.permute_dims(p, (2, 1, 0))
