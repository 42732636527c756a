"""Promises of the task kit: every expected value is worked out here by hand."""

import dataclasses

import numpy as np
import pytest

from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.tasks import held, kit
from rfs_core.world_state import BodyState, WorldState


def about_z(angle: float) -> list[float]:
    return [np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)]


def about_x(angle: float) -> list[float]:
    return [np.cos(angle / 2), np.sin(angle / 2), 0.0, 0.0]


def state_of(
    beside: float = 0.0,
    above: float = 0.0,
    brick: list[float] | None = None,
    tray: list[float] | None = None,
    palm: float = 0.2,
    speed: float = 0.0,
    touching: tuple[int, ...] = (),
    held_steps: int = 0,
) -> WorldState:
    """One world: the tray at (0.55, 0.05), the brick `beside` its middle along y and `above` its floor."""
    position = np.array([[0.55, 0.05 + beside, 0.04 + above]])
    contacts = np.zeros((1, 5), dtype=np.bool_)
    contacts[0, list(touching)] = True
    tray_pose = Pose(np.array([[0.55, 0.05, 0.0]]), np.array([tray or about_z(0.0)]))
    return WorldState(
        time=np.zeros(1),
        arm_position=np.zeros((1, 7)),
        arm_velocity=np.zeros((1, 7)),
        arm_target=np.zeros((1, 7)),
        hand_position=np.zeros((1, 16)),
        hand_velocity=np.zeros((1, 16)),
        hand_target=np.zeros((1, 16)),
        palm=Pose(position + [[0.0, 0.0, palm]], np.array([about_z(0.0)])),
        fingertip_position=np.zeros((1, 4, 3)),
        object_pose=Pose(position, np.array([brick or about_z(0.0)])),
        object_velocity=np.array([[speed, 0.0, 0.0, 0.0, 0.0, 0.0]]),
        object_rest_height=np.zeros(1),
        goal_position=np.array([[0.55, 0.05, 0.04]]),
        contacts=contacts,
        held_steps=np.array([held_steps]),
        bodies={"tray": BodyState(tray_pose, np.zeros((1, 6)))},
    )


def test_the_tray_is_6_mm_wider_than_the_brick_on_every_side_and_15_mm_high() -> None:
    (tray,) = kit.BODIES
    assert not tray.moves
    reach = {}
    for solid in tray.solids:
        # The inner face of a wall: its middle less half its thickness; the brick's half width is 30 mm.
        axis = 0 if abs(solid.position[0]) > 0 else 1
        side = np.sign(solid.position[axis])
        reach[(axis, side)] = abs(solid.position[axis]) - solid.size[axis]
        assert solid.position[2] - solid.size[2] == pytest.approx(0.0)
        assert solid.position[2] + solid.size[2] == pytest.approx(0.015)
    assert len(reach) == 4
    assert list(reach.values()) == pytest.approx([0.036] * 4)


def test_equal_seeds_give_equal_starts_within_the_ranges() -> None:
    for episode in range(30):
        start = kit.draw_episode(episode_rng(3, episode, "reset"))
        again = kit.draw_episode(episode_rng(3, episode, "reset"))
        tray = start.bodies["tray"]
        np.testing.assert_array_equal(tray.position, again.bodies["tray"].position)
        np.testing.assert_array_equal(start.arm_position, again.arm_position)
        assert start.held
        assert tray.position[2] == 0.0
        offset = tray.position - start.object_position
        assert abs(offset[0]) <= 0.04
        assert 0.08 <= offset[1] <= 0.14
        assert abs(2 * np.arcsin(tray.quaternion[3])) <= 0.2 + 1e-9
        np.testing.assert_allclose(start.goal_position, tray.position + [0, 0, held.BRICK.half_height])
    other = kit.draw_episode(episode_rng(4, 0, "reset"))
    first = kit.draw_episode(episode_rng(3, 0, "reset"))
    assert not np.array_equal(other.bodies["tray"].position, first.bodies["tray"].position)


@pytest.mark.parametrize(
    ("beside", "above", "expected"),
    [
        (0.0, 0.0, 0.2),  # all the way in
        (0.0, 0.005, 0.2 * 2 / 3),  # 5 of 15 mm left
        (0.0, 0.015, 0.0),  # on the rim
        (0.0, 0.060, 0.0),
        (0.013, 0.0, 0.0),  # farther beside than a brick inside can be
    ],
)
def test_depth_term_is_the_share_of_the_rim_that_the_brick_is_inside(
    beside: float, above: float, expected: float
) -> None:
    assert kit.reward_terms(state_of(beside, above))["depth"][0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("brick", "tray", "angle"),
    [(0.1, 0.0, 0.1), (0.1, 0.2, -0.1), (np.pi / 2 + 0.05, 0.0, 0.05), (0.5, 0.5 - np.pi, 0.0)],
)
def test_turn_is_measured_from_the_tray_modulo_a_quarter(brick: float, tray: float, angle: float) -> None:
    state = state_of(brick=about_z(brick), tray=about_z(tray))
    assert kit.turned(state)[0] == pytest.approx(angle, abs=1e-12)
    # 0.1 (1 - tanh(8 |angle|)), low above the tray only
    assert kit.reward_terms(state)["turn"][0] == pytest.approx(0.1 * (1 - np.tanh(8 * abs(angle))))
    high = state_of(above=0.06, brick=about_z(brick), tray=about_z(tray))
    assert kit.reward_terms(high)["turn"][0] == 0.0


def test_all_terms_of_a_brick_left_in_the_tray_add_up() -> None:
    # distance .2, centre .1, standing .2, released .2, success 1, turn .1, depth .2
    terms = kit.reward_terms(state_of())
    assert kit.total_reward(terms)[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "change",
    [
        {"beside": 0.0125},
        {"above": 0.006},
        {"brick": about_x(0.26)},  # cos 0.26 = 0.966
        {"palm": 0.11},
        {"speed": 0.06},
        {"touching": (0,)},
        {"touching": (4,)},
    ],
)
def test_success_needs_every_one_of_its_conditions(change: dict[str, object]) -> None:
    assert kit.momentary_success(state_of(beside=0.0115, above=0.004))[0]
    assert not kit.momentary_success(state_of(**change))[0]  # type: ignore[arg-type]


def test_success_needs_five_steps_in_a_row() -> None:
    assert not kit.success(state_of(held_steps=4), kit.DEFAULT)[0]
    assert kit.success(state_of(held_steps=5), kit.DEFAULT)[0]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (state_of(held_steps=5), "success"),
        (state_of(touching=(1,)), "not released"),
        (state_of(above=0.015), "released on the rim"),
        (state_of(above=0.015, brick=about_x(0.9)), "released on the rim"),
        (state_of(beside=0.2, above=0.05), "released, not in the tray"),
        (state_of(beside=0.2), "released beside the goal"),
        (state_of(beside=0.5), "object lost"),
    ],
)
def test_outcome_says_where_the_brick_ended(state: WorldState, word: str) -> None:
    assert kit.outcome(state) == [word]


def test_observation_has_the_tray_and_the_way_to_the_goal() -> None:
    state = state_of(beside=-0.02, above=0.1, tray=about_z(0.2))
    part = kit.OBSERVATION_SPEC.unpack(kit.observe(state))
    np.testing.assert_allclose(part["target_position"][0], [0.55, 0.05, 0.0], atol=1e-7)
    np.testing.assert_allclose(part["target_rotation"][0, :2], [np.cos(0.2), np.sin(0.2)], atol=1e-6)
    np.testing.assert_allclose(part["goal_offset"][0], [0.0, 0.02, -0.05], atol=1e-7)  # cut off at 5 cm
    assert kit.observe(state).shape == (1, kit.OBSERVATION_SPEC.size)


def test_numbers_can_be_changed_by_configuration() -> None:
    tight = dataclasses.replace(kit.DEFAULT, tolerance=0.002)
    assert not kit.momentary_success(state_of(beside=0.003), tight)[0]
