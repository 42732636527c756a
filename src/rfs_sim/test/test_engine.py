"""Promises of the MuJoCo engine."""

import mujoco
import numpy as np
import pytest

from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp
from rfs_sim.engine import EngineError, MujocoEngine
from rfs_sim.mjcf import SceneConfig


def started(num_worlds: int, **options: object) -> tuple[MujocoEngine, list[grasp.EpisodeStart]]:
    engine = MujocoEngine(num_worlds, **options)  # type: ignore[arg-type]
    starts = [grasp.draw_episode(episode_rng(0, i, "reset")) for i in range(num_worlds)]
    for i, start in enumerate(starts):
        engine.reset([i], [start])
    return engine, starts


def hold(engine: MujocoEngine, starts: list[grasp.EpisodeStart]) -> None:
    engine.step(np.array([s.arm_position for s in starts]), np.array([s.hand_position for s in starts]))


def test_a_time_step_that_does_not_divide_the_control_step_is_refused() -> None:
    with pytest.raises(EngineError, match=r"0\.03 s does not divide .* 0\.05 s"):
        MujocoEngine(1, SceneConfig(physics_dt=0.03))
    assert MujocoEngine(1, SceneConfig(physics_dt=0.0025)).substeps == 20


def test_a_step_equals_single_physics_steps_from_a_cold_start() -> None:
    engine, starts = started(3)
    hold(engine, starts)
    before = [q.copy() for q in engine.qpos], [v.copy() for v in engine.qvel]
    arm = np.array([s.arm_position for s in starts]) + 0.05
    hand = np.array([s.hand_position for s in starts]) + 0.2

    engine.step(arm, hand)

    for i, model in enumerate(engine.models):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = before[0][i], before[1][i]
        data.ctrl[engine.index.arm_ctrl], data.ctrl[engine.index.hand_ctrl] = arm[i], hand[i]
        for _ in range(5):
            mujoco.mj_step(model, data)
        np.testing.assert_array_equal(engine.qpos[i], data.qpos)
        np.testing.assert_array_equal(engine.qvel[i], data.qvel)


def test_substeps_are_every_physics_step_and_end_in_the_state() -> None:
    engine, starts = started(2)
    hold(engine, starts)
    substeps = engine.substep_states()
    np.testing.assert_allclose(substeps.time, [0.01, 0.02, 0.03, 0.04, 0.05])
    assert substeps.arm_position.shape == (2, 5, 7)
    assert substeps.hand_velocity.shape == (2, 5, 16)
    np.testing.assert_array_equal(substeps.arm_position[:, -1], engine.qpos[:, engine.index.arm_qpos])
    np.testing.assert_array_equal(substeps.hand_velocity[:, -1], engine.qvel[:, engine.index.hand_dof])


def test_a_world_that_cannot_be_integrated_is_flagged_and_keeps_its_state() -> None:
    engine, starts = started(3)
    hold(engine, starts)
    engine.qvel[1, :] = 1e12
    before = engine.qpos[1].copy()

    hold(engine, starts)

    assert engine.unstable.tolist() == [False, True, False]
    np.testing.assert_array_equal(engine.qpos[1], before)
    assert np.isfinite(engine.qpos).all()
    engine.reset([1], [starts[1]])
    hold(engine, starts)
    assert not engine.unstable.any()


def test_contacts_name_the_parts_that_touch_the_object() -> None:
    """The object is put into the palm's surface, then on the index finger's tip."""
    engine, starts = started(1)
    data = mujoco.MjData(engine.models[0])
    engine.copy_into(0, data)
    half = starts[0].shape.half_height
    for site, expected in (("palm", 4), ("if_tip", 0)):
        engine.reset([0], [starts[0]])
        normal = -data.site("palm").xmat.reshape(3, 3)[:, 2]
        engine.qpos[0, engine.index.object_qpos[:3]] = data.site(site).xpos + (0.5 * half) * normal
        hold(engine, starts)
        assert engine.contacts[0, expected], site
    engine.reset([0], [starts[0]])
    assert not engine.contacts.any()
    hold(engine, starts)
    assert not engine.contacts.any()  # on the table, out of reach


def test_disturbance_moves_the_joint_it_acts_on() -> None:
    (calm, starts), (shaken, _) = started(1), started(1)
    hold(calm, starts)
    torque = np.zeros((1, 23))
    torque[0, 0] = 40.0
    shaken.step(starts[0].arm_position[None], starts[0].hand_position[None], torque)
    difference = (shaken.qpos - calm.qpos)[0, calm.index.arm_qpos]
    assert difference[0] > 1e-3
    assert np.abs(difference[1:]).max() < 0.5 * difference[0]


def test_threads_do_not_change_the_result() -> None:
    (one, starts), (two, _) = started(4), started(4, threads=2)
    for _ in range(5):
        hold(one, starts)
        hold(two, starts)
    np.testing.assert_array_equal(one.qpos, two.qpos)
    two.close()


@pytest.mark.parametrize("physics_dt", [0.01, 0.005])
def test_every_object_starts_at_rest(physics_dt: float) -> None:
    engine, starts = started(24, scene=SceneConfig(physics_dt=physics_dt))
    assert {s.shape.kind for s in starts} >= {"box", "cylinder"}
    first = engine.qpos[:, engine.index.object_qpos].copy()
    for _ in range(6):
        hold(engine, starts)
        moved = np.abs(engine.qpos[:, engine.index.object_qpos] - first)
        assert moved[:, :3].max() < 2e-4  # m: no hop, no slide
        assert moved[:, 3:].max() < 1e-4  # quaternion: no rocking
