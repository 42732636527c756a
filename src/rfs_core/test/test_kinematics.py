"""The arm's kinematics against MuJoCo, against finite differences, and against poses known by hand."""

import mujoco
import numpy as np
import pytest

from rfs_core import robot, se3
from rfs_core.errors import KinematicsError
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose

# Written out from the published joint table (xyz in m, roll in quarter turns), not from rfs_core.
FR3_XML = """
<mujoco><compiler angle="radian"/><worldbody>
<body pos="0 0 0.333"><joint axis="0 0 1"/><geom size=".01"/>
<body pos="0 0 0" euler="-1.5707963267948966 0 0"><joint axis="0 0 1"/><geom size=".01"/>
<body pos="0 -0.316 0" euler="1.5707963267948966 0 0"><joint axis="0 0 1"/><geom size=".01"/>
<body pos="0.0825 0 0" euler="1.5707963267948966 0 0"><joint axis="0 0 1"/><geom size=".01"/>
<body pos="-0.0825 0.384 0" euler="-1.5707963267948966 0 0"><joint axis="0 0 1"/><geom size=".01"/>
<body pos="0 0 0" euler="1.5707963267948966 0 0"><joint axis="0 0 1"/><geom size=".01"/>
<body pos="0.088 0 0" euler="1.5707963267948966 0 0"><joint axis="0 0 1"/><geom size=".01"/>
<body name="flange" pos="0 0 0.107"><site name="palm" pos="{pos}" quat="{quat}"/>
</body></body></body></body></body></body></body></body></worldbody></mujoco>
"""

MOUNTS = {
    "default": robot.PALM_IN_FLANGE,
    "odd": Pose(np.array([[0.03, -0.02, 0.15]]), se3.quat_from_rotvec(np.array([[0.3, -1.1, 0.7]]))),
}


def random_q(n, seed=0):
    return np.random.default_rng(seed).uniform(robot.ARM_LIMITS[0], robot.ARM_LIMITS[1], (n, 7))


@pytest.mark.parametrize("mount", MOUNTS)
def test_forward_kinematics_and_jacobian_equal_mujoco_to_1e_9(mount):
    palm = MOUNTS[mount]
    numbers = [" ".join(f"{v:.17g}" for v in array[0]) for array in palm]
    model = mujoco.MjModel.from_xml_string(FR3_XML.format(pos=numbers[0], quat=numbers[1]))
    data = mujoco.MjData(model)
    q = random_q(100)
    pose, jacobian = ArmKinematics(palm).forward_and_jacobian(q)
    matrices = se3.matrix_from_quat(pose.quaternion)
    linear, angular = np.empty((3, 7)), np.empty((3, 7))
    for i in range(len(q)):
        data.qpos[:] = q[i]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacSite(model, data, linear, angular, 0)
        np.testing.assert_allclose(pose.position[i], data.site_xpos[0], atol=1e-9)
        np.testing.assert_allclose(matrices[i], data.site_xmat[0].reshape(3, 3), atol=1e-9)
        np.testing.assert_allclose(jacobian[i], np.vstack([linear, angular]), atol=1e-9)


def test_jacobian_equals_central_differences_of_the_forward_kinematics():
    kinematics, q, h = ArmKinematics(), random_q(50, seed=1), 1e-6
    jacobian = kinematics.jacobian(q)
    for joint in range(7):
        step = h * np.eye(7)[joint]
        difference = se3.pose_error(kinematics.forward(q + step), kinematics.forward(q - step)) / (2 * h)
        np.testing.assert_allclose(jacobian[:, :, joint], difference, atol=1e-8)


def test_straight_arm_stands_where_the_link_lengths_put_it():
    # All joints zero: x = .0825 - .0825 + .088; z = .333 + .316 + .384 - .107, the flange looks down.
    flange = Pose(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]))
    pose = ArmKinematics(flange).forward(np.zeros((1, 7)))
    np.testing.assert_allclose(pose.position, [[0.088, 0.0, 0.926]], atol=1e-12)
    axis = se3.quat_rotate(pose.quaternion, np.array([[0.0, 0, 1]]))
    np.testing.assert_allclose(axis, [[0, 0, -1]], atol=1e-12)


def test_fingers_of_the_mounted_hand_point_along_the_flange():
    flange = ArmKinematics(Pose(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]))).forward(robot.ARM_HOME[None])
    palm = ArmKinematics().forward(robot.ARM_HOME[None])
    fingers = se3.quat_rotate(palm.quaternion, np.array([[1.0, 0, 0]]))
    axis = se3.quat_rotate(flange.quaternion, np.array([[0.0, 0, 1]]))
    np.testing.assert_allclose(fingers, axis, atol=1e-12)


def test_forward_and_jacobian_is_both_of_them():
    kinematics, q = ArmKinematics(), random_q(5)
    pose, jacobian = kinematics.forward_and_jacobian(q)
    np.testing.assert_array_equal(jacobian, kinematics.jacobian(q))
    np.testing.assert_array_equal(pose.position, kinematics.forward(q).position)
    np.testing.assert_array_equal(pose.quaternion, kinematics.forward(q).quaternion)


def test_rows_of_a_batch_do_not_depend_on_each_other():
    kinematics, q = ArmKinematics(), random_q(7)
    one_by_one = np.concatenate([kinematics.jacobian(q[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(kinematics.jacobian(q), one_by_one, atol=1e-15)


def test_damped_least_squares_solves_its_normal_equations():
    kinematics, q = ArmKinematics(), random_q(20)
    error = np.random.default_rng(2).normal(size=(20, 6))
    jacobian = kinematics.jacobian(q)
    step = kinematics.dls(jacobian, error, damping=0.05)
    # The minimiser of |J dq - e|^2 + lambda^2 |dq|^2 satisfies (J^T J + lambda^2 I) dq = J^T e.
    for j, s, e in zip(jacobian, step, error, strict=True):
        np.testing.assert_allclose((j.T @ j + 0.05**2 * np.eye(7)) @ s, j.T @ e, atol=1e-9)


def test_inverse_reaches_reachable_poses_within_the_joint_limits():
    kinematics = ArmKinematics()
    q = robot.ARM_HOME + np.random.default_rng(3).uniform(-0.4, 0.4, (200, 7))
    target = kinematics.forward(q)
    result = kinematics.inverse(target, np.repeat(robot.ARM_HOME[None], 200, axis=0))
    assert result.converged.all()
    assert (result.q >= robot.ARM_LIMITS[0]).all()
    assert (result.q <= robot.ARM_LIMITS[1]).all()
    error = se3.pose_error(target, kinematics.forward(result.q))
    assert np.linalg.norm(error[:, :3], axis=1).max() <= 1e-4
    assert np.linalg.norm(error[:, 3:], axis=1).max() <= 1e-3


def test_inverse_says_so_when_a_pose_is_out_of_reach():
    near = ArmKinematics().forward(robot.ARM_HOME[None])
    far = Pose(near.position + [2.0, 0.0, 0.0], near.quaternion)
    both = Pose(np.concatenate([near.position, far.position]), np.repeat(near.quaternion, 2, axis=0))
    result = ArmKinematics().inverse(both, np.repeat(robot.ARM_HOME[None], 2, axis=0))
    assert result.converged.tolist() == [True, False]
    assert (result.q >= robot.ARM_LIMITS[0]).all()
    assert (result.q <= robot.ARM_LIMITS[1]).all()


def test_inverse_stops_at_the_joint_limits_when_the_pose_lies_behind_them():
    beyond = robot.ARM_LIMITS[1] + [0.3, 0.3, 0, 0, 0, 0.3, 0.3]
    kinematics = ArmKinematics()
    result = kinematics.inverse(kinematics.forward(beyond[None]), robot.ARM_LIMITS[1][None] - 0.02)
    assert not result.converged[0]
    assert (result.q <= robot.ARM_LIMITS[1]).all()
    assert (result.q[0] == robot.ARM_LIMITS[1]).sum() >= 4


@pytest.mark.parametrize("shape", [(7,), (3, 6), (2, 8), (1, 7, 1)])
def test_joints_of_another_shape_are_refused(shape):
    with pytest.raises(KinematicsError, match=r"needs \(N, 7\)"):
        ArmKinematics().forward(np.zeros(shape))
