"""Clouds in the vector environment: what is seen is the world, from where the camera is believed to be."""

import numpy as np
import pytest

from rfs_core.cloud import CloudConfig
from rfs_core.errors import ConfigError, RfsError
from rfs_core.tasks import grasp, stack
from rfs_sim import render_points
from rfs_sim.point_camera import VIEWPOINTS, PointCamera, PointCameraConfig, WorldObserver
from rfs_sim.vec_env import make_env
from rfs_sim.world import World

COUNT = 256
STILL = np.zeros((2, 2, 22))
STILL[:, :, 6:] = 0.3


def seeing(num_envs=2, autoreset=False, **camera):
    return make_env(
        "grasp", num_envs, autoreset=autoreset, observation="points", camera={"count": COUNT, **camera}
    )


def clouds(env, observation):
    return observation[:, env.observation_spec.slice("points")].reshape(env.num_envs, -1, 3)


def test_the_object_is_seen_where_it_stands_and_the_table_is_not():
    env = seeing()
    cloud = clouds(env, env.reset(0, np.arange(2)))
    for i, start in enumerate(env.worlds.starts):
        # All lengths of the objects are at most 11 cm: their corners lie within 10 cm of the centre.
        near = np.linalg.norm(cloud[i] - start.object_position, axis=1) < 0.1
        assert near.sum() >= 15
        top = cloud[i][near & (cloud[i][:, 2] < 0.12)][:, 2].max()
        assert top == pytest.approx(2 * start.shape.half_height, abs=0.01)
    assert cloud[..., 2].min() >= np.float32(CloudConfig().low[2])
    assert env.unseen == 0


def test_own_values_are_those_of_the_state_observation():
    env = seeing()
    observation = env.reset(0, np.arange(2))
    state = env.state_observation()
    for name in ("arm_position", "hand_position", "palm_position", "palm_rotation"):
        mine = observation[:, env.observation_spec.slice(name)]
        np.testing.assert_array_equal(mine, state[:, grasp.OBSERVATION_SPEC.slice(name)])


def test_an_episode_looks_the_same_in_any_batch():
    alone, together = seeing(1, noise=0.003), seeing(2, noise=0.003)
    one = alone.reset(5, np.array([7]))
    two = together.reset(5, np.array([3, 7]))
    np.testing.assert_array_equal(one[0], two[1])
    one, two = alone.step(STILL[:1]).observation, together.step(STILL).observation
    np.testing.assert_array_equal(one[0], two[1])


def test_the_node_s_world_sees_what_the_vector_environment_sees():
    env, world = seeing(1), World("grasp")
    observation = env.reset(4, np.array([9]))
    world.reset(4, 9)
    camera = PointCamera(PointCameraConfig(count=COUNT), CloudConfig(), 4, 9)
    cloud = camera.points(world.model, world.data(), world.steps)
    np.testing.assert_array_equal(cloud, clouds(env, observation)[0])
    world.close()


def test_with_autoreset_the_next_episode_is_seen_and_the_last_one_kept_as_final():
    env = seeing(1, autoreset=True)
    env.reset(0, np.array([0]))
    for _ in range(env.max_episode_steps // 2):
        result = env.step(STILL[:1])
    assert result.truncated[0] or result.terminated[0]
    assert env.episodes[0] == 1
    fresh = seeing(1)
    np.testing.assert_array_equal(result.observation, fresh.reset(0, np.array([1])))
    assert (result.final_observation != result.observation).any()


@pytest.mark.parametrize("name", sorted(VIEWPOINTS))
def test_every_viewpoint_sees_object_and_hand(name):
    env = seeing(1, viewpoints=(name,))
    cloud = clouds(env, env.reset(0, np.array([0])))[0]
    start = env.worlds.starts[0]
    assert (np.linalg.norm(cloud - start.object_position, axis=1) < 0.1).sum() >= 10
    palm = env.worlds.state.palm.position[0]
    assert (np.linalg.norm(cloud - palm, axis=1) < 0.15).sum() >= 30


def test_a_wrong_calibration_moves_the_cloud_by_as_much():
    right, wrong = seeing(1), seeing(1, position_error=0.02)
    a = clouds(right, right.reset(0, np.array([0])))[0]
    b = clouds(wrong, wrong.reset(0, np.array([0])))[0]
    camera = wrong._cameras[0]
    offset = camera.believed[:3, 3] - camera.camera.position
    assert np.linalg.norm(offset) == pytest.approx(0.02)
    # Every point of the one has a point of the other close by, once the offset is taken away.
    distance = np.linalg.norm((b - offset)[:, None] - a[None], axis=2).min(axis=1)
    assert np.median(distance) < 0.01
    assert np.median(np.linalg.norm(b[:, None] - a[None], axis=2).min(axis=1)) < 0.03


def test_errors_up_to_a_size_differ_from_episode_to_episode():
    config = PointCameraConfig(position_error=0.02, rotation_error=2.0, errors="up_to")
    sizes = []
    for episode in range(8):
        camera = PointCamera(config, CloudConfig(), 0, episode)
        sizes.append(np.linalg.norm(camera.believed[:3, 3] - camera.camera.position))
    assert max(sizes) <= 0.02
    assert len({round(size, 6) for size in sizes}) == 8


def test_a_rotation_error_turns_by_that_angle():
    camera = PointCamera(PointCameraConfig(rotation_error=3.0), CloudConfig(), 0, 0)
    turn = camera.believed[:3, :3] @ camera.camera.rotation.T
    # The trace of a rotation is 1 + 2 cos(angle).
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(3.0)


def test_the_gap_world_s_camera_error_is_seen_in_its_clouds():
    env = make_env("grasp", 1, observation="points", camera={"count": COUNT}, world="gap")
    env.reset(0, np.array([0]))
    camera = env._cameras[0]
    assert np.linalg.norm(camera.believed[:3, 3] - camera.camera.position) > 0.001


def test_where_nothing_is_seen_the_episode_goes_on_and_it_is_counted():
    env = seeing(1)
    env.pipeline = CloudConfig(low=(0.1, 1.0, 0.5), high=(0.2, 1.1, 0.6))
    cloud = clouds(env, env.reset(0, np.array([0])))[0]
    np.testing.assert_allclose(cloud, np.tile((0.1, 1.0, 0.5), (COUNT, 1)), atol=1e-6)
    assert env.unseen == 1


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"observation": "touch"}, "must be state or points"),
        ({"camera": {"noise": 0.1}}, "choose points"),
        ({"observation": "points", "camera": {"viewpoints": ("moon",)}}, "moon"),
        ({"observation": "points", "camera": {"viewpoints": ()}}, "none"),
        ({"observation": "points", "camera": {"width": 150}}, "multiples of 4"),
        ({"observation": "points", "camera": {"nois": 0.1}}, "noise"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options, word):
    with pytest.raises((ConfigError, RfsError), match=word):
        make_env("grasp", 1, **options)


def test_one_world_is_observed_as_its_environment_observes_it():
    env, world = seeing(1), World("grasp")
    observation = env.reset(4, np.array([9]))
    world.reset(4, 9)
    np.testing.assert_array_equal(WorldObserver(world, env.observation_spec, "it").observe(), observation)
    state = WorldObserver(world, grasp.OBSERVATION_SPEC, "it").observe()
    np.testing.assert_array_equal(state, env.state_observation())
    with pytest.raises(RfsError, match="of it and of this world"):
        WorldObserver(world, stack.OBSERVATION_SPEC, "it")
    world.close()


def test_a_cloud_is_painted_where_it_is_and_nowhere_else():
    point = np.float32([[0.58, 0.0, 0.18]])  # what the bystander looks at: the middle of the picture
    painted = render_points.picture(point, "", (60, 40))
    bright = np.argwhere(painted.sum(axis=2) > 200)
    assert painted.shape == (40, 60, 3)
    assert np.abs(bright.mean(axis=0) - (20, 30)).max() <= 1
