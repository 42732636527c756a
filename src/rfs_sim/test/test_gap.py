"""The gap world."""

import dataclasses

import mujoco
import numpy as np
import pytest

from rfs_core import robot, se3
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp, pour
from rfs_core.tasks.held import BRICK
from rfs_sim import gap, mjcf
from rfs_sim.gap import GAP, CameraError, Gap, GapDrive, GapError
from rfs_sim.model import ModelIndex, compile_model
from rfs_sim.vec_env import make_env
from rfs_sim.worlds import Worlds

EXACT = dataclasses.replace(GAP, hand_lag_s=0.0, hand_backlash=0.0, action_delay_s=0.0)


def palm(x):
    return Pose(np.array([[x, 0.0, 0.0]]), np.array([[1.0, 0.0, 0.0, 0.0]]))


def driven(config, targets):
    """What the first finger joint follows, given its targets; it starts at 0."""
    drive = GapDrive(1, config)
    drive.start([0], palm(0.0), np.zeros((1, 16)))
    return [drive.drive(palm(0.0), np.full((1, 16), target))[1][0, 0] for target in targets]


def test_a_command_is_executed_two_control_steps_later():
    """100 ms are two steps of 50 ms; until then what was held at the start."""
    drive = GapDrive(1, dataclasses.replace(EXACT, action_delay_s=0.1))
    drive.start([0], palm(0.5), np.full((1, 16), 0.2))
    followed = [drive.drive(palm(float(i)), np.full((1, 16), float(i))) for i in range(1, 5)]
    assert [target.position[0, 0] for target, _ in followed] == [0.5, 0.5, 1.0, 2.0]
    assert [hand[0, 0] for _, hand in followed] == [0.2, 0.2, 1.0, 2.0]


def test_fingers_come_late_by_a_first_order_lag():
    """A step of 1: after n steps 1 - exp(-n * 50 ms / 80 ms)."""
    config = dataclasses.replace(EXACT, hand_lag_s=0.08)
    assert driven(config, [1.0] * 3) == pytest.approx([1 - np.exp(-n * 0.05 / 0.08) for n in (1, 2, 3)])


def test_fingers_have_play():
    """Play of .04, in all: .02 either way. Turning back, the joint first does not move."""
    config = dataclasses.replace(EXACT, hand_backlash=0.04)
    assert driven(config, [0.01, 0.1, 0.07, 0.05]) == pytest.approx([0.0, 0.08, 0.08, 0.07])


def test_a_restarted_world_forgets_what_was_commanded_before():
    drive = GapDrive(2, dataclasses.replace(EXACT, action_delay_s=0.05))
    both = Pose(np.zeros((2, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (2, 1)))
    drive.start([0, 1], both, np.zeros((2, 16)))
    drive.drive(both, np.full((2, 16), 1.0))
    drive.start([1], both, np.full((2, 16), 0.5))
    assert drive.drive(both, np.zeros((2, 16)))[1][:, 0].tolist() == [1.0, 0.5]


def test_the_camera_is_off_by_a_centimetre_and_a_degree():
    """Conjugated with the camera's pose the error is a turn of 1 deg and, at the camera, a shift of 1 cm."""
    worlds = Worlds("grasp", 1, world="gap")
    error = worlds.camera_error
    data = mujoco.MjData(worlds.engine.models[0])
    mujoco.mj_forward(worlds.engine.models[0], data)
    at_camera = data.cam("table_camera").xpos[None]
    assert np.degrees(se3.quat_angle(error.transform.quaternion)[0]) == pytest.approx(1.0)
    assert np.linalg.norm(error.points(at_camera) - at_camera) == pytest.approx(0.01)
    worlds.close()


def test_perception_is_displaced_and_the_robot_is_not():
    env = make_env("place", 2, world="gap")
    env.reset(3, np.array([4, 5]))
    true, seen = env.worlds.state, env.worlds.seen
    part = env.observation_spec.unpack(env.worlds.observe())
    shift = seen.object_pose.position - true.object_pose.position
    assert (np.linalg.norm(shift, axis=1) > 0.005).all()
    np.testing.assert_array_equal(seen.palm.position, true.palm.position)
    np.testing.assert_allclose(part["object_position"], seen.object_pose.position, atol=1e-6)
    np.testing.assert_allclose(part["target_position"], seen.bodies["mark"].pose.position, atol=1e-6)
    np.testing.assert_allclose(part["palm_position"], true.palm.position, atol=1e-6)
    # Reward and success look at the truth.
    np.testing.assert_array_equal(env.worlds.state.object_pose.position, true.object_pose.position)
    env.close()


def test_points_are_displaced_as_poses_are():
    model = compile_model()
    error = CameraError(model)
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 3))
    poses = error.pose(Pose(points, np.tile([1.0, 0.0, 0.0, 0.0], (50, 1))))
    np.testing.assert_allclose(error.points(points), poses.position)


@pytest.mark.parametrize("objects", gap.OBJECTS)
def test_what_is_drawn_lies_outside_the_training_ranges(objects):
    config = grasp.DEFAULT
    for episode in range(100):
        start = grasp.draw_episode(episode_rng(0, episode, "reset"))
        changed = Gap(objects).alter(start, episode_rng(0, episode, "gap"), solid_object=False)
        assert changed.object_mass > config.object_mass[1]
        assert changed.object_friction < config.object_friction[0]
        assert changed.hand_gain < config.hand_gain[0]
        known = {shape.name for shape in (grasp.OBJECTS if objects == "seen" else gap.UNSEEN)}
        assert changed.shape.name in known
        assert changed.object_position[2] == pytest.approx(changed.shape.half_height)
        rise = changed.goal_position[2] - changed.object_position[2]
        assert rise == pytest.approx(config.goal_rise)
        np.testing.assert_array_equal(changed.object_position[:2], start.object_position[:2])


def test_the_sets_of_objects_differ_in_shape_only():
    start = grasp.draw_episode(episode_rng(0, 7, "reset"))
    seen, unseen = (Gap(o).alter(start, episode_rng(0, 7, "gap"), False) for o in gap.OBJECTS)
    assert seen.shape != unseen.shape
    for name in ("object_mass", "object_friction", "hand_gain", "arm_gain"):
        assert getattr(seen, name) == getattr(unseen, name)


def test_no_unseen_shape_is_one_of_training_in_another_size():
    """Training scales each length by .92 to 1.08; no such box or can is an unseen one."""
    for shape in gap.UNSEEN:
        for known in (*grasp.OBJECTS, BRICK):
            ratio = np.array(shape.size) / np.array(known.size)
            assert shape.kind != known.kind or (ratio < 0.92).any() or (ratio > 1.08).any()


def test_every_unseen_shape_stands_still_on_the_table():
    """Two seconds on its own: it moves less than a millimetre, and it is not inside the table."""
    worlds = Worlds("grasp", len(gap.UNSEEN), world="gap", objects="unseen")
    base = grasp.draw_episode(episode_rng(0, 0, "reset"))
    starts = [
        dataclasses.replace(
            base, shape=s, object_position=np.array([0.6, 0.0, s.half_height]), object_mass=0.18
        )
        for s in gap.UNSEEN
    ]
    worlds.begin(starts)
    hold = worlds.target
    for _ in range(40):
        worlds.step(hold, worlds.hand_target)
    moved = np.linalg.norm(
        worlds.state.object_pose.position - np.array([s.object_position for s in starts]), axis=1
    )
    assert (moved < 1e-3).all(), dict(zip([s.name for s in gap.UNSEEN], moved, strict=True))
    assert not worlds.engine.unstable.any()
    worlds.close()


def test_contacts_of_the_object_are_softer_and_those_of_the_hand_are_not():
    worlds = Worlds("grasp", 1, world="gap")
    model = worlds.engine.models[0]
    assert model.geom("object_box").solref[0] == GAP.contact_time > mjcf.CONTACT_TIME
    assert model.geom("if_tip").solref[0] == mjcf.CONTACT_TIME
    worlds.close()


def test_an_object_that_is_held_stays_in_the_hand():
    """Half a second of holding in the gap world: each object of the bank is where it was, within 2 cm."""
    for objects in gap.OBJECTS:
        worlds = Worlds("place", 12, world="gap", objects=objects)
        worlds.reset(0, range(12))
        before = worlds.state.object_pose.position.copy()
        grip = np.array([start.hand_target for start in worlds.starts])
        for _ in range(10):
            worlds.step(worlds.target, grip, disturbed=False)
        fallen = np.linalg.norm(worlds.state.object_pose.position - before, axis=1)
        assert (fallen < 0.02).all(), fallen
        worlds.close()


def test_the_held_start_keeps_the_target_where_it_was_beside_the_object():
    worlds = Worlds("place", 1, world="gap", objects="unseen")
    worlds.reset(0, [2])
    plain = Worlds("place", 1)
    plain.reset(0, [2])
    own, other = plain.starts[0], worlds.starts[0]
    np.testing.assert_allclose(
        (other.bodies["mark"].position - other.object_position)[:2],
        (own.bodies["mark"].position - own.object_position)[:2],
    )
    assert other.goal_position[2] - own.goal_position[2] == pytest.approx(
        other.shape.half_height - own.shape.half_height
    )
    for each in (worlds, plain):
        each.close()


def test_an_episode_is_the_same_in_any_batch():
    rng = np.random.default_rng(0)
    chunks = [rng.normal(scale=0.01, size=(2, robot.DEFAULT_ACTION_SPEC.size)) for _ in range(4)]
    seen = []
    for episodes, which in (([7], 0), ([5, 7, 9], 1)):
        env = make_env("grasp", len(episodes), world="gap", objects="unseen", autoreset=False)
        env.reset(1, np.array(episodes))
        for chunk in chunks:
            result = env.step(np.repeat(chunk[None], len(episodes), axis=0))
        seen.append((result.observation[which], result.reward[which]))
        env.close()
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    np.testing.assert_array_equal(seen[0][1], seen[1][1])


def test_the_training_world_is_untouched():
    worlds = Worlds("grasp", 1)
    assert worlds.camera_error is None
    assert worlds.seen is worlds.state
    assert not ModelIndex.of(worlds.engine.models[0]).object_solids.size
    worlds.close()


@pytest.mark.parametrize(
    ("world", "objects", "sentence"),
    [
        ("moon", "seen", "world is 'moon', known worlds: training, gap"),
        ("gap", "odd", "objects is 'odd', known sets of objects: seen, unseen"),
        ("training", "unseen", "the training world has the task's own objects only"),
    ],
)
def test_a_world_that_does_not_exist_is_refused_with_those_that_do(world, objects, sentence):
    with pytest.raises(GapError, match=sentence):
        make_env("grasp", 1, world=world, objects=objects)


def test_a_cup_of_balls_stays_a_cup_of_balls():
    start = pour.draw_episode(episode_rng(0, 0, "reset"))
    assert Gap("seen").alter(start, episode_rng(0, 0, "gap"), solid_object=True).shape == start.shape


@pytest.mark.parametrize(
    ("task", "why"), [("push_grasp", "too flat and wide"), ("kit", "its tray"), ("pour", "balls")]
)
def test_unseen_objects_are_refused_where_a_task_makes_no_sense_with_them(task, why):
    for entry in (make_env, Worlds):
        with pytest.raises(
            GapError, match=f"task {task} has no unseen objects .*{why}.*: choose objects seen"
        ):
            entry(task, 1, world="gap", objects="unseen")
