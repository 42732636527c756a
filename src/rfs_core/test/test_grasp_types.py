"""Promises of the tasks power and pinch: every expected value is worked out here by hand."""

from types import ModuleType

import numpy as np
import pytest

from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp, grasp_types, pinch, power
from rfs_core.world_state import WorldState


def state_of(
    depth: float, touching: tuple[int, ...], rise: float = 0.21, pitch: float = 0.0, held_steps: int = 0
) -> WorldState:
    """One world: the object `depth` below the palm's surface, along its normal."""
    palm = np.array([[0.5, 0.0, 0.4]])
    # The palm faces its own -z; pitched by `pitch` about y that is (-sin, 0, -cos).
    normal = np.array([[-np.sin(pitch), 0.0, -np.cos(pitch)]])
    position = palm + depth * normal
    contacts = np.zeros((1, 5), dtype=np.bool_)
    contacts[0, list(touching)] = True
    return WorldState(
        time=np.zeros(1),
        arm_position=np.array([grasp.ARM_START]),
        arm_velocity=np.zeros((1, 7)),
        arm_target=np.zeros((1, 7)),
        hand_position=np.zeros((1, 16)),
        hand_velocity=np.zeros((1, 16)),
        hand_target=np.zeros((1, 16)),
        palm=Pose(palm, np.array([[np.cos(pitch / 2), 0.0, np.sin(pitch / 2), 0.0]])),
        fingertip_position=np.repeat(position[:, None], 4, axis=1),
        object_pose=Pose(position, np.array([[1.0, 0.0, 0.0, 0.0]])),
        object_velocity=np.zeros((1, 6)),
        object_rest_height=position[:, 2] - rise,
        goal_position=position,
        contacts=contacts,
        held_steps=np.array([held_steps]),
    )


@pytest.mark.parametrize("pitch", [0.0, 0.5, -1.2])
def test_depth_is_measured_along_the_palm_s_normal(pitch: float) -> None:
    assert grasp_types.palm_depth(state_of(0.06, (), pitch=pitch))[0] == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("depth", "touching", "held"),
    [
        (0.07, (3, 0, 1), True),
        (0.07, (3, 0, 1, 2, 4), True),
        (0.07, (3, 0), False),  # one finger
        (0.07, (0, 1, 2), False),  # no thumb
        (0.073, (3, 0, 1), False),  # farther than 7.2 cm
    ],
)
def test_power_needs_thumb_and_two_fingers_and_the_object_deep_in_the_hand(
    depth: float, touching: tuple[int, ...], held: bool
) -> None:
    state = state_of(depth, touching)
    assert power.momentary_success(state)[0] == held
    assert power.reward_terms(state)["type"][0] == pytest.approx(0.2 * held)
    assert power.reward_terms(state)["success"][0] == pytest.approx(1.0 * held)
    assert not power.momentary_success(state_of(depth, touching, rise=0.19))[0]  # not lifted


@pytest.mark.parametrize(
    ("depth", "touching", "held"),
    [
        (0.07, (3, 0), True),
        (0.07, (3, 1, 2), True),
        (0.07, (3,), False),  # the thumb alone
        (0.07, (0, 1, 2), False),  # no thumb
        (0.07, (3, 0, 4), False),  # the palm, too
        (0.05, (3, 0), False),  # nearer than 5.5 cm
    ],
)
def test_pinch_needs_thumb_and_a_finger_and_the_palm_away(
    depth: float, touching: tuple[int, ...], held: bool
) -> None:
    state = state_of(depth, touching)
    assert pinch.momentary_success(state)[0] == held
    assert pinch.reward_terms(state)["type"][0] == pytest.approx(0.2 * held)
    assert pinch.reward_terms(state)["success"][0] == pytest.approx(1.0 * held)
    assert not pinch.momentary_success(state_of(depth, touching, rise=0.19))[0]


def test_the_rest_of_the_reward_is_that_of_grasp() -> None:
    state = state_of(0.06, (3, 0, 1))
    for name, term in grasp.reward_terms(state).items():
        assert power.reward_terms(state)[name] == pytest.approx(term)
    assert power.total_reward(power.reward_terms(state))[0] == pytest.approx(
        grasp.total_reward(grasp.reward_terms(state))[0] + 0.2
    )


@pytest.mark.parametrize("task", [power, pinch])
def test_objects_are_the_task_s_own_and_starts_repeat(task: ModuleType) -> None:
    names = set()
    for episode in range(40):
        start = task.draw_episode(episode_rng(1, episode, "reset"))
        again = task.draw_episode(episode_rng(1, episode, "reset"))
        np.testing.assert_array_equal(start.object_position, again.object_position)
        low, high = task.DEFAULT.object_mass
        assert low <= start.object_mass <= high
        names.add(start.shape.name)
    assert names == {shape.name for shape in task.OBJECTS}
    assert not names & {shape.name for shape in grasp.OBJECTS} - {"can", "block", "carton"}


def test_outcome_says_that_it_was_held_in_another_way() -> None:
    assert power.outcome(state_of(0.08, (3, 0, 1))) == ["lifted, not enclosed by the hand"]
    assert pinch.outcome(state_of(0.05, (4, 3))) == ["lifted, not between the fingertips"]
    assert pinch.outcome(state_of(0.07, (3, 0))) == ["lifted, not held long enough"]
    assert pinch.outcome(state_of(0.07, (3, 0), held_steps=5)) == ["success"]
    assert pinch.outcome(state_of(0.07, (3, 0), rise=0.01)) == ["not lifted or dropped"]
