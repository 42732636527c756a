"""What a policy sees that has a camera instead of object poses: its own joints and palm, and a point cloud.

Whatever a task's state observation says of bodies and contacts is left out: a robot with a camera has to see
it. The goal stays where a person sets it and the camera cannot see it, as with the mark of `place`, which is
flat. In `grasp` the goal lies above the object and would give its place away.
"""

from rfs_core import robot, tasks
from rfs_core.specs import ObservationSpec, Part
from rfs_core.tasks import parts

POINTS = "points"
"""Name of the part that is a cloud."""
COUNT = 1024
"""Points of a cloud where nothing else is asked for; code takes N from the spec."""
OWN = ("arm_position", "hand_position", "palm_position", "palm_rotation")
"""What the robot knows of itself."""
GOAL = "goal_position"
_GOAL_BY_HAND = ("place",)
"""Tasks whose goal a camera cannot see."""


def part(count: int = COUNT) -> Part:
    """The cloud's part: `count` points in the base frame."""
    return Part(POINTS, (count, 3), "m", -1.5, 1.5, robot.BASE_FRAME)


def observation_spec(task: str, count: int = COUNT) -> ObservationSpec:
    """What a point-cloud policy of a task sees.

    Raises UnknownTaskError.
    """
    state: ObservationSpec = tasks.load(task).OBSERVATION_SPEC
    names = (*OWN, GOAL) if task in _GOAL_BY_HAND else OWN
    kept = tuple(kept for kept in parts.measured_spec(state).parts if kept.name in names)
    return ObservationSpec((*kept, part(count)))


def count_of(spec: ObservationSpec) -> int:
    """Points that an observation wants; 0 where it has no cloud."""
    return spec.part(POINTS).shape[0] if POINTS in spec.names else 0
