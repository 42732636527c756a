"""CPU time of the cloud pipeline on depth images of the simulated table, on one thread.

    ros2 run rfs_sim benchmark_cloud
    ros2 run rfs_sim benchmark_cloud --size 640x480 --points 1024 --images 400

The images are those of a 640 x 480 camera, with noise of 3 mm and holes, of an arm that moves; what casts
them is not timed.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rfs_core import cloud
from rfs_core.cloud import CloudConfig
from rfs_core.errors import RfsError
from rfs_sim.cloud import Camera, DepthSensor
from rfs_sim.point_camera import VIEWPOINTS
from rfs_sim.world import World

_DIFFERENT = 12
"""Images that are made; they are used in turn."""
_HOLES = 0.05
"""Share of pixels without a depth."""


def images(
    width: int, height: int
) -> tuple[list[NDArray[np.uint16]], NDArray[np.float64], NDArray[np.float64]]:
    """Depth images in millimetres, the intrinsics and the camera's pose in the base frame."""
    position, target, fovy = VIEWPOINTS["table"]
    camera = Camera.looking_at(position, target, math.radians(fovy), width, height)
    sensor, world, rng = DepthSensor(camera), World("grasp"), np.random.default_rng(0)
    made = []
    for episode in range(_DIFFERENT):
        world.reset(0, episode)
        depth, _ = sensor.cast(world.model, world.data())
        depth += 0.003 * rng.standard_normal(depth.shape)
        depth[rng.random(depth.shape) < _HOLES] = np.nan
        made.append(np.nan_to_num(depth * 1000.0).astype(np.uint16))
    world.close()
    (cx, cy), f = camera.centre, camera.focal
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = camera.rotation, camera.position
    return made, np.array([[f, 0.0, cx], [0.0, f, cy], [0.0, 0.0, 1.0]]), pose


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="benchmark_cloud", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="640x480", help="width x height of the images, pixels")
    parser.add_argument("--points", type=int, default=1024, help="points of a cloud")
    parser.add_argument("--images", type=int, default=400, help="images to time")
    arguments = parser.parse_args(argv)
    try:
        width, height = (int(part) for part in arguments.size.split("x"))
        depths, intrinsics, pose = images(width, height)
        config, stages = CloudConfig(), []
        for i in range(-5, max(arguments.images, 1)):  # the first ones warm caches and are not counted
            rng, depth = np.random.default_rng(i % 1000), depths[i % len(depths)]
            began = time.process_time()
            seen = cloud.deproject(depth, intrinsics, pose, config)
            between = time.process_time()
            cloud.sample(seen, config, rng, arguments.points)
            if i >= 0:
                stages.append((between - began, time.process_time() - between, len(seen)))
    except (RfsError, ValueError) as error:
        print(f"benchmark_cloud: {error}", file=sys.stderr)
        return 1
    first, second, seen_count = np.array(stages).T
    total = (first + second) * 1e3
    print(f"{len(total)} images of {width} x {height}, {seen_count.mean():.0f} points in the workspace, "
          f"to {arguments.points} in the base frame")  # fmt: skip
    p50, p99 = np.percentile(total, (50, 99))
    print(f"CPU time: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {total.max():.2f} ms")
    print(f"of that deprojection and crop {np.median(first) * 1e3:.2f} ms, noise and sampling "
          f"{np.median(second) * 1e3:.2f} ms")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
