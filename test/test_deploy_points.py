"""Deployment of a policy that sees a point cloud: camera, cloud and policy in one process or as nodes."""

from __future__ import annotations

import numpy as np
import pytest

import checkpoints
from rfs_core.tasks import points
from rfs_learning.evaluate import play
from rfs_learning.policy import Policy
from rfs_learning.vec_env import make_env

COUNT, SEED, EPISODES = 256, 3, 2


@pytest.fixture
def cloudy_checkpoint(tmp_path):
    return checkpoints.write_points(tmp_path / "cloudy.safetensors", COUNT)


@pytest.fixture
def few_points(tmp_path):
    """Parameters with which clouds have `COUNT` points."""
    path = tmp_path / "few_points.yaml"
    path.write_text(
        f"/**/sim_node:\n  ros__parameters: {{points_camera.count: {COUNT}}}\n"
        f"/**/policy_node:\n  ros__parameters: {{points_count: {COUNT}}}\n"
    )
    return path


def test_one_process_and_separate_nodes_play_the_episodes_of_evaluate(deploy, cloudy_checkpoint, few_points):
    camera = {"count": COUNT}
    env = make_env("mujoco", "grasp", EPISODES, autoreset=False, observation="points", camera=camera)
    policy = Policy.load(cloudy_checkpoint, env.action_spec, points.observation_spec("grasp", COUNT))
    expected = play(policy, env, SEED, np.arange(EPISODES))
    for composition in ("process", "nodes"):
        deployment = deploy(
            observation="points", composition=composition, checkpoint=cloudy_checkpoint, episodes=EPISODES,
            seed=SEED, params_file=few_points,
        )  # fmt: skip
        assert deployment.wait() == 0, deployment.output()
        report = deployment.report()
        assert (report["gate"]["holds"], report["gate"]["refused"]) == (0, 0), report["gate"]
        assert report["policy"]["missed_ticks"] == 0
        assert report["policy"]["decisions"] == sum(-(-episode.length // 2) for episode in expected)
        for row, episode in zip(report["episodes"], expected, strict=True):
            assert (row["steps"], row["missed_rewards"]) == (episode.length, 0)
            assert row["total_reward"] == pytest.approx(episode.reward, abs=1e-6), composition


def test_where_the_camera_sees_nothing_the_policy_abstains_and_the_gate_holds(
    deploy, cloudy_checkpoint, few_points, tmp_path
):
    """The crop lies where nothing is, as with a camera that was knocked over."""
    params = tmp_path / "blind.yaml"
    params.write_text(
        few_points.read_text().replace(
            f"points_camera.count: {COUNT}",
            f"points_camera.count: {COUNT}, cloud.low: [0.1, 1.0, 0.5], cloud.high: [0.2, 1.1, 0.6], "
            "lockstep_patience_s: 0.2",
        )
    )
    deployment = deploy(observation="points", checkpoint=cloudy_checkpoint, episodes=2, params_file=params)
    assert deployment.wait() == 1, deployment.output()
    assert "no points: no depth" in deployment.output()
    report = deployment.report()
    assert report["policy"]["decisions"] == 0
    assert report["episodes_finished"] == 0
    assert report["stopped"], report


def test_a_checkpoint_of_another_number_of_points_ends_the_launch_naming_both(deploy, tmp_path):
    path = checkpoints.write_points(tmp_path / "cloudy.safetensors", 128)
    deployment = deploy(observation="points", checkpoint=path, episodes=1)
    assert deployment.wait(90.0) == 1, deployment.output()
    assert "(128, 3)" in deployment.output()
    assert "(1024, 3)" in deployment.output()
    assert not list(deployment.run_dir.glob("episodes/*.npz"))
