"""The `ros2` command on real nodes."""

import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from helpers import NODES, ros2, standin_only

pytestmark = standin_only


@pytest.fixture(scope="module")
def nodes():
    """A talker /robot/tom and a lifecycle node /life."""
    talker = [sys.executable, NODES / "talker.py", "--ros-args", "-r", "__node:=tom", "-r", "__ns:=/robot"]
    commands = [[*talker, "-p", "speed:=1.5", "-p", "deep.text:=x"], [sys.executable, NODES / "life.py"]]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    processes[0].stdout.readline()  # it is there
    yield
    for process in processes:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


LISTINGS = {
    "topic list -t": "/robot/chatter [",
    "node list": "/robot/tom",
    "service list -t": "/robot/switch",
    "lifecycle nodes": "/life",
    "param list": "/robot/tom:",
}


@pytest.fixture(scope="module")
def listings(nodes):
    """What the listing commands print; asked at the same time, because each waits for discovery.

    On a machine that is very busy, discovery may take longer than a command waits: it is asked again then.
    """

    def ask(command: str) -> str:
        for _ in range(3):
            text = ros2(*command.split()).stdout
            if LISTINGS[command] in text and "/life" in text:
                break
        return text

    with ThreadPoolExecutor() as pool:
        return dict(zip(LISTINGS, pool.map(ask, LISTINGS), strict=True))


def test_listings_are_complete(listings):
    assert "/robot/chatter [std_msgs/msg/String]\n" in listings["topic list -t"]
    assert listings["node list"] == "/life\n/robot/tom\n"
    assert "/robot/switch [std_srvs/srv/SetBool]\n" in listings["service list -t"]
    assert listings["lifecycle nodes"] == "/life\n"
    assert "/life:\n" in listings["param list"]
    assert "/robot/tom:\n  deep.text\n" in listings["param list"]
    assert "_ros2cli" not in "".join(listings.values())


def test_topic_type(nodes):
    assert ros2("topic", "type", "robot/chatter").stdout == "std_msgs/msg/String\n"


def test_topic_echo_once_prints_one_message_as_yaml(nodes):
    assert ros2("topic", "echo", "--once", "/robot/chatter").stdout == "data: hello\n---\n"
    assert ros2("topic", "echo", "/robot/chatter", "--once", "--field", "data", "--csv").stdout == "hello\n"


def test_topic_echo_receives_a_latched_message_without_being_told():
    # The publisher keeps its one message for late subscriptions; echo asks for it because all publishers do.
    command = ["ros2", "topic", "pub", "--once", "--qos-durability", "transient_local", "-w", "1"]
    publisher = subprocess.Popen(
        [*command, "/latched", "std_msgs/msg/Int32", "{data: 7}"], stdout=subprocess.PIPE
    )
    result = ros2("topic", "echo", "/latched", "--once", "--timeout", "10")
    publisher.communicate(timeout=10)
    assert result.stdout == "data: 7\n---\n"


def test_topic_echo_ends_with_1_when_nothing_came_in_time():
    result = ros2("topic", "echo", "/silent", "std_msgs/msg/String", "--once", "--timeout", "0.5")
    assert (result.returncode, result.stdout) == (1, "")


def test_topic_hz_measures_what_the_timer_was_set_to(nodes):
    process = subprocess.Popen(["ros2", "topic", "hz", "/robot/chatter"], stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 0
    rate = float(re.fullmatch(r"average rate: ([\d.]+)\n", lines[2])[1])
    assert 10 < rate < 30  # every 0.05 s on a machine that may be busy
    assert re.fullmatch(r"\tmin: [\d.]+s max: [\d.]+s std dev: [\d.]+s window: \d+\n", lines[3])


def test_topic_info_counts_endpoints(nodes):
    text = ros2("topic", "info", "-v", "/robot/chatter").stdout
    assert "Type: std_msgs/msg/String\n" in text
    assert "Publisher count: 1\n\nNode name: tom\nNode namespace: /robot\n" in text
    assert "Subscription count: 0\n" in text


def test_node_info(nodes):
    text = ros2("node", "info", "/robot/tom").stdout
    assert "    /robot/chatter: std_msgs/msg/String\n" in text
    assert "    /robot/switch: std_srvs/srv/SetBool\n" in text


def test_param_get_set_list_dump(nodes):
    assert ros2("param", "get", "/robot/tom", "speed").stdout == "Double value is: 1.5\n"
    assert (
        ros2("param", "set", "/robot/tom", "speed", "2").stdout == "Set parameter successful\n"
    )  # 2.0 is meant
    assert ros2("param", "get", "robot/tom", "speed", "--hide-type").stdout == "2.0\n"
    assert "  deep.text\n" in ros2("param", "list", "/robot/tom").stdout
    dumped = yaml.safe_load(ros2("param", "dump", "/robot/tom").stdout)
    parameters = dumped["/robot/tom"]["ros__parameters"]
    assert (parameters["speed"], parameters["deep"]) == (2.0, {"text": "x"})


def test_service_call(nodes):
    result = ros2("service", "call", "/robot/switch", "std_srvs/srv/SetBool", "{data: true}")
    assert "std_srvs.srv.SetBool_Response(success=True, message='was asked for True')" in result.stdout


def test_lifecycle_get_and_set(nodes):
    assert ros2("lifecycle", "get", "/life").stdout == "unconfigured [1]\n"
    assert ros2("lifecycle", "set", "/life", "configure").stdout == "Transitioning successful\n"
    assert ros2("lifecycle", "get", "/life").stdout == "inactive [2]\n"
    wrong = ros2("lifecycle", "set", "/life", "activat")
    assert wrong.returncode == 1
    assert "did you mean 'activate'?; known: activate, cleanup, shutdown" in wrong.stderr


MISTAKES = [
    (["topci", "list"], "unknown command 'topci', did you mean 'topic'?"),
    (["topic", "echo", "/robot/chater"], "did you mean '/robot/chatter'?"),
    (["param", "get", "/robot/tim", "speed"], "did you mean '/robot/tom'?"),
    (["param", "get", "/robot/tom", "sped"], "did you mean 'speed'?"),
    (["service", "call", "/robot/switch", "std_srvs/srv/SetBool", "{dat: true}"], "did you mean 'data'?"),
    (["service", "call", "/robot/switch", "std_srvs/srv/Trigger"], "is a std_srvs/srv/SetBool, not a"),
    (
        ["topic", "pub", "/x", "std_msgs/msg/Int32", "{data: a}"],
        "field data of Int32 is a int32, got 'a'",
    ),
    (["topic", "pub", "/x", "std_msgs/msg/Strin", "{}"], "did you mean 'String'?"),
    (["run", "rclpy", "nothing"], "unknown executable of package 'rclpy' 'nothing'"),
    (["pkg", "prefix", "rclp"], "did you mean 'rclpy'?"),
    (["interface", "show", "std_msgs/msg/Sring"], "did you mean 'std_msgs/msg/String'?"),
    (["bag", "info", "/does/not/exist"], "bag '/does/not/exist' does not exist"),
    (["launch", "rclpy", "x.launch.py"], "unknown launch file of package 'rclpy' 'x.launch.py'"),
]


@pytest.fixture(scope="module")
def answers(nodes):
    """What the command says to each mistake; asked at the same time, because each waits for discovery.

    On a machine that is very busy, discovery may take longer than a command waits: it is asked again then.
    """

    def ask(mistake):
        for _ in range(3):
            answer = ros2(*mistake[0])
            if mistake[1] in answer.stderr:
                break
        return answer

    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(ask, MISTAKES))


@pytest.mark.parametrize("i", range(len(MISTAKES)), ids=[" ".join(mistake[0]) for mistake in MISTAKES])
def test_mistakes_are_answered_with_what_exists(answers, i):
    assert answers[i].returncode == 1
    assert MISTAKES[i][1] in answers[i].stderr
    assert "Traceback" not in answers[i].stderr


def test_interface_show_expands_messages():
    shown = ros2("interface", "show", "geometry_msgs/msg/PoseStamped", "--no-comments").stdout
    assert shown.startswith("std_msgs/Header header\n\tbuiltin_interfaces/Time stamp\n\t\tint32 sec\n")
    assert "\tPoint position\n\t\tfloat64 x\n" in shown


def test_run_becomes_the_executable(tmp_path):
    # An ament prefix with a package of one executable.
    (tmp_path / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (tmp_path / "share/ament_index/resource_index/packages/here").touch()
    (tmp_path / "lib/here").mkdir(parents=True)
    program = tmp_path / "lib/here/tell"
    program.write_text('#!/bin/sh\necho $$ "$@"\nexit 3\n')
    program.chmod(0o755)
    import os

    prefix = f"{tmp_path}:{os.environ['AMENT_PREFIX_PATH']}"
    command = ["ros2", "run", "here", "tell", "-a", "--ros-args", "x y"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "AMENT_PREFIX_PATH": prefix}
    )
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (3, f"{process.pid} -a --ros-args x y\n")
