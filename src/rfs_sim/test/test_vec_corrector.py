"""The scripted human beside many worlds: bounded, the same for the same episode, and of help."""

import numpy as np
import pytest

from rfs_core.correction import CorrectionConfig
from rfs_core.errors import RfsError
from rfs_sim.vec_corrector import VecCorrector
from rfs_sim.vec_env import make_env


def corrections(num_envs, episodes, decisions=6):
    """Residuals of some episodes in which the palm comes down by 3 cm per control step."""
    env, corrector = make_env("grasp", num_envs, autoreset=False), VecCorrector()
    env.reset(5, np.asarray(episodes))
    corrector.reset(env, 5, np.asarray(episodes))
    chunk = np.zeros((num_envs, 2, env.action_spec.size))
    chunk[..., 2] = -0.02
    chunk[..., env.action_spec.slice("hand_target")] = env.worlds.hand_target[:, None]
    found = []
    for _ in range(decisions):
        residual, engaged = corrector(env, None)
        found.append((residual, engaged))
        env.step(chunk + residual)
    return np.array([r for r, _ in found]), np.array([e for _, e in found])


def test_corrections_stay_within_the_bounds_and_begin_after_the_reaction_time():
    residual, engaged = corrections(2, [0, 1])
    bound = CorrectionConfig().bounds().vector(make_env("grasp", 1).action_spec)
    assert (np.abs(residual) <= bound + 1e-12).all()
    # Nothing that is seen is old enough at the first decision; reacting takes 0.15 s.
    assert not residual[0].any()
    assert engaged.any()
    assert not residual[..., 2:6].any()  # neither up and down nor rotations


def test_an_episode_is_corrected_alike_whatever_stands_beside_it():
    alone, _ = corrections(1, [3])
    beside, _ = corrections(2, [7, 3])
    np.testing.assert_allclose(beside[:, 1], alone[:, 0], atol=1e-9)


def test_a_task_that_it_does_not_know_is_refused():
    env = make_env("pour", 1, autoreset=False)
    with pytest.raises(RfsError, match="no scripted corrections for task 'pour'"):
        VecCorrector().reset(env, 0, np.arange(1))
