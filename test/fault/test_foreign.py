"""Who is not of this stack: another ROS domain, another machine, somebody without keys."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from promises import ROOT, cases
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter
from stopwatch import Stopwatch

from rfs_control.nodes.correction_node import CorrectionNode
from rfs_control.nodes.episode_manager import EpisodeManager
from rfs_control.nodes.gate_node import GateNode
from rfs_control.nodes.policy_node import PolicyNode
from rfs_control.nodes.robot_operator import RobotOperator
from rfs_core import robot
from rfs_data.nodes.recorder_node import RecorderNode
from rfs_drivers.emulated.fci_process import free_address
from rfs_drivers.nodes.franka_node import FrankaNode
from rfs_drivers.nodes.leap_node import LeapNode
from rfs_msgs.msg import PolicyAction
from rfs_perception.nodes.realsense_node import RealSenseNode
from rfs_perception.nodes.reward_node import RewardNode
from rfs_ros.qos import RELIABLE
from rfs_sim.nodes.emulated_robot import EmulatedRobot
from rfs_sim.nodes.sim_node import SimNode

POLICY = ROOT / "config" / "sros2" / "policy.xml"
NEIGHBOUR = Path(__file__).with_name("neighbour.py")
PATIENCE_S = 120.0
"""Wall time: bounds waiting on a machine that others use, promises nothing."""


@pytest.fixture
def context(ros_domain: int) -> Iterator[None]:
    rclpy.init(domain_id=ros_domain)
    yield
    rclpy.shutdown()


def test_another_ros_domain_is_not_heard(promised, context, claim_domain):
    promise = promised(
        "a policy and a commander in another ROS domain",
        "neither heard nor counted, while one of this domain is",
        "a gate and three other nodes, one process",
    )
    gate = GateNode(parameter_overrides=[Parameter("use_sim_time", value=True)])
    gate.get_logger().set_level(LoggingSeverity.FATAL)
    executor = SingleThreadedExecutor()
    executor.add_node(gate)
    rightful = rclpy.create_node("rightful")
    ours = rightful.create_publisher(PolicyAction, "policy/action", RELIABLE)
    for _ in range(cases(2, 10)):
        with claim_domain() as domain:
            foreign = rclpy.Context()
            rclpy.init(context=foreign, domain_id=domain)
            stranger = rclpy.create_node("stranger", context=foreign)
            publishers = [
                stranger.create_publisher(PolicyAction, "policy/action", RELIABLE),
                stranger.create_publisher(PoseStamped, "arm/target_pose", RELIABLE),
            ]
            refused, sent = gate.gate.statistics.refused, 0
            with Stopwatch() as watch:
                # Ours is heard all the while; theirs would be as well, being sent as often.
                # And long enough for the gate to count publishers many times, which it does at every tick.
                while gate.gate.statistics.refused < refused + 50 or watch.wall_s < 1.0:
                    assert watch.wall_s < PATIENCE_S
                    theirs = PolicyAction(sequence=1_000_000 + sent)
                    theirs.header.frame_id = robot.BASE_FRAME
                    publishers[0].publish(theirs)
                    publishers[1].publish(PoseStamped())
                    mine = PolicyAction(sequence=sent)
                    mine.header.frame_id = robot.BASE_FRAME
                    ours.publish(mine)
                    sent += 1
                    executor.spin_once(timeout_sec=0.01)
            promise.case()
            promise.check("1000" not in gate.gate.statistics.last_refusal, gate.gate.statistics.last_refusal)
            promise.check(gate.gate._publishers == (1, 1), f"counted {gate.gate._publishers}")
            stranger.destroy_node()
            rclpy.shutdown(context=foreign)
    rightful.destroy_node()
    gate.destroy_node()
    promise.kept(2)


def activated(**environment: str) -> dict[str, str]:
    """The environment after `. ./activate` in a fresh shell with these variables."""
    words = ["env", "-i", f"PATH={os.environ['PATH']}", *(f"{k}={v}" for k, v in environment.items())]
    shown = subprocess.run(
        [*words, "bash", "-c", ". ./activate > /dev/null 2>&1; env"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)


def test_discovery_is_of_this_machine_only_unless_the_user_says_otherwise(promised):
    promise = promised(
        "a fresh shell after . ./activate",
        "ROS_AUTOMATIC_DISCOVERY_RANGE is LOCALHOST; another value is the user's own choice",
        "the environment of a shell",
    )
    name = "ROS_AUTOMATIC_DISCOVERY_RANGE"
    for given, expected in ({}, "LOCALHOST"), ({name: "SUBNET"}, "SUBNET"), ({name: "OFF"}, "OFF"):
        promise.case()
        got = activated(**given).get(name)
        promise.check(got == expected, f"{given}: {got}")
    promise.kept(3)


def test_a_policy_on_another_machine_is_not_heard(promised, ros_domain):
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0:
        pytest.skip("no rights to make network namespaces")
    promise = promised(
        "a policy on another machine of the same network and domain",
        "not heard with the default discovery; heard with SUBNET, so the network works",
        "two network namespaces with a cable between them",
    )
    words = ["unshare", "-n", sys.executable, str(NEIGHBOUR)]

    def hears(seconds: float, discovery: str) -> str:
        environment = {"ROS_DOMAIN_ID": str(ros_domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": discovery}
        run = subprocess.run(
            [*words, str(seconds)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
        )
        if run.returncode != 0:
            pytest.skip(f"network namespaces cannot be connected here: {run.stderr[-300:]}")
        return run.stdout.strip()

    begin = time.monotonic()
    promise.check(hears(60.0, "SUBNET") == "heard", "the network between the two does not work")
    took = time.monotonic() - begin
    # As long as it took to be heard, and three rounds of announcements more.
    for _ in range(cases(1, 3)):
        promise.case()
        promise.check(hears(took + 10.0, "LOCALHOST") == "nothing", "heard a policy of another machine")
    promise.kept()


def allowed(node: str, rule: str) -> set[str]:
    """What the policy allows a node, as absolute names."""
    (profile,) = (p for p in xml.parse(POLICY).iter("profile") if p.get("node") == node)

    def named(rule):
        return {
            each.text if each.text.startswith("/") else f"/{each.text}"
            for group in profile
            if group.get(rule) == "ALLOW"
            for each in group
        }

    # What serving an action means on the wire.
    parts = {"publish": ("feedback", "status"), "reply": ("send_goal", "cancel_goal", "get_result")}
    return named(rule) | {
        f"{action}/_action/{part}" for action in named("execute") for part in parts.get(rule, ())
    }


def test_the_sros2_policy_is_well_formed_and_lets_only_one_node_command(promised):
    promise = promised(
        "a node that publishes what only another may, with SROS2",
        "config/sros2/policy.xml keeps the schema of SROS2 and allows each command topic to one node",
        "the file; enforced by Fast DDS with security only, which the wheels lack",
    )
    root = xml.parse(POLICY).getroot()
    assert (root.tag, root.get("version"), [child.tag for child in root]) == ("policy", "0.2.0", ["enclaves"])
    nodes = []
    for enclave in root[0]:
        (profiles,) = enclave
        (profile,) = profiles
        assert (enclave.tag, profiles.tag, profile.tag) == ("enclave", "profiles", "profile")
        assert profile.get("ns") == "/"
        nodes.append(profile.get("node"))
        name = "operator" if profile.get("node") == "*" else profile.get("node")
        assert enclave.get("path") == f"/rfs/{name}"
        for group in profile:
            rules = {"topics": ("publish", "subscribe"), "services": ("reply", "request")}
            rules = (rules | {"actions": ("call", "execute")})[group.tag]
            assert [rule for rule in group.attrib if rule in rules] == list(group.attrib) != []
            assert set(group.attrib.values()) == {"ALLOW"}
            assert len(group) > 0
            for each in group:
                assert each.tag == group.tag[:-1]
                assert each.text
                assert "*" not in each.text
    assert len(nodes) == len(set(nodes))
    only = {
        "/arm/target_pose": ["gate_node"],
        "/hand/target": ["gate_node"],
        "/safety/state": ["gate_node"],
        "/policy/action": ["policy_node"],
        "/correction/residual": ["correction_node"],
        "/episode/state": ["episode_manager"],
    }
    for topic, expected in only.items():
        got = [node for node in nodes if topic in allowed(node, "publish")]
        promise.case()
        promise.check(got == expected, f"{topic} is allowed to {got}")
    promise.kept(6)


def test_the_sros2_policy_allows_what_the_nodes_do(context, gentle_checkpoint, tmp_path):
    checkpoint = Parameter("checkpoint", value=str(gentle_checkpoint))
    policy = PolicyNode(parameter_overrides=[checkpoint])
    policy.trigger_configure()
    emulated = EmulatedRobot(
        parameter_overrides=[
            Parameter("address", value=free_address()),
            Parameter("port", value=str(tmp_path / "hand")),
            Parameter("camera", value=True),
            Parameter("points", value=True),
        ]
    )
    made = [policy, GateNode(), EpisodeManager(), FrankaNode(), LeapNode(), SimNode(), emulated]
    made += [RobotOperator(), CorrectionNode(), RecorderNode(), RealSenseNode(), RewardNode()]
    observer = rclpy.create_node("observer")
    missing = []
    for node in made:
        name, namespace = node.get_name(), node.get_namespace()
        uses = {
            "publish": observer.get_publisher_names_and_types_by_node(name, namespace),
            "subscribe": observer.get_subscriber_names_and_types_by_node(name, namespace),
            "reply": observer.get_service_names_and_types_by_node(name, namespace),
            "request": observer.get_client_names_and_types_by_node(name, namespace),
        }
        for rule, names in uses.items():
            lacking = sorted({each for each, _ in names} - allowed(name, rule))
            missing += [f"{name} {rule} {each}" for each in lacking]
    for node in [*made, observer]:
        node.destroy_node()  # before anything can fail: threads of theirs keep the process
    assert not missing, f"scripts/sros2_policy.py does not allow: {', '.join(missing)}"


def test_every_node_that_a_launch_file_starts_has_an_enclave_of_its_name():
    started = set()
    for file in sorted((ROOT / "launch").glob("*.launch.py")):
        text = file.read_text()
        started |= set(re.findall(r'node\(\s*(?:(?:Lifecycle)?Node,\s*)?"rfs_\w+",\s*"(\w+)"', text))
        assert "node(" not in text or "--enclave" in text, f"{file.name} starts nodes without enclaves"
    assert {"gate_node", "emulated_robot", "robot_operator", "spacemouse_node"} <= started
    enclaves = {enclave.get("path") for enclave in xml.parse(POLICY).getroot()[0]}
    assert {f"/rfs/{node}" for node in started} <= enclaves


def test_with_security_enforced_no_node_runs_without_keys(promised, start, tmp_path):
    promise = promised(
        "security enforced, but no keys, or a middleware that cannot enforce it",
        "the node does not start, with the reason",
        "gate_node in a process of its own",
    )
    process = start(
        "ros2",
        "run",
        "rfs_control",
        "gate_node",
        "--ros-args",
        "--enclave",
        "/rfs/gate_node",
        ROS_SECURITY_ENABLE="true",
        ROS_SECURITY_STRATEGY="Enforce",
        ROS_SECURITY_KEYSTORE=str(tmp_path / "no_keystore"),
    )
    promise.case()
    promise.check(process.wait(PATIENCE_S) != 0, "it runs")
    said = process.output().lower()
    promise.check("security" in said or "enclave" in said or "keystore" in said, f"no reason: {said[-500:]}")
    promise.kept()
