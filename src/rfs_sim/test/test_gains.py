"""Stiffness and damping of joints: torques, and how a joint at its limit is integrated."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from rfs_core import robot
from rfs_sim import facts, gains, mjcf
from rfs_sim.model import ModelIndex, compile_model

ARM_MIDDLE = robot.ARM_LIMITS.mean(axis=0)


@pytest.fixture(params=[False, True], ids=["as of MuJoCo 4.0", "as before"])
def world(request, monkeypatch):
    """Model, data and addresses with the gains set one way or the other; arm in the middle of its range."""
    monkeypatch.setattr(gains, "ONE_ACTUATOR", request.param)
    model = compile_model(mjcf.SceneConfig())
    model.dof_damping[:] = 0.0
    index = ModelIndex.of(model)
    gains.set_gains(model, index.arm_ctrl, index.arm_damper, np.array(mjcf.ARM_KP), np.array(mjcf.ARM_KV))
    gains.set_gains(model, index.hand_ctrl, index.hand_damper, mjcf.HAND_KP, mjcf.HAND_KV)
    data = mujoco.MjData(model)
    data.qpos[index.arm_qpos] = ARM_MIDDLE
    data.ctrl[index.arm_ctrl] = ARM_MIDDLE
    return model, data, index


def test_torque_is_stiffness_times_error_minus_damping_times_velocity_up_to_the_limit(world):
    model, data, index = world
    data.ctrl[index.arm_ctrl[0]] += 0.01
    data.qvel[index.arm_dof[1]] = 0.1
    data.ctrl[index.arm_ctrl[2]] -= 0.5
    data.qvel[index.arm_dof[3]] = -9.0
    mujoco.mj_forward(model, data)
    # 2000 N m/rad * 0.01 rad; -200 N m s/rad * 0.1 rad/s; 1000 and 1800 N m are more than the joints have.
    expected = [20.0, -20.0, -facts.ARM_TORQUE[2], facts.ARM_TORQUE[3]]
    np.testing.assert_allclose(data.qfrc_actuator[index.arm_dof[:4]], expected, rtol=1e-9)


def test_a_joint_at_its_limit_is_not_damped(world):
    model, data, index = world
    data.ctrl[index.arm_ctrl] += np.where(np.arange(7) % 2, 0.4, -0.4)
    data.ctrl[index.hand_ctrl] = np.where(data.qpos[index.hand_qpos] > 0.3, -9.0, 9.0)
    data.qvel[index.arm_dof] = 0.2
    mujoco.mj_forward(model, data)
    joints = model.dof_jntid[np.concatenate((index.arm_dof, index.hand_dof))]
    limit = model.jnt_actfrcrange[joints, 1]
    driven = data.qfrc_actuator[np.concatenate((index.arm_dof, index.hand_dof))]
    np.testing.assert_allclose(np.abs(driven), limit, err_msg="every joint is at its limit")
    # Without any damping the velocity grows by the step times the acceleration, exactly.
    expected = data.qvel[index.arm_dof] + model.opt.timestep * data.qacc[index.arm_dof]
    mujoco.mj_step(model, data)
    if not (gains.ONE_ACTUATOR or int(mujoco.__version__.split(".")[0]) >= 4):
        pytest.skip("what the other way is for")
    np.testing.assert_allclose(data.qvel[index.arm_dof], expected, rtol=1e-9)
