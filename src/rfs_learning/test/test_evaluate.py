import json

import numpy as np
import pytest

from rfs_core.errors import RfsError
from rfs_core.seeding import episode_rng
from rfs_learning import checkpoint, evaluate
from rfs_learning.evaluate import Episode, summarize
from rfs_learning.policy import Policy
from rfs_learning.steering import HeadArchitecture, SteeringHead, SteeringLayout


@pytest.fixture
def policy(toy_checkpoint):
    return Policy.from_checkpoint(toy_checkpoint())


@pytest.fixture
def cli(tmp_path, monkeypatch, toy_checkpoint, point_env):
    path = tmp_path / "toy.safetensors"
    checkpoint.save(path, toy_checkpoint())
    monkeypatch.setattr(evaluate, "make_env", lambda engine, task, num_envs, **options: point_env(num_envs))

    def run(*arguments):
        evaluate.main(["--checkpoint", str(path), "--task", "point", "--batch", "8", *arguments])

    return run


def test_every_episode_is_played_exactly_once(policy, point_env):
    env = point_env(8)
    played = evaluate.evaluate(policy, env, seed=0, episodes=21)
    assert [episode.episode for episode in played] == list(range(21))
    # Three batches of 8; the last one has 5 episodes, its 3 idle environments repeat its first.
    assert env.played == [*range(21), 16, 16, 16]


@pytest.mark.parametrize("batch", [1, 5, 21])
def test_results_do_not_depend_on_how_many_run_side_by_side(policy, point_env, batch):
    want = evaluate.evaluate(policy, point_env(8), seed=0, episodes=21)
    got = evaluate.evaluate(policy, point_env(batch), seed=0, episodes=21)
    assert [(e.episode, e.outcome, e.length) for e in got] == [(e.episode, e.outcome, e.length) for e in want]
    np.testing.assert_allclose([e.reward for e in got], [e.reward for e in want], atol=1e-5)


def test_seed_and_noise_matter(policy, toy_checkpoint, point_env):
    def rewards(policy, seed):
        return [e.reward for e in evaluate.evaluate(policy, point_env(4), seed=seed, episodes=4)]

    assert rewards(policy, 0) == rewards(policy, 0)
    assert rewards(policy, 0) != rewards(policy, 1)
    assert rewards(policy, 0) != rewards(Policy.from_checkpoint(toy_checkpoint(), a0="zero"), 0)


def test_return_and_length_count_executed_steps_only(point_env):
    class Standing:
        """Stays where it is, so every reward is 1 - distance of the start."""

        def act(self, observation, noise):
            return type("Output", (), {"a": np.zeros((len(observation), 2, 2))})

    env = point_env(3)
    start = env.reset(0, np.arange(3)).astype(np.float64)
    distance = np.linalg.norm(start[:, :2] - start[:, 2:], axis=1)
    played = evaluate.play(Standing(), env, 0, np.arange(3))
    # 11 steps in chunks of 2: the twelfth is not executed.
    assert [e.length for e in played] == [11, 11, 11]
    np.testing.assert_allclose([e.reward for e in played], 11 * (1 - distance), atol=1e-6)


def test_every_episode_gets_the_noise_of_its_own_stream(policy, point_env):
    given = []

    class Listening:
        def act(self, observation, noise):
            given.append(noise)
            return policy.act(observation, noise)

    evaluate.play(Listening(), point_env(3), 7, np.array([4, 9]))
    for env, episode in ((0, 4), (1, 9)):
        rng = episode_rng(7, episode, "policy_noise")
        for noise in given:  # one draw for each decision, in order
            np.testing.assert_array_equal(noise[env], rng.standard_normal((2, 2)).astype(np.float32))


def test_an_environment_that_never_ends_an_episode_is_an_error(policy, point_env):
    env = point_env(2)
    env.max_episode_steps = 11
    real_step = env.step

    def step(chunk):
        result = real_step(chunk)
        result.truncated[:] = result.terminated[:] = False
        return result

    env.step = step
    with pytest.raises(RfsError, match=r"episodes \[0, 1\] did not end within 11 control steps"):
        evaluate.play(policy, env, 0, np.arange(2))


def test_summary_counts_by_reason_and_object():
    played = [
        Episode(0, True, "success", 4.0, 10, "can"),
        Episode(1, False, "time limit", 1.0, 10, "can"),
        Episode(2, False, "time limit", 1.0, 10, "cube"),
        Episode(3, False, "object lost", 0.0, 2, "cube"),
    ]
    summary = summarize(played)
    assert (summary["episodes"], summary["successes"], summary["success_rate"]) == (4, 1, 0.25)
    assert summary["outcomes"] == {"time limit": 2, "success": 1, "object lost": 1}
    assert (summary["mean_return"], summary["mean_length"]) == (1.5, 8.0)
    assert summary["objects"]["can"]["success_rate"] == 0.5
    assert summary["objects"]["cube"]["successes"] == 0
    low, high = summary["interval_95"]
    assert low < 0.25 < high


def test_command_writes_figures_and_every_episode(cli, tmp_path, capsys):
    cli("--episodes", "10", "--seed", "5", "--a0", "zero", "--json", str(tmp_path / "out.json"))
    figures = json.loads((tmp_path / "out.json").read_text())
    assert (figures["episodes"], figures["seed"], figures["a0"], figures["task"]) == (10, 5, "zero", "point")
    assert [e["episode"] for e in figures["per_episode"]] == list(range(10))
    assert sum(e["success"] for e in figures["per_episode"]) == figures["successes"]
    assert "95 % interval" in capsys.readouterr().out


def test_a_policy_is_measured_with_the_a0_it_was_trained_with(cli, tmp_path, toy_checkpoint):
    layout = SteeringLayout("residual", "hand_and_arm", 2, (0.01, 0.01), (0.0, 0.0), 2.5)
    head = SteeringHead(HeadArchitecture(4, 16, 2), layout, "zero")
    path, figures = tmp_path / "rfs.safetensors", tmp_path / "out.json"
    checkpoint.save(path, head.to_checkpoint(toy_checkpoint()))
    for asked, has in (((), "zero"), (("--a0", "normal"), "normal")):
        cli("--checkpoint", str(path), "--episodes", "4", "--json", str(figures), *asked)
        assert json.loads(figures.read_text())["a0"] == has


def test_a_checkpoint_of_another_task_or_robot_is_refused(
    cli, tmp_path, toy_checkpoint, observation_spec, capsys
):
    for changes, says in (
        ({"task": "stack"}, "'stack', asked for is 'point'"),
        ({"observation_spec": type(observation_spec)(observation_spec.parts[::-1])}, "goal, position"),
    ):
        path = tmp_path / "other.safetensors"
        checkpoint.save(path, toy_checkpoint(**changes))
        with pytest.raises(SystemExit) as ended:
            cli("--checkpoint", str(path))
        assert ended.value.code == 1
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--episodes", "0"), ("--seed", "-1"), ("--a0", "one"), ("--speed", "2")])
def test_impossible_arguments_are_refused(cli, wrong):
    with pytest.raises(SystemExit) as ended:
        cli(*wrong)
    assert ended.value.code == 2
