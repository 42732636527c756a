"""The real node in a process of its own; the test plays command gate and episode manager by hand."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2

from rfs_core import control, robot
from rfs_core.se3 import Pose
from rfs_msgs.msg import ContactState, EpisodeState, Reward
from rfs_msgs.srv import ResetWorld
from rfs_ros import conversions
from rfs_sim import episode_log
from rfs_sim.render import play
from rfs_sim.world import World

DT = 50_000_000
TICK_TOPICS = ("clock", "arm", "palm", "hand", "object", "goal", "contacts", "reward")
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])


def start_node(domain, *parameters):
    command = [sys.executable, "-m", "rfs_sim.nodes.sim_node", "--ros-args"]
    for parameter in parameters:
        command += ["-p", parameter]
    return subprocess.Popen(
        command,
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def stop_node(process):
    """SIGINT; returns exit code, seconds until the end, and what it printed."""
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        output, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, time.monotonic() - begin, output


class Gate:
    """Hears everything the simulation says, and answers as told."""

    def __init__(self, domain):
        self.context = rclpy.Context()
        self.context.init(domain_id=domain)
        self.node = rclpy.create_node("gate_by_hand", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.since = 0  # the stamp of the last reset
        self._heard = {}
        self.diagnostics = {}
        for key, kind, topic in (
            ("clock", Clock, "/clock"),
            ("arm", JointState, "arm/joint_states"),
            ("palm", PoseStamped, "arm/current_pose"),
            ("hand", JointState, "hand/joint_states"),
            ("object", PoseStamped, "perception/object_pose"),
            ("goal", PoseStamped, "perception/goal_pose"),
            ("contacts", ContactState, "hand/contacts"),
            ("reward", Reward, "reward"),
            ("colour", CompressedImage, "camera/color/compressed"),
            ("depth", Image, "camera/depth"),
            ("info", CameraInfo, "camera/camera_info"),
            ("points", PointCloud2, "perception/points"),
        ):
            self._heard[key] = []
            self.node.create_subscription(kind, topic, self._heard[key].append, 100)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.arm = self.node.create_publisher(PoseStamped, "arm/target_pose", 10)
        self.hand = self.node.create_publisher(JointState, "hand/target", 10)
        self.episode = self.node.create_publisher(EpisodeState, "episode/state", latched)
        self.client = self.node.create_client(ResetWorld, "sim/reset")
        assert self.client.wait_for_service(15.0)
        self.wait(lambda: all(self.heard(key) for key in TICK_TOPICS), "first states")
        self.wait(lambda: self.arm.get_subscription_count() and self.hand.get_subscription_count(), "targets")

    def _on_diagnostics(self, message):
        self.diagnostics = {value.key: value.value for value in message.status[0].values}

    def wait(self, condition, what, timeout_s=60.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def spin(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.01)

    def now(self):
        return self.last("clock")

    def heard(self, key):
        """What was said on a topic since the last reset; older messages may still be on their way."""
        return [message for message in self._heard[key] if self._stamp(key, message) >= self.since]

    def stamps(self, key):
        return [self._stamp(key, message) for message in self.heard(key)]

    def last(self, key):
        """Newest stamp of a topic, -1 where nothing was heard."""
        messages = self._heard[key]
        return self._stamp(key, messages[-1]) if messages else -1

    @staticmethod
    def _stamp(key, message):
        return conversions.stamp_ns(message.clock if key == "clock" else message.header.stamp)

    def wait_for_tick(self, stamp, timeout_s=60.0):
        """Until all states of the tick at `stamp` are here."""
        keys = [key for key in TICK_TOPICS if key != "clock"]
        self.wait(lambda: all(self.last(key) >= stamp for key in keys), f"all of {stamp} ns", timeout_s)

    def reset(self, seed=0, episode=0, task=""):
        for messages in self._heard.values():
            messages.clear()
        future = self.client.call_async(ResetWorld.Request(task=task, seed=seed, episode=episode))
        self.wait(future.done, "sim/reset")
        response = future.result()
        stamp = conversions.stamp_ns(response.stamp)
        if response.success:
            self.since = stamp
            self.wait_for_tick(stamp)
        return response, stamp

    def palm(self):
        return conversions.pose_from_msg(self.heard("palm")[-1].pose, "palm")

    def fingers(self):
        message = self.heard("hand")[-1]
        return conversions.joint_values(message.name, message.position, robot.HAND_JOINT_NAMES, "hand")[None]

    def answer(self, stamp, palm, fingers):
        self.arm.publish(conversions.pose_stamped_msg(stamp, robot.BASE_FRAME, palm))
        self.hand.publish(conversions.joint_state_msg(stamp, robot.HAND_JOINT_NAMES, fingers[0]))

    def say(self, phase, started, *, outcome=EpisodeState.OUTCOME_NONE, reason="", name="test-1"):
        message = EpisodeState(id=name, phase=phase, outcome=outcome, reason=reason, task="grasp")
        message.header.stamp = conversions.stamp_msg(self.now())
        message.started = conversions.stamp_msg(started)
        self.episode.publish(message)

    def run_to_an_end(self, name, started):
        """Say that the episode has succeeded, and wait until the world is free."""
        self.say(EpisodeState.PHASE_FINISHED, started, outcome=EpisodeState.OUTCOME_SUCCESS, name=name)
        here = self.now()
        self.wait(lambda: self.now() > here, "the world to be free")

    def play(self, actions, seed, episode, name):
        """Play an episode with these actions as the gate would; returns its trajectory stamp by stamp."""
        _, start = self.reset(seed, episode)
        self.say(EpisodeState.PHASE_RUNNING, start, name=name)
        target, fingers = self.palm(), self.fingers()
        for k, action in enumerate(actions):
            target = control.step_target(target, action[None, :6], self.palm())
            fingers = control.limit_rate(fingers, action[None, 6:])
            self.answer(start + k * DT, target, fingers)
            self.wait_for_tick(start + (k + 1) * DT)
        self.run_to_an_end(name, start)
        return start

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


def some_actions(steps=40):
    """Down to the object, fingers closing, with noise. Shape: (steps, 22)."""
    rng = np.random.default_rng(5)
    action = np.zeros((steps, 22))
    action[:, :6] = rng.uniform(-0.02, 0.02, size=(steps, 6))
    action[:, 0] += 0.01
    action[:, 2] -= 0.015
    action[:, 6:] = np.linspace(0.0, 1.0, steps)[:, None] * rng.uniform(0.5, 1.5, size=16)
    return robot.DEFAULT_ACTION_SPEC.clip(action)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    """A simulation with camera, points and video; its folder."""
    folder = tmp_path_factory.mktemp("seeing")
    process = start_node(
        DOMAIN,
        f"run_dir:={folder}", "record_video:=true", "video_width:=160", "video_height:=120",
        "video_episodes:=1", "camera:=true", "camera_width:=80", "camera_height:=60",
        "camera_encoding:=png", "depth_encoding:=32FC1", "points:=true", "points_camera.count:=256",
    )  # fmt: skip
    gate = Gate(DOMAIN)
    yield gate, folder, process
    gate.close()
    if process.poll() is None:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def simulation(folder, claim_domain, patience_s):
    """A simulation that waits so long for an answer, in a domain of its own; its folder."""
    with claim_domain() as domain:
        process = start_node(domain, f"run_dir:={folder}", f"lockstep_patience_s:={patience_s}")
        gate = Gate(domain)
        yield gate, folder
        gate.close()
    if process.poll() is None:
        code, _, output = stop_node(process)
        assert code == 0, output


@pytest.fixture(scope="module")
def hasty(tmp_path_factory, claim_domain):
    """A simulation that loses its patience after 0.2 s; its folder."""
    with simulation(tmp_path_factory.mktemp("hasty"), claim_domain, 0.2) as made:
        yield made


@pytest.fixture
def patient(tmp_path, claim_domain):
    """A simulation that never goes on without an answer; its folder."""
    with simulation(tmp_path, claim_domain, 60.0) as made:
        yield made


def test_two_processes_and_the_bare_world_play_one_episode_to_the_last_bit(seeing, patient):
    actions = some_actions()
    files = []
    for gate, folder, *_ in (seeing, patient):
        gate.spin(0.2)  # whatever happened before the reset must not matter
        gate.play(actions, seed=7, episode=3, name="twin")
        files.append(episode_log.load(folder / "episodes" / "twin.npz"))
    (header, one), (_, two) = files
    assert not one["missed"].any()
    assert len(one["reward"]) >= 20  # less than 40 only where the object is lost
    for key in one:
        if key != "stamp":
            np.testing.assert_array_equal(one[key], two[key], err_msg=key)
    np.testing.assert_array_equal(np.diff(one["stamp"]), DT)
    assert (header["seed"], header["episode"], header["outcome"]) == (7, 3, "success")

    world = World("grasp")
    world.reset(7, 3)
    waiting = iter(actions)
    for k, _ in enumerate(play(world, lambda _: [next(waiting)])):
        np.testing.assert_array_equal(one["arm_position"][k], world.state.arm_position[0])
        np.testing.assert_array_equal(one["hand_position"][k], world.state.hand_position[0])
        np.testing.assert_array_equal(one["object_position"][k], world.state.object_pose.position[0])
        if k + 1 == len(one["stamp"]):
            break
    world.close()


def test_reset_stops_the_clock_and_repeats_the_same_state(seeing):
    gate, *_ = seeing
    response, start = gate.reset(0, 4)
    assert response.max_steps == 64
    assert start % DT == 0
    gate.spin(0.7)
    # Every 0.2 s: 3 more of the same.
    assert 3 <= len(gate.heard("reward")) <= 6
    for key in ("palm", "object", "reward"):
        assert set(gate.stamps(key)) == {start}, key
    assert gate.now() == start
    assert len({tuple(message.position) for message in gate.heard("arm")}) == 1


def test_states_of_a_tick_are_complete_ordered_and_named(seeing):
    gate, *_ = seeing
    _, start = gate.reset(0, 4)
    palm, fingers = gate.palm(), gate.fingers()
    for k in range(3):
        gate.answer(start + k * DT, palm, fingers)
        gate.wait_for_tick(start + (k + 1) * DT)
    stamps = sorted(set(gate.stamps("arm")))
    assert stamps == [start + i * 10_000_000 for i in range(16)]  # 100 Hz over 150 ms
    assert gate.stamps("arm") == sorted(gate.stamps("arm"))
    assert set(gate.stamps("palm")) == {start + k * DT for k in range(4)}
    assert {start + 20_000_000, start + DT} <= set(gate.stamps("hand"))
    assert gate.heard("arm")[-1].name == list(robot.ARM_JOINT_NAMES)
    assert gate.heard("hand")[-1].name == list(robot.HAND_JOINT_NAMES)
    assert gate.heard("contacts")[-1].name == list(robot.CONTACT_NAMES)
    for key in ("palm", "object", "goal", "reward"):
        assert gate.heard(key)[-1].header.frame_id == "fr3_link0"
    # The goal lies above where the object stands.
    goal, thing = gate.heard("goal")[-1].pose.position, gate.heard("object")[-1].pose.position
    assert goal.z > thing.z + 0.1
    assert abs(goal.x - thing.x) < 0.01


def test_only_both_targets_of_the_present_tick_move_the_world(seeing):
    gate, *_ = seeing
    _, start = gate.reset(0, 4)
    palm, fingers = gate.palm(), gate.fingers()
    gate.arm.publish(conversions.pose_stamped_msg(start, robot.BASE_FRAME, palm))
    gate.spin(0.3)
    assert gate.now() == start
    gate.hand.publish(conversions.joint_state_msg(start, robot.HAND_JOINT_NAMES, fingers[0]))
    gate.wait_for_tick(start + DT)
    gate.spin(0.3)
    assert gate.now() == start + DT  # patience is 2 s


@pytest.mark.parametrize(
    "spoil",
    [
        "nan position",
        "inf finger",
        "zero quaternion",
        "wrong frame",
        "wrong name",
        "too few",
        "future",
        "past",
    ],
)
def test_bad_targets_are_refused_counted_and_move_nothing(seeing, spoil):
    gate, *_ = seeing
    _, start = gate.reset(0, 4)
    arm = conversions.pose_stamped_msg(start, robot.BASE_FRAME, gate.palm())
    hand = conversions.joint_state_msg(start, robot.HAND_JOINT_NAMES, gate.fingers()[0])
    topic = "refused hand/target"
    if spoil == "nan position":
        arm.pose.position.y, topic = float("nan"), "refused arm/target_pose"
    elif spoil == "inf finger":
        hand.position[3] = float("inf")
    elif spoil == "zero quaternion":
        arm.pose.orientation.w = arm.pose.orientation.x = arm.pose.orientation.y = arm.pose.orientation.z = (
            0.0
        )
        topic = "refused arm/target_pose"
    elif spoil == "wrong frame":
        arm.header.frame_id, topic = "world", "refused arm/target_pose"
    elif spoil == "wrong name":
        hand.name = ["if_rot"] + list(hand.name[:15])
    elif spoil == "too few":
        hand.position = hand.position[:15]
    else:
        offset = DT if spoil == "future" else -DT
        arm.header.stamp, topic = conversions.stamp_msg(start + offset), "refused arm/target_pose"
    gate.wait(lambda: topic in gate.diagnostics, "diagnostics")
    before = int(gate.diagnostics[topic])
    gate.arm.publish(arm)
    gate.hand.publish(hand)
    gate.wait(lambda: int(gate.diagnostics[topic]) == before + 1, "the refusal on /diagnostics")
    assert gate.now() == start
    assert gate.diagnostics["phase"] == "waiting"


def test_targets_are_mapped_by_name(hasty):
    gate, _ = hasty
    _, start = gate.reset(0, 4)
    wanted = gate.fingers()[0]
    wanted[12] += 0.3  # th_cmc alone
    order = np.random.default_rng(0).permutation(16)
    names = [robot.HAND_JOINT_NAMES[i] for i in order]
    palm = gate.palm()
    for k in range(6):
        gate.arm.publish(conversions.pose_stamped_msg(start + k * DT, robot.BASE_FRAME, palm))
        gate.hand.publish(conversions.joint_state_msg(start + k * DT, names, wanted[order]))
        gate.wait_for_tick(start + (k + 1) * DT)
    moved = gate.fingers()[0] - wanted
    assert np.abs(moved).max() < 0.15


def test_lost_commands_end_the_patience_and_the_arm_holds_after_150_ms(hasty):
    gate, folder = hasty
    _, start = gate.reset(0, 4)
    gate.say(EpisodeState.PHASE_RUNNING, start, name="lost")
    palm, fingers = gate.palm(), gate.fingers()
    away = Pose(palm.position + [[0.0, 0.05, 0.05]], palm.quaternion)
    begin = time.monotonic()
    gate.answer(start, away, fingers)
    gate.wait_for_tick(start + DT)
    gate.wait_for_tick(start + 7 * DT)  # 6 ticks without an answer
    assert time.monotonic() - begin > 6 * 0.2 - 0.1
    gate.run_to_an_end("lost", start)
    _, arrays = episode_log.load(folder / "episodes" / "lost.npz")
    steps = len(arrays["missed"])
    assert steps >= 7
    assert arrays["missed"].tolist() == [False] + [True] * (steps - 1)
    # Steps at 0, 50 and 100 ms follow the target; from 150 ms on it is the palm measured then.
    target, measured = arrays["arm_target_position"], arrays["palm_position"]
    np.testing.assert_array_equal(target[:3], np.tile(away.position, (3, 1)))
    np.testing.assert_array_equal(target[3:], np.tile(measured[3], (steps - 3, 1)))
    gate.wait(lambda: int(gate.diagnostics.get("lockstep_misses", 0)) >= 6, "misses on /diagnostics")


def test_late_end_of_the_episode_before_does_not_free_the_world(hasty):
    gate, _ = hasty
    _, old = gate.reset(0, 4)
    _, start = gate.reset(0, 5)
    gate.say(EpisodeState.PHASE_FINISHED, old, outcome=EpisodeState.OUTCOME_SUCCESS)
    gate.spin(0.4)
    assert gate.now() == start


def test_end_of_an_episode_is_not_lost_when_the_next_one_follows_at_once(seeing):
    gate, folder, process = seeing
    _, start = gate.reset(0, 4)
    gate.say(EpisodeState.PHASE_RUNNING, start, name="first")
    palm, fingers = gate.palm(), gate.fingers()
    gate.answer(start, palm, fingers)
    gate.wait_for_tick(start + DT)
    process.send_signal(signal.SIGSTOP)  # so slow that it hears all of this at the same time
    gate.say(EpisodeState.PHASE_FINISHED, start, outcome=EpisodeState.OUTCOME_FAILURE, name="first")
    gate.say(EpisodeState.PHASE_RESETTING, 0, name="second")
    gate.spin(0.2)
    process.send_signal(signal.SIGCONT)
    gate.reset(0, 5)
    header, _ = episode_log.load(folder / "episodes" / "first.npz")
    assert header["outcome"] == "failure"


def test_free_world_runs_at_real_time_and_keeps_still(hasty):
    gate, _ = hasty
    _, start = gate.reset(0, 4)
    gate.run_to_an_end("free", start)
    palm, first, begin = gate.palm(), gate.now(), time.monotonic()
    gate.spin(1.0)
    robot_s, wall_s = (gate.now() - first) / 1e9, time.monotonic() - begin
    assert 0.3 < robot_s / wall_s < 1.2
    assert np.linalg.norm(gate.palm().position - palm.position) < 0.002


def test_reset_to_another_task_is_refused_naming_both(hasty):
    gate, _ = hasty
    response, _ = gate.reset(task="pour")
    assert not response.success
    assert "grasp" in response.message
    assert "pour" in response.message


def test_camera_and_points_show_the_world(seeing):
    gate, *_ = seeing
    _, start = gate.reset(0, 4)
    gate.wait(lambda: all(gate.heard(k) for k in ("colour", "depth", "info", "points")), "images")
    for key in ("colour", "depth", "info", "points"):
        assert gate.stamps(key)[-1] == start, key
    assert bytes(gate.heard("colour")[-1].data[:4]) == b"\x89PNG"
    image, info = gate.heard("depth")[-1], gate.heard("info")[-1]
    depth = np.frombuffer(image.data, "<f4").reshape(image.height, image.width)
    assert (image.encoding, depth.shape) == ("32FC1", (60, 80))
    assert info.k[0] == info.k[4] > 30  # f = 30 / tan(fovy / 2), for less than 90 degrees
    assert np.isfinite(depth).mean() > 0.5
    message = gate.heard("points")[-1]
    points = np.frombuffer(message.data, "<f4").reshape(-1, 3)
    assert (message.width, message.header.frame_id, points.shape) == (256, "fr3_link0", (256, 3))
    assert message.is_dense
    low, high = (0.2, -0.5, 0.004), (0.9, 0.5, 0.8)  # the default box
    assert (points >= np.float32(low)).all()
    assert (points <= np.float32(high)).all()
    centre = gate.heard("object")[-1].pose.position
    near = np.linalg.norm(points - [centre.x, centre.y, centre.z], axis=1) < 0.08
    assert near.sum() >= 5
    # Every second tick only.
    palm, fingers = gate.palm(), gate.fingers()
    for k in range(4):
        gate.answer(start + k * DT, palm, fingers)
        gate.wait_for_tick(start + (k + 1) * DT)
    gate.wait(lambda: gate.stamps("points")[-1] == start + 4 * DT, "points of the fourth tick")
    assert set(gate.stamps("points")) == {start, start + 2 * DT, start + 4 * DT}


def test_interrupt_in_an_episode_keeps_its_record_and_ends_with_0_within_5_s(seeing):
    """Last of its node: it ends it."""
    gate, folder, process = seeing
    _, start = gate.reset(0, 6)
    gate.say(EpisodeState.PHASE_RUNNING, start, name="cut-short")
    palm, fingers = gate.palm(), gate.fingers()
    for k in range(3):
        gate.answer(start + k * DT, palm, fingers)
        gate.wait_for_tick(start + (k + 1) * DT)
    code, seconds, output = stop_node(process)
    assert code == 0, output
    assert seconds < 5.0
    assert "Traceback" not in output
    header, arrays = episode_log.load(folder / "episodes" / "cut-short.npz")
    assert header["outcome"] == "aborted"
    assert len(arrays["reward"]) == 3
    video = folder / "episodes.mp4"
    assert video.stat().st_size > 1000
    assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize(
    ("parameter", "why"),
    [
        ("physics_dt:=0.003", "must divide 10 ms"),
        ("task:=gasp", "grasp"),
        ("real_time_facter:=1.0", "real_time_factor"),
    ],
)
def test_wrong_parameters_end_in_one_sentence_and_code_1(parameter, why):
    process = start_node(DOMAIN, parameter)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert why in output
    assert "Traceback" not in output
