"""What tasks and control law compute is the same for numpy arrays and torch tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from rfs_core import arrays, control, hand_geometry, robot, se3, tasks
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose
from rfs_core.world_state import BodyState, WorldState

N = 2000


def random_pose(rng: np.random.Generator, middle: Any, spread: float, turn: float) -> Pose:
    scale = 10 ** rng.uniform(-1.0, 1.0, (N, 1))
    return Pose(
        np.asarray(middle) + scale * rng.normal(scale=spread, size=(N, 3)),
        se3.quat_from_rotvec(scale * rng.normal(scale=turn, size=(N, 3))),
    )


def random_state(task: Any, seed: int = 0) -> WorldState:
    """States around the goal: every condition of the task is met in some worlds and not in others."""
    rng = np.random.default_rng(seed)
    near = np.array([0.55, 0.0, 0.16])
    low, high = robot.ARM_LIMITS
    object_pose = random_pose(rng, near, 0.03, 0.2)
    return WorldState(
        time=rng.uniform(0, 3, N),
        arm_position=rng.uniform(low + 0.02, high - 0.02, (N, 7)),
        arm_velocity=rng.normal(size=(N, 7)),
        arm_target=rng.normal(size=(N, 7)),
        hand_position=rng.uniform(*robot.HAND_LIMITS, (N, 16)),
        hand_velocity=rng.normal(size=(N, 16)),
        hand_target=rng.normal(size=(N, 16)),
        palm=random_pose(rng, near + [0, 0, 0.1], 0.03, 0.4),
        fingertip_position=near + rng.normal(scale=0.05, size=(N, 4, 3)),
        object_pose=object_pose,
        object_velocity=rng.normal(scale=0.02, size=(N, 6)),
        object_rest_height=rng.uniform(-0.2, 0.15, N),
        goal_position=object_pose.position + rng.normal(scale=0.02, size=(N, 3)),
        contacts=rng.random((N, 5)) < 0.3,
        held_steps=rng.integers(0, 9, N),
        bodies={
            body.name: BodyState(
                random_pose(rng, near - [0, 0, 0.02], 0.02, 0.1), rng.normal(scale=0.02, size=(N, 6))
            )
            for body in task.BODIES
        },
    )


def as_tensors(state: WorldState) -> WorldState:
    return state._each(lambda array: torch.from_numpy(array.copy()))


@pytest.mark.parametrize("name", sorted(tasks.TASKS))
def test_a_task_says_the_same_of_numpy_arrays_and_of_torch_tensors(name: str) -> None:
    task = tasks.load(name)
    config = task.Config()
    state = random_state(task)
    tensors = as_tensors(state)
    terms, of_tensors = task.reward_terms(state, config), task.reward_terms(tensors, config)
    assert list(terms) == list(of_tensors)
    for key, term in terms.items():
        assert of_tensors[key].dtype == torch.float64, key  # a flag times a float would be float32
        assert term.std() > 0 or key == "success", f"{key} is the same in all {N} states: nothing is tested"
        assert_allclose(of_tensors[key].numpy(), term, rtol=0, atol=1e-12, err_msg=key)
    total = task.total_reward(of_tensors)
    assert_allclose(total.numpy(), task.total_reward(terms), rtol=0, atol=1e-12)
    for function in (task.momentary_success, task.success, task.terminated):
        assert_array_equal(function(tensors, config).numpy(), function(state, config))
    observation = task.observe(tensors)
    assert observation.dtype == torch.float32
    assert_allclose(observation.numpy(), task.observe(state), rtol=0, atol=1e-7)
    assert task.outcome(tensors.numpy(), config) == task.outcome(state, config)


@pytest.mark.parametrize("name", sorted(tasks.TASKS))
def test_float32_tensors_stay_float32(name: str) -> None:
    task = tasks.load(name)
    state = as_tensors(random_state(task))._each(lambda t: t.float() if t.is_floating_point() else t)
    terms = task.reward_terms(state)
    assert {term.dtype for term in terms.values()} == {torch.float32}
    exact = task.reward_terms(as_tensors(random_state(task)))
    # A world on the edge of a condition may fall to the other side; nearly all must not.
    same = torch.stack([(terms[k] - exact[k]).abs() < 1e-4 for k in terms]).all(dim=0)
    assert same.double().mean() > 0.99


def test_a_state_of_some_worlds_is_the_same_for_both() -> None:
    state = random_state(tasks.load("stack"))
    which = np.array([7, 3, 250])
    taken = as_tensors(state).take(torch.from_numpy(which)).numpy()
    assert_array_equal(taken.palm.position, state.palm.position[which])
    assert_array_equal(taken.bodies["platform"].velocity, state.bodies["platform"].velocity[which])


def control_step(of: Callable[[Any], Any]) -> tuple[Any, ...]:
    """One step of the control law with the same random numbers, as numpy arrays or tensors."""
    rng = np.random.default_rng(1)
    q = of(rng.uniform(*(0.9 * robot.ARM_LIMITS), (N, 7)))
    kinematics = ArmKinematics()
    palm, jacobian = kinematics.forward_and_jacobian(q)
    target = control.step_target(palm, of(rng.normal(scale=0.1, size=(N, 6))), palm)
    hand = control.limit_rate(of(rng.normal(size=(N, 16))), of(rng.normal(size=(N, 16))))
    commanded = q + of(rng.normal(scale=0.05, size=(N, 7)))
    arm = control.track(kinematics, commanded, q, target)
    solved = kinematics.inverse(target, q, iterations=3)
    depth = hand_geometry.penetration(hand)
    return (*palm, jacobian, *target, hand, arm, solved.q, solved.converged, depth)


def test_the_control_law_moves_numpy_arrays_and_torch_tensors_alike() -> None:
    expected = control_step(lambda array: array)
    got = control_step(lambda array: torch.from_numpy(np.ascontiguousarray(array)))
    for i, (a, b) in enumerate(zip(expected, got, strict=True)):
        assert isinstance(b, torch.Tensor), i
        assert_allclose(b.numpy(), a, rtol=0, atol=1e-11, err_msg=str(i))


def test_the_constant_of_a_tensor_has_its_dtype_and_is_made_once() -> None:
    constant = np.array([1.0, 2.0])
    x = torch.zeros(3, dtype=torch.float32)
    tensor = arrays.like(constant, x)
    assert tensor.dtype == torch.float32
    assert tensor.tolist() == [1.0, 2.0]
    assert arrays.like(constant, x) is tensor
    assert arrays.like(constant, x.double()).dtype == torch.float64
    assert arrays.like(constant, np.zeros(3)) is constant


def test_flags_become_numbers_of_the_state() -> None:
    assert arrays.number(np.array([True, False]), np.zeros(2)).tolist() == [1.0, 0.0]
    number = arrays.number(torch.tensor([True, False]), torch.zeros(2, dtype=torch.float64))
    assert (0.1 * number)[0].item() == 0.1  # not 0.1 of a float32


def test_values_get_kind_and_dtype_but_integers_stay_integers() -> None:
    x = torch.zeros(2, dtype=torch.float32)
    assert arrays.of(np.array([0.5]), x).dtype == torch.float32
    assert arrays.of(np.array([3]), x).dtype == torch.int64
    assert arrays.of(np.array([True]), x).dtype == torch.bool
    assert isinstance(arrays.to_numpy(x), np.ndarray)


def test_tensors_of_an_engine_can_be_written_after_a_policy_stepped_it_in_inference_mode() -> None:
    x = torch.zeros(2)
    with torch.inference_mode():
        with arrays.outside_inference(x):
            kept = x + 1.0
        spoiled = x + 1.0
    kept[0] = 5.0
    with pytest.raises(RuntimeError, match="inference"):
        spoiled[0] = 5.0
    with arrays.outside_inference(np.zeros(1)):
        pass
