"""Configuration of the policy node."""

from __future__ import annotations

from dataclasses import dataclass

from rfs_control.observation_window import ObservationWindowConfig
from rfs_core import tasks
from rfs_core.config import param
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import points
from rfs_core.tasks.points import COUNT


@dataclass(frozen=True)
class PolicyConfig(ObservationWindowConfig):
    """Which policy acts, and when."""

    checkpoint: str = param("", doc="Checkpoint file (.safetensors).")
    task: str = param(
        "grasp", doc="Task it shall do; its observation spec is compared with the checkpoint's."
    )
    observation: str = param(
        "state",
        doc="What it sees: object poses and contacts, or a point cloud.",
        choices=("state", "points"),
    )
    points_count: int = param(
        COUNT, doc="Points of the clouds on perception/points; the checkpoint must want as many.", low=1
    )
    a0: str = param(
        "trained",
        doc="Initial noise of the flow, where no head decides it: drawn from N(0, I), or 0; trained: the one "
        "of both that the checkpoint's residual was trained with, normal for a base policy.",
        choices=("trained", "normal", "zero"),
    )
    integrator: str = param(
        "",
        doc="Integrator that the checkpoint must have, such as 'euler 10'; empty: any.",
    )
    device: str = param("cpu", doc="Where the network runs, as torch names it: cpu, cuda, cuda:0.")
    tick_source: str = param(
        "timer",
        doc="What makes a decision due: a steady timer (real devices), or the stamps of states (simulation).",
        choices=("timer", "state"),
    )


def observation_spec(task: str, observation: str, points_count: int = COUNT) -> ObservationSpec:
    """What a policy of a task must have been trained to see.

    Args:
        task: name of the task.
        observation: state, or points.
        points_count: points of a cloud.
    """
    if observation == "points":
        return points.observation_spec(task, points_count)
    return tasks.load(task).OBSERVATION_SPEC
