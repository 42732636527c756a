"""Look at what a calibrated camera sees: is the table where it should be, and what would a policy get?

    ros2 run rfs_perception inspect_cloud --source file:look.db3 --calibration camera.json --ply look.ply
    ros2 run rfs_perception inspect_cloud --calibration camera.json --show      # the only camera connected

The largest plane near z = 0 is fitted (Open3D, RANSAC): its height and tilt in the base frame are what
calibration is wrong by, as far as a table can tell, and the scatter about it is the camera's noise. The file,
and the window, hold all points in colour and the policy's N points in red.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core import cloud
from rfs_core.cloud import CloudConfig, CloudError
from rfs_core.errors import RfsError
from rfs_core.tasks import points as points_task
from rfs_perception import calibration, outputs
from rfs_perception.calibration import Calibration
from rfs_perception.camera import Camera, RecordingEnded, find
from rfs_perception.camera_config import CameraConfig
from rfs_perception.errors import CameraError, PerceptionError
from rfs_perception.frame import Frame, points_of

NEAR_TABLE = 0.05
"""m: points this near to z = 0 may be the table's."""
THICKNESS = 0.006
"""m: points this near to a plane belong to it."""
FEWEST = 500
"""Points below which there is no table."""
HEIGHT_LIMIT, TILT_LIMIT = 0.01, math.radians(1.0)
"""m, rad: what policies of points are trained to bear; beyond, calibrate anew."""
_MIDDLE = (0.55, 0.0)
"""m: where the table's height is told, base frame."""
_PATIENCE = 100
"""Looks that may be in vain."""


@dataclass(frozen=True)
class Table:
    """The table as the camera sees it."""

    height: float
    """m, at the middle of the workspace; 0 where calibration is right."""
    tilt: float
    """rad, against the horizontal."""
    scatter: float
    """m, root mean square of its points about it."""
    points: int


def open3d() -> Any:
    """The package.

    Raises:
        PerceptionError: it is not installed.
    """
    try:
        import open3d as package
    except ImportError as error:
        raise PerceptionError(f"open3d cannot be imported ({error}): make setup EXTRAS=perception") from error
    return package


def find_table(points: NDArray[np.float64]) -> Table:
    """The plane of most points near z = 0. Shape: (P, 3), m, base frame.

    Raises:
        PerceptionError: there is none.
    """
    near = points[np.abs(points[:, 2]) < NEAR_TABLE]
    if len(near) < FEWEST:
        raise PerceptionError(
            f"{len(near)} points within {NEAR_TABLE * 100:g} cm of z = 0, a table needs {FEWEST}: does the "
            "camera see it, and is the calibration this camera's?"
        )
    o3d = open3d()
    o3d.utility.random.seed(0)
    vectors = o3d.utility.Vector3dVector(near)
    (a, b, c, d), members = o3d.geometry.PointCloud(vectors).segment_plane(THICKNESS, 3, 400)
    size = math.sqrt(a * a + b * b + c * c)
    apart = (near[members] @ (a, b, c) + d) / size
    return Table(
        height=-(a * _MIDDLE[0] + b * _MIDDLE[1] + d) / c,
        tilt=math.acos(min(1.0, abs(c) / size)),
        scatter=float(np.sqrt((apart**2).mean())),
        points=len(members),
    )


def in_base(frame: Frame, found: Calibration) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """All points of a look in the base frame (m), and their colours. Shapes: (P, 3)"""
    seen = np.isfinite(frame.depth) & (frame.depth > 0.0)
    pose = found.camera_in_base
    points = points_of(frame.depth, frame.intrinsics, seen) @ pose[:3, :3].T + pose[:3, 3]
    return points, frame.colour[seen]


def look(source: str, number: int) -> tuple[Frame, str]:
    """The `number`-th pair of images of a camera or a recording, and the camera's serial number.

    Raises:
        CameraError: there is no camera or recording, or it has fewer images; or `number` is below 1.
    """
    if number < 1:
        raise CameraError(f"look {number}: pairs of images are counted from 1")
    camera = Camera(find(source, real_time=False), CameraConfig())
    seen, vain = 0, 0
    try:
        while vain < _PATIENCE:
            frame = camera.read(0.1)
            if frame is None:
                vain += 1
                continue
            seen += 1
            if seen == number:
                return frame, camera.serial
    except RecordingEnded as end:
        raise CameraError(f"{source}: has {seen} pairs of images, asked for is {number}") from end
    finally:
        camera.close()
    raise CameraError(f"{source or 'camera'}: {seen} pairs of images came, asked for is {number}")


def report(frame: Frame, found: Calibration, count: int) -> tuple[list[str], NDArray[np.float32]]:
    """What there is to say of a look, line by line, and the points a policy gets, none without a cloud."""
    points, _ = in_base(frame, found)
    lines = [f"{len(points)} of {frame.depth.size} pixels have a depth"]
    try:
        table = find_table(points)
        wrong = abs(table.height) > HEIGHT_LIMIT or table.tilt > TILT_LIMIT
        lines.append(
            f"table: {1000 * table.height:+.1f} mm high at x = {_MIDDLE[0]} m, tilted by "
            f"{math.degrees(table.tilt):.2f} degrees, scatter {1000 * table.scatter:.1f} mm, "
            f"{table.points} points" + (": CALIBRATE ANEW" if wrong else "")
        )
    except PerceptionError as error:
        lines.append(f"table: {error}")
    config = CloudConfig()
    try:
        matrix, pose = frame.intrinsics.matrix, found.camera_in_base
        inside = cloud.deproject(frame.depth, matrix, pose, config)
        chosen = cloud.sample(inside, config, np.random.default_rng(0), count)
        lines.append(f"workspace: {len(inside)} points, of which a policy gets {count}")
    except CloudError as error:
        chosen = np.zeros((0, 3), np.float32)
        lines.append(f"workspace: no cloud, {error}")
    return lines, chosen


def geometry(frame: Frame, found: Calibration, chosen: NDArray[np.float32]) -> Any:
    """All points in colour and the policy's in red, as Open3D draws and writes them."""
    o3d = open3d()
    points, colours = in_base(frame, found)
    red = np.tile([255, 0, 0], (len(chosen), 1))
    made = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(np.concatenate([points, chosen])))
    made.colors = o3d.utility.Vector3dVector(np.concatenate([colours, red]) / 255.0)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `ros2 run rfs_perception inspect_cloud`."""
    parser = argparse.ArgumentParser(
        prog="inspect_cloud", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", default="", help="as realsense_node's: empty, serial:, file: or emulated:"
    )
    parser.add_argument("--calibration", required=True, help="file that says where the camera stands")
    parser.add_argument("--look", type=int, default=5, help="which pair of images, from 1")
    parser.add_argument("--count", type=int, default=points_task.COUNT, help="points of a policy")
    parser.add_argument("--ply", type=Path, help="file for the points, .ply or .pcd")
    parser.add_argument("--show", action="store_true", help="open a window")
    arguments = parser.parse_args(argv)
    try:
        outputs.prepare(arguments.ply)
        found = calibration.load(arguments.calibration)
        frame, serial = look(arguments.source, arguments.look)
        calibration.require(found, arguments.calibration, serial, max_rms_position=math.inf)
        lines, chosen = report(frame, found, arguments.count)
        print("\n".join(lines))
        if arguments.ply is not None or arguments.show:
            made = geometry(frame, found, chosen)
            if arguments.ply is not None and not open3d().io.write_point_cloud(str(arguments.ply), made):
                raise PerceptionError(f"{arguments.ply} cannot be written; it must end in .ply or .pcd")
            if arguments.show:
                frame_axes = open3d().geometry.TriangleMesh.create_coordinate_frame(0.1)
                open3d().visualization.draw_geometries([made, frame_axes])
    except RfsError as error:
        print(f"inspect_cloud: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
