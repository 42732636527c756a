"""Promises of the task push-grasp: every expected value is worked out here by hand."""

import dataclasses

import numpy as np
import pytest

from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp, push_grasp
from rfs_core.world_state import BodyState, WorldState


def about_y(angle: float) -> list[float]:
    return [np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0]


def state_of(
    rise: float = 0.0,
    tilt: float = 0.0,
    gap: float = 0.05,
    palm: float = 0.10,
    touching: tuple[int, ...] = (),
    held_steps: int = 0,
    arm: float = 0.0,
    y: float = 0.0,
) -> WorldState:
    """One world: the box `gap` before a kerb whose near face is at x = 0.65, the palm above it."""
    position = np.array([[0.65 - gap - 0.06, y, 0.01 + rise]])
    contacts = np.zeros((1, 5), dtype=np.bool_)
    contacts[0, list(touching)] = True
    joints = np.array([grasp.ARM_START])
    joints[0, 0] += arm
    kerb = Pose(np.array([[0.665, 0.0, 0.02]]), np.array([[1.0, 0.0, 0.0, 0.0]]))
    return WorldState(
        time=np.zeros(1),
        arm_position=joints,
        arm_velocity=np.zeros((1, 7)),
        arm_target=np.zeros((1, 7)),
        hand_position=np.zeros((1, 16)),
        hand_velocity=np.zeros((1, 16)),
        hand_target=np.zeros((1, 16)),
        palm=Pose(position + [[0.0, 0.0, palm]], np.array([[1.0, 0.0, 0.0, 0.0]])),
        fingertip_position=np.repeat(position[:, None] + [[[0.0, 0.0, 0.03]]], 4, axis=1),
        object_pose=Pose(position, np.array([about_y(tilt)])),
        object_velocity=np.zeros((1, 6)),
        object_rest_height=np.array([0.01]),
        goal_position=np.array([[0.59, 0.0, 0.21]]),
        contacts=contacts,
        held_steps=np.array([held_steps]),
        bodies={"kerb": BodyState(kerb, np.zeros((1, 6)))},
    )


def test_the_kerb_is_4_cm_high_and_stands_3_to_7_cm_behind_the_box() -> None:
    (kerb,) = push_grasp.BODIES
    (solid,) = kerb.solids
    assert not kerb.moves
    assert 2 * solid.size[2] == pytest.approx(0.04)
    for episode in range(50):
        start = push_grasp.draw_episode(episode_rng(3, episode, "reset"))
        place = start.bodies["kerb"].position
        half = np.array(start.shape.size)
        yaw = 2 * np.arcsin(start.object_quaternion[3])
        assert abs(yaw) <= 0.12
        corner = start.object_position[0] + half[0] * np.cos(yaw) + half[1] * abs(np.sin(yaw))
        assert 0.03 - 1e-9 <= place[0] - 0.015 - corner <= 0.07 + 1e-9
        assert place[2] == pytest.approx(0.02)  # it stands on the table
        assert start.object_position[2] == pytest.approx(half[2])
        np.testing.assert_allclose(half / [0.06, 0.06, 0.01], 1.0, atol=0.05 + 1e-9)
        assert not start.held


def test_equal_seeds_give_equal_starts_and_others_do_not() -> None:
    first, again, other = (push_grasp.draw_episode(episode_rng(s, 0, "reset")) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.object_position, again.object_position)
    np.testing.assert_array_equal(first.arm_position, again.arm_position)
    assert not np.array_equal(first.object_position, other.object_position)


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.0])
def test_tilt_is_the_angle_from_the_vertical(angle: float) -> None:
    assert push_grasp.tilt(state_of(tilt=angle))[0] == pytest.approx(angle, abs=1e-6)


def test_gap_is_what_is_left_to_the_kerb_and_never_less_than_nothing() -> None:
    assert push_grasp.gap(state_of(gap=0.04))[0] == pytest.approx(0.04)
    assert push_grasp.gap(state_of(gap=-0.05))[0] == 0.0


def test_terms_of_a_box_that_lies_untouched() -> None:
    terms = push_grasp.reward_terms(state_of(gap=0.05))
    # Tips 3 cm from its centre are as near as can be; pushed: .1 (1 - tanh(20 x .05)).
    assert terms["distance"][0] == pytest.approx(0.1)
    assert terms["push"][0] == pytest.approx(0.1 * (1 - np.tanh(1.0)))
    assert push_grasp.total_reward(terms)[0] == pytest.approx(0.1 + 0.1 * (1 - np.tanh(1.0)))


def test_terms_of_a_box_tipped_up_at_the_kerb() -> None:
    terms = push_grasp.reward_terms(state_of(rise=0.03, tilt=0.4, gap=0.0, touching=(1, 3)))
    # Half of the full tilt of 0.8: .2 / 2; rise 3 of 15 cm: .5 / 5; at the kerb .1; contact .1; tips .1.
    assert terms["tilt"][0] == pytest.approx(0.1)
    assert terms["lift"][0] == pytest.approx(0.1)
    assert push_grasp.total_reward(terms)[0] == pytest.approx(0.5)
    beyond = push_grasp.reward_terms(state_of(tilt=1.5, gap=0.0))
    assert beyond["tilt"][0] == pytest.approx(0.2)


def test_lifted_and_held_near_the_palm_pays_most_and_too_high_costs() -> None:
    terms = push_grasp.reward_terms(state_of(rise=0.16, tilt=1.5, gap=0.02, touching=(0, 3)))
    # distance .1, off the table counts as pushed .1, tilt .2, contact .1, lift .5, success 1
    assert push_grasp.total_reward(terms)[0] == pytest.approx(2.0)
    high = push_grasp.reward_terms(state_of(rise=0.31, tilt=1.5, gap=0.02, touching=(0, 3)))
    assert push_grasp.total_reward(high)[0] == pytest.approx(1.5)


@pytest.mark.parametrize(
    "change",
    [{"rise": 0.149}, {"palm": 0.18}, {"arm": 2.75}],
)
def test_success_needs_every_one_of_its_conditions(change: dict[str, float]) -> None:
    assert push_grasp.momentary_success(state_of(rise=0.151, palm=0.16))[0]
    assert not push_grasp.momentary_success(state_of(**{"rise": 0.151, "palm": 0.16, **change}))[0]


def test_success_needs_five_steps_in_a_row() -> None:
    assert not push_grasp.success(state_of(held_steps=4))[0]
    assert push_grasp.success(state_of(held_steps=5))[0]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (state_of(held_steps=5), "success"),
        (state_of(gap=0.02), "flat, not at the kerb"),
        (state_of(gap=0.005), "flat, at the kerb"),
        (state_of(gap=0.0, tilt=1.4, rise=0.05), "tipped up, not lifted"),
        (state_of(rise=0.16, palm=0.2), "lifted, not near the palm"),
        (state_of(rise=0.10), "lifted, not high enough"),
        (state_of(rise=0.16, arm=2.75), "lifted, arm joint at its limit"),
        (state_of(rise=0.16), "lifted, not held long enough"),
        (state_of(y=0.35), "object lost"),
        (state_of(rise=-0.07), "object lost"),
        (state_of(rise=float("nan")), "object lost"),
    ],
)
def test_outcome_says_how_far_it_came(state: WorldState, word: str) -> None:
    assert push_grasp.outcome(state) == [word]
    assert push_grasp.terminated(state)[0] == (word == "object lost")


def test_observation_has_the_kerb_and_where_the_box_shall_go() -> None:
    part = push_grasp.OBSERVATION_SPEC.unpack(push_grasp.observe(state_of(tilt=0.4)))
    np.testing.assert_allclose(part["target_position"][0], [0.665, 0.0, 0.02], atol=1e-6)
    np.testing.assert_allclose(part["goal_position"][0], [0.59, 0.0, 0.21], atol=1e-6)
    np.testing.assert_allclose(part["object_rotation"][0, :3], [np.cos(0.4), 0, -np.sin(0.4)], atol=1e-6)


def test_numbers_can_be_changed_by_configuration() -> None:
    low = dataclasses.replace(push_grasp.DEFAULT, lift_height=0.05)
    assert push_grasp.momentary_success(state_of(rise=0.06), low)[0]
