"""Promises of `rfs_core.world_state`."""

import dataclasses

import numpy as np

from rfs_core.se3 import Pose
from rfs_core.world_state import BodyState, WorldState


def make_state(n: int = 3) -> WorldState:
    """A state whose every value tells its world: world i holds the number i everywhere."""
    i = np.arange(n, dtype=np.float64)

    def filled(*shape: int) -> np.ndarray:
        return np.broadcast_to(i.reshape(n, *([1] * len(shape))), (n, *shape)).copy()

    return WorldState(
        time=filled(),
        arm_position=filled(7),
        arm_velocity=filled(7),
        arm_target=filled(7),
        hand_position=filled(16),
        hand_velocity=filled(16),
        hand_target=filled(16),
        palm=Pose(filled(3), filled(4)),
        fingertip_position=filled(4, 3),
        object_pose=Pose(filled(3), filled(4)),
        object_velocity=filled(6),
        object_rest_height=filled(),
        goal_position=filled(3),
        contacts=np.zeros((n, 5), dtype=np.bool_),
        held_steps=np.arange(n),
        bodies={"wall": BodyState(Pose(filled(3), filled(4)), filled(6))},
    )


def test_take_keeps_every_field_of_the_chosen_worlds_in_order() -> None:
    state = make_state(3)

    taken = state.take(np.array([2, 0]))

    assert taken.num_worlds == 2
    for field in dataclasses.fields(WorldState):
        value = getattr(taken, field.name)
        if field.name == "bodies":
            wall = value["wall"]
            value = Pose(np.hstack([wall.pose.position, wall.velocity]), wall.pose.quaternion)
        for array in value if isinstance(value, Pose) else (value,):
            if field.name == "contacts":
                assert array.shape == (2, 5)
                continue
            assert (array[0] == 2).all(), field.name
            assert (array[1] == 0).all(), field.name


def test_take_accepts_a_mask() -> None:
    assert make_state(3).take(np.array([False, True, True])).held_steps.tolist() == [1, 2]
