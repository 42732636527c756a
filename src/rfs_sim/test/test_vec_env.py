"""Promises of the vector environment."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rfs_core.errors import RfsError
from rfs_core.tasks import UnknownTaskError
from rfs_sim.demonstrator import GraspDemonstrator
from rfs_sim.vec_env import ActionError, TaskVecEnv, make_env

A = 22


def env_of(num_envs: int, **options: Any) -> TaskVecEnv:
    return make_env("grasp", num_envs, **options)


def random_chunk(rng: np.random.Generator, env: TaskVecEnv, horizon: int = 2) -> np.ndarray:
    spec = env.action_spec
    return rng.uniform(spec.low, spec.high, size=(horizon, A))


def lose_object(env: TaskVecEnv, which: int) -> None:
    engine = env.worlds.engine
    engine.qpos[which, engine.index.object_qpos[0]] += 0.5


@pytest.mark.parametrize("acting", ["demonstrator", "random"])
def test_an_episode_is_the_same_bit_for_bit_in_any_batch(acting: str) -> None:
    """Episode 5 of seed 2 alone, and as one of 16: contacts included, since the demonstrator grasps."""

    def play(num_envs: int, episodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        env = env_of(num_envs, autoreset=False)
        demonstrator = GraspDemonstrator(num_envs)
        rngs = [np.random.default_rng(int(e)) for e in episodes]
        observation = env.reset(2, episodes)
        demonstrator.reset(2, episodes)
        which = episodes.tolist().index(5)
        seen, rewards = [observation[which]], []
        for _ in range(32):
            if acting == "random":
                chunk = np.stack([random_chunk(rng, env) for rng in rngs])
            else:
                chunk = np.repeat(demonstrator.act(observation)[1][:, None], 2, axis=1)
            result = env.step(chunk)
            observation = result.observation
            seen.append(observation[which])
            rewards.append(result.reward[which])
        return np.array(seen), np.array(rewards)

    alone, alone_reward = play(1, np.array([5]))
    batch, batch_reward = play(16, np.arange(16)[::-1])
    assert alone_reward.max() > (0.5 if acting == "demonstrator" else 0.0)
    np.testing.assert_array_equal(alone, batch)
    np.testing.assert_array_equal(alone_reward, batch_reward)


def test_equal_seeds_give_equal_runs_and_other_seeds_do_not() -> None:
    def play(seed: int) -> np.ndarray:
        env = env_of(4)
        env.reset(seed)
        rng = np.random.default_rng(0)
        for _ in range(5):
            result = env.step(np.stack([random_chunk(rng, env) for _ in range(4)]))
        return result.observation

    np.testing.assert_array_equal(play(3), play(3))
    assert (play(3) != play(4)).any()


def test_a_chunk_of_two_equals_two_chunks_of_one() -> None:
    rng = np.random.default_rng(1)
    one, two = env_of(3), env_of(3)
    one.reset(0)
    two.reset(0)
    for _ in range(6):
        chunk = np.stack([random_chunk(rng, one) for _ in range(3)])
        both = two.step(chunk)
        first, second = one.step(chunk[:, :1]), one.step(chunk[:, 1:])
        np.testing.assert_array_equal(both.observation, second.observation)
        np.testing.assert_array_equal(both.reward, np.hstack([first.reward, second.reward]))


def test_time_limit_truncates_and_the_next_episode_of_the_env_starts() -> None:
    env = env_of(2)
    env.reset(7, np.array([10, 11]))
    still = np.zeros((2, 2, A))
    for step in range(32):
        result = env.step(still)
        assert result.truncated.all() == (step == 31)
        assert not result.terminated.any()
    assert env.episodes.tolist() == [12, 13]
    fresh = env_of(2, autoreset=False)
    np.testing.assert_array_equal(result.observation, fresh.reset(7, np.array([12, 13])))
    assert (result.final_observation != result.observation).any(axis=1).all()
    assert result.log["outcome"].tolist() == ["not lifted or dropped"] * 2
    assert not env.step(still).truncated.any()


def test_an_episode_that_ends_inside_a_chunk_is_not_executed_further() -> None:
    env = env_of(3, autoreset=False)
    env.reset(0)
    lose_object(env, 1)

    result = env.step(np.zeros((3, 2, A)))

    assert result.executed.tolist() == [[True, True], [True, False], [True, True]]
    assert result.terminated.tolist() == [False, True, False]
    assert not result.truncated.any()
    assert not result.success.any()
    assert result.reward[1, 1] == 0.0
    assert result.log["outcome"].tolist() == ["", "object lost", ""]
    assert result.log["episode_steps"].tolist() == [2, 1, 2]
    again = env.step(np.zeros((3, 2, A)))
    assert again.executed.tolist() == [[True, True], [False, False], [True, True]]
    assert not again.terminated[1]  # ended once, reported once
    np.testing.assert_array_equal(again.observation[1], result.observation[1])


def test_autoreset_starts_a_terminated_env_at_the_end_of_the_chunk() -> None:
    env = env_of(2)
    env.reset(0)
    lose_object(env, 0)
    result = env.step(np.zeros((2, 2, A)))
    assert result.terminated.tolist() == [True, False]
    assert env.episodes.tolist() == [2, 1]
    expected = env_of(1, autoreset=False).reset(0, np.array([2]))
    np.testing.assert_array_equal(result.observation[0], expected[0])
    away = env.observation_spec.unpack(result.final_observation)["object_position"][0]
    assert away[0] > 0.9  # what was seen before the reset


def test_success_is_reported_when_the_episode_ends_and_not_before() -> None:
    env = env_of(8, autoreset=False)
    demonstrator = GraspDemonstrator(8)
    observation = env.reset(0)
    demonstrator.reset(0, env.episodes)
    held = np.zeros(8, dtype=bool)
    for step in range(32):
        result = env.step(np.repeat(demonstrator.act(observation)[1][:, None], 2, axis=1))
        observation = result.observation
        held = env.worlds.task.success(env.worlds.state)
        if step < 31:
            assert not result.success.any()
    assert held.sum() >= 4
    np.testing.assert_array_equal(result.success, held)
    assert [w == "success" for w in result.log["outcome"]] == held.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_not_finite_is_refused_and_nothing_moves(bad: float) -> None:
    env = env_of(2)
    env.reset(0)
    before = env.worlds.engine.qpos.copy()
    chunk = np.zeros((2, 2, A))
    chunk[1, 0, 7] = bad
    with pytest.raises(ActionError, match="environment 1, step 0 of the chunk, value 7"):
        env.step(chunk)
    np.testing.assert_array_equal(env.worlds.engine.qpos, before)


@pytest.mark.parametrize("shape", [(2, 22), (3, 2, 22), (2, 2, 23), (2, 0, 22)])
def test_a_chunk_of_the_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    env = env_of(2)
    env.reset(0)
    with pytest.raises(ActionError, match=r"needs \(2, H, 22\)"):
        env.step(np.zeros(shape))


def test_stepping_before_a_reset_is_refused() -> None:
    with pytest.raises(ActionError, match="reset"):
        env_of(1).step(np.zeros((1, 2, A)))


def test_actions_are_clipped_to_their_bounds() -> None:
    far, bound = env_of(1), env_of(1)
    far.reset(0)
    bound.reset(0)
    action = np.where(np.arange(A) % 2 == 0, 1e6, -1e6) * np.ones((1, 2, A))
    limits = np.where(np.arange(A) % 2 == 0, bound.action_spec.high, bound.action_spec.low)
    np.testing.assert_array_equal(
        far.step(action).observation, bound.step(np.broadcast_to(limits, (1, 2, A))).observation
    )


def test_reset_needs_an_episode_for_every_env() -> None:
    with pytest.raises(ActionError, match=r"\(3,\).*\(2,\)"):
        env_of(2).reset(0, np.arange(3))


def test_it_says_where_its_arrays_are() -> None:
    env = env_of(1)
    assert env.device == "cpu"
    env.worlds.engine.example = SimpleNamespace(device="cuda:1")
    assert env.device == "cuda:1"


def test_unknown_task_and_option_are_refused_by_name() -> None:
    with pytest.raises(UnknownTaskError, match="grasp"):
        make_env("stack_it", 1)
    with pytest.raises(RfsError, match="hold_steps"):
        make_env("grasp", 1, hold_stepz=3)


def test_disturbance_factor_zero_is_calm_and_one_is_not() -> None:
    def palms(factor: float) -> np.ndarray:
        env = env_of(2, disturbance=factor)
        env.reset(0)
        hold = np.zeros((2, 2, A))
        hold[:, :, 6:] = env.worlds.hand_target[:, None]
        positions = []
        for _ in range(10):
            env.step(hold)
            positions.append(env.worlds.state.palm.position.copy())
        return np.array(positions)

    calm, shaken = palms(0.0), palms(1.0)
    assert np.ptp(calm, axis=0).max() < 1e-3
    assert 1e-3 < np.ptp(shaken, axis=0).max() < 0.05
