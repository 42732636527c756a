"""A deployment that is recorded: the bags say what the simulation says it did."""

import contextlib
import json
import os
import subprocess
import threading

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from rfs_core import robot, se3
from rfs_core.se3 import Pose
from rfs_core.tasks import grasp
from rfs_data.bag_reader import Bag, bags_in
from rfs_data.episode import read_episode
from rfs_msgs.msg import Correction, PolicyAction, Reward
from rfs_sim import episode_log

EPISODES = 2
SEED = 5
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])


@contextlib.contextmanager
def correcting():
    """Somebody corrects now and then, each time otherwise; the gate hears of it when it does."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=DOMAIN)
    node = rclpy.create_node("corrector", context=context)
    publisher = node.create_publisher(Correction, "correction/residual", 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    residual = np.zeros(robot.DEFAULT_ACTION_SPEC.size)

    def correct(reward):
        step = round((reward.header.stamp.sec + reward.header.stamp.nanosec * 1e-9) / 0.05)
        residual[:3] = 0.01 * np.sin([step, 2.0 * step, 3.0 * step])
        message = Correction(residual=residual.tolist(), engaged=step // 7 % 2 == 0, device="test")
        message.header.stamp = reward.header.stamp
        message.header.frame_id = robot.BASE_FRAME
        publisher.publish(message)

    node.create_subscription(Reward, "reward", correct, 10)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield
    executor.shutdown()
    thread.join()
    node.destroy_node()
    context.shutdown()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    words = {"episodes": EPISODES, "seed": SEED, "record": "true", "checkpoint": "base", "run_dir": folder}
    with correcting():
        done = subprocess.run(
            ["ros2", "launch", "rfs_bringup", "deploy.launch.py", *(f"{k}:={v}" for k, v in words.items())],
            capture_output=True,
            text=True,
            timeout=150,
            cwd=folder,
            env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pairs(run_dir):
    """Every episode as read from its bag, and as the simulation wrote it."""
    bags = bags_in(run_dir / "bags")
    logs = sorted((run_dir / "episodes").glob("*.npz"))
    assert [bag.name for bag in bags] == [log.stem for log in logs]
    assert len(bags) == EPISODES
    spec = robot.DEFAULT_ACTION_SPEC
    return [
        (read_episode(bag, spec, grasp.OBSERVATION_SPEC), *episode_log.load(log))
        for bag, log in zip(bags, logs, strict=True)
    ]


def test_nothing_is_lost_and_every_step_is_verified(pairs):
    for episode, _, _ in pairs:
        assert episode.warnings == ()
        assert episode.verified[episode.mask].all()


def test_observations_and_rewards_are_those_of_the_simulation(pairs):
    for episode, header, log in pairs:
        horizon = robot.DEFAULT_ACTION_SPEC.horizon
        assert episode.steps == len(log["reward"])
        # Every second state is a decision's; the last state is where the episode ended.
        rows = [*range(0, episode.steps, horizon), episode.steps]
        np.testing.assert_array_equal(episode.stamp, log["stamp"][rows])
        seen = grasp.OBSERVATION_SPEC.unpack(episode.observation)
        for name in ("arm_position", "hand_position", "palm_position", "object_position"):
            np.testing.assert_array_equal(seen[name], log[name][rows].astype(np.float32))
        expected = se3.rotation_6d(log["object_quaternion"][rows]).astype(np.float32)
        np.testing.assert_array_equal(seen["object_rotation"], expected)
        np.testing.assert_array_equal(
            seen["goal_position"], [log["goal_position"].astype(np.float32)] * len(rows)
        )
        np.testing.assert_array_equal(episode.reward[episode.mask], log["reward"])
        np.testing.assert_array_equal(episode.success, log["success"][[row - 1 for row in rows[1:]]])
        assert episode.outcome == header["outcome"]
        assert (episode.header["episode"]["seed"], episode.header["episode"]["index"]) == (
            header["seed"],
            header["episode"],
        )


def test_executed_actions_lead_to_the_targets_that_the_simulation_followed(pairs):
    spec = robot.DEFAULT_ACTION_SPEC
    for episode, _, log in pairs:
        executed = episode.executed[episode.mask]
        target = Pose(log["arm_target_position"], log["arm_target_quaternion"])
        moved = np.diff(target.position, axis=0)
        wanted = executed[1:, spec.slice("arm_delta_position")]
        # Where the leash (0.06 m) did not hold the target back, it moved by the executed action exactly.
        free = np.linalg.norm(target.position - log["palm_position"][:-1], axis=1)[1:] < 0.0599
        assert free.sum() > 10
        np.testing.assert_allclose(moved[free], wanted[free], atol=1e-12)


def test_the_humans_residual_is_found_again_and_within_its_bounds(pairs):
    for episode, _, _ in pairs:
        assert 10 < episode.corrected_steps < episode.steps
        human = episode.human[episode.mask]
        assert (np.abs(human[:, :3]) <= 0.01 + 1e-12).all()
        assert not human[:, 3:].any()
        # A released residual fades within 4 steps; engaged ones are those that were published.
        assert human[episode.engaged[episode.mask]].any()
        size = robot.DEFAULT_ACTION_SPEC.size
        without = episode.a_b.reshape(-1, size)[episode.mask.ravel()]
        assert not np.allclose(episode.executed[episode.mask], without)


def test_the_header_says_what_was_deployed(run_dir, pairs):
    report = json.loads((run_dir / "report.json").read_text())
    for episode, _, _ in pairs:
        header = episode.header
        assert header["checkpoint"]["id"] == report["checkpoint_id"]
        assert header["checkpoint"]["header"]["task"] == "grasp"
        assert header["observation_spec"] == header["checkpoint"]["header"]["observation_spec"]
        assert header["parameters"]["gate_node"]["tick_source"] == "state"
        assert header["parameters"]["sim_node"]["run_dir"] == str(run_dir)
        assert header["clock"] == "simulated"
        assert header["software"]["versions"]["rfs_data"]


def test_the_checkpoints_id_is_that_of_the_learning_package(pairs):
    from rfs_learning import checkpoint

    episode = pairs[0][0]
    path = episode.header["parameters"]["policy_node"]["checkpoint"]
    assert checkpoint.load(path).id == episode.header["checkpoint"]["id"]


def test_check_bag_is_green_and_ros2_bag_knows_it(run_dir):
    done = subprocess.run(
        ["ros2", "run", "rfs_data", "check_bag", str(run_dir / "bags")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{EPISODES} of {EPISODES} bags are whole" in done.stdout


def test_ros2_bag_play_publishes_what_was_recorded(run_dir, ros_domain):
    path = bags_in(run_dir / "bags")[0]
    recorded = Bag(path).header["messages"]["policy/action"]
    rclpy.init(args=[], domain_id=ros_domain)
    node = rclpy.create_node("listener")
    heard = []
    node.create_subscription(PolicyAction, "policy/action", heard.append, 100)
    player = subprocess.Popen(
        ["ros2", "bag", "play", str(path), "--rate", "5", "--topics", "/policy/action"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain)},
    )
    try:
        while player.poll() is None or heard == []:
            rclpy.spin_once(node, timeout_sec=0.2)
            if player.poll() not in (None, 0):
                break
        for _ in range(20):
            rclpy.spin_once(node, timeout_sec=0.02)
        assert player.wait(10) == 0
        assert len(heard) == recorded
    finally:
        player.kill()
        player.wait()
        node.destroy_node()
        rclpy.try_shutdown()
