"""Promises of the compiled model: it moves as `rfs_core` computes, and holds itself up."""

import mujoco
import numpy as np
import pytest

from rfs_core import robot, se3
from rfs_core.kinematics import ArmKinematics
from rfs_sim import facts
from rfs_sim.hand_kinematics import HandKinematics
from rfs_sim.model import ModelIndex, compile_model


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return compile_model()


@pytest.fixture(scope="module")
def index(model: mujoco.MjModel) -> ModelIndex:
    return ModelIndex.of(model)


def random_joints(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(*robot.ARM_LIMITS, size=(n, 7)), rng.uniform(*robot.HAND_LIMITS, size=(n, 16))


def test_palm_pose_and_jacobian_agree_with_the_kinematics_to_1e_9(
    model: mujoco.MjModel, index: ModelIndex
) -> None:
    kinematics = ArmKinematics()
    data = mujoco.MjData(model)
    arm, _ = random_joints()
    pose, jacobian = kinematics.forward_and_jacobian(arm)
    for i, q in enumerate(arm):
        data.qpos[index.arm_qpos] = q
        mujoco.mj_forward(model, data)
        site = data.site("palm")
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacSite(model, data, linear, angular, model.site("palm").id)
        np.testing.assert_allclose(pose.position[i], site.xpos, atol=1e-9)
        np.testing.assert_allclose(
            se3.matrix_from_quat(pose.quaternion[i]), site.xmat.reshape(3, 3), atol=1e-9
        )
        np.testing.assert_allclose(jacobian[i, :3], linear[:, index.arm_dof], atol=1e-9)
        np.testing.assert_allclose(jacobian[i, 3:], angular[:, index.arm_dof], atol=1e-9)


def test_fingertips_agree_with_the_hand_kinematics_to_1e_9(model: mujoco.MjModel, index: ModelIndex) -> None:
    kinematics, hand_kinematics = ArmKinematics(), HandKinematics()
    data = mujoco.MjData(model)
    arm, hand = random_joints()
    tips = hand_kinematics.fingertips(kinematics.forward(arm), hand)
    for i in range(len(arm)):
        data.qpos[index.arm_qpos], data.qpos[index.hand_qpos] = arm[i], hand[i]
        mujoco.mj_forward(model, data)
        for f, name in enumerate(facts.FINGERTIPS):
            np.testing.assert_allclose(tips[i, f], data.site(name).xpos, atol=1e-9)


def test_addresses_follow_the_projects_order_and_not_the_models(
    model: mujoco.MjModel, index: ModelIndex
) -> None:
    # The model's tree has mcp (forward) before rot (side); the LEAP's motors have them the other way round.
    assert robot.HAND_JOINT_NAMES[:2] == ("if_rot", "if_mcp")
    assert index.hand_qpos[0] == index.hand_qpos[1] + 1
    for names, ctrl in ((robot.ARM_JOINT_NAMES, index.arm_ctrl), (robot.HAND_JOINT_NAMES, index.hand_ctrl)):
        assert [model.actuator(i).name for i in ctrl] == list(names)
    assert [model.sensor(int(i)).name for i in index.contact_sensors] == [
        f"{name}_contact" for name in robot.CONTACT_NAMES
    ]


def test_joint_limits_are_those_of_the_robot(model: mujoco.MjModel) -> None:
    for names, limits in (
        (robot.ARM_JOINT_NAMES, robot.ARM_LIMITS),
        (robot.HAND_JOINT_NAMES, robot.HAND_LIMITS),
    ):
        for i, name in enumerate(names):
            np.testing.assert_allclose(model.joint(name).range, limits[:, i])


def settle(
    model: mujoco.MjModel, index: ModelIndex, arm: object, hand: object, seconds: float
) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[index.arm_qpos] = data.ctrl[index.arm_ctrl] = arm
    data.qpos[index.hand_qpos] = data.ctrl[index.hand_ctrl] = hand
    data.qpos[index.object_qpos] = [0.6, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0]
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_step(model, data)
    return data


def test_arm_and_hand_hold_still_and_the_object_rests(model: mujoco.MjModel, index: ModelIndex) -> None:
    data = settle(model, index, robot.ARM_HOME, np.full(16, 0.3), seconds=2.0)

    np.testing.assert_allclose(data.qpos[index.arm_qpos], robot.ARM_HOME, atol=1e-3)
    np.testing.assert_allclose(data.qpos[index.hand_qpos], 0.3, atol=5e-3)
    x, y, z = data.qpos[index.object_qpos[:3]]
    assert abs(x - 0.6) < 1e-4
    assert abs(y) < 1e-4
    assert z == pytest.approx(0.03, abs=5e-4)  # it neither floats nor sinks in
    assert np.abs(data.qvel).max() < 1e-2


def test_fingers_pushed_into_each_other_do_not_pass(model: mujoco.MjModel, index: ModelIndex) -> None:
    """Index and middle finger turned sideways towards each other as far as they can: their distal capsules
    stop."""
    hand = np.zeros(16)
    worst = 0.0
    for index_side, middle_side in ((-1.0, 1.0), (1.0, -1.0)):
        hand[[0, 4]] = index_side, middle_side
        data = settle(model, index, robot.ARM_HOME, np.zeros(16), seconds=0.01)
        data.ctrl[index.hand_ctrl] = hand
        for _ in range(100):
            mujoco.mj_step(model, data)
        pairs = [
            c.dist
            for c in data.contact
            if {model.body(model.geom_bodyid[g]).name[:2] for g in c.geom} == {"if", "mf"}
        ]
        worst = min([worst, *pairs])
        if pairs:
            assert np.abs(data.qpos[index.hand_qpos[[0, 4]]]).max() < 0.95  # stopped short of the target
    assert worst < 0.0, "the two fingers never met: the test tests nothing"
    assert worst > -0.003
