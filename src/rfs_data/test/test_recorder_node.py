"""The recorder as a process, on real topics: what it costs to kill it."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from rfs_data.bag_reader import Bag
from rfs_data.episode import read_episode
from rfs_data.errors import BagError, Reason
from rfs_data.nodes.benchmark_recorder import spin_until
from rfs_data.nodes.synthetic import SyntheticRobot
from rfs_data.recover import recover

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
KILLS = int(os.environ.get("RFS_KILLS", "2"))
"""The figure is measured with RFS_KILLS=50."""


@pytest.fixture(scope="module")
def robot():
    rclpy.init(args=[], domain_id=DOMAIN)
    node = SyntheticRobot(images=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.spin = lambda done, timeout_s=180.0: spin_until(executor, done, timeout_s)
    yield node
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture
def start(robot, tmp_path):
    """Starts a recorder and waits until it hears the robot."""
    started = []

    def start_recorder(*parameters):
        words = [word for name in (f"folder:={tmp_path}", *parameters) for word in ("-p", name)]
        log = (tmp_path / f"log{len(started)}.txt").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "rfs_data.nodes.recorder_node", "--ros-args", *words],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        assert robot.spin(lambda: heard(robot, tmp_path, len(started)) or process.poll() is not None)
        assert process.poll() is None, (tmp_path / f"log{len(started) - 1}.txt").read_text()
        return process

    yield start_recorder
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def heard(robot, folder, number):
    """Whether the newest recorder receives: it opened a short episode's bag."""
    name = f"hello{number}"
    if not (folder / f"{name}.part").exists() and not (folder / name).exists():
        if robot.said_hello != name:
            robot.begin(name)
            robot.said_hello = name
        return False
    if robot.said_hello == name:
        robot.finish()
        robot.said_hello = ""
    return (folder / name).exists()


SyntheticRobot.said_hello = ""


@pytest.mark.timeout(300 + 60 * KILLS)
def test_a_killed_recorder_loses_no_finished_episode_and_at_most_a_second_of_the_running_one(
    robot, start, tmp_path
):
    chosen = random.Random(1)
    for kill in range(KILLS):
        process = start()
        robot.begin(f"done{kill}")
        robot.spin(lambda: robot.decisions >= 5)
        robot.finish()
        assert robot.spin(lambda kill=kill: (tmp_path / f"done{kill}").exists())
        robot.begin(f"cut{kill}")
        began_ns = time.time_ns()
        until = time.monotonic() + chosen.uniform(0.3, 2.0)
        robot.spin(lambda until=until: time.monotonic() > until)
        process.send_signal(signal.SIGKILL)
        killed_ns = time.time_ns()
        process.wait()
        part = tmp_path / f"cut{kill}.part"
        assert part.exists()
        assert read_episode(tmp_path / f"done{kill}").steps >= 2 * 4
        robot.finish()
        try:
            last = max(message.publish_ns for message in Bag(recover(part).result).messages())
        except BagError as error:
            if error.reason is not Reason.EMPTY:
                raise
            last = began_ns  # killed before anything of the episode was on the disk: it must have been young
        assert killed_ns - last <= 1_000_000_000, f"{(killed_ns - last) / 1e9:.2f} s are lost"


def test_ctrl_c_within_an_episode_closes_its_bag(robot, start, tmp_path):
    process = start()
    robot.begin("running")
    robot.spin(lambda: robot.decisions >= 5)
    process.send_signal(signal.SIGINT)
    assert robot.spin(lambda: process.poll() is not None)
    assert process.returncode == 0
    episode = read_episode(tmp_path / "running")
    assert len(episode.a_b) >= 4
    assert not episode.header["complete"]
    robot.finish()


def test_a_full_disk_is_said_and_the_recorder_lives_on(robot, tmp_path):
    log = (tmp_path / "log.txt").open("w")
    command = [sys.executable, "-m", "rfs_data.nodes.recorder_node", "--ros-args"]
    settings = ["-p", f"folder:={tmp_path}/bags", "-p", "warn_free_gb:=9000.0", "-p", "stop_free_gb:=8000.0"]
    process = subprocess.Popen([*command, *settings], stdout=log, stderr=subprocess.STDOUT)
    try:
        said = (tmp_path / "log.txt").read_text
        assert robot.spin(lambda: "make room" in said())
        assert robot.spin(lambda: robot.count_subscribers("reward") > 0)
        began = time.monotonic()
        robot.begin("full")
        robot.spin(lambda: "full is not recorded" in said() or time.monotonic() > began + 10.0)
        assert "episode full is not recorded" in said()
        assert process.poll() is None
        assert not (tmp_path / "bags").exists()
    finally:
        robot.finish()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_an_unknown_parameter_or_a_checkpoint_that_is_none_ends_it_with_a_sentence(tmp_path):
    broken = tmp_path / "x.safetensors"
    broken.write_bytes(b"nonsense")
    for words, sentence in (
        (["chunks:=1.0"], "did you mean 'chunk_s'?"),
        ([f"checkpoint:={broken}"], "is not a checkpoint whose header can be recorded"),
        ([f"calibration:={tmp_path}/none.yaml"], "cannot be read"),
    ):
        given = [word for name in words for word in ("-p", name)]
        done = subprocess.run(
            [sys.executable, "-m", "rfs_data.nodes.recorder_node", "--ros-args", *given],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert sentence in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
