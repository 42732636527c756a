"""Targets from any thread, and what is said about them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rfs_core.se3 import Pose
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_follower import Follower

CONFIG = FrankaConfig()


def pose(x: float = 0.0) -> Pose:
    return Pose(np.array([[0.4 + x, 0.0, 0.4]]), np.array([[1.0, 0.0, 0.0, 0.0]]))


class Bench:
    """A follower with a clock set by hand, begun at 1 s."""

    def __init__(self, config: FrankaConfig = CONFIG) -> None:
        self.now = 1.0
        self.lines: list[str] = []
        self.follower = Follower(config, lambda level, line: self.lines.append(line), lambda: self.now)
        self.follower.begin(1.0, pose())

    def x(self, at: float) -> float:
        """Of the setpoint, from where the palm is, m."""
        return float(self.follower.setpoint(at, 0.0, pose()).pose.position[0, 0]) - 0.4


def test_a_target_is_followed_from_when_it_came_not_from_when_it_was_taken() -> None:
    bench = Bench()
    bench.follower.offer(pose(0.02))
    # 60 of the 100 ms that a first target is approached over.
    assert bench.x(1.06) == pytest.approx(0.012)
    assert bench.lines == ["following targets (held before: no target yet)"]


def test_by_the_robot_s_clock_a_target_is_followed_from_when_it_is_taken() -> None:
    bench = Bench(dataclasses.replace(CONFIG, realtime="ignore", clock="robot"))
    bench.follower.offer(pose(0.02))
    # The robot's time has nothing to do with this machine's.
    assert bench.x(70.0) == pytest.approx(0.0)
    assert bench.x(70.05) == pytest.approx(0.01)


def test_a_hold_is_said_once_and_so_is_its_end() -> None:
    bench = Bench()
    bench.follower.offer(pose(0.01))
    bench.x(1.05)
    for at in (1.19, 1.2, 1.3):
        bench.x(at)
    assert bench.follower.held_for == "no target for 190 ms"
    bench.now = 1.4
    bench.follower.offer(pose(0.01))
    bench.x(1.4)
    assert bench.lines[1:] == [
        "holding: no target for 190 ms",
        "following targets (held before: no target for 190 ms)",
    ]
    assert bench.follower.held_for == ""


def test_while_barred_the_palm_is_held_and_every_target_refused() -> None:
    bench = Bench()
    bench.follower.offer(pose(0.01))
    bench.x(1.05)
    bench.follower.bar("2 publishers")
    bench.follower.offer(pose(0.02))
    bench.follower.offer(pose(0.02))
    assert bench.x(1.06) == pytest.approx(0.0)
    assert bench.follower.held_for == bench.follower.last_refusal == "2 publishers"
    assert (bench.follower.stream.counters.accepted, bench.follower.stream.counters.refused) == (1, 2)
    bench.follower.bar("")
    bench.now = 1.07
    bench.follower.offer(pose(0.02))
    bench.x(1.07)
    assert bench.follower.held_for == ""


def test_the_same_refusal_is_said_once_and_counted_every_time() -> None:
    bench = Bench()
    for _ in range(3):
        bench.follower.offer(pose(0.2))
        bench.x(1.0)
    expected = "first target is 200 mm and 0.00 rad from the palm, allowed: 50 mm and 0.20 rad"
    assert bench.lines == [f"target refused: {expected}"]
    assert bench.follower.last_refusal == expected
    assert bench.follower.stream.counters.refused == 3


def test_forgotten_targets_are_not_followed_and_refused_ones_are_counted() -> None:
    bench = Bench()
    bench.follower.offer(pose(0.01))
    bench.follower.forget()
    bench.x(1.05)
    assert bench.follower.stream.counters.accepted == 0
    bench.follower.offer(pose(0.01))
    bench.follower.refuse_waiting("a joint motion is running")
    bench.x(1.06)
    assert (bench.follower.stream.counters.accepted, bench.follower.stream.counters.refused) == (0, 1)
    assert bench.follower.last_refusal == "a joint motion is running"


def test_beginning_again_holds_the_palm_whatever_was_followed() -> None:
    bench = Bench()
    bench.follower.offer(pose(0.02))
    bench.x(1.05)
    bench.follower.begin(1.06, pose(0.3))
    assert bench.x(1.1) == pytest.approx(0.3)
    assert bench.follower.held_for == "no target yet"
