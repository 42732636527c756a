"""Clouds that must not be acted on, and cameras that give none: the policy abstains and the gate holds.

The real policy node, with its window, conversions and a network, beside a gate with a timer, on simulated
clocks: to the nanosecond, on any machine. The camera sees 30 times a second, 10 to 30 ms before its cloud is
there. (With 15 clouds a second and 30 ms the gate would hold by itself: the answer to an image would still be
followed when the image is 200 ms old.)
"""

from __future__ import annotations

import array
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from promises import cases
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from timed_gate import FINGERS, HOME, MS, S, TimedGate

from rfs_control.nodes.gate_node import _action as action_from_msg
from rfs_control.nodes.policy_node import PolicyNode
from rfs_core import robot
from rfs_core.gate import Mode
from rfs_msgs.msg import EpisodeState
from rfs_ros.conversions import joint_state_msg, points_msg, pose_stamped_msg, stamp_msg

sys.path.insert(0, str(Path(__file__).parents[1]))
import checkpoints

COUNT = 64
TICK_MS = 100.0
"""The policy's."""
ON_A_ROBOT = "policy node and gate with a timer, simulated clocks; from the tick without an action to HOLD"

Cloud = Callable[[int], PointCloud2 | None]


def good(stamp: int, points: int = COUNT, frame: str = robot.BASE_FRAME) -> PointCloud2:
    """A cloud; which points are in it does not matter."""
    return points_msg(stamp, frame, np.full((points, 3), 0.4, np.float32))


def with_nan(stamp: int) -> PointCloud2:
    """One coordinate of one point is no number."""
    points = np.full((COUNT, 3), 0.4, np.float32)
    points[7, 1] = np.nan
    return points_msg(stamp, robot.BASE_FRAME, points)


_TWO_MILLION = good(0, 2_000_000)


def two_million(stamp: int) -> PointCloud2:
    """More than anybody wants; made once."""
    _TWO_MILLION.header.stamp = stamp_msg(stamp)
    return _TWO_MILLION


def cut_off(stamp: int) -> PointCloud2:
    """The data ends before the points do."""
    message = good(stamp)
    message.data = array.array("B", bytes(message.data)[:100])
    return message


FAULTS: dict[str, tuple[Cloud, str]] = {
    "empty clouds": (lambda stamp: good(stamp, 0), "cloud of 0 points, must be 64"),
    "NaN among the points": (with_nan, "1 of 64 points are not finite"),
    "clouds of three points": (lambda stamp: good(stamp, 3), "cloud of 3 points, must be 64"),
    "clouds of two million points": (two_million, "cloud of 2000000 points, must be 64"),
    "clouds cut off": (cut_off, "100 bytes for 64 points"),
    "clouds of the camera's frame": (
        lambda stamp: good(stamp, frame="camera_color_optical_frame"),
        "must be 'fr3_link0'",
    ),
    "clouds stamped 1 s ago": (lambda stamp: good(stamp - S), "ms old, at most 200 ms"),
    "clouds stamped 1 s ahead": (lambda stamp: good(stamp + S), "ms in the future, at most 20 ms"),
    # No depth, nothing in the workspace, no calibration, no camera: nothing is published.
    "no clouds (camera unplugged, covered, not calibrated)": (lambda stamp: None, "ms old, at most 200 ms"),
}


class SeeingGate(TimedGate):
    """The policy is the real node, called as its executor would call it."""

    def __init__(self, rng: np.random.Generator, node: PolicyNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self._node = node
        self.cloud: Cloud = good
        self.reasons: set[str] = set()
        """What diagnostics would have shown."""
        super().__init__(rng)
        monkeypatch.setattr(node, "_now", lambda: self.now)
        monkeypatch.setattr(node, "_action", SimpleNamespace(publish=self._on_action))
        node._end_episode()
        node._window.clear()
        started = EpisodeState(phase=EpisodeState.PHASE_RUNNING, id=f"e{rng.integers(2**60)}")
        started.started = stamp_msg(self.now.ros_ns)
        node._on_episode(started)
        self._sources = {source.topic: source for source in node._sources}
        self.after(self._uniform(0, S // 30), self._see)

    def abstained_at(self) -> int:
        """When the first decision was due that has not been made."""
        step = self._node._step
        assert step is not None
        assert step.clock is not None
        return step.clock.tick_ns(self._made + 1)

    # What the node hears

    def _measure(self, name: str, period: int) -> None:
        super()._measure(name, period)
        stamp = self.now.ros_ns
        topic, message = {
            "a": ("arm/joint_states", joint_state_msg(stamp, robot.ARM_JOINT_NAMES, robot.ARM_HOME)),
            "p": ("arm/current_pose", pose_stamped_msg(stamp, robot.BASE_FRAME, HOME)),
            "h": ("hand/joint_states", joint_state_msg(stamp, robot.HAND_JOINT_NAMES, FINGERS)),
        }[name]
        self.after(self._uniform(0, 3 * MS), lambda: self._node._on_part(self._sources[topic], message))

    def _see(self) -> None:
        self.after(S // 30, self._see)
        message = self.cloud(self.now.ros_ns)
        if message is not None:
            self.after(
                self._uniform(10 * MS, 30 * MS),
                lambda: self._node._on_part(self._sources["perception/points"], message),
            )

    # Its timer, and what it says

    def _decide(self) -> None:
        self.after(10 * MS, self._decide)
        self._node._on_timer()
        self.reasons.add(self._node._last_problem)

    def _on_action(self, message: object) -> None:
        step = self._node._step
        assert step is not None
        assert step.clock is not None
        self._made = step.clock.due(self.at)
        action = action_from_msg(message)
        self.after(
            self._uniform(5 * MS, 15 * MS), lambda: self._keep(self.gate.policy_action(action, self.now))
        )


@pytest.fixture
def node(ros_domain: int, tmp_path: Path) -> Iterator[PolicyNode]:
    """An active policy node that sees points, whose timers nobody runs."""
    rclpy.init(domain_id=ros_domain)
    path = checkpoints.write_points(tmp_path / "cloudy.safetensors", COUNT)
    given = {"checkpoint": str(path), "observation": "points", "points_count": COUNT}
    made = PolicyNode(parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])
    made.get_logger().set_level(LoggingSeverity.FATAL)
    assert made.trigger_configure() is TransitionCallbackReturn.SUCCESS, made.refusal
    assert made.trigger_activate() is TransitionCallbackReturn.SUCCESS
    yield made
    made.destroy_node()
    rclpy.shutdown()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_policy_abstains_by_name_and_the_gate_holds_within_one_tick(fault, promised, node, monkeypatch):
    promise = promised(
        f"points: {fault}, from a random moment on",
        "the policy decides nothing and says why; HOLD within one tick of the policy (100 ms)",
        ON_A_ROBOT,
        allowed=TICK_MS,
        unit="ms",
    )
    cloud, sentence = FAULTS[fault]
    for seed in range(cases(3, 10)):
        rng = np.random.default_rng(seed)
        rig = SeeingGate(rng, node, monkeypatch).start()
        rig.run(S + int(rng.integers(0, 300 * MS)))
        promise.check(rig.gate.mode is Mode.ACTIVE, f"seed {seed}: {rig.gate.status} before")
        begun, rig.cloud = rig.at, cloud
        rig.reasons.clear()
        held = rig.run_until(Mode.HOLD, S)
        promise.case(np.inf if held is None else (held - rig.abstained_at()) / MS, f"seed {seed}")
        promise.check(rig.abstained_at() > begun - S // 5, f"seed {seed}: abstained before the fault")
        rig.run(S)
        promise.check(any(sentence in reason for reason in rig.reasons), f"seed {seed}: {rig.reasons}")
        decided = node.statistics.count
        rig.run(S)
        promise.check(node.statistics.count == decided, f"seed {seed}: decided on such clouds")
        # Good clouds again: it decides, and the gate waits for a person.
        rig.cloud = good
        rig.run(S)
        promise.check(node.statistics.count >= decided + 5, f"seed {seed}: does not decide again")
        promise.check(rig.gate.mode is Mode.HOLD, f"seed {seed}: left HOLD for {rig.gate.mode}")
    held_samples = len(node._window._samples["points"])
    promise.check(held_samples <= node.config.depth, f"{held_samples} clouds are kept")
    promise.kept(3)
