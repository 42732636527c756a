"""Promises of the simulated robot's messages."""

from types import SimpleNamespace

import numpy as np
import pytest

from rfs_ros.conversions import pose_from_msg, stamp_ns
from rfs_sim.nodes.sim_messages import StatePublisher, object_labels
from rfs_sim.world import World


class Listener:
    """Stands in for a node: keeps the last message of every topic."""

    def __init__(self) -> None:
        self.last: dict[str, object] = {}

    def create_publisher(self, kind: type, topic: str, qos: object) -> SimpleNamespace:
        return SimpleNamespace(publish=lambda message: self.last.update({topic: message}))


@pytest.mark.parametrize(("task", "body"), [("stack", "platform"), ("place", "mark")])
def test_the_target_of_a_task_is_published_with_the_stamp_of_its_tick(task: str, body: str) -> None:
    world, node = World(task), Listener()
    StatePublisher(node, task).publish(150_000_000, world, world.outcome())  # type: ignore[arg-type]
    message = node.last["perception/target_pose"]
    assert stamp_ns(message.header.stamp) == 150_000_000  # type: ignore[attr-defined]
    assert message.header.frame_id == "fr3_link0"  # type: ignore[attr-defined]
    pose = pose_from_msg(message.pose, "target")  # type: ignore[attr-defined]
    np.testing.assert_array_equal(pose.position, world.state.bodies[body].pose.position)
    world.close()


def test_a_task_without_a_target_publishes_none() -> None:
    world, node = World("grasp"), Listener()
    StatePublisher(node, "grasp").publish(0, world, world.outcome())  # type: ignore[arg-type]
    assert "perception/target_pose" not in node.last
    assert "perception/object_pose" in node.last
    world.close()


def test_labels_are_one_on_the_object_and_nowhere_else() -> None:
    world = World("grasp")
    model = world.model
    own = next(i for i in range(model.ngeom) if model.body(int(model.geom_bodyid[i])).name == "object")
    other = next(i for i in range(model.ngeom) if model.body(int(model.geom_bodyid[i])).name != "object")
    geom = np.array([[own, other], [-1, own]], dtype=np.int32)  # -1: nothing seen
    np.testing.assert_array_equal(object_labels(model, geom), [[1, 0], [0, 1]])
