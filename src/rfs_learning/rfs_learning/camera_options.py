"""Options of commands that play a policy which sees points: where the camera stands and how bad it is."""

from __future__ import annotations

import argparse
from typing import Any

from rfs_core.errors import RfsError
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import points as points_task

_NEUTRAL: dict[str, Any] = {
    "viewpoint": "table",
    "camera_position_error": 0.0,
    "camera_rotation_error": 0.0,
    "point_noise": 0.0,
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    group = parser.add_argument_group("camera, for policies that see points")
    group.add_argument("--viewpoint", default="table", help="where it stands: table, left, right, high, low")
    group.add_argument(
        "--camera-position-error", type=float, default=0.0, help="m, calibration is off by that, anywhere"
    )
    group.add_argument(
        "--camera-rotation-error", type=float, default=0.0, help="degrees, and turned by that, about any axis"
    )
    group.add_argument("--point-noise", type=float, default=0.0, help="m, standard deviation per coordinate")


def of(arguments: argparse.Namespace, spec: ObservationSpec) -> dict[str, Any]:
    """What `make_env` takes for a policy with that observation; nothing for one that sees the state.

    Raises:
        RfsError: options of a camera for a policy that has none.
    """
    given = {name: getattr(arguments, name) for name in _NEUTRAL}
    count = points_task.count_of(spec)
    if not count:
        if given != _NEUTRAL:
            changed = [f"--{name.replace('_', '-')}" for name in given if given[name] != _NEUTRAL[name]]
            raise RfsError(f"{', '.join(changed)}: this checkpoint sees no points: leave it out")
        return {}
    camera = {
        "viewpoints": (given["viewpoint"],),
        "position_error": given["camera_position_error"],
        "rotation_error": given["camera_rotation_error"],
        "noise": given["point_noise"],
        "count": count,
    }
    return {"observation": "points", "camera": camera}


def plain(spec: ObservationSpec) -> dict[str, Any]:
    """What `make_env` takes for training with that observation, with a camera without errors; nothing for
    the state."""
    count = points_task.count_of(spec)
    return {"observation": "points", "camera": {"count": count}} if count else {}


def told(arguments: argparse.Namespace, spec: ObservationSpec) -> dict[str, Any] | None:
    """The options as they go into results; None without a camera."""
    if not points_task.count_of(spec):
        return None
    return {name: getattr(arguments, name) for name in _NEUTRAL}


def words(arguments: argparse.Namespace, spec: ObservationSpec) -> str:
    """The options for a title; empty without a camera."""
    if not points_task.count_of(spec):
        return ""
    return (
        f"camera {arguments.viewpoint}, off by {arguments.camera_position_error * 100:g} cm and "
        f"{arguments.camera_rotation_error:g} degrees, noise {arguments.point_noise * 1000:g} mm"
    )
