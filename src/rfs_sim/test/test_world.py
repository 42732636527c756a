"""The node's world is the vector environment's: same episode, same targets, same motion."""

import numpy as np
import pytest

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_core.se3 import Pose
from rfs_sim.render import play, scripted_actor
from rfs_sim.vec_env import make_env
from rfs_sim.world import World


@pytest.fixture(scope="module")
def world():
    world = World("grasp")
    yield world
    world.close()


def test_one_world_and_the_vector_environment_play_the_same_episode(world):
    """Demonstrated actions with noise, so that the hand touches and moves the object."""
    env = make_env("grasp", 3, autoreset=False)
    observation = env.reset(11, np.array([5, 6, 7]))
    world.reset(11, 6)
    np.testing.assert_array_equal(world.observe()[0], observation[1])
    spec, rng = env.action_spec, np.random.default_rng(1)
    demonstrate = scripted_actor("grasp", "flawless", 11, 6)
    chunk = np.empty((spec.horizon, spec.size))

    def act(world):
        noise = rng.standard_normal((spec.horizon, spec.size)) * 0.05 * (spec.high - spec.low)
        chunk[:] = demonstrate(world) + noise  # beyond the bounds at times: both must clip
        return chunk

    ticks = play(world, act)
    next(ticks)
    touched = False
    while True:
        next(ticks)  # decides, fills the chunk and takes its first step
        total = [world.outcome().total]
        result = env.step(np.tile(chunk, (3, 1, 1)))
        if result.executed[1, 1]:
            next(ticks)
            total.append(world.outcome().total)
        np.testing.assert_allclose(total, result.reward[1, : len(total)], rtol=0, atol=1e-9)
        np.testing.assert_allclose(world.qpos, env.worlds.engine.qpos[1], rtol=0, atol=1e-9)
        np.testing.assert_array_equal(world.observe()[0], result.final_observation[1])
        touched = touched or bool(world.state.contacts.any())
        if result.terminated[1] or result.truncated[1] or result.success[1]:
            break
    assert world.outcome().terminated == result.terminated[1]
    assert world.outcome().success == result.success[1]
    assert next(ticks, "over") == "over"
    assert world.steps > 20
    assert touched, "the hand never touched the object: the comparison was too easy"


def test_reset_forgets_everything_before(world):
    def trajectory():
        world.reset(2, 9)
        return np.array([world.qpos for _ in play(world, None)])

    fresh = trajectory()
    world.reset(3, 1)
    world.command_hand(robot.HAND_LIMITS[1])
    for _ in range(10):
        world.step()
    world.step(hold=True)
    np.testing.assert_array_equal(trajectory(), fresh)


def test_reset_holds_where_the_arm_is(world):
    world.reset(0, 0)
    np.testing.assert_array_equal(world.target.position, world.state.palm.position)
    np.testing.assert_array_equal(world.hand_target, world.state.hand_position)
    start = world.state.palm.position.copy()
    for _ in range(20):
        world.step(disturbed=False)
    assert np.linalg.norm(world.state.palm.position - start) < 0.002  # m


def test_arm_that_holds_stays_at_the_palm_measured_when_holding_began(world):
    world.reset(0, 0)
    far = Pose(world.target.position + [[0.05, 0.0, 0.05]], world.target.quaternion)
    for _ in range(3):
        world.command_arm(far)
        world.step(disturbed=False)
    measured = world.state.palm.position.copy()
    assert np.linalg.norm(far.position - measured) > 0.005  # it has not arrived
    for _ in range(20):
        world.step(hold=True, disturbed=False)
    np.testing.assert_array_equal(world.applied_target.position, measured)
    assert np.linalg.norm(world.state.palm.position - measured) < 0.003
    for _ in range(20):
        world.step(disturbed=False)  # commands are back: the last target counts again
    assert np.linalg.norm(world.state.palm.position - far.position) < 0.003


def test_fingers_keep_their_target_while_the_arm_holds(world):
    world.reset(0, 0)
    closed = np.full(16, 0.5)
    world.command_hand(closed)
    for _ in range(20):
        world.step(hold=True, disturbed=False)
    np.testing.assert_array_equal(world.hand_target[0], closed)
    assert np.abs(world.state.hand_position[0] - closed).max() < 0.15  # rad; it is a soft hand


def test_finger_targets_beyond_the_joints_end_at_their_limits(world):
    world.reset(0, 0)
    world.command_hand(robot.HAND_LIMITS[1] + 1.0)
    np.testing.assert_array_equal(world.hand_target[0], robot.HAND_LIMITS[1])


def test_later_resets_do_not_write_into_targets_given_before(world):
    world.reset(0, 0)
    target = Pose(world.target.position + 0.01, world.target.quaternion.copy())
    kept = target.position.copy()
    world.command_arm(target)
    world.step()
    world.reset(0, 1)
    np.testing.assert_array_equal(target.position, kept)


def test_data_for_cameras_shows_the_present_state(world):
    world.reset(4, 2)
    world.step()
    data = world.data()
    np.testing.assert_allclose(data.body("object").xpos, world.state.object_pose.position[0], atol=1e-12)
    # MuJoCo's own kinematics of the palm against ours.
    np.testing.assert_allclose(data.site("palm").xpos, world.state.palm.position[0], atol=1e-9)


def test_copy_of_the_model_keeps_the_object_of_its_episode(world):
    world.reset(0, 0)
    copy, size = world.copy_of_model(), world.model.geom_size.copy()
    world.reset(0, 1)
    assert not np.array_equal(world.model.geom_size, size)
    np.testing.assert_array_equal(copy.geom_size, size)


def test_outcome_says_why_an_episode_cannot_go_on(world):
    world.reset(0, 0)
    assert not world.outcome().terminated
    assert world.outcome().reason == ""
    # Throw the object off: 1 m/s for 1 s takes it out of the allowed 0.3 m.
    world._worlds.engine.qvel[0, world._worlds.engine.index.object_dof[0]] = 3.0
    world._worlds.engine.qvel[0, world._worlds.engine.index.object_dof[2]] = 2.0
    for _ in range(12):
        world.step(disturbed=False)
    assert world.outcome().terminated
    assert "object lost" in world.outcome().reason


def test_unknown_task_is_refused_by_name():
    with pytest.raises(RfsError, match="grasp"):
        World("gasp")


def test_total_is_the_sum_of_the_terms(world):
    world.reset(0, 0)
    outcome = world.outcome()
    assert outcome.total == pytest.approx(sum(outcome.terms.values()))
