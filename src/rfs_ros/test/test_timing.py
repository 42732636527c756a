"""Control runs on a steady clock, or on the one that the owner of the time publishes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.clock import ClockType
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time import Time

from rfs_ros.timing import ControlTime, control_clock, pause, simulated


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


def test_while_a_coroutine_pauses_other_callbacks_run(context: Context) -> None:
    node = Node("patient", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    order: list[str] = []

    async def wait_for_two() -> None:
        order.append("begins")
        while order.count("ticks") < 2:
            await pause(node, 0.001)
        order.append("ends")

    timers_before = len(list(node.timers))
    ticking = node.create_timer(0.01, lambda: order.append("ticks"))
    task = executor.create_task(wait_for_two)
    deadline = time.monotonic() + 60.0
    while not task.done():
        assert time.monotonic() < deadline, order
        executor.spin_once(timeout_sec=0.1)
    assert order[0] == "begins"
    assert order[-1] == "ends"
    assert order.count("ticks") >= 2
    node.destroy_timer(ticking)
    assert len(list(node.timers)) == timers_before  # none is left behind
    executor.shutdown()
    node.destroy_node()
