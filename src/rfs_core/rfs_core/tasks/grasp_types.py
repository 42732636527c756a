"""What the tasks *power* and *pinch* share: grasp, and held in a certain way.

The RFS paper evaluates these two types of grasp; objects and conditions are ours, from what the hand can
feel: contacts of palm and fingertips. The terms are those of `grasp`, with one more that pays for holding the
object that way; task modules bind objects, configuration and condition.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rfs_core.arrays import Array, namespace, number
from rfs_core.config import param
from rfs_core.tasks import grasp
from rfs_core.world_state import WorldState

Holds = Callable[[WorldState, "GraspTypeConfig"], Array]
"""Whether the object is held in the way that the task asks for. -> Shape: (N,)"""


@dataclass(frozen=True)
class GraspTypeConfig(grasp.GraspConfig):
    """Numbers of power and pinch where they are not those of grasp."""

    type_weight: float = param(0.2, doc="Reward: held in the way that the task asks for.")
    enclosed: float = param(
        0.072, doc="Power: the object's centre this near to the palm's surface, along its normal.", unit="m"
    )
    apart: float = param(
        0.055, doc="Pinch: the object's centre this far from the palm's surface, along its normal.", unit="m"
    )


def palm_depth(state: WorldState) -> Array:
    """How far the object's centre is below the palm's surface, along its normal, m. Shape: (N,)"""
    q = state.palm.quaternion
    w, x, y, z = q[:, 0], q[:, 1], q[:, 2], q[:, 3]
    normal = -namespace(q).stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)
    return ((state.object_pose.position - state.palm.position) * normal).sum(axis=1)


def reward_terms(state: WorldState, config: GraspTypeConfig, holds: Holds) -> dict[str, Array]:
    """The reward's terms of one control step; their sum is the reward. Shapes: (N,)"""
    terms = grasp.reward_terms(state, config)
    held = holds(state, config)
    terms["type"] = config.type_weight * number(held, terms["success"])
    terms["success"] = config.success_weight * number(momentary_success(state, config, holds), terms["lift"])
    return terms


def momentary_success(state: WorldState, config: GraspTypeConfig, holds: Holds) -> Array:
    """Lifted as in grasp, and held in this way, at this control step. Shape: (N,)"""
    return grasp.momentary_success(state, config) & holds(state, config)


def outcome(state: WorldState, config: GraspTypeConfig, holds: Holds, otherwise: str) -> list[str]:
    """How each world's episode has ended, in a few words for reports; `otherwise`: held in another way."""
    words = grasp.outcome(state, config)
    held = holds(state, config)
    for i, word in enumerate(words):
        if word == "lifted, not held long enough" and not held[i]:
            words[i] = otherwise
    return words
