"""A whole deployment in simulation: it runs its episodes, reports them, and plays the same ones again."""

from __future__ import annotations

import time

import numpy as np
import pytest
from probe import Probe

import checkpoints
from rfs_core.tasks import stack
from rfs_learning.evaluate import play
from rfs_learning.policy import Policy
from rfs_learning.vec_env import make_env
from rfs_sim import episode_log

EPISODES = 3
SEED = 3
DECISIONS = 32  # of a whole episode: 64 control steps, two per decision


def trajectories(run_dir):
    """Arrays of every episode's file, in order."""
    return [episode_log.load(path)[1] for path in sorted((run_dir / "episodes").glob("*.npz"))]


def assert_same_trajectories(a, b):
    assert len(a) == len(b) == EPISODES
    for left, right in zip(a, b, strict=True):
        assert left.keys() == right.keys()
        for name in left:
            # Stamps count from the start of the node; they are the same from the start of the episode on.
            origin = (left[name][0], right[name][0]) if name == "stamp" else (0, 0)
            np.testing.assert_array_equal(left[name] - origin[0], right[name] - origin[1], err_msg=name)


def test_a_deployment_reports_its_episodes_repeats_itself_and_agrees_with_evaluate(deploy, gentle_checkpoint):
    first = deploy(checkpoint=gentle_checkpoint, episodes=EPISODES, seed=SEED, record_video="true")
    assert first.wait() == 0, first.output()
    assert "success rate" in first.output()
    report = first.report()
    assert (report["episodes_finished"], report["episodes_aborted"], report["stopped"]) == (EPISODES, 0, "")
    assert [row["index"] for row in report["episodes"]] == list(range(EPISODES))
    assert report["success"]["trials"] == EPISODES
    assert (report["gate"]["holds"], report["gate"]["refused"]) == (0, 0), report["gate"]
    assert report["policy"]["missed_ticks"] == 0
    whole = [row for row in report["episodes"] if row["steps"] == 64]
    assert report["policy"]["decisions"] >= DECISIONS * len(whole) > 0
    assert report["checkpoint_id"].startswith("gentle@")
    videos = [path for path in first.run_dir.iterdir() if path.suffix in (".mp4", ".gif")]
    assert [video.stat().st_size > 10_000 for video in videos] == [True]

    second = deploy(checkpoint=gentle_checkpoint, episodes=EPISODES, seed=SEED)
    assert second.wait() == 0, second.output()
    assert_same_trajectories(trajectories(first.run_dir), trajectories(second.run_dir))

    # The vector environment plays these very episodes without ROS.
    env = make_env("mujoco", "grasp", EPISODES, autoreset=False)
    policy = Policy.load(gentle_checkpoint, env.action_spec, env.observation_spec)
    for row, episode in zip(report["episodes"], play(policy, env, SEED, np.arange(EPISODES)), strict=True):
        assert (row["steps"], row["missed_rewards"]) == (episode.length, 0)
        assert (row["outcome"] == "success") == episode.success
        assert row["total_reward"] == pytest.approx(episode.reward, abs=1e-6)


def test_a_task_with_a_target_is_deployed_as_it_is_evaluated_with_the_same_physics(deploy, tmp_path):
    """The brick is in the hand when the episode begins, and the target comes by a topic of its own."""
    spec = stack.OBSERVATION_SPEC
    path = checkpoints.write(tmp_path / "stack.safetensors", task="stack", observation_spec=spec)
    deployment = deploy(task="stack", checkpoint=path, episodes=2, seed=SEED, physics_dt=0.005)
    assert deployment.wait() == 0, deployment.output()
    rows = deployment.report()["episodes"]
    env = make_env("mujoco", "stack", 2, autoreset=False, physics_dt=0.005)
    policy = Policy.load(path, env.action_spec, spec)
    episodes = play(policy, env, SEED, np.arange(2))
    assert [row["steps"] for row in rows] == [episode.length for episode in episodes]
    assert [row["total_reward"] for row in rows] == pytest.approx([e.reward for e in episodes], abs=1e-6)


def test_a_namespace_moves_everything_and_a_params_file_changes_nodes(
    deploy, gentle_checkpoint, tmp_path, ros_domain
):
    params = tmp_path / "params.yaml"
    params.write_text("/**/episode_manager:\n  ros__parameters: {episodes: 1}\n")
    probe = Probe(ros_domain)  # there before the others, so that it hears of each as it starts
    deployment = deploy(
        checkpoint=gentle_checkpoint, namespace="lab", params_file=params, real_time_factor=0.2, a0="zero"
    )
    deployment.wait_for("all nodes are there")
    expected = {(name, "/lab") for name in ("sim_node", "gate_node", "policy_node", "episode_manager")}
    # An announcement that was missed is repeated within 3 s.
    deadline = time.monotonic() + 30.0
    ours: set[tuple[str, str]] = set()
    topics: set[str] = set()
    while time.monotonic() < deadline and not (ours >= expected and "/lab/arm/target_pose" in topics):
        time.sleep(0.1)
        topics = {name for name, _ in probe.node.get_topic_names_and_types()}
        nodes = set(probe.node.get_node_names_and_namespaces())
        ours = {
            (name, where) for name, where in nodes if name != "probe" and not name.startswith(("launch", "_"))
        }
    probe.close()
    assert ours == expected
    assert {"/lab/policy/action", "/lab/arm/target_pose", "/lab/safety/state", "/clock"} <= topics
    outside = {name for name in topics if not name.startswith("/lab/")}
    assert outside <= {"/clock", "/diagnostics", "/parameter_events", "/rosout"}
    assert deployment.wait() == 0, deployment.output()
    report = deployment.report()
    assert report["episodes_finished"] == 1  # from the file, not the argument's default of 10
    assert report["a0"] == "zero"
    # At a fifth of real time a busy machine answers within its 250 ms a step; nothing may go faster.
    assert report["real_time_factor"] < 0.21


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"task": "juggle"}, "Valid options are: ['grasp', 'kit', 'pick_place', 'pinch', 'place', "),
        ({"robot": "real"}, "shipped for it: fer_leap, fr3_leap, or give a YAML file"),
        ({"episodez": 3}, "known: a0, camera, checkpoint, composition, corrections"),
        ({"episodes": "many"}, "episodes:=many cannot be used: needs a whole number >= 0"),
        ({"seed": -1}, "seed:=-1 cannot be used: needs a whole number >= 0"),
        ({"physics_dt": "fine"}, "physics_dt:=fine cannot be used: needs a number >= 0"),
        (
            {"robot": "emulated", "physics_dt": 0.005},
            "physics_dt:=0.005 is of the simulation: needs robot:=sim",
        ),
        (
            {"robot": "emulated", "objects": "unseen"},
            "objects:=unseen is of the simulation",
        ),
        (
            {"robot": "real", "robot_file": "fr3_leap", "record_video": "true"},
            "record_video:=true is of the simulation: needs robot:=sim or robot:=emulated",
        ),
    ],
    ids=lambda value: "-".join(f"{k}:={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_an_argument_that_cannot_be_used_is_refused_with_what_can(deploy, arguments, sentence):
    deployment = deploy(**arguments)
    assert deployment.wait() == 1
    assert sentence in deployment.output().replace("deploy.launch.py knows", "known:")


def test_an_unknown_parameter_is_refused_with_the_nearest_known_one(deploy, gentle_checkpoint, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("/**/policy_node:\n  ros__parameters: {stale_after: 0.1}\n")
    deployment = deploy(checkpoint=gentle_checkpoint, params_file=params)
    assert deployment.wait() == 1
    assert "did you mean 'stale_after_s'?" in deployment.output()


def test_parameters_of_an_unknown_node_are_refused_with_the_known_ones(deploy, gentle_checkpoint, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("/**/police_node:\n  ros__parameters: {stale_after_s: 0.1}\n")
    deployment = deploy(checkpoint=gentle_checkpoint, params_file=params)
    assert deployment.wait() == 1
    assert "the nodes are sim_node, gate_node, policy_node, episode_manager" in deployment.output()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (checkpoints.truncated, "truncated or damaged"),
        (checkpoints.foreign_action, "size (23,), other (22,)"),
    ],
    ids=["truncated", "foreign_action"],
)
def test_a_checkpoint_that_cannot_be_used_ends_the_launch_before_arming(deploy, tmp_path, make, sentence):
    deployment = deploy(checkpoint=make(tmp_path), episodes=1)
    assert deployment.wait() == 1, deployment.output()
    assert sentence in deployment.output()
    assert "all nodes are there" not in deployment.output()
    assert not list(deployment.run_dir.glob("episodes/*.npz"))
