"""Connections are compared with the graph, endpoint by endpoint."""

import json
import os
import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_srvs.srv import Trigger

from rfs_msgs.msg import Reward
from rfs_ros.connections import Endpoint, endpoints, missing, report, topics_of

RELIABLE = QoSProfile(depth=10)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PATIENCE_S = 60.0


def said(publishes=None, subscribes=None):
    return json.dumps({"publishes": publishes or {}, "subscribes": subscribes or {}})


def test_nothing_is_missing_when_both_sides_are_connected():
    reports = {"policy": said({"/action": 1}), "gate": said(subscribes={"/action": 1})}
    graph = [Endpoint("policy", "/action", True, RELIABLE), Endpoint("gate", "/action", False, RELIABLE)]
    assert missing(reports, graph) == []


def test_a_publisher_that_has_not_found_a_listener_is_named():
    reports = {
        "policy": said({"/action": 1}),
        "gate": said(subscribes={"/action": 1}),
        "recorder": said(subscribes={"/action": 1}),
    }
    graph = [
        Endpoint("policy", "/action", True, RELIABLE),
        Endpoint("gate", "/action", False, RELIABLE),
        Endpoint("recorder", "/action", False, RELIABLE),
    ]
    assert missing(reports, graph) == ["policy (reaches 1 of 2 on /action)"]


def test_a_listener_that_has_not_found_its_publisher_is_named():
    reports = {"policy": said({"/action": 1}), "gate": said(subscribes={"/action": 0})}
    graph = [Endpoint("policy", "/action", True, RELIABLE), Endpoint("gate", "/action", False, RELIABLE)]
    assert missing(reports, graph) == ["gate (hears 0 of 1 on /action)"]


@pytest.mark.parametrize(
    ("offered", "wanted"), [(BEST_EFFORT, RELIABLE), (RELIABLE, LATCHED)], ids=["reliability", "durability"]
)
def test_endpoints_that_can_never_be_connected_are_not_waited_for(offered, wanted):
    reports = {"policy": said({"/action": 0}), "gate": said(subscribes={"/action": 0})}
    graph = [Endpoint("policy", "/action", True, offered), Endpoint("gate", "/action", False, wanted)]
    assert missing(reports, graph) == []


def test_nodes_that_do_not_report_are_not_waited_for():
    graph = [Endpoint("policy", "/action", True, RELIABLE), Endpoint("echo", "/action", False, RELIABLE)]
    assert missing({"policy": said({"/action": 0})}, graph) == []


def test_topics_of_all_reports_are_named_once():
    assert topics_of({"a": said({"/x": 1}, {"/y": 1}), "b": said(subscribes={"/x": 1})}) == {"/x", "/y"}


def test_two_real_nodes_report_that_they_are_connected():
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    policy = rclpy.create_node("policy", context=context, namespace="left")
    gate = rclpy.create_node("gate", context=context, namespace="left")
    policy.create_publisher(Reward, "reward", RELIABLE)
    policy.create_service(Trigger, "unrelated", lambda request, answer: answer)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(policy)
    executor.add_node(gate)
    try:
        assert json.loads(report(policy)) == {"publishes": {"/left/reward": 0}, "subscribes": {}}
        gate.create_subscription(Reward, "reward", lambda message: None, RELIABLE)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
            reports = {"policy": report(policy), "gate": report(gate)}
            graph = endpoints(policy, topics_of(reports))
            if len(graph) == 2 and not missing(reports, graph):
                break
        assert json.loads(reports["policy"])["publishes"] == {"/left/reward": 1}
        assert json.loads(reports["gate"])["subscribes"] == {"/left/reward": 1}
        assert {(e.node, e.publishes) for e in graph} == {("policy", True), ("gate", False)}
    finally:
        executor.shutdown()
        policy.destroy_node()
        gate.destroy_node()
        context.shutdown()
