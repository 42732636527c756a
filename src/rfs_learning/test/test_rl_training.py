"""The modulated environment and the PPO loop on a toy: a point that the base policy leaves where it is."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from rfs_core.errors import RfsError
from rfs_learning import checkpoint, container
from rfs_learning.evaluate import play
from rfs_learning.policy import Policy
from rfs_learning.rl import devices, ppo_runner
from rfs_learning.rl.modulated_env import ModulatedEnv
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.rl.ppo_runner import PpoError, PpoRunner
from rfs_learning.steering import SteeringLayout
from rfs_learning.vec_env import StepResult

GAMMA = 0.81  # per decision; 0.9 per control step of a chunk of two
LAYOUT = SteeringLayout("both", "hand_and_arm", 2, (0.1, 0.1), (0.0, 0.0), 2.5)


class Autoreset:
    """The toy task with autoreset and something for the critic."""

    def __init__(self, env):
        self.env = env
        self.num_envs, self.task = env.num_envs, env.task
        self.action_spec, self.observation_spec = env.action_spec, env.observation_spec
        self.max_episode_steps = env.max_episode_steps
        self.poison_at = None
        self.steps = 0
        self.started = []

    def reset(self, seed, episodes):
        self.seed, self.episodes = seed, np.array(episodes)
        self.started += [(seed, int(episode)) for episode in episodes]
        return self.env.reset(seed, self.episodes)

    def step(self, chunk):
        result = self.env.step(chunk)
        self.steps += 1
        ended = result.terminated | result.truncated
        if ended.any():
            kept = {name: getattr(self.env, name).copy() for name in ("position", "goal", "steps", "over")}
            self.episodes = self.episodes + np.where(ended, self.num_envs, 0)
            self.started += [(self.seed, int(episode)) for episode in self.episodes[ended]]
            self.env.reset(self.seed, self.episodes)
            for name, values in kept.items():
                fresh = getattr(self.env, name)
                fresh[~ended] = values[~ended]
        observation = self.env._observe()
        if self.steps == self.poison_at:
            observation[1, 2] = np.nan
        return dataclasses.replace(result, observation=observation)

    def privileged(self):
        return self.env.steps[:, None].astype(np.float32)


def executed(steps, terminated=False, truncated=False):
    """The result of a chunk with rewards 1 and 10, of which `steps` were executed, for one environment."""
    done = np.array([h < steps for h in range(2)])
    return StepResult(
        np.zeros((1, 4), np.float32),
        np.where(done, [1.0, 10.0], 0.0)[None],
        done[None],
        np.array([terminated]),
        np.array([truncated]),
        np.array([False]),
        np.full((1, 4), 0.5, np.float32),
        {},
    )


class Scripted:
    """One environment that answers what it is told and remembers what it was asked."""

    num_envs, max_episode_steps, task = 1, 11, "point"

    def __init__(self, specs, results):
        self.action_spec, self.observation_spec = specs
        self.results, self.chunks = list(results), []

    def reset(self, seed, episodes):
        return np.zeros((1, 4), np.float32)

    def step(self, chunk):
        self.chunks.append(chunk.copy())
        return self.results.pop(0)


@pytest.fixture
def base(toy_checkpoint):
    return Policy.from_checkpoint(toy_checkpoint())


def test_z_zero_executes_the_base_policy_at_zero_noise_bit_for_bit(base, toy_checkpoint, point_env):
    env = ModulatedEnv(point_env(5), base, LAYOUT, GAMMA)
    env.reset(3, np.arange(5))
    observation = env.observation
    _, _, _, extras = env.step(torch.zeros(5, env.num_actions))
    expected = Policy.from_checkpoint(toy_checkpoint(), a0="zero").act(
        observation, np.ones((5, 2, 2), np.float32)
    )
    for field in ("a_0", "a_b", "a_r", "a"):
        np.testing.assert_array_equal(getattr(extras["output"], field), getattr(expected, field))


def test_chunk_is_push_plus_residual_within_the_bounds(base, action_spec, observation_spec):
    scripted = Scripted((action_spec, observation_spec), [executed(2)])
    env = ModulatedEnv(scripted, base, LAYOUT, GAMMA)
    env.reset(0, np.arange(1))
    z = torch.tensor([[0.5, -0.5, 1.0, 9.0, 0.5, -9.0]])
    _, _, _, extras = env.step(z)
    output = extras["output"]
    np.testing.assert_allclose(output.a_0[0], [[0.5, -0.5], [1.0, 2.5]])
    np.testing.assert_allclose(output.a_r[0], [[0.05, -0.1], [0.05, -0.1]], rtol=1e-6)
    np.testing.assert_array_equal(scripted.chunks[0], np.clip(output.a_b + output.a_r, -0.1, 0.1))


def test_rewards_inside_a_chunk_are_discounted(base, action_spec, observation_spec):
    env = ModulatedEnv(Scripted((action_spec, observation_spec), [executed(2)]), base, LAYOUT, GAMMA)
    env.reset(0, np.arange(1))
    _, reward, done, extras = env.step(torch.zeros(1, 6))
    assert float(reward) == pytest.approx(1.0 + 0.9 * 10.0)
    assert not done.any()
    assert float(extras["executed"]) == 2.0


def test_an_episode_that_ends_inside_a_chunk_earns_what_was_executed(base, action_spec, observation_spec):
    results = [executed(1, terminated=True), executed(1, truncated=True)]
    env = ModulatedEnv(Scripted((action_spec, observation_spec), results), base, LAYOUT, GAMMA)
    env.reset(0, np.arange(1))
    _, reward, done, extras = env.step(torch.zeros(1, 6))
    assert float(reward) == 1.0
    assert bool(done)
    assert float(extras["time_outs"]) == 0.0  # a terminal state is not bootstrapped
    _, _, done, extras = env.step(torch.zeros(1, 6))
    assert bool(done)
    assert float(extras["time_outs"]) == 1.0
    assert float(extras["executed"]) == 1.0
    # The toy's normaliser is the identity, so the group holds the final observation itself.
    np.testing.assert_allclose(extras["final"]["policy"], 0.5)


def test_residual_costs_its_squared_share_of_the_bound(base, action_spec, observation_spec):
    env = ModulatedEnv(
        Scripted((action_spec, observation_spec), [executed(1)]), base, LAYOUT, GAMMA, residual_penalty=0.1
    )
    env.reset(0, np.arange(1))
    _, reward, _, _ = env.step(torch.tensor([[0.0] * 4 + [0.5, -9.0]]))
    assert float(reward) == pytest.approx(1.0 - 0.1 * (0.25 + 1.0))


def test_unsteered_noise_is_drawn_or_zero(base, point_env):
    residual = SteeringLayout("residual", "hand_and_arm", 2, (0.1, 0.1), (0.0, 0.0), 2.5)
    env = ModulatedEnv(point_env(64), base, residual, GAMMA)
    env.reset(0, np.arange(64))
    torch.manual_seed(0)
    a_0 = env.step(torch.zeros(64, 2))[3]["output"].a_0
    torch.manual_seed(0)
    np.testing.assert_array_equal(a_0, torch.randn(64, 2, 2).numpy())
    env = ModulatedEnv(point_env(4), base, residual, GAMMA, base_a0="zero")
    env.reset(0, np.arange(4))
    assert not env.step(torch.zeros(4, 2))[3]["output"].a_0.any()


def test_a_layout_of_another_robot_is_refused(base, point_env):
    other = SteeringLayout("both", "hand_and_arm", 2, (0.1,) * 3, (0.0,) * 3, 2.5)
    with pytest.raises(RfsError, match="steering of 2 x 3 values, the environment takes 2 x 2"):
        ModulatedEnv(point_env(4), base, other, GAMMA)


@pytest.fixture
def runner(tmp_path, toy_checkpoint, point_env, monkeypatch):
    """Make a runner in the toy task; the toy has no arm or hand, so its layout is given."""
    monkeypatch.setattr(ppo_runner.SteeringLayout, "of", classmethod(lambda cls, *args: LAYOUT))
    path = tmp_path / "base.safetensors"
    checkpoint.save(path, toy_checkpoint())

    def make(run="run", num_envs=64, **changes):
        fields = {
            "task": "point",
            "base_checkpoint": str(path),
            "run_dir": str(tmp_path / run),
            "num_envs": num_envs,
            "budget": 3 * 64 * 11,
            "actor_width": 32,
            "critic_width": 32,
            "minibatch": 96,
            "gamma": 0.9,
            "residual_std": 0.25,
            "evaluate_every": 1,
            "evaluation_episodes": 64,
            "final_episodes": 64,
            "learning_rate": 1e-3,
        }
        config = PpoTrainerConfig(**{**fields, **changes})
        return PpoRunner(config, "test", Autoreset(point_env(num_envs)))

    return make


def weights(of):
    state = {**of.ppo.actor.state_dict(), **{f"c{k}": v for k, v in of.ppo.critic.state_dict().items()}}
    return {name: value.clone() for name, value in state.items()}


def test_first_update_sees_ratio_one_and_a_wrong_log_probability_is_refused(runner):
    made = runner()
    for _ in made._collect():
        pass
    made._learner.check_ratio()
    made.ppo.storage.actions_log_prob[2, 5] += 0.1
    with pytest.raises(PpoError, match="must be 1"):
        made._learner.check_ratio()
    made.close()


def test_time_limits_are_bootstrapped_from_the_final_observation_and_terminal_states_are_not(runner):
    made = runner(num_envs=8, bootstrap=True)
    made.env.env.env.max_episode_steps = 2  # every episode is cut after the first decision
    with torch.no_grad():
        made.ppo.critic.mlp[-1].weight.zero_()
        made.ppo.critic.mlp[-1].bias.fill_(3.0)  # V = 3 everywhere
    seen = []
    step = made.env.step
    made.env.step = lambda z: seen.append(step(z)) or seen[-1]
    for _ in made._collect():
        pass
    rewards = torch.stack([result[1] for result in seen])
    assert all(bool(result[2].all()) for result in seen)
    # r + gamma V(final), both control steps executed
    torch.testing.assert_close(made.ppo.storage.rewards[..., 0], rewards + 0.9 * 3.0)
    made.close()


def test_without_bootstrap_the_return_ends_at_the_time_limit_and_the_critic_sees_time(runner):
    made = runner(num_envs=8, bootstrap=False)
    assert made.ppo.critic.obs_dim == 4 + 1 + 1  # observation, the toy's privileged value, elapsed share
    with torch.no_grad():
        made.ppo.critic.mlp[-1].weight.zero_()
        made.ppo.critic.mlp[-1].bias.fill_(3.0)
    seen = []
    step = made.env.step
    made.env.step = lambda z: seen.append(step(z)) or seen[-1]
    for _ in made._collect():
        pass
    torch.testing.assert_close(made.ppo.storage.rewards[..., 0], torch.stack([result[1] for result in seen]))
    # 11 control steps are 6 decisions.
    elapsed = made.ppo.storage.observations["privileged"][:, :, -1]
    torch.testing.assert_close(elapsed[:, 0], torch.arange(6) / 6)
    assert not elapsed[0].any()
    made.close()


def test_training_improves_the_toy_and_writes_a_deployable_checkpoint(runner, point_env):
    made = runner(budget=15 * 64 * 11, evaluate_every=5 * 64 * 11)
    path = made.run()
    made.close()
    rows = made.folder.metrics()
    assert rows[0]["step"] == 0
    assert np.isnan(rows[0]["train/success"])
    assert rows[-1]["evaluation/return"] > rows[0]["evaluation/return"] + 0.5
    policy = Policy.load(path)
    assert policy.header.kind == "rfs"
    assert policy.header.task == "point"
    assert policy.header.parents[0]["kind"] == "flow_base"
    assert policy.header.results["full"]["episodes"] == 64
    # The deployed policy is the evaluated one: same episodes, same figure.
    played = play(policy, point_env(64), made.config.seed + 2_000_003, np.arange(64))
    mean = np.mean([episode.reward for episode in played])
    assert mean == pytest.approx(policy.header.results["full"]["mean_return"])
    report = (made.folder.path / "report.md").read_text()
    for word in ("residual_off", "noise_off", "base_normal", "base_zero", "saturated"):
        assert word in report
    assert json.loads((made.folder.path / "config.json").read_text())["config"]["task"] == "point"


@pytest.mark.parametrize("decisions_before_the_kill", [0, 3, 6, 10])
def test_a_run_interrupted_anywhere_and_resumed_ends_with_the_same_weights(runner, decisions_before_the_kill):
    # A band of the KL that every update leaves, so that the learning rate is part of what must come back.
    settings = {"evaluate_every": 10**9, "final_episodes": 0, "kl_band": (1e-6, 1e-5), "learning_rate": 5e-4}
    whole = runner("whole", **settings)
    whole.run()
    whole.close()
    first = runner("cut", **settings)
    while decisions_before_the_kill and first.counters.iteration < 1:
        first.advance()
    for _ in range(decisions_before_the_kill):
        first.advance()
    assert first.counters.step < whole.counters.step
    first.close()
    torch.manual_seed(99)
    second = runner("cut", resume=True, **settings)
    second.run()
    second.close()
    assert second.counters.step == whole.counters.step
    for name, value in weights(whole).items():
        assert torch.equal(weights(second)[name], value), name
    assert second.ppo.learning_rate == whole.ppo.learning_rate < 5e-4
    assert second.counters.best_success == whole.counters.best_success
    assert float(second._learner.scale.scale) == float(whole._learner.scale.scale)


def test_a_run_that_is_trained_further_names_both_commands(runner):
    settings = {"evaluate_every": 10**9, "final_episodes": 0}
    first = runner("run", **settings)
    first.run()
    first.close()
    second = runner("run", resume=True, budget=4 * 64 * 11, **settings)
    assert second.command == "test; then test"
    second.run()
    second.close()
    # Interrupted again, the second command is still one.
    third = runner("run", resume=True, budget=4 * 64 * 11, **settings)
    assert third.command == "test; then test"
    third.close()


def test_no_episode_is_trained_on_twice(runner):
    made = runner(num_envs=4, evaluate_every=10**9, final_episodes=0, budget=4 * 11 * 3)
    made.env.env.started.clear()  # the reset that showed the observation's shape
    made.run()
    made.close()
    trained = [episode for seed, episode in made.env.env.started if seed == made.config.seed]
    assert len(trained) >= 3 * 4
    assert len(set(trained)) == len(trained)
    # Evaluation is of another seed.
    assert any(seed != made.config.seed for seed, _ in made.env.env.started)


def test_exploration_stays_in_its_range(runner):
    made = runner(residual_std=0.3, residual_std_range=(0.3, 0.3), noise_std_range=(0.5, 0.5))
    while made.counters.iteration < 1:
        made.advance()
    std = made.ppo.actor.distribution.log_std_param.detach().exp()
    torch.testing.assert_close(std, torch.tensor([0.5] * 4 + [0.3] * 2))
    made.close()


def test_whatever_an_iteration_makes_it_makes_where_the_networks_are(runner):
    made = runner()
    # What is not told where to be lands on the default device, and tensors of two devices do not mix.
    with torch.device("meta"):
        for _ in made._collect():
            pass
        figures = made._learner.update(0)
    assert np.isfinite(figures["value_loss"])
    assert made.ppo.storage.observations["policy"].device == torch.device("cpu")
    made.close()


def test_a_device_that_is_not_here_is_refused_with_those_that_are(runner, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name in ("cuda", "gpu"):
        with pytest.raises(RfsError, match=f"device is '{name}', here are cpu and engine "):
            runner(device=name)


def test_a_device_is_named_by_its_number_and_engine_is_the_engine_s(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.resolve("cpu", "cuda:0") == "cpu"
    assert devices.resolve("engine", "cuda:0") == "cuda:0"
    assert devices.resolve("cuda", "cpu") == "cuda:1", "with torchrun every process has its own"
    with pytest.raises(RfsError, match="here are cpu, cuda:0, cuda:1"):
        devices.resolve("cuda:2")


def test_a_resumed_run_refuses_other_settings(runner):
    made = runner()
    while made.counters.iteration < 1:
        made.advance()
    made.close()
    with pytest.raises(RfsError, match=r"gamma was 0\.9, is 0\.5"):
        runner(resume=True, gamma=0.5)


def test_a_run_of_several_processes_is_not_resumed_by_one(runner):
    made = runner()
    made.close()
    header, tensors = container.read(made.folder.state_path)
    container.write(made.folder.state_path, {**header, "processes": 2}, tensors)
    with pytest.raises(RfsError, match="processes were 2, are 1"):
        runner(resume=True)


def test_a_value_that_is_not_finite_stops_the_run_and_leaves_the_states_and_the_last_good_checkpoint(runner):
    made = runner()
    made.env.env.poison_at = 6 + 6 + 6 + 3  # two evaluations and an iteration of 6 decisions, then the third
    with pytest.raises(PpoError, match=r"next_observation at \(1, 2\) is nan.*resume"):
        made.run()
    made.close()
    with np.load(made.folder.path / "not_finite.npz", allow_pickle=False) as dump:
        assert np.isnan(dump["next_observation"][-1, 1, 2])
        assert np.isfinite(dump["observation"]).all()
        # All it takes to play it again: seed, episodes and every chunk since their start.
        assert int(dump["seed"]) == made.config.seed
        np.testing.assert_array_equal(dump["episode"], 64 * 6 + np.arange(64))
        assert dump["chunk"].shape == (3, 64, 2, 2)
    assert Policy.load(made.best_path).header.kind == "rfs"
    again = runner(resume=True)
    assert again.counters.iteration == 1
    again.run()
    assert again.done
    again.close()


def test_learning_rate_follows_the_band_of_the_kl(runner):
    made = runner(kl_band=(0.02, 0.05), learning_rate=3e-4)
    made._learner.adapt(0.06)
    assert made.ppo.learning_rate == pytest.approx(2e-4)
    made._learner.adapt(0.03)
    assert made.ppo.learning_rate == pytest.approx(2e-4)
    made._learner.adapt(0.01)
    assert made.ppo.optimizer.param_groups[0]["lr"] == pytest.approx(3e-4)
    made.close()


def test_a_base_policy_of_another_task_is_refused(runner):
    with pytest.raises(PpoError, match="was trained on task 'point', asked for is 'grasp'"):
        runner(task="grasp")
