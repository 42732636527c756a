"""Arrays between nodes of one process, and the process that holds several nodes."""

import os
import threading
import time

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from rfs_ros import hand_over
from rfs_ros.container import ContainerError, maker, nodes_of


@pytest.fixture
def nodes():
    """Two nodes in one executor, and a function that spins until a condition holds."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    made = [rclpy.create_node(name, context=context, namespace="lab") for name in ("camera", "policy")]
    executor = SingleThreadedExecutor(context=context)
    for node in made:
        executor.add_node(node)

    def until(condition, patience_s=20.0):
        deadline = time.monotonic() + patience_s
        while not condition() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)
        assert condition()

    yield *made, until
    executor.shutdown()
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown(context=context)


def cloud(value):
    return np.full((4, 3), value, np.float32)


def test_an_array_given_in_another_thread_arrives_as_the_same_object_in_the_executor(nodes):
    camera, policy, until = nodes
    got = []
    give = hand_over.offer(camera, "points")
    inbox = hand_over.take(policy, "points", lambda stamp, a: got.append((stamp, a, threading.get_ident())))
    array = cloud(1.0)
    thread = threading.Thread(target=give, args=(7, array))
    thread.start()
    thread.join()
    assert not got  # nothing runs outside the executor
    until(lambda: got)
    assert got[0][:2] == (7, array)
    assert got[0][1] is array
    assert got[0][2] == threading.get_ident()
    inbox.close()
    hand_over.withdraw(camera, "points")


def test_an_inbox_that_nobody_empties_keeps_the_newest_few(nodes):
    camera, policy, until = nodes
    got = []
    give = hand_over.offer(camera, "points")
    inbox = hand_over.take(policy, "points", lambda stamp, array: got.append(stamp))
    for stamp in range(100):
        give(stamp, cloud(stamp))
    until(lambda: got)
    assert got == [96, 97, 98, 99]
    inbox.close()
    hand_over.withdraw(camera, "points")


def test_a_topic_is_offered_from_offer_to_withdraw_and_under_its_full_name(nodes):
    camera, policy, _ = nodes
    assert not hand_over.offered(policy, "points")
    hand_over.offer(camera, "points")
    assert hand_over.offered(policy, "points")
    assert hand_over.offered(policy, "/lab/points")
    assert not hand_over.offered(policy, "/points")
    hand_over.withdraw(camera, "points")
    assert not hand_over.offered(policy, "points")


def test_a_closed_inbox_gets_nothing_more(nodes):
    camera, policy, until = nodes
    got, other = [], []
    give = hand_over.offer(camera, "points")
    closed = hand_over.take(policy, "points", lambda stamp, array: got.append(stamp))
    hand_over.take(camera, "points", lambda stamp, array: other.append(stamp))
    closed.close()
    give(1, cloud(0.0))
    until(lambda: other)
    assert not got
    hand_over.withdraw(camera, "points")


def test_a_process_of_several_nodes_leaves_each_its_name():
    argv = ["container", "a.b:C", "d:E", "--ros-args", "--log-level", "warn", "--ros-args", "-r",
            "__node:=policy_node", "-r", "__ns:=/lab", "--params-file", "f.yaml"]  # fmt: skip
    names, ros = nodes_of(argv)
    assert names == ["a.b:C", "d:E"]
    assert ros == ["container", "--ros-args", "--log-level", "warn", "--ros-args", "-r", "__ns:=/lab",
                   "--params-file", "f.yaml"]  # fmt: skip


@pytest.mark.parametrize("name", ["no_such_module:Node", "rclpy.node:NoSuchClass", "rclpy.node", ":", ""])
def test_a_node_that_is_not_there_is_refused_by_name(name):
    with pytest.raises(ContainerError, match="MODULE:CLASS"):
        maker(name)


def test_a_class_is_found():
    assert maker("rclpy.node:Node") is rclpy.node.Node


def test_what_is_given_to_somebody_who_has_just_ended_is_dropped(nodes):
    camera, policy, until = nodes
    give = hand_over.offer(camera, "elsewhere")
    got = []
    inbox = hand_over.take(policy, "elsewhere", lambda stamp, array: got.append(stamp))
    inbox.close()
    inbox.put(1, cloud(1.0))  # a thread that had looked the inbox up before it was closed
    inbox.close()
    give(2, cloud(2.0))
    soon = time.monotonic() + 0.2
    until(lambda: time.monotonic() > soon)
    assert not got
    hand_over.withdraw(camera, "elsewhere")
