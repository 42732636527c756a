"""Parts of observations that several tasks share, and how a state gives their values."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_core.arrays import Array, namespace, single
from rfs_core.errors import SpecError
from rfs_core.specs import ObservationSpec, Part
from rfs_core.world_state import WorldState


def _joints(name: str, limits: NDArray[np.float64]) -> Part:
    return Part(name, (limits.shape[1],), "rad", tuple(limits[0].tolist()), tuple(limits[1].tolist()))


def _position(name: str) -> Part:
    return Part(name, (3,), "m", -1.5, 1.5, robot.BASE_FRAME)


def _rotation(name: str) -> Part:
    return Part(name, (6,), "1", -1.0, 1.0, robot.BASE_FRAME)


GOAL_NEAR = 0.05
"""m: beyond this `goal_offset` tells the side only."""

ARM_POSITION = _joints("arm_position", robot.ARM_LIMITS)
HAND_POSITION = _joints("hand_position", robot.HAND_LIMITS)
PALM_POSITION = _position("palm_position")
PALM_ROTATION = _rotation("palm_rotation")
OBJECT_POSITION = _position("object_position")
OBJECT_ROTATION = _rotation("object_rotation")
TARGET_POSITION = _position("target_position")
TARGET_ROTATION = _rotation("target_rotation")
GOAL_POSITION = _position("goal_position")
GOAL_OFFSET = Part("goal_offset", (3,), "m", -GOAL_NEAR, GOAL_NEAR, robot.BASE_FRAME)
"""From the object's centre to the goal, cut off at GOAL_NEAR, so that the last centimetres weigh."""
CONTACTS = Part("contacts", (len(robot.CONTACT_NAMES),), "1", 0.0, 1.0)

Values = dict[str, Array]


def _goal_offset(values: Values) -> Array:
    offset = values["goal_position"] - values["object_position"]
    return offset.clip(-GOAL_NEAR, GOAL_NEAR)


DERIVED: dict[str, tuple[tuple[str, ...], Callable[[Values], Array]]] = {
    "goal_offset": (("goal_position", "object_position"), _goal_offset),
}
"""Parts that no sensor reports: of which parts of the same observation they are made, and how (in float32, so
that a node which only has the observation's values gets the same bits)."""


def measured_spec(spec: ObservationSpec) -> ObservationSpec:
    """The spec without its derived parts: what has to be measured.

    Raises:
        SpecError: a derived part is made of parts that the spec lacks.
    """
    names = set(spec.names)
    for part in spec.parts:
        if part.name in DERIVED and (missing := set(DERIVED[part.name][0]) - names):
            raise SpecError(
                f"observation part {part.name} is made of {', '.join(sorted(missing))}, which the "
                "observation lacks: add them to its spec"
            )
    return ObservationSpec(tuple(part for part in spec.parts if part.name not in DERIVED))


def complete(spec: ObservationSpec, measured: Values) -> Array:
    """The observation from its measured parts, each (N, size) float32. Shape: (N, spec.size)"""
    values = [DERIVED[n][1](measured) if n in DERIVED else measured[n] for n in spec.names]
    return single(namespace(values[0]).concat(values, axis=1))


def observe(spec: ObservationSpec, state: WorldState, target_body: str) -> Array:
    """The parts of a spec from a state; `target_position` and `target_rotation` tell of `target_body`.

    Shape: (N, spec.size)
    """
    target = state.bodies[target_body].pose
    values = {
        "arm_position": state.arm_position,
        "hand_position": state.hand_position,
        "palm_position": state.palm.position,
        "palm_rotation": se3.rotation_6d(state.palm.quaternion),
        "object_position": state.object_pose.position,
        "object_rotation": se3.rotation_6d(state.object_pose.quaternion),
        "target_position": target.position,
        "target_rotation": se3.rotation_6d(target.quaternion),
        "goal_position": state.goal_position,
        "contacts": state.contacts,
    }
    wanted = measured_spec(spec).names
    return complete(spec, {name: single(values[name]) for name in wanted})
