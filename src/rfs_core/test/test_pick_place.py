"""Promises of pick-place: where it starts, what it pays on the way, what it calls its ends."""

from dataclasses import replace

import numpy as np

from rfs_core import robot
from rfs_core.se3 import Pose
from rfs_core.tasks import held, pick_place, place
from rfs_core.world_state import BodyState, WorldState

N = 4


def state(brick: list[list[float]], touched: list[bool], tips: float = 0.2) -> WorldState:
    """N worlds with the mark at (0.55, 0.0), the brick upright, the fingertips `tips` m above it."""
    place_of = np.array(brick)
    turn = np.tile([1.0, 0.0, 0.0, 0.0], (N, 1))
    still = np.zeros((N, 6))
    contacts = np.zeros((N, 5), dtype=bool)
    contacts[:, [0, 3]] = np.array(touched)[:, None]
    above = place_of + [0.0, 0.0, tips]
    return WorldState(
        time=np.zeros(N),
        arm_position=np.zeros((N, 7)),
        arm_velocity=np.zeros((N, 7)),
        arm_target=np.zeros((N, 7)),
        hand_position=np.tile(robot.HAND_OPEN, (N, 1)),
        hand_velocity=np.zeros((N, 16)),
        hand_target=np.tile(robot.HAND_OPEN, (N, 1)),
        palm=Pose(above, turn),
        fingertip_position=np.repeat(above[:, None], 4, axis=1),
        object_pose=Pose(place_of, turn),
        object_velocity=still,
        object_rest_height=np.full(N, held.BRICK.half_height),
        goal_position=np.tile([0.55, 0.0, held.BRICK.half_height], (N, 1)),
        contacts=contacts,
        held_steps=np.zeros(N, dtype=int),
        bodies={place.TARGET_BODY: BodyState(Pose(np.tile([0.55, 0.0, 0.0005], (N, 1)), turn), still)},
    )


def test_an_episode_starts_with_the_brick_on_the_table_and_the_mark_beside_it() -> None:
    for i in range(50):
        start = pick_place.draw_episode(np.random.default_rng(i))
        assert not start.held
        assert start.object_position[2] == held.BRICK.half_height == start.goal_position[2]
        along, side = (start.goal_position - start.object_position)[:2]
        assert abs(along) <= 0.04
        assert 0.08 <= side <= 0.14
        np.testing.assert_array_equal(start.bodies[place.TARGET_BODY].position[:2], start.goal_position[:2])


def test_equal_generators_give_equal_episodes() -> None:
    a, b = (pick_place.draw_episode(np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(a.arm_position, b.arm_position)
    np.testing.assert_array_equal(a.object_position, b.object_position)


def test_carrying_pays_by_height_between_thumb_and_finger_and_standing_there_pays_all_of_it() -> None:
    # 10 cm beside: on the table and held, 1.5 cm up and held, 1.5 cm up and thrown; on the mark and let go.
    bricks = [[0.55, -0.1, 0.04], [0.55, -0.1, 0.055], [0.55, -0.1, 0.055], [0.55, 0.0, 0.04]]
    terms = pick_place.reward_terms(state(bricks, [True, True, False, False]))
    np.testing.assert_allclose(terms["carried"], [0.0, 0.15, 0.0, 0.3])
    # Fingertips 20 cm off: 0.1 (1 - tanh(8 * 0.17)); at the mark all of it, so that leaving costs nothing.
    np.testing.assert_allclose(terms["reach"], [0.0123607, 0.0123607, 0.0123607, 0.1], atol=1e-6)


def test_success_is_that_of_place_and_an_episode_that_never_moved_the_brick_is_named_so() -> None:
    bricks = [[0.55, 0.0, 0.04], [0.55, 0.03, 0.04], [0.55, -0.1, 0.04], [0.55, 0.0, 0.04]]
    now = state(bricks, [False, False, False, True])
    np.testing.assert_array_equal(pick_place.momentary_success(now), place.momentary_success(now))
    assert pick_place.momentary_success(now).tolist() == [True, False, False, False]
    held_on = replace(now, held_steps=np.array([5, 0, 0, 0]))
    assert pick_place.outcome(held_on) == [
        "success", "released beside the goal", "not carried to the mark", "not released"
    ]  # fmt: skip
