"""Promises of the task worlds, which the vector environment and the simulation node share."""

import numpy as np

from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose
from rfs_sim.randomization import DisturbanceConfig
from rfs_sim.worlds import Worlds

CALM = DisturbanceConfig().scaled(0.0)


def hold(worlds: Worlds, **options: bool) -> None:
    worlds.step(worlds.target, worlds.hand_target, **options)


def lift(worlds: Worlds, world: int, height: float) -> None:
    """Puts the object `height` above its rest, and near the palm, by hand."""
    engine = worlds.engine
    engine.qpos[world, engine.index.object_qpos[2]] = worlds.state.object_rest_height[world] + height
    engine.qvel[world] = 0.0


def test_after_a_reset_arm_and_hand_hold_where_they_are() -> None:
    worlds = Worlds("grasp", 2, disturbance=CALM)
    worlds.reset(0, [3, 4])
    start = worlds.state
    np.testing.assert_array_equal(start.arm_position, [s.arm_position for s in worlds.starts])
    np.testing.assert_array_equal(worlds.target.position, start.palm.position)
    for _ in range(10):
        hold(worlds)
    np.testing.assert_allclose(worlds.state.palm.position, start.palm.position, atol=5e-4)
    np.testing.assert_allclose(worlds.state.hand_position, start.hand_position, atol=5e-3)
    np.testing.assert_allclose(worlds.state.time, 0.5)


def test_resetting_one_world_leaves_the_others_alone() -> None:
    worlds = Worlds("grasp", 3)
    worlds.reset(0, [0, 1, 2])
    for _ in range(3):
        hold(worlds)
    before = worlds.state
    worlds.reset(0, [7], [1])
    after = worlds.state
    for world in (0, 2):
        np.testing.assert_array_equal(after.arm_position[world], before.arm_position[world])
        np.testing.assert_array_equal(after.goal_position[world], before.goal_position[world])
    assert after.time.tolist() == [before.time[0], 0.0, before.time[2]]
    alone = Worlds("grasp", 1)
    alone.reset(0, [7])
    np.testing.assert_array_equal(after.object_pose.position[1], alone.state.object_pose.position[0])


def test_held_steps_count_only_consecutive_ones_and_start_anew_with_the_episode() -> None:
    worlds = Worlds("grasp", 1, disturbance=CALM, lift_height=0.02, near_palm=1.0)
    worlds.reset(0, [0])
    counts = []
    for height in (0.1, 0.1, 0.0, 0.1, 0.1, 0.1):
        lift(worlds, 0, height)  # it falls 1.2 cm within the control step
        hold(worlds)
        counts.append(int(worlds.state.held_steps[0]))
    assert counts == [1, 2, 0, 1, 2, 3]
    worlds.reset(0, [1])
    assert worlds.state.held_steps[0] == 0
    lift(worlds, 0, 0.1)
    hold(worlds)
    assert worlds.state.held_steps[0] == 1


def test_disturbances_are_those_of_the_episode_and_can_be_left_out() -> None:
    def play(num_worlds: int, episode: int, disturbed: bool) -> np.ndarray:
        worlds = Worlds("grasp", num_worlds)
        worlds.reset(5, [episode + i for i in range(num_worlds)])
        for _ in range(8):
            hold(worlds, disturbed=disturbed)
        return worlds.state.arm_velocity[0]

    np.testing.assert_array_equal(play(1, 2, True), play(3, 2, True))
    assert np.abs(play(1, 2, True)).max() > 5 * np.abs(play(1, 2, False)).max()


def test_the_arm_follows_a_moved_target() -> None:
    worlds = Worlds("grasp", 1, disturbance=CALM)
    worlds.reset(0, [0])
    goal = worlds.state.palm.position + [[0.0, 0.03, 0.02]]
    for _ in range(30):
        worlds.step(Pose(goal, worlds.target.quaternion), worlds.hand_target)
    np.testing.assert_allclose(worlds.state.palm.position, goal, atol=1e-3)
    np.testing.assert_allclose(
        worlds.state.palm.position, ArmKinematics().forward(worlds.state.arm_position).position
    )


def test_state_of_the_past_does_not_change_with_the_next_step_or_reset() -> None:
    worlds = Worlds("grasp", 1)
    worlds.reset(0, [0])
    past = worlds.state
    kept = past.arm_position.copy(), past.object_pose.position.copy(), past.hand_target.copy()
    worlds.step(Pose(worlds.target.position + 0.02, worlds.target.quaternion), worlds.hand_target + 0.1)
    worlds.reset(0, [1])
    np.testing.assert_array_equal(past.arm_position, kept[0])
    np.testing.assert_array_equal(past.object_pose.position, kept[1])
    np.testing.assert_array_equal(past.hand_target, kept[2])
