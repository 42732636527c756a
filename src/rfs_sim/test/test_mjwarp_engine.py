"""mujoco_warp beside MuJoCo on the CPU. Compiling its kernels takes a minute: `make test-engines`."""

import copy
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rfs_core import tasks
from rfs_core.seeding import episode_rng
from rfs_sim import randomization
from rfs_sim.demonstrator import GraspDemonstrator
from rfs_sim.mjcf import SceneConfig
from rfs_sim.model import ModelIndex, compile_model
from rfs_sim.seam import EngineError
from rfs_sim.vec_env import TaskVecEnv, make_env
from rfs_sim.worlds import Worlds

if os.environ.get("RFS_ENGINES") != "1":
    pytest.skip("compiles for a minute: make test-engines", allow_module_level=True)
pytest.importorskip("mujoco_warp", reason="needs the extra mjwarp: EXTRAS=mjwarp make setup")

import torch

from rfs_sim.mjwarp import env as mjwarp
from rfs_sim.mjwarp.engine import MjwarpEngine
from rfs_sim.mjwarp.fields import set_slots

N = 3


def starts_of(task: str, count: int, first: int = 0) -> list[tasks.grasp.EpisodeStart]:
    return [tasks.load(task).draw_episode(episode_rng(0, first + i, "reset")) for i in range(count)]


@pytest.fixture(scope="module")
def engine() -> Iterator[MjwarpEngine]:
    made = MjwarpEngine(N, device="cpu")
    yield made
    made.close()


def hold(engine: MjwarpEngine, starts: list[tasks.grasp.EpisodeStart], steps: int = 1) -> None:
    arm = torch.tensor(np.stack([s.arm_position for s in starts]), dtype=torch.float32)
    hand = torch.tensor(np.stack([s.hand_position for s in starts]), dtype=torch.float32)
    for _ in range(steps):
        engine.step(arm, hand)


def test_unused_slots_touch_nothing_and_a_hollow_object_has_none() -> None:
    cup = tasks.load("pour").OBJECT_SOLIDS
    for solids in ((), cup):
        scene = SceneConfig(object_solids=solids)
        model = compile_model(scene)
        index = ModelIndex.of(model)
        set_slots(model, index, scene)
        assert [int(model.geom_contype[g]) for g in index.object_geoms.values()] == [int(not solids)] * 3
        assert model.geom_contype[index.object_solids].tolist() == [1] * len(solids)


def test_a_reset_writes_the_same_model_as_on_the_cpu_engine(engine: MjwarpEngine) -> None:
    starts = starts_of("grasp", N, first=20)
    engine.reset(range(N), starts)
    template = compile_model(engine.scene)
    index = ModelIndex.of(template)
    geoms = list(index.object_geoms.values())
    for world, start in enumerate(starts):
        model = copy.copy(template)
        randomization.apply_start(model, mujoco.MjData(model), index, start)
        for name, view in engine.fields.views.items():
            expected = np.array(getattr(model, name), dtype=np.float32).reshape(view[world].shape)
            got = view[world].numpy().copy()
            if name == "geom_friction":  # of slots that the object does not use it means nothing
                unused = [g for g in geoms if g != index.object_geoms[start.shape.kind]]
                got[unused] = expected[unused]
            assert_allclose(got, expected, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("task", ["kit", "push_grasp"])
def test_bodies_that_never_move_collide_where_the_start_puts_them(task: str) -> None:
    options = {"autoreset": False, "disturbance": 0.0}
    reference, env = make_env(task, 2, **options), mjwarp.make_env(task, 2, device="cpu", **options)
    action = np.zeros((2, 2, env.action_spec.size))
    for episodes in ([0, 1], [2, 3]):
        for each in (reference, env):
            each.reset(0, np.array(episodes))
            action[:, :, 6:] = each.worlds.hand_target[:, None]
            each.step(action)
        data = mujoco.MjData(reference.worlds.engine.models[0])
        engine = env.worlds.engine
        for world in range(2):
            reference.worlds.engine.copy_into(world, data)
            for name in engine.index.bodies:
                body = engine.index.bodies[name].body
                geoms = np.flatnonzero(engine._host.geom_bodyid == body)
                places, turns = engine._data.geom_xpos.numpy(), engine._data.geom_xmat.numpy()
                assert_allclose(places[world, geoms], data.geom_xpos[geoms], atol=1e-5, err_msg=name)
                turned = turns[world, geoms].reshape(-1, 9)
                assert_allclose(turned, data.geom_xmat[geoms], atol=1e-5, err_msg=name)
    for each in (reference, env):
        each.close()


def test_state_is_a_view_of_the_engines_memory(engine: MjwarpEngine) -> None:
    engine.reset(range(N), starts_of("grasp", N))
    assert engine.qpos.data_ptr() == engine._data.qpos.ptr
    engine.qpos[1, 0] += 0.25
    assert engine._data.qpos.numpy()[1, 0] == engine.qpos[1, 0].item()


def test_resetting_one_world_leaves_the_others_alone(engine: MjwarpEngine) -> None:
    starts = starts_of("grasp", N)
    engine.reset(range(N), starts)
    hold(engine, starts, 2)
    before = engine.qpos.clone()
    fields = {name: view.clone() for name, view in engine.fields.views.items()}
    other = starts_of("grasp", 1, first=40)
    engine.reset([1], other)
    for world in (0, 2):
        assert_array_equal(engine.qpos[world], before[world])
        for name, view in engine.fields.views.items():
            assert_array_equal(view[world], fields[name][world], err_msg=name)
    assert_allclose(engine.read().arm_position[1], other[0].arm_position, atol=1e-6)
    assert engine.qvel[1].abs().max() == 0


def test_a_world_that_is_not_finite_is_put_back_counted_and_alone(engine: MjwarpEngine) -> None:
    starts = starts_of("grasp", N)
    engine.reset(range(N), starts)
    hold(engine, starts)
    alone = engine.qpos.clone()
    engine.reset(range(N), starts)
    before = engine.qpos.clone()
    lost = engine.problems().get("not finite", 0)
    torque = torch.zeros(N, 23)
    torque[1, 3] = float("nan")
    arm = torch.tensor(np.stack([s.arm_position for s in starts]), dtype=torch.float32)
    hand = torch.tensor(np.stack([s.hand_position for s in starts]), dtype=torch.float32)
    engine.step(arm, hand, torque)
    assert engine.unstable.tolist() == [False, True, False]
    assert engine.problems()["not finite"] == lost + 1
    assert_array_equal(engine.qpos[1], before[1])
    assert_allclose(engine.qpos[[0, 2]], alone[[0, 2]], atol=1e-6)
    hold(engine, starts)
    assert not engine.unstable.any()
    assert torch.isfinite(engine.qpos).all()


def test_a_replayed_graph_is_the_loop_bit_for_bit_through_contacts_and_resets() -> None:
    played = []
    for graph in (False, True):
        made = partial(MjwarpEngine, device="cpu", graph=graph)
        env = TaskVecEnv("grasp", Worlds("grasp", N, engine=made))
        demonstrator = GraspDemonstrator(N)
        observation = env.reset(0)
        demonstrator.reset(0, np.arange(N))
        rows, touched = [], 0
        for _ in range(34):  # 68 control steps: an episode and the beginning of the next one
            action = np.repeat(demonstrator.act(observation)[1][:, None], 2, axis=1)
            observation = env.step(action).observation
            touched += int(env.worlds.engine.contacts.any())
            rows.append(observation)
        assert (env.worlds.engine._graph is not None) == graph
        assert touched > 5
        assert env.episodes.tolist() == [3, 4, 5]
        played.append(np.array(rows))
        env.close()
    assert_array_equal(played[1], played[0])


def test_contacts_without_memory_end_the_episode_and_are_counted() -> None:
    small = MjwarpEngine(2, device="cpu", constraints_per_world=2)
    starts = starts_of("grasp", 2)
    small.reset(range(2), starts)
    hold(small, starts)
    assert small.unstable.all()
    assert small.problems() == {"without memory for all contacts": 2}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[TaskVecEnv, TaskVecEnv]]:
    options = {"autoreset": False, "disturbance": 0.0}
    envs = make_env("stack", N, **options), mjwarp.make_env("stack", N, device="cpu", **options)
    yield envs
    for env in envs:
        env.close()


def test_an_episode_begins_and_goes_on_as_on_the_cpu(pair: tuple[TaskVecEnv, TaskVecEnv]) -> None:
    reference, env = pair
    expected, got = reference.reset(4), env.reset(4)
    assert got.dtype == np.float32
    assert_allclose(got, expected, atol=2e-6)
    action = np.zeros((N, 2, env.action_spec.size))
    action[:, :, 6:] = reference.worlds.hand_target[:, None]
    for _ in range(3):
        one, other = reference.step(action), env.step(action)
    assert_allclose(other.observation, one.observation, atol=2e-3)  # a held brick: contacts at every step
    assert_allclose(other.reward, one.reward, atol=2e-3)
    assert_allclose(env.privileged()[:, :7], reference.privileged()[:, :7], atol=2e-2)
    assert other.log.keys() == one.log.keys()


def test_an_environment_starts_its_next_episode_by_itself() -> None:
    env = mjwarp.make_env("grasp", 2, device="cpu", disturbance=0.0)
    env.reset(0)
    action = np.zeros((2, 2, env.action_spec.size))
    action[:, :, 6:] = env.worlds.starts[0].hand_position
    env._steps[:] = env.max_episode_steps - 2
    result = env.step(action)
    assert result.truncated.all()
    assert env.episodes.tolist() == [2, 3]
    assert_allclose(env.steps, 0)
    assert not np.array_equal(result.observation, result.final_observation)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(EngineError, match="there is no CUDA GPU"):
        MjwarpEngine(1, device="cuda")


def test_two_processes_learn_what_one_learns_from_the_joint_batch(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[3] / "test"))
    from shared_run import assert_two_processes_learn_what_one_learns

    assert_two_processes_learn_what_one_learns("mjwarp", tmp_path)
