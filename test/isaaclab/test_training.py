"""The tasks as Isaac Lab's environments: an episode, and one iteration of each PPO."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from isaaclab.app import launch_simulation

from rfs_core import robot
from rfs_sim.isaaclab import gym_ids
from rfs_sim.isaaclab.cfg import ENV_CFGS

sys.path.insert(0, str(Path(__file__).parents[1]))
from shared_run import assert_two_processes_learn_what_one_learns

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def command(*words, cwd):
    """Runs a command of this environment; its output, and the test fails where it does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_isaaclab_train_makes_an_iteration(tmp_path):
    words = ["--task", gym_ids.gym_id("grasp"), "--num_envs", "2", "--max_iterations", "1", "--device", "cpu"]
    output = command(
        BIN / "isaaclab", "train", "--rl_library", "rsl_rl", *words, "agent.device=cpu", cwd=tmp_path
    )
    assert "Learning iteration 0/1" in output
    assert list(tmp_path.glob("logs/rsl_rl/rfs/*/model_*.pt"))


def test_rfs_trains_on_a_base_policy(tmp_path):
    given = {
        "task": "grasp", "base_checkpoint": ROOT / "checkpoints/grasp_base.safetensors", "modulation": "both",
        "engine": "isaaclab", "num_envs": 4, "budget": 1, "minibatch": 64, "evaluation_episodes": 4,
        "final_episodes": 0, "run_dir": tmp_path / "run",
    }  # fmt: skip
    pairs = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    command(BIN / "rfs_train", *pairs, cwd=tmp_path)
    with (tmp_path / "run/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(float(rows[-1]["step"])) == 4 * 64
    assert np.isfinite(float(rows[-1]["ppo/value_loss"]))
    assert (tmp_path / "run/checkpoints/best.safetensors").is_file()


@pytest.mark.timeout(1200)
@pytest.mark.skipif(not os.environ.get("RFS_LONG"), reason="RFS_LONG=1: two trainings, one of two processes")
def test_two_processes_learn_what_one_learns_from_the_joint_batch(tmp_path):
    assert_two_processes_learn_what_one_learns("isaaclab", tmp_path)


def test_isaac_lab_s_contact_sensors_feel_what_the_flags_tell():
    cfg = ENV_CFGS["stack"]()  # begins with the brick in the hand
    cfg.seed, cfg.scene.num_envs, cfg.sim.device, cfg.disturbance = 0, 2, "cpu", 0.0
    cfg.contact_sensors = True
    with launch_simulation(cfg, {"device": "cpu"}):
        env = gymnasium.make(gym_ids.gym_id("stack"), cfg=cfg).unwrapped
        try:
            env.reset()
            worlds = env.worlds
            worlds.step(worlds.target, worlds.hand_target, disturbed=False)
            forces = [
                env.scene[f"{name}_contact"].data.normal_force_matrix_w.torch.reshape(2, -1).norm(dim=1)
                for name in robot.CONTACT_NAMES
            ]
            felt = torch.stack(forces, dim=1)
            assert not ((felt > 0) & ~worlds.state.contacts).any()
            assert (felt[:, robot.CONTACT_NAMES.index("th_tip")] > 0.1).all(), "the thumb holds the brick"
        finally:
            env.close()


def test_the_gym_environment_plays_an_episode_to_its_end_and_begins_the_next():
    cfg = ENV_CFGS["grasp"]()
    cfg.seed, cfg.scene.num_envs, cfg.sim.device, cfg.disturbance = 0, 2, "cpu", 0.0
    with launch_simulation(cfg, {"device": "cpu"}):
        env = gymnasium.make(gym_ids.gym_id("grasp"), cfg=cfg)
        try:
            observations, _ = env.reset()
            first = observations["policy"].clone()
            action = torch.zeros(2, 22)
            action[:, 6:] = -0.5
            for step in range(64):
                observations, reward, terminated, truncated, _ = env.step(action)
                assert bool(torch.isfinite(reward).all())
                assert truncated.all() == (step == 63)
                assert not terminated.any()
            assert bool((observations["policy"] != first).any()), "episodes 2 and 3, not 0 and 1 again"
            assert env.unwrapped.episodes_ended == 2
        finally:
            env.close()
