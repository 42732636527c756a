"""Promises of stack and place: every expected value is worked out here by hand."""

import dataclasses

import numpy as np
import pytest

from rfs_core import robot, tasks
from rfs_core.errors import SpecError
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import held, parts, place, set_down, stack
from rfs_core.world_state import BodyState, WorldState

GOAL = np.array([0.55, 0.05, 0.08])
"""Of stack: platform 4 cm high, brick 8 cm."""
UPRIGHT = np.array([[1.0, 0.0, 0.0, 0.0]])


def tilted(angle: float) -> np.ndarray:
    """About x."""
    return np.array([[np.cos(angle / 2), np.sin(angle / 2), 0.0, 0.0]])


def state_of(**changes: object) -> WorldState:
    """One world: brick upright on the goal and at rest, palm 20 cm above it, nothing touching."""
    platform = GOAL - [0.0, 0.0, 0.06]
    state = WorldState(
        time=np.zeros(1),
        arm_position=np.zeros((1, 7)),
        arm_velocity=np.zeros((1, 7)),
        arm_target=np.zeros((1, 7)),
        hand_position=np.zeros((1, 16)),
        hand_velocity=np.zeros((1, 16)),
        hand_target=np.zeros((1, 16)),
        palm=Pose(GOAL[None] + [[0.0, 0.0, 0.2]], UPRIGHT),
        fingertip_position=np.tile(GOAL, (1, 4, 1)),
        object_pose=Pose(GOAL[None], UPRIGHT),
        object_velocity=np.zeros((1, 6)),
        object_rest_height=np.zeros(1),
        goal_position=GOAL[None],
        contacts=np.zeros((1, 5), dtype=np.bool_),
        held_steps=np.zeros(1, dtype=np.int64),
        bodies={"platform": BodyState(Pose(platform[None], UPRIGHT), np.zeros((1, 6)))},
    )
    return dataclasses.replace(state, **changes)  # type: ignore[arg-type]


def moved(dx: float = 0.0, dz: float = 0.0) -> WorldState:
    return state_of(object_pose=Pose(GOAL[None] + [[dx, 0.0, dz]], UPRIGHT))


def touched() -> WorldState:
    return state_of(contacts=np.array([[False, True, False, False, False]]))


def test_at_the_goal_and_released_every_term_is_full() -> None:
    terms = stack.reward_terms(state_of())
    assert {name: float(t[0]) for name, t in terms.items()} == pytest.approx(
        {"distance": 0.2, "centre": 0.1, "standing": 0.2, "released": 0.2, "success": 1.0, "fallen": 0.0}
    )
    assert stack.total_reward(terms)[0] == pytest.approx(1.7)


def test_terms_beside_the_goal() -> None:
    # 2 cm beside: not within 1.5 cm, but on the platform of half width 5 cm
    terms = stack.reward_terms(moved(dx=0.02))
    assert terms["distance"][0] == pytest.approx(0.2 * (1 - np.tanh(6 * 0.02)))
    assert terms["centre"][0] == pytest.approx(0.1 * (1 - np.tanh(30 * 0.02)))
    assert (terms["standing"][0], terms["released"][0], terms["success"][0]) == (0.2, 0.2, 0.0)


def test_centring_pays_only_within_5_cm_of_the_goals_height_and_standing_within_1_cm() -> None:
    assert stack.reward_terms(moved(dz=0.049))["centre"][0] == pytest.approx(0.1)
    assert stack.reward_terms(moved(dz=0.051))["centre"][0] == 0.0
    assert stack.reward_terms(moved(dz=0.009))["standing"][0] == 0.2
    assert stack.reward_terms(moved(dz=0.011))["standing"][0] == 0.0
    # and with its centre on the platform, 5 cm to its edge
    assert stack.reward_terms(moved(dx=0.049))["standing"][0] == 0.2
    assert stack.reward_terms(moved(dx=0.051))["standing"][0] == 0.0


def test_a_hand_at_the_brick_takes_released_and_success_and_leaves_standing() -> None:
    terms = stack.reward_terms(touched())
    assert (terms["standing"][0], terms["released"][0], terms["success"][0]) == (0.2, 0.0, 0.0)


def test_fallen_is_tilted_by_more_than_45_degrees() -> None:
    # cos 0.7 is 45.6 degrees
    for degrees, penalty in ((45.0, 0.0), (46.0, -0.2)):
        state = state_of(object_pose=Pose(GOAL[None], tilted(np.radians(degrees))))
        assert stack.reward_terms(state)["fallen"][0] == pytest.approx(penalty)


@pytest.mark.parametrize(
    ("state", "holds"),
    [
        (state_of(), True),
        (moved(dx=0.0149), True),
        (moved(dx=0.0151), False),
        (moved(dz=0.0099), True),
        (moved(dz=0.0101), False),
        (touched(), False),
        # cos 14 deg = .9703, cos 15 deg = .9659
        (state_of(object_pose=Pose(GOAL[None], tilted(np.radians(14.0)))), True),
        (state_of(object_pose=Pose(GOAL[None], tilted(np.radians(15.0)))), False),
        (state_of(palm=Pose(GOAL[None] + [[0.0, 0.0, 0.121]], UPRIGHT)), True),
        (state_of(palm=Pose(GOAL[None] + [[0.0, 0.0, 0.119]], UPRIGHT)), False),
        (state_of(object_velocity=np.array([[0.051, 0, 0, 0, 0, 0]])), False),
        (state_of(object_velocity=np.array([[0.049, 0, 0, 9, 0, 0]])), True),
    ],
)
def test_success_needs_all_of_its_conditions(state: WorldState, holds: bool) -> None:
    assert stack.momentary_success(state)[0] == holds


def test_stack_needs_the_platform_at_rest_and_upright_too() -> None:
    pose = state_of().bodies["platform"].pose
    moving = BodyState(pose, np.array([[0.0, 0.06, 0, 0, 0, 0]]))
    over = BodyState(Pose(pose.position, tilted(0.3)), np.zeros((1, 6)))
    for platform in (moving, over):
        assert not stack.momentary_success(state_of(bodies={"platform": platform}))[0]


def test_place_allows_2_cm_and_stack_1_5() -> None:
    mark = {"mark": BodyState(Pose(GOAL[None], UPRIGHT), np.zeros((1, 6)))}
    state = dataclasses.replace(moved(dx=0.019), bodies=mark)
    assert place.momentary_success(state)[0]
    assert not place.momentary_success(dataclasses.replace(moved(dx=0.021), bodies=mark))[0]
    assert not stack.momentary_success(moved(dx=0.019))[0]


def test_success_is_what_has_held_for_five_steps() -> None:
    assert not stack.success(state_of(held_steps=np.array([4])), stack.DEFAULT)[0]
    assert stack.success(state_of(held_steps=np.array([5])), stack.DEFAULT)[0]


def test_lost_is_40_cm_beside_below_the_table_or_not_a_number() -> None:
    for state, lost in (
        (moved(dx=0.399), False),
        (moved(dx=0.401), True),
        (moved(dz=-0.129), False),
        (moved(dz=-0.131), True),
        (moved(dx=float("nan")), True),
    ):
        assert stack.terminated(state, stack.DEFAULT)[0] == lost


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (state_of(held_steps=np.array([5])), "success"),
        (moved(dx=0.5), "object lost"),
        (touched(), "not released"),
        (moved(dx=0.03), "released beside the goal"),
        (moved(dz=-0.04), "released, not at the goal's height"),
        (state_of(object_pose=Pose(GOAL[None], tilted(1.0))), "fallen"),
    ],
)
def test_an_outcome_says_what_went_wrong(state: WorldState, words: str) -> None:
    assert stack.outcome(state) == [words]


@pytest.mark.parametrize("task", [stack, place])
def test_a_start_is_drawn_from_the_bank_with_the_target_beside_it(task: object) -> None:
    module = tasks.load(task.NAME)  # type: ignore[attr-defined]
    rows = held.bank()
    for episode in range(40):
        start = module.draw_episode(episode_rng(0, episode, "reset"))
        same = (rows["object_position"] == start.object_position).all(axis=1)
        assert same.any()
        target = start.bodies[module.TARGET_BODY]
        offset = target.position - start.object_position
        assert -0.04 <= offset[0] <= 0.04
        assert 0.08 <= offset[1] <= 0.14
        assert start.held
        assert np.linalg.norm(start.object_quaternion) == pytest.approx(1.0)
        # the brick, 8 cm high, on a platform of 4 cm, or on the table
        height = 0.08 if module is stack else 0.04
        np.testing.assert_allclose(start.goal_position, [*target.position[:2], height])


def test_the_same_episode_is_drawn_the_same_and_another_one_is_not() -> None:
    first, again = (stack.draw_episode(episode_rng(3, 7, "reset")) for _ in range(2))
    other = stack.draw_episode(episode_rng(3, 8, "reset"))
    np.testing.assert_array_equal(first.arm_position, again.arm_position)
    np.testing.assert_array_equal(first.goal_position, again.goal_position)
    assert (first.goal_position != other.goal_position).any()


def test_drawing_leaves_the_bank_as_it_is() -> None:
    before = held.bank()["arm_position"].copy()
    stack.draw_episode(episode_rng(0, 0, "reset")).arm_position[:] = 9.0
    np.testing.assert_array_equal(held.bank()["arm_position"], before)


def test_the_bank_is_upright_within_limits_and_smaller_than_a_megabyte() -> None:
    rows = held.bank()
    assert len(rows["mass"]) >= 400
    assert held.BANK.stat().st_size < 1_000_000
    assert set_down.uprightness(rows["object_quaternion"]).min() > 0.97
    assert (rows["arm_position"] > robot.ARM_LIMITS[0]).all()
    assert (rows["arm_position"] < robot.ARM_LIMITS[1]).all()
    assert rows["contacts"][:, 3].all()


def test_the_observation_tells_target_goal_and_the_way_to_it_cut_off_at_5_cm() -> None:
    state = moved(dx=-0.02, dz=0.3)
    seen = stack.OBSERVATION_SPEC.unpack(stack.observe(state))
    np.testing.assert_allclose(seen["goal_offset"][0], [0.02, 0.0, -0.05], atol=1e-6)
    np.testing.assert_allclose(seen["goal_position"][0], GOAL, atol=1e-6)
    np.testing.assert_allclose(seen["target_position"][0], GOAL - [0, 0, 0.06], atol=1e-6)
    np.testing.assert_allclose(seen["target_rotation"][0], [1, 0, 0, 0, 1, 0])


def test_measured_parts_complete_to_the_same_bits_as_the_state() -> None:
    spec = stack.OBSERVATION_SPEC
    whole = stack.observe(moved(dx=0.0123456789))
    measured = parts.measured_spec(spec)
    assert "goal_offset" not in measured.names
    values = {name: whole[:, spec.slice(name)] for name in measured.names}
    np.testing.assert_array_equal(parts.complete(spec, values), whole)


def test_a_derived_part_without_what_it_is_made_of_is_refused() -> None:
    with pytest.raises(SpecError, match="goal_offset is made of goal_position"):
        parts.measured_spec(ObservationSpec((parts.OBJECT_POSITION, parts.GOAL_OFFSET)))
