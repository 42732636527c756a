"""Rotations and poses as batched arrays, of numpy or torch; quaternions are unit, wxyz (MuJoCo's order).

Every function works on arrays whose last axis is the vector (3), quaternion (4) or matrix (3, 3);
the leading axes broadcast. Rotation vectors are axis times angle, rad.
Formulas: Sola, Deray, Atchuthan, "A micro Lie theory for state estimation in robotics" (2018), SO(3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rfs_core.arrays import Array as Array
from rfs_core.arrays import empty, like, namespace, norm

_CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0])


class Pose(NamedTuple):
    """Poses of one frame in another.

    position: (N, 3), m. quaternion: (N, 4), wxyz, unit.
    """

    position: Array
    quaternion: Array


def quat_multiply(a: Array, b: Array) -> Array:
    """Hamilton product a b: first rotate by b, then by a. Shape: (..., 4)."""
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    return namespace(a).stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_conjugate(q: Array) -> Array:
    """Inverse rotation of a unit quaternion. Shape: (..., 4)."""
    return q * like(_CONJUGATE, q)


def quat_normalize(q: Array) -> Array:
    """The unit quaternion along q. Shape: (..., 4)."""
    return q / norm(q, keepdims=True)


def quat_from_rotvec(rotvec: Array) -> Array:
    """Exponential map: (..., 3) rad -> (..., 4)."""
    xp = namespace(rotvec)
    half = 0.5 * norm(rotvec, keepdims=True)
    # sinc(x) = sin(pi x) / (pi x), exact at 0; not in the standard, but in numpy and in torch.
    return xp.concat([xp.cos(half), 0.5 * xp.sinc(half / math.pi) * rotvec], axis=-1)


def rotvec_from_quat(q: Array) -> Array:
    """Logarithm, the shorter way round: (..., 4) -> (..., 3), norm <= pi."""
    xp = namespace(q)
    q = xp.where(q[..., :1] < 0.0, -q, q)
    sine = norm(q[..., 1:], keepdims=True)
    angle = 2.0 * xp.atan2(sine, q[..., :1])
    # angle / sine -> 2 / w as sine -> 0
    small = sine < 1e-12
    scale = xp.where(small, 2.0, angle / xp.where(small, 1.0, sine))
    return scale * q[..., 1:]


def quat_angle(q: Array) -> Array:
    """Angle of the rotation, rad in [0, pi]. Shape: (..., 4) -> (...)."""
    xp = namespace(q)
    return 2.0 * xp.atan2(norm(q[..., 1:]), xp.abs(q[..., 0]))


def matrix_from_quat(q: Array) -> Array:
    """Rotation matrices: (..., 4) -> (..., 3, 3)."""
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    m = empty((*q.shape[:-1], 3, 3), q)
    m[..., 0, 0] = 1 - 2 * (y * y + z * z)
    m[..., 0, 1] = 2 * (x * y - w * z)
    m[..., 0, 2] = 2 * (x * z + w * y)
    m[..., 1, 0] = 2 * (x * y + w * z)
    m[..., 1, 1] = 1 - 2 * (x * x + z * z)
    m[..., 1, 2] = 2 * (y * z - w * x)
    m[..., 2, 0] = 2 * (x * z - w * y)
    m[..., 2, 1] = 2 * (y * z + w * x)
    m[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return m


def quat_from_matrix(m: Array) -> Array:
    """Unit quaternions with w >= 0 of rotation matrices: (..., 3, 3) -> (..., 4).

    Each of the four columns below is the quaternion times four times one of its components; the one
    of the largest component loses no digits (Shepperd, 1978).
    """
    xp = namespace(m)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = (m[..., 2, 1] - m[..., 1, 2]), (m[..., 0, 2] - m[..., 2, 0]), (m[..., 1, 0] - m[..., 0, 1])
    xy, xz, yz = (m[..., 0, 1] + m[..., 1, 0]), (m[..., 0, 2] + m[..., 2, 0]), (m[..., 1, 2] + m[..., 2, 1])
    w, x, y, z = 1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22
    candidates = xp.stack(
        [
            xp.stack([w, wx, wy, wz], axis=-1),
            xp.stack([wx, x, xy, xz], axis=-1),
            xp.stack([wy, xy, y, yz], axis=-1),
            xp.stack([wz, xz, yz, z], axis=-1),
        ],
        axis=-2,
    )
    largest = xp.argmax(xp.stack([w, x, y, z], axis=-1), axis=-1)
    q = xp.take_along_axis(candidates, largest[..., None, None], axis=-2)[..., 0, :]
    q = quat_normalize(q)
    return xp.where(q[..., :1] < 0.0, -q, q)


def quat_rotate(q: Array, v: Array) -> Array:
    """Rotate vectors v by q. Shape: (..., 4), (..., 3) -> (..., 3)."""
    u = q[..., 1:]
    t = 2.0 * _cross(u, v)
    return v + q[..., :1] * t + _cross(u, t)


def compose(a: Pose, b: Pose) -> Pose:
    """Pose of c in a's parent, from a in its parent and b = c in a."""
    return Pose(a.position + quat_rotate(a.quaternion, b.position), quat_multiply(a.quaternion, b.quaternion))


def inverse(a: Pose) -> Pose:
    """Pose of the parent in a's frame."""
    q = quat_conjugate(a.quaternion)
    return Pose(-quat_rotate(q, a.position), q)


def pose_error(target: Pose, current: Pose) -> Array:
    """What moves current onto target, in the base frame: (N, 6) = [dp (m), rotvec of R_t R_c^T (rad)]."""
    rotation = rotvec_from_quat(quat_multiply(target.quaternion, quat_conjugate(current.quaternion)))
    return namespace(rotation).concat([target.position - current.position, rotation], axis=-1)


def rotation_6d(q: Array) -> Array:
    """First two columns of the rotation matrix, column 0 then column 1: (..., 4) -> (..., 6).

    The continuous representation of Zhou et al., CVPR 2019.
    """
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    return namespace(q).stack(
        [
            1 - 2 * (y * y + z * z),
            2 * (x * y + w * z),
            2 * (x * z - w * y),
            2 * (x * y - w * z),
            1 - 2 * (x * x + z * z),
            2 * (y * z + w * x),
        ],
        axis=-1,
    )


def _cross(u: Array, v: Array) -> Array:
    u0, u1, u2 = u[..., 0], u[..., 1], u[..., 2]
    v0, v1, v2 = v[..., 0], v[..., 1], v[..., 2]
    return namespace(u).stack([u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0], axis=-1)
