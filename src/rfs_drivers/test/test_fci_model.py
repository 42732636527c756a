"""The emulated arm's model against the project's kinematics, and against physics."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np

from rfs_core import robot, se3
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose
from rfs_drivers.emulated import fci_model

FLANGE = ArmKinematics(Pose(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0, 0.0]])))


def configurations(count: int = 20) -> np.ndarray:
    return np.random.default_rng(0).uniform(*robot.ARM_LIMITS, size=(count, 7))


def test_forward_kinematics_and_jacobian_are_those_of_the_project() -> None:
    for q in configurations():
        pose, jacobian = FLANGE.forward_and_jacobian(q[None])
        at = fci_model.chain(q)
        np.testing.assert_allclose(at.flange[:3, 3], pose.position[0], atol=1e-12)
        np.testing.assert_allclose(at.flange[:3, :3], se3.matrix_from_quat(pose.quaternion)[0], atol=1e-12)
        np.testing.assert_allclose(fci_model.jacobian(at, at.flange[:3, 3]), jacobian[0], atol=1e-12)
        np.testing.assert_array_equal(fci_model.forward(q), at.flange)


def test_kinetic_energy_of_the_mass_matrix_is_the_links_own() -> None:
    """0.5 dq^T M dq = sum over links of 0.5 m v^2 + 0.5 I w^2, with v, w by finite differences."""
    dt = 1e-6
    for q in configurations(5):
        dq = np.random.default_rng(1).normal(size=7)
        before, after = fci_model.chain(q), fci_model.chain(q + dt * dq)
        energy = 0.0
        for link in range(7):
            start = before.origins[link] + before.rotations[link] @ fci_model.LINK_CENTRE[link]
            end = after.origins[link] + after.rotations[link] @ fci_model.LINK_CENTRE[link]
            turned = after.rotations[link] @ before.rotations[link].T
            spin = np.array(
                [turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]]
            )
            energy += 0.5 * fci_model.LINK_MASS[link] * np.sum(((end - start) / dt) ** 2)
            energy += 0.5 * fci_model.LINK_INERTIA[link] * np.sum((spin / (2 * dt)) ** 2)
        np.testing.assert_allclose(0.5 * dq @ fci_model.mass_matrix(before) @ dq, energy, rtol=1e-4)


def test_gravity_torque_is_the_slope_of_the_potential_energy() -> None:
    def potential(q: np.ndarray) -> float:
        at = fci_model.chain(q)
        centres = at.origins + np.einsum("lij,lj->li", at.rotations, fci_model.LINK_CENTRE)
        return float(9.81 * fci_model.LINK_MASS @ centres[:, 2])

    for q in configurations(5):
        slope = [(potential(q + d) - potential(q - d)) / 2e-6 for d in 1e-6 * np.eye(7)]
        np.testing.assert_allclose(fci_model.gravity_torque(fci_model.chain(q)), slope, atol=1e-6)


def test_urdf_has_what_libfranka_reads() -> None:
    root = ElementTree.fromstring(fci_model.urdf())
    movable = [joint for joint in root.iter("joint") if joint.get("type") == "revolute"]
    assert [joint.get("name") for joint in movable] == [f"fr3_joint{i}" for i in range(1, 8)]
    for i, joint in enumerate(movable):
        limit, velocity = joint.find("limit"), joint.find("position_based_velocity_limits")
        assert limit is not None
        assert velocity is not None
        assert float(limit.get("lower", "")) == robot.ARM_LIMITS[0, i]
        assert float(limit.get("upper", "")) == robot.ARM_LIMITS[1, i]
        assert {"velocity_offset", "deceleration_limit"} <= set(velocity.attrib)
    links = [link.get("name") for link in root.iter("link")]
    assert links[-1] == "link8"
    assert not list(root.iter("mesh"))
