"""What a point-cloud policy sees, and what it must not be told."""

import pytest

from rfs_core import tasks
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import grasp, points


@pytest.mark.parametrize("task", sorted(tasks.TASKS))
def test_nothing_that_only_a_simulator_knows_is_seen(task):
    spec = points.observation_spec(task, 256)
    told = set(spec.names) - {"goal_position", "points"}
    assert told == {"arm_position", "hand_position", "palm_position", "palm_rotation"}
    assert spec.part("points").shape == (256, 3)
    assert spec.part("points").frame == "fr3_link0"
    # 7 + 16 + 3 + 6 values of its own, 256 * 3 of the cloud
    assert spec.size - (3 if "goal_position" in spec.names else 0) == 32 + 768


def test_the_goal_of_grasp_would_give_the_object_away_and_is_left_out():
    assert "goal_position" not in points.observation_spec("grasp").names
    assert "goal_position" in points.observation_spec("place").names


def test_another_number_of_points_is_another_spec():
    differences = points.observation_spec("grasp", 512).differences(points.observation_spec("grasp", 1024))
    assert any("(512, 3)" in sentence and "(1024, 3)" in sentence for sentence in differences)


def test_the_number_of_points_is_read_from_the_spec():
    assert points.count_of(points.observation_spec("grasp", 77)) == 77
    assert points.count_of(grasp.OBSERVATION_SPEC) == 0
    assert points.count_of(ObservationSpec((points.part(5),))) == 5
