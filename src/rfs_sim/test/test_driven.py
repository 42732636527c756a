"""A world that is driven by torques: what emulated devices stand on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rfs_core import robot
from rfs_sim.driven import STEPS_PER_TICK, ArmInWorld, DrivenWorld, HandInWorld
from rfs_sim.world import World


@pytest.fixture
def world() -> Iterator[DrivenWorld]:
    made = DrivenWorld("grasp", seed=3)
    made.reset(3, 5)
    yield made
    made.close()


def hold(world: DrivenWorld, steps: int) -> int:
    """Arm and fingers held where they are by stiff joints; how many control steps ended."""
    arm, hand = world.arm[0], world.hand[0]
    ended = 0
    for _ in range(steps):
        q, dq = world.arm
        f, df = world.hand
        world.hand_torque = np.clip(3.0 * (hand - f) - 0.05 * df, -0.2, 0.2)
        ended += world.step(np.clip(600.0 * (arm - q) - 40.0 * dq, -12.0, 12.0))
    return ended


def test_an_episode_begins_as_in_the_simulated_robot(world: DrivenWorld) -> None:
    other = World("grasp", seed=3)
    other.reset(3, 5)
    np.testing.assert_array_equal(world.state.arm_position, other.state.arm_position)
    np.testing.assert_array_equal(world.state.hand_position, other.state.hand_position)
    np.testing.assert_array_equal(world.state.object_pose.position, other.state.object_pose.position)
    np.testing.assert_array_equal(world.state.goal_position, other.state.goal_position)
    other.close()


def test_it_knows_whose_episode_it_is(world: DrivenWorld) -> None:
    """Cameras and clouds draw their calibration error anew for every episode."""
    assert (world.seed, world.episode) == (3, 5)
    world.reset(4, 0)
    assert (world.seed, world.episode) == (4, 0)


def test_nothing_moves_before_the_release_whatever_torques_come(world: DrivenWorld) -> None:
    before = world.qpos
    world.hand_torque = np.full(16, 0.2)
    assert not any(world.step(np.full(7, 10.0)) for _ in range(2 * STEPS_PER_TICK))
    np.testing.assert_array_equal(world.arm[0], world.state.arm_position[0])
    np.testing.assert_array_equal(world.qpos, before)
    assert world.steps == 0


def test_a_control_step_ends_after_50_steps_of_1_ms(world: DrivenWorld) -> None:
    world.release()
    assert hold(world, STEPS_PER_TICK - 1) == 0
    assert hold(world, 1) == 1
    assert hold(world, 2 * STEPS_PER_TICK) == 2
    assert STEPS_PER_TICK == 50


def test_a_robot_that_is_held_stays_and_the_object_rests(world: DrivenWorld) -> None:
    before = world.state
    world.release()
    world.disturbed = False
    hold(world, 6 * STEPS_PER_TICK)
    after = world.state
    assert np.abs(after.arm_position - before.arm_position).max() < 0.01
    assert np.abs(after.hand_position - before.hand_position).max() < 0.05
    assert np.abs(after.object_pose.position - before.object_pose.position).max() < 0.003
    assert after.time[0] == pytest.approx(6 * robot.CONTROL_DT)


def test_standing_still_ends_every_motion(world: DrivenWorld) -> None:
    world.release()
    for _ in range(40):
        world.step(np.array([0.0, 0.0, 0.0, 20.0, 0.0, 0.0, 0.0]))
    assert np.abs(world.arm[1]).max() > 0.1
    world.stand_still()
    q = world.arm[0]
    assert (world.arm[1] == 0.0).all()
    world.step(np.array([0.0, 0.0, 0.0, 20.0, 0.0, 0.0, 0.0]))
    np.testing.assert_array_equal(world.arm[0], q)


@pytest.mark.parametrize("i", range(16))
def test_a_finger_turns_as_its_own_motor_does(world: DrivenWorld, i: int) -> None:
    """Order and sign: a positive torque at motor i moves joint i, and that one most, to the positive."""
    hand = HandInWorld(world)
    middle = 0.5 * (robot.HAND_LIMITS[0] + robot.HAND_LIMITS[1])
    hand.position = np.clip(middle, -0.1, 0.4)
    world.release()
    world.disturbed = False
    before = hand.position
    torque = np.zeros(16)
    torque[i] = 0.1
    hand.step(torque, 0.002)
    arm = world.arm[0]
    for _ in range(20):
        q, dq = world.arm
        world.step(np.clip(600.0 * (arm - q) - 40.0 * dq, -12.0, 12.0))
    change = hand.position - before
    assert change[i] > 0.005
    assert int(np.argmax(np.abs(change))) == i


def test_a_push_is_felt_by_the_joints_and_moves_the_arm(world: DrivenWorld) -> None:
    arm = ArmInWorld(world)
    world.release()
    world.disturbed = False
    arm.push(np.array([0.0, 0.0, 30.0, 0.0, 0.0, 0.0]))
    start = arm.q.copy()
    for _ in range(60):
        arm.step(np.zeros(7), 0.001)
    # 30 N upwards half a metre in front of the shoulder: about 15 Nm on joint 2, which lifts the arm.
    assert arm.tau_ext[1] < -8.0
    assert arm.q[1] < start[1] - 0.005
    assert np.abs(arm.tau_ext).max() < 30.0 * 0.9


def test_an_arm_is_placed_at_rest_within_its_limits(world: DrivenWorld) -> None:
    arm = ArmInWorld(world)
    arm.place(robot.ARM_HOME + np.array([9.0, 0, 0, 0, 0, 0, 0]))
    assert arm.q[0] == robot.ARM_LIMITS[1][0]
    np.testing.assert_allclose(arm.q[1:], robot.ARM_HOME[1:])
    assert (arm.dq == 0.0).all()
    np.testing.assert_allclose(world.state.arm_position[0], arm.q)
