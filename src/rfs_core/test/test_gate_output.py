"""The way out of the command gate. When the gate uses it: test_gate.py."""

import numpy as np
import pytest

from rfs_core import robot, se3
from rfs_core.gate_config import GateConfig
from rfs_core.gate_output import Output
from rfs_core.gate_types import Statistics
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose

HOME = ArmKinematics().forward(robot.ARM_HOME[None])
MIDDLE = (robot.HAND_LIMITS[0] + robot.HAND_LIMITS[1]) / 2


def moved(x: float = 0.0, turn: float = 0.0) -> Pose:
    rotation = se3.quat_from_rotvec(np.array([[turn, 0.0, 0.0]]))
    return Pose(HOME.position + [[x, 0.0, 0.0]], se3.quat_multiply(rotation, HOME.quaternion))


@pytest.fixture
def output() -> Output:
    return Output(GateConfig(), Statistics())


def test_a_command_bears_the_stamp_of_its_tick_and_is_counted() -> None:
    statistics = Statistics()
    output = Output(GateConfig(), statistics)
    output.begin_tick(7)
    assert not output.commanded
    (command,) = output.send(HOME, MIDDLE)
    assert command.stamp_ns == 7
    assert output.commanded
    assert statistics.commands == 1
    output.begin_tick(8)
    assert not output.commanded


def test_the_guard_allows_what_is_within_the_leash_and_the_joints_limits_only(output: Output) -> None:
    # The leash is 60 mm and 0.25 rad.
    assert output.problem(moved(x=0.059), MIDDLE, HOME) == ""
    assert "0.061 m" in output.problem(moved(x=0.061), MIDDLE, HOME)
    assert "0.260 rad" in output.problem(moved(turn=0.26), MIDDLE, HOME)
    beyond = robot.HAND_LIMITS[1] + 0.001
    assert output.problem(HOME, beyond, HOME) == "command of the hand is outside its joint limits"
    assert output.problem(HOME, np.full(16, np.nan), HOME) == "command of the hand is not 16 finite values"


def test_a_held_pose_is_commanded_at_every_tick_with_fingers_within_their_limits(output: Output) -> None:
    output.latch(HOME, robot.HAND_LIMITS[1] + 0.05)
    for stamp_ns in (1, 2):
        output.begin_tick(stamp_ns)
        (command,) = output.hold()
        assert command.stamp_ns == stamp_ns
        assert command.palm is HOME
        np.testing.assert_array_equal(command.hand, robot.HAND_LIMITS[1])


def test_nothing_is_held_without_a_measured_pose_or_after_clear(output: Output) -> None:
    assert output.hold() == []
    output.latch(None, MIDDLE)
    assert output.hold() == []
    assert output.drift_problem(moved(x=1.0)) == ""
    output.latch(HOME, MIDDLE)
    output.clear()
    assert output.hold() == []


def test_a_palm_that_leaves_the_held_pose_is_named_with_how_far(output: Output) -> None:
    output.latch(HOME, MIDDLE)
    # 0.15 m and 0.6 rad are allowed.
    assert output.drift_problem(moved(x=0.149, turn=0.59)) == ""
    assert output.drift_problem(moved(x=0.151)).startswith("the palm is 0.151 m and 0.000 rad from the pose")
    assert "0.610 rad" in output.drift_problem(moved(turn=0.61))


def test_only_the_last_command_is_repeated_and_only_while_the_palm_is_within_its_leash(
    output: Output,
) -> None:
    assert output.again(1, HOME) == []
    output.begin_tick(1)
    output.send(HOME, MIDDLE)
    output.begin_tick(2)
    (command,) = output.send(HOME, MIDDLE)
    assert output.again(1, HOME) == []
    assert output.again(2, HOME) == [command]
    assert output.again(2, moved(x=0.061)) == []
    output.clear()
    assert output.again(2, HOME) == []
