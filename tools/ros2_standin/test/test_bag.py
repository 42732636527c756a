"""`ros2 bag info` and `ros2 bag play` on bags of both storages."""

import os
import subprocess
import threading
import time

import pytest
import rclpy
from helpers import ros2, standin_only
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Int32

pytestmark = standin_only

START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
COUNT = 11  # 0.0 s to 1.0 s


def write_bag(path, storage=StoragePlugin.MCAP):
    """/numbers: 0..10 every 0.1 s; /latched: one message, kept for late subscriptions."""
    store = get_typestore(Stores.ROS2_JAZZY)
    number = store.types["std_msgs/msg/Int32"]
    never = QosTime(2147483647, 4294967295)
    latched = Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        never,
        never,
        QosLiveliness.AUTOMATIC,
        never,
        False,
    )
    with Writer(path, version=9, storage_plugin=storage) as bag:
        numbers = bag.add_connection("/numbers", number.__msgtype__, typestore=store)
        kept = bag.add_connection(
            "/latched", number.__msgtype__, typestore=store, offered_qos_profiles=[latched]
        )
        bag.write(kept, START_NS, store.serialize_cdr(number(42), number.__msgtype__))
        for i in range(COUNT):
            data = store.serialize_cdr(number(i), number.__msgtype__)
            bag.write(numbers, START_NS + i * STEP_NS, data)
    return path


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_info_tells_what_is_in_a_bag(tmp_path, storage):
    text = ros2("bag", "info", str(write_bag(tmp_path / "bag", storage))).stdout
    assert f"Storage id:        {'mcap' if storage == StoragePlugin.MCAP else 'sqlite3'}\n" in text
    assert "Duration:          1.000000000s\n" in text
    assert "(1700000000.000000000)\n" in text
    assert "Messages:          12\n" in text
    assert "Topic: /numbers | Type: std_msgs/msg/Int32 | Count: 11 | Serialization Format: cdr\n" in text


def test_info_of_what_is_no_bag_says_so(tmp_path):
    assert "is not a bag" in ros2("bag", "info", str(tmp_path)).stderr
    bag = write_bag(tmp_path / "bag")
    (bag / "metadata.yaml").unlink()
    result = ros2("bag", "info", str(bag))
    assert (result.returncode, "was not closed (no metadata.yaml)" in result.stderr) == (1, True)
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:100])
    result = ros2("bag", "info", str(file))
    assert (result.returncode, "cannot read bag" in result.stderr) == (1, True)


@pytest.fixture
def listen():
    """Subscribe to topics; what arrived: (topic, value, when it arrived on the wall)."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    node = rclpy.create_node("listener", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    arrived = []

    def subscribe(topic, message_class=Int32, **qos):
        def keep(message):
            stamp = (
                message.clock.sec * 10**9 + message.clock.nanosec if message_class is Clock else message.data
            )
            arrived.append((topic, stamp, time.monotonic()))

        node.create_subscription(message_class, topic, keep, QoSProfile(depth=100, **qos))
        return arrived

    stop = threading.Event()

    def spin():
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin)
    thread.start()
    yield subscribe
    stop.set()
    thread.join()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_play_publishes_everything_no_earlier_than_it_was_recorded(tmp_path, listen):
    bag = write_bag(tmp_path / "bag")
    arrived = listen("/numbers")
    result = ros2("bag", "play", str(bag))
    # A busy machine may be late, and is told so.
    said = [line for line in result.stderr.splitlines() if "late, going on from here" not in line]
    assert (result.returncode, said) == (0, [])
    assert [value for _, value, _ in arrived] == list(range(COUNT))
    first = arrived[0][2]
    # Number i is due 0.1 s * i after the first; messages that come late may come close together.
    assert arrived[-1][2] - first >= 0.1 * (COUNT - 1) / 2


def test_play_rate_offset_duration_topics_and_remap(tmp_path, listen):
    bag = write_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    arrived = listen("/other")
    listen("/latched", durability=DurabilityPolicy.TRANSIENT_LOCAL)
    options = ["--rate", "2", "--start-offset", "0.35", "--playback-duration", "0.5", "--topics", "/numbers"]
    assert ros2("bag", "play", str(bag), *options, "--remap", "/numbers:=/other").returncode == 0
    # 0.35 s <= 0.1 s * i < 0.85 s: 4, 5, 6, 7, 8; /latched was not asked for.
    assert [(topic, value) for topic, value, _ in arrived] == [("/other", i) for i in (4, 5, 6, 7, 8)]
    assert arrived[-1][2] - arrived[0][2] >= 0.4 / 2 / 2


def test_play_keeps_the_durability_and_publishes_the_clock(tmp_path, listen):
    bag = write_bag(tmp_path / "bag")
    arrived = listen("/latched", durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listen("/clock", Clock)
    assert ros2("bag", "play", str(bag), "--clock", "10", "--rate", "5").returncode == 0
    assert [value for topic, value, _ in arrived if topic == "/latched"] == [42]
    clock = [value for topic, value, _ in arrived if topic == "/clock"]
    assert clock == [START_NS + i * STEP_NS for i in range(COUNT)]


def test_play_loops_until_ctrl_c(tmp_path, listen):
    import signal

    bag = write_bag(tmp_path / "bag")
    arrived = listen("/numbers")
    process = subprocess.Popen(
        ["ros2", "bag", "play", str(bag), "--loop", "--rate", "10"],
        stdin=subprocess.DEVNULL,
        env=dict(os.environ),
    )
    deadline = time.monotonic() + 20
    while len(arrived) < 2 * COUNT + 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert [value for _, value, _ in arrived[: 2 * COUNT]] == [*range(COUNT), *range(COUNT)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--topics", "/number"], "did you mean '/numbers'?"),
        (["--rate", "0"], "--rate must be above 0"),
        (["--start-offset", "5"], "the bag is 1.000 s long"),
        (["--remap", "/a"], "expected OLD:=NEW"),
        (["--start-paused"], "needs a terminal"),
    ],
)
def test_play_refuses_what_it_cannot_do(tmp_path, options, sentence):
    result = ros2("bag", "play", str(write_bag(tmp_path / "bag")), *options)
    assert (result.returncode, sentence in result.stderr) == (1, True), result.stderr
