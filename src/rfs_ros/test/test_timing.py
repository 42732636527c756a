"""Control runs on a steady clock, or on the one that the owner of the time publishes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.clock import ClockType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time import Time

from rfs_ros.timing import ControlTime, control_clock, simulated


@pytest.fixture
def context() -> Iterator[Context]:
    made = Context()
    rclpy.init(context=made)
    yield made
    rclpy.shutdown(context=made)


def test_without_simulated_time_control_runs_on_the_steady_clock(context: Context) -> None:
    node = Node("robot", context=context)
    assert not simulated(node)
    assert control_clock(node).clock_type is ClockType.STEADY_TIME
    before = time.monotonic_ns()
    assert before <= ControlTime(node).now_ns() <= time.monotonic_ns()
    node.destroy_node()


def test_with_simulated_time_control_runs_on_the_published_clock(context: Context) -> None:
    node = Node("emulated", context=context, parameter_overrides=[Parameter("use_sim_time", value=True)])
    assert simulated(node)
    assert control_clock(node) is node.get_clock()
    control = ControlTime(node)
    node.get_clock().set_ros_time_override(Time(nanoseconds=7_500_000_000, clock_type=ClockType.ROS_TIME))
    assert control.now() == 7.5
    # Whoever sleeps within a callback, where no clock message arrives, gets older all the same.
    control.sleep(0.25)
    assert control.now() == 7.75
    node.get_clock().set_ros_time_override(Time(nanoseconds=8_000_000_000, clock_type=ClockType.ROS_TIME))
    assert control.now() == 8.25
    node.destroy_node()
