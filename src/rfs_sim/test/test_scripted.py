"""ScriptedDemonstrator: what is drawn for whom, and how what it does differs from what it wants."""

from types import SimpleNamespace

import numpy as np
import pytest

from rfs_core import se3
from rfs_core.tasks import grasp
from rfs_sim import scripted

CONFIG = SimpleNamespace(noise_position=0.001, noise_rotation=0.01, noise_hand=0.1)


class Still(scripted.ScriptedDemonstrator):
    """Wants to stay, fingers at 0.5 rad; keeps what was drawn."""

    def __init__(self, num_envs):
        super().__init__(num_envs, CONFIG, grasp.OBSERVATION_SPEC)
        self.drawn = np.zeros(num_envs)

    def _draw(self, env, rng):
        self.drawn[env] = rng.random()

    def policy(self, observation):
        return np.concatenate([np.zeros((len(observation), 6)), np.full((len(observation), 16), 0.5)], axis=1)


def test_an_episode_draws_the_same_in_any_environment_and_others_keep_theirs():
    two, one = Still(2), Still(1)
    two.reset(7, np.array([3, 4]))
    one.reset(7, np.array([4]))
    assert one.drawn[0] == two.drawn[1] != two.drawn[0]
    kept = two.drawn[1]
    two.reset(7, np.array([5]), envs=np.array([0]))
    one.reset(7, np.array([5]))
    assert (two.drawn[0], two.drawn[1]) == (one.drawn[0], kept)


def test_what_it_does_is_what_it_wants_plus_noise_of_the_configured_size():
    demonstrator = Still(1)
    demonstrator.reset(0, np.array([0]))
    observation = np.zeros((1, grasp.OBSERVATION_SPEC.size), np.float32)
    noise = np.concatenate([np.subtract(*demonstrator.act(observation)[::-1]) for _ in range(2000)])
    # 2000 draws or more a group: a standard deviation is known to a few per cent.
    assert noise[:, :3].std() == pytest.approx(0.001, rel=0.05)
    assert noise[:, 3:6].std() == pytest.approx(0.01, rel=0.05)
    assert noise[:, 6:].std() == pytest.approx(0.1, rel=0.05)


def test_an_offset_grows_with_the_place_and_never_changes_sides():
    # At 0: as given. At 0.1 m: 1 + 5 * 0.1 = 1.5 times. At -0.3 m: 1 - 1.5 < 0, so none.
    offset = scripted.growing((0.02, -0.01), 5.0, np.array([0.0, 0.1, -0.3]))
    np.testing.assert_allclose(offset, [[0.02, -0.01], [0.03, -0.015], [0.0, 0.0]])


def test_a_frame_is_read_from_two_columns():
    # Turned by 90 degrees about z: x to y, y to -x.
    rotation = np.array([[0.0, 1.0, 0.0, -1.0, 0.0, 0.0]])
    x, y, z = scripted.axes(rotation)
    np.testing.assert_array_equal([x[0], y[0], z[0]], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(scripted.quaternion(rotation), [[half, 0, 0, half]], atol=1e-12)


def test_a_pitched_palm_points_down_where_it_is_turned_to():
    # Pitched by 90 degrees: x points down; turned about z afterwards, y points to -x.
    palm = scripted.pitched(np.array([np.pi / 2]), np.array([np.pi / 2]))
    np.testing.assert_allclose(se3.quat_rotate(palm, np.array([[1.0, 0.0, 0.0]])), [[0, 0, -1]], atol=1e-12)
    np.testing.assert_allclose(se3.quat_rotate(palm, np.array([[0.0, 1.0, 0.0]])), [[-1, 0, 0]], atol=1e-12)
