#!/usr/bin/env python3
"""Record a simulated episode as a RealSense would: rendered images through librealsense into a .db3.

    scripts/record_simulation.py --out runs/look       # look.db3, look.json (calibration), look.npz (arm)
    ros2 run rfs_perception replay_reward --recording runs/look.db3 --calibration runs/look.json \\
        --arm runs/look.npz --plot runs/reward.png

The images go into an emulated camera (rfs_drivers.emulated), out of the library's software device, and into
its recorder: the file is what a camera would have written. Depth has noise, as a sensor's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rfs_core import se3
from rfs_core.errors import RfsError
from rfs_drivers.emulated.camera_link import CameraFeed, CameraSpec
from rfs_perception import arm_file, calibration
from rfs_perception.camera import Camera as RealSense
from rfs_perception.camera import find
from rfs_perception.camera_config import CameraConfig
from rfs_sim.cloud import Camera, DepthSensor
from rfs_sim.render import ScenePainter, Snapshot, play, policy_actor
from rfs_sim.world import World

ROOT = Path(__file__).resolve().parent.parent
FPS = 20
"""One pair per control step."""
SERIAL = "SIMULATED001"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where to, without suffix")
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--episode", type=int, default=0)
    parser.add_argument(
        "--checkpoint", type=Path, default=ROOT / "checkpoints" / "grasp_rfs.safetensors", help="who plays"
    )
    parser.add_argument("--size", default="320x240", help="of the images, pixels")
    parser.add_argument("--noise", type=float, default=0.002, help="of the depth, m")
    parser.add_argument(
        "--slower", type=float, default=1.0, help="so much slower than real time is it recorded and played"
    )
    arguments = parser.parse_args()
    width, height = (int(n) for n in arguments.size.split("x"))
    world = World("grasp")
    world.reset(arguments.seed, arguments.episode)
    camera = Camera.of_model(world.model, "table_camera", width, height)
    sensor, painter = DepthSensor(camera), ScenePainter(width, height, camera=camera, samples=0)
    rng = np.random.default_rng(arguments.seed)
    (cx, cy), focal = camera.centre, camera.focal
    spec = CameraSpec(SERIAL, width, height, FPS, focal, focal, cx, cy)
    out: Path = arguments.out
    out.parent.mkdir(parents=True, exist_ok=True)
    pairs, stamps, positions = [], [], []
    for _ in play(world, policy_actor(arguments.checkpoint, arguments.seed, arguments.episode)):
        colour = painter.paint(Snapshot(world.model, world.qpos)).astype(np.int16)
        colour = np.clip(colour + rng.integers(-2, 3, colour.shape), 0, 255).astype(np.uint8)
        cast, _ = sensor.cast(world.model, world.data())
        depth = np.nan_to_num(cast + rng.normal(0.0, arguments.noise, cast.shape)) / spec.depth_unit
        pairs.append((colour, depth.round().astype("<u2")))
        stamps.append(len(pairs) * 1_000_000_000 // FPS)
        positions.append(world.state.arm_position[0].copy())
    read = 0
    # Only now, at the camera's own pace: a recording is played at the pace it was made.
    with tempfile.TemporaryDirectory() as folder, CameraFeed(Path(folder) / "camera", spec) as feed:
        config = CameraConfig(source=f"emulated:{feed.path}", record=str(out.with_suffix(".db3")))
        realsense = RealSense(find(config.source), config)
        for number, (colour, depth) in enumerate(pairs, start=1):
            time.sleep(arguments.slower / FPS)
            feed.send(number, number * 1000.0 / FPS, colour, depth)
            read += realsense.read(0.5) is not None
        while realsense.read(0.5) is not None:
            read += 1
        realsense.close()
    painter.close()
    arm_file.save(out.with_suffix(".npz"), np.array(stamps), np.array(positions))
    calibration.save(
        out.with_suffix(".json"),
        calibration.Calibration(
            camera_serial=SERIAL,
            position=tuple(camera.position.tolist()),
            quaternion_wxyz=tuple(se3.quat_from_matrix(camera.rotation[None])[0].tolist()),
            method="the simulator's own",
            date="2026-01-01T00:00:00+00:00",
            rms_position_m=0.0,
            rms_rotation_rad=0.0,
            rms_reprojection_px=0.0,
            poses=0,
            image_size=(width, height),
        ),
    )
    print(f"{out.with_suffix('.db3')}: {len(stamps)} pairs fed, {read} read and recorded")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RfsError as error:
        print(f"record_simulation: {error}", file=sys.stderr)
        sys.exit(1)
