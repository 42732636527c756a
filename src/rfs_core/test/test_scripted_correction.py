"""The scripted human."""

import numpy as np
import pytest

from rfs_core.errors import RfsError
from rfs_core.scripted_correction import ScriptedConfig, ScriptedHuman, Sight
from rfs_core.se3 import Pose

DT = 0.05
BOUND = 0.015
EXACT = ScriptedConfig(
    noise=0.0, delay_s=0.1, foresight_s=0.0, set_down_foresight_s=0.0, object_in_palm=(0.0, 0.0, -0.07)
)
UPRIGHT = np.array([[1.0, 0.0, 0.0, 0.0]])


def human(task="grasp", config=EXACT, seed=0):
    return ScriptedHuman(task, config, BOUND, np.random.default_rng(seed))


def sight(step, palm=(0.5, 0.0, 0.12), thing=(0.5, 0.0, 0.05), goal=(0.5, 0.0, 0.3)):
    return Sight(step * DT, Pose(np.array([palm]), UPRIGHT), Pose(np.array([thing]), UPRIGHT), np.array(goal))


def test_it_pushes_towards_the_object_by_a_share_of_what_is_missing():
    """2 cm in y are missing; a fifth of it is 4 mm, of the bound of 15 mm a push of .267."""
    person = human()
    readings = [person.look(sight(i, thing=(0.5, 0.02, 0.05))) for i in range(5)]
    assert readings[-1].axes[:2] == pytest.approx([0.0, 0.2 * 0.02 / 0.015])


def test_it_reacts_after_its_delay_and_not_before():
    """The object jumps at step 10; with a delay of 100 ms that shows at step 12."""
    person = human()
    pushed = [person.look(sight(i, thing=(0.5, 0.03 if i >= 10 else 0.0, 0.05))) for i in range(15)]
    assert [reading is None for reading in pushed[:4]] == [True, True, True, False]
    assert [i for i, reading in enumerate(pushed) if reading and reading.axes[1]] == [12, 13, 14]


def test_it_leaves_small_errors_alone():
    person = human()
    readings = [person.look(sight(i, thing=(0.5, 0.0039, 0.05))) for i in range(5)]
    assert not readings[-1].axes[:2].any()


def test_it_presses_the_fingers_together_at_the_object_and_not_above_it():
    """The palm shall be 7 cm above the object; it is 7, then 15."""
    for height, pressed in ((0.12, -1.0), (0.20, 0.0)):
        person = human()
        readings = [person.look(sight(i, palm=(0.5, 0.0, height))) for i in range(5)]
        assert readings[-1].axes[2] == pressed


def test_a_lifted_object_is_pressed_and_not_pushed_aside():
    person = human()
    readings = [
        person.look(sight(i, palm=(0.5, 0.02, 0.12 + 0.01 * i), thing=(0.5, 0.0, 0.05 + 0.01 * i)))
        for i in range(8)
    ]
    assert readings[-1].axes.tolist() == [0.0, 0.0, -1.0, 0.0, 0.0, 0.0]


def test_it_sees_where_the_hand_goes():
    """The palm moves 1 cm per step towards the object, 3 cm away: in 150 ms it is there by itself."""
    config = ScriptedConfig(noise=0.0, delay_s=0.0, foresight_s=0.15, object_in_palm=(0.0, 0.0, -0.07))
    person = human(config=config)
    readings = [person.look(sight(i, palm=(0.5, 0.01 * i, 0.12), thing=(0.5, 0.05, 0.05))) for i in range(3)]
    assert not readings[-1].axes[:2].any()


def test_a_held_object_is_pushed_to_its_goal_and_left_alone_once_released():
    person = human("place")
    held = [person.look(sight(i, goal=(0.53, 0.0, 0.05))) for i in range(5)]
    assert held[-1].axes[0] == pytest.approx(0.1 * 0.03 / 0.015)
    released = [person.look(sight(5 + i, palm=(0.5, 0.0, 0.15), goal=(0.53, 0.0, 0.05))) for i in range(5)]
    assert not released[-1].axes.any()


def test_a_held_object_that_is_on_its_way_is_not_pushed():
    """3 cm are missing; with 1 cm per step the hand is there in 150 ms by itself."""
    person = human("place", ScriptedConfig(noise=0.0, delay_s=0.0, set_down_foresight_s=0.15))
    readings = [
        person.look(sight(i, palm=(0.5, 0.01 * i, 0.12), thing=(0.5, 0.01 * i, 0.05), goal=(0.5, 0.05, 0.05)))
        for i in range(3)
    ]
    assert not readings[-1].axes[:2].any()


def test_the_same_episode_is_corrected_alike():
    noisy = ScriptedConfig()
    one, two = (
        [person.look(sight(i, thing=(0.5, 0.02, 0.05))) for i in range(8)]
        for person in (human(config=noisy, seed=3), human(config=noisy, seed=3))
    )
    other = human(config=noisy, seed=4)
    third = [other.look(sight(i, thing=(0.5, 0.02, 0.05))) for i in range(8)]
    assert one[-1].axes.tolist() == two[-1].axes.tolist() != third[-1].axes.tolist()


def test_a_task_it_does_not_know_is_refused_with_those_it_does():
    with pytest.raises(RfsError, match="'pour': known are grasp, kit, place, stack"):
        human("pour")
