"""Promises of the task grasp: every expected value is worked out here by hand."""

import dataclasses

import numpy as np
import pytest

from rfs_core import robot, tasks
from rfs_core.errors import ConfigError
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp
from rfs_core.world_state import WorldState

MIDDLE = (robot.ARM_LIMITS[0] + robot.ARM_LIMITS[1]) / 2


def state_of(n: int = 1, **changes: object) -> WorldState:
    """n worlds with the object resting at (0.5, 0, 0.03), palm 10 cm above it, nothing touching."""

    def rows(values: object) -> np.ndarray:
        return np.tile(np.asarray(values, dtype=np.float64), (n, 1))

    state = WorldState(
        time=np.zeros(n),
        arm_position=rows(MIDDLE),
        arm_velocity=rows(np.zeros(7)),
        arm_target=rows(MIDDLE),
        hand_position=rows(np.zeros(16)),
        hand_velocity=rows(np.zeros(16)),
        hand_target=rows(np.zeros(16)),
        palm=Pose(rows([0.5, 0.0, 0.13]), rows([1.0, 0.0, 0.0, 0.0])),
        fingertip_position=np.tile(np.array([0.5, 0.0, 0.13]), (n, 4, 1)),
        object_pose=Pose(rows([0.5, 0.0, 0.03]), rows([1.0, 0.0, 0.0, 0.0])),
        object_velocity=rows(np.zeros(6)),
        object_rest_height=np.full(n, 0.03),
        goal_position=rows([0.5, 0.0, 0.27]),
        contacts=np.zeros((n, 5), dtype=np.bool_),
        held_steps=np.zeros(n, dtype=np.int64),
    )
    return dataclasses.replace(state, **changes)  # type: ignore[arg-type]


def lifted(height: float, palm_above: float = 0.1) -> WorldState:
    position = np.array([[0.5, 0.0, 0.03 + height]])
    quaternion = np.array([[1.0, 0.0, 0.0, 0.0]])
    return state_of(
        object_pose=Pose(position, quaternion),
        palm=Pose(position + [[0.0, 0.0, palm_above]], quaternion),
    )


def test_distance_term_is_full_within_3_cm_and_falls_with_tanh() -> None:
    # Tips 10 cm from the centre: 0.1 (1 - tanh(8 (0.10 - 0.03))) = 0.1 (1 - tanh 0.56)
    assert grasp.reward_terms(state_of())["distance"][0] == pytest.approx(0.1 * (1 - np.tanh(0.56)))
    near = state_of(fingertip_position=np.tile(np.array([0.5, 0.0, 0.05]), (1, 4, 1)))
    assert grasp.reward_terms(near)["distance"][0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("touching", "expected"),
    [
        ([], 0.0),
        ([0, 1, 2], 0.0),  # fingers alone
        ([3], 0.0),  # thumb alone
        ([1, 3], 0.1),  # thumb and a finger
        ([3, 4], 0.1),  # thumb and palm
        ([0, 1, 2, 3, 4], 0.1),
    ],
)
def test_contact_term_needs_the_thumb_and_something_opposite(touching: list[int], expected: float) -> None:
    contacts = np.zeros((1, 5), dtype=np.bool_)
    contacts[0, touching] = True
    assert grasp.reward_terms(state_of(contacts=contacts))["contact"][0] == pytest.approx(expected)


def test_lift_term_grows_with_height_near_the_palm_only() -> None:
    # 5 cm of 20 cm: 0.5 * 0.25; beyond 20 cm it stays 0.5
    assert grasp.reward_terms(lifted(0.05))["lift"][0] == pytest.approx(0.125)
    assert grasp.reward_terms(lifted(0.25))["lift"][0] == pytest.approx(0.5)
    assert grasp.reward_terms(lifted(0.05, palm_above=0.16))["lift"][0] == 0.0
    assert grasp.reward_terms(lifted(-0.01))["lift"][0] == 0.0


def test_lifting_too_high_and_joints_at_their_limits_are_penalised() -> None:
    assert grasp.reward_terms(lifted(0.31))["too_high"][0] == 0.0
    assert grasp.reward_terms(lifted(0.33))["too_high"][0] == -0.5
    assert grasp.reward_terms(state_of())["joint_limit"][0] == 0.0
    arm = MIDDLE.copy()
    arm[3] = robot.ARM_LIMITS[0, 3] + 0.04
    assert grasp.reward_terms(state_of(arm_position=arm[None]))["joint_limit"][0] == pytest.approx(-0.1)


def test_total_reward_is_the_sum_of_the_terms() -> None:
    terms = grasp.reward_terms(lifted(0.21))
    # tips stayed at (0.5, 0, 0.13), 0.11 below the centre: 0.1 (1 - tanh(8 * 0.08)); lift 0.5; success 1
    assert grasp.total_reward(terms)[0] == pytest.approx(0.1 * (1 - np.tanh(0.64)) + 0.5 + 1.0)


def test_momentary_success_needs_height_nearness_and_a_feasible_pose() -> None:
    assert grasp.momentary_success(lifted(0.2001))[0]
    assert not grasp.momentary_success(lifted(0.1999))[0]
    assert grasp.momentary_success(lifted(0.21, palm_above=0.1499))[0]
    assert not grasp.momentary_success(lifted(0.21, palm_above=0.1501))[0]
    for joint in range(7):
        for side, sign in ((0, 1.0), (1, -1.0)):
            arm = MIDDLE.copy()
            arm[joint] = robot.ARM_LIMITS[side, joint] + sign * 0.049
            state = dataclasses.replace(lifted(0.21), arm_position=arm[None])
            assert not grasp.momentary_success(state)[0], (joint, side)


def test_success_needs_the_condition_held_for_five_control_steps() -> None:
    assert grasp.success(state_of(2, held_steps=np.array([4, 5]))).tolist() == [False, True]
    assert grasp.success(state_of(1, held_steps=np.array([2])), grasp.GraspConfig(hold_steps=2))[0]


@pytest.mark.parametrize(
    ("position", "lost"),
    [
        ((0.5, 0.0, 0.03), False),
        ((0.5, 0.299, 0.03), False),
        ((0.5, 0.301, 0.03), True),
        ((0.5, 0.0, -0.051), True),
        ((np.nan, 0.0, 0.03), True),
    ],
)
def test_terminated_when_the_object_is_lost(position: tuple[float, ...], lost: bool) -> None:
    pose = Pose(np.array([position]), np.array([[1.0, 0.0, 0.0, 0.0]]))
    assert grasp.terminated(state_of(object_pose=pose))[0] == lost


def test_outcome_says_how_the_episode_ended() -> None:
    held = dataclasses.replace(lifted(0.21), held_steps=np.array([5]))
    far = lifted(0.21, palm_above=0.2)
    arm = MIDDLE.copy()
    arm[5] = robot.ARM_LIMITS[1, 5]
    stretched = dataclasses.replace(lifted(0.21), arm_position=arm[None])
    lost = state_of(object_pose=Pose(np.array([[2.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])))
    cases = {
        "success": held,
        "not lifted or dropped": state_of(),
        "lifted, not near the palm": far,
        "lifted, not high enough": lifted(0.1),
        "lifted, arm joint at its limit": stretched,
        "lifted, not held long enough": lifted(0.21),
        "object lost": lost,
    }
    assert {words: grasp.outcome(state) for words, state in cases.items()} == {w: [w] for w in cases}


def test_observation_holds_every_part_where_the_spec_says() -> None:
    contacts = np.array([[True, False, False, True, False]])
    half_turn_about_z = np.array([[0.0, 0.0, 0.0, 1.0]])
    state = state_of(
        contacts=contacts,
        arm_position=np.arange(7.0)[None],
        hand_position=10.0 + np.arange(16.0)[None],
        object_pose=Pose(np.array([[0.1, 0.2, 0.3]]), half_turn_about_z),
    )

    observation = grasp.observe(state)
    parts = grasp.OBSERVATION_SPEC.unpack(observation)

    assert observation.dtype == np.float32
    assert observation.shape == (1, grasp.OBSERVATION_SPEC.size)
    np.testing.assert_allclose(parts["arm_position"][0], np.arange(7))
    np.testing.assert_allclose(parts["hand_position"][0], 10 + np.arange(16))
    np.testing.assert_allclose(parts["palm_position"][0], [0.5, 0.0, 0.13], rtol=1e-6)
    np.testing.assert_allclose(parts["palm_rotation"][0], [1, 0, 0, 0, 1, 0])
    np.testing.assert_allclose(parts["object_position"][0], [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(parts["object_rotation"][0], [-1, 0, 0, 0, -1, 0])  # columns x and y
    np.testing.assert_allclose(parts["goal_position"][0], [0.5, 0.0, 0.27], rtol=1e-6)
    assert parts["contacts"][0].tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]


def test_drawn_episodes_stay_within_their_ranges_and_use_all_objects() -> None:
    config = grasp.DEFAULT
    seen = set()
    for episode in range(300):
        start = grasp.draw_episode(episode_rng(0, episode, "reset"))
        base = next(o for o in grasp.OBJECTS if o.name == start.shape.name)
        seen.add(base.name)
        ratio = np.divide(start.shape.size, base.size)
        assert (ratio >= config.object_scale[0]).all()
        assert (ratio <= config.object_scale[1]).all()
        assert config.object_mass[0] <= start.object_mass <= config.object_mass[1]
        assert config.object_friction[0] <= start.object_friction <= config.object_friction[1]
        x, y, z = start.object_position
        assert config.object_x[0] <= x <= config.object_x[1]
        assert config.object_y[0] <= y <= config.object_y[1]
        assert z == start.shape.half_height  # it stands on the table
        assert start.goal_position.tolist() == [x, y, z + config.goal_rise]
        assert np.abs(start.arm_position - grasp.ARM_START).max() <= config.arm_offset
        assert np.linalg.norm(start.object_quaternion) == pytest.approx(1.0)
        assert (start.hand_position >= robot.HAND_LIMITS[0]).all()
        assert (start.hand_position <= robot.HAND_LIMITS[1]).all()
    assert seen == {o.name for o in grasp.OBJECTS}


def test_round_objects_stay_round_when_scaled() -> None:
    starts = [grasp.draw_episode(episode_rng(0, e, "reset")) for e in range(60)]
    round_ones = [s.shape for s in starts if s.shape.kind != "box"]
    assert round_ones
    assert all(shape.size[0] == shape.size[1] for shape in round_ones)


def test_equal_seed_and_episode_draw_the_same_start() -> None:
    first, again = (grasp.draw_episode(episode_rng(3, 7, "reset")) for _ in range(2))
    other = grasp.draw_episode(episode_rng(3, 8, "reset"))
    assert first.shape == again.shape
    assert (first.arm_position == again.arm_position).all()
    assert (first.arm_position != other.arm_position).any()


def test_half_height_of_a_capsule_includes_its_rounded_end() -> None:
    assert grasp.ObjectShape("c", "capsule", (0.02, 0.02, 0.03)).half_height == pytest.approx(0.05)
    assert grasp.ObjectShape("b", "box", (0.02, 0.02, 0.03)).half_height == pytest.approx(0.03)


def test_arm_start_is_a_feasible_pose() -> None:
    offset = grasp.DEFAULT.arm_offset
    low = np.asarray(grasp.ARM_START) - offset - robot.ARM_LIMITS[0]
    high = robot.ARM_LIMITS[1] - np.asarray(grasp.ARM_START) - offset
    assert min(low.min(), high.min()) > grasp.DEFAULT.limit_margin


def test_unknown_task_names_those_that_exist() -> None:
    with pytest.raises(tasks.UnknownTaskError, match=r"juggle.*grasp"):
        tasks.load("juggle")


def test_unknown_or_impossible_task_option_is_refused() -> None:
    assert tasks.configure("grasp", {"hold_steps": 3}).hold_steps == 3
    with pytest.raises(ConfigError, match=r"hold_step.*hold_steps"):
        tasks.configure("grasp", {"hold_step": 3})
    with pytest.raises(ConfigError, match="hold_steps"):
        tasks.configure("grasp", {"hold_steps": 0})
