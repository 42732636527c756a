"""Promises of pick-place in the simulation: its script takes, carries, puts down, and fails by defects."""

from dataclasses import replace

import numpy as np

from rfs_core.tasks import held, place
from rfs_sim import demonstrators
from rfs_sim.pick_place_demonstrator import VARIANTS
from rfs_sim.vec_env import make_env

N = 8


def play(config: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Success, the largest height of the brick above its rest (m), and where it ends beside the mark (m)."""
    env = make_env("pick_place", N, autoreset=False, disturbance=0.0)
    script = demonstrators.make("pick_place", N, config)
    observation = env.reset(5)
    script.reset(5, np.arange(N))
    success, height = np.zeros(N, dtype=bool), np.zeros(N)
    for _ in range(env.max_episode_steps):
        result = env.step(script.act(observation)[1][:, None])
        observation = result.observation
        success |= result.success
        height = np.maximum(height, env.worlds.state.object_pose.position[:, 2] - held.BRICK.half_height)
    beside = env.worlds.state.object_pose.position - env.worlds.state.bodies[place.TARGET_BODY].pose.position
    env.close()
    return success, height, np.linalg.norm(beside[:, :2], axis=1)


def test_without_defects_the_brick_is_lifted_carried_and_put_down() -> None:
    success, height, beside = play(VARIANTS["flawless"])
    assert success.sum() >= 7
    assert (height[success] > 0.03).all()  # not pushed over the table
    assert (beside[success] < 0.02).all()


def test_an_offset_puts_it_down_beside_and_half_open_fingers_drag_it_along() -> None:
    offset = replace(VARIANTS["flawless"], bias=(0.03, -0.03), bias_growth=0.0)
    success, _, beside = play(offset)
    assert success.sum() == 0
    assert np.median(beside) > 0.03
    success, _, _ = play(replace(VARIANTS["flawless"], partial_share=1.0))
    assert success.sum() <= 6  # some are taken and put down once more
