"""Promises of power and pinch in the simulation: the demonstrators hold the object as it is asked for."""

import numpy as np
import pytest

from rfs_core import tasks
from rfs_core.tasks import grasp_types
from rfs_sim import demonstrators
from rfs_sim.scripted_success import play
from rfs_sim.vec_env import make_env


@pytest.mark.parametrize("task", ["power", "pinch"])
def test_without_defects_it_mostly_succeeds_and_with_them_less_often(task: str) -> None:
    flawless, main = (play(task, variant, 32, 1)[0] for variant in ("flawless", "main"))
    assert flawless >= 0.5
    assert main < flawless - 0.15


@pytest.mark.parametrize(("task", "deeper", "less_deep"), [("power", 0.0, 0.072), ("pinch", 0.055, 0.2)])
def test_successes_are_held_as_deep_in_the_hand_as_the_task_says(
    task: str, deeper: float, less_deep: float
) -> None:
    env = make_env(task, 24, autoreset=False)
    demonstrator = demonstrators.make(task, 24)
    observation = env.reset(2)
    demonstrator.reset(2, np.arange(24))
    for _ in range(env.max_episode_steps):
        result = env.step(demonstrator.act(observation)[1][:, None])
        observation = result.observation
    state, won = env.worlds.state, result.success
    env.close()
    assert won.sum() >= 8
    depth = grasp_types.palm_depth(state)[won]
    assert (depth > deeper).all()
    assert (depth < less_deep).all()
    assert tasks.load(task).holds(state)[won].all()
    assert not result.log["infeasible"][won].any()


@pytest.mark.parametrize("task", ["power", "pinch"])
def test_objects_rest_where_they_stand(task: str) -> None:
    env = make_env(task, 8, autoreset=False, disturbance=0.0)
    env.reset(0)
    start = env.worlds.state.object_pose.position
    for _ in range(10):
        env.step(np.zeros((8, 1, 22)))
    moved = np.linalg.norm(env.worlds.state.object_pose.position - start, axis=1)
    env.close()
    assert moved.max() < 1e-3
