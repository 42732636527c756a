#!/usr/bin/env python3
"""Write config/robot/emulated_camera.json: where the emulated robot's camera stands, from the model itself.

scripts/emulated_camera_calibration.py            # after a change of the model's camera
scripts/emulated_camera_calibration.py --check    # exit code 1 where the file is not current
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rfs_core import se3
from rfs_perception import calibration
from rfs_sim.emulated_config import EmulatedConfig
from rfs_sim.model import compile_model
from rfs_sim.nodes.camera_process import SERIAL, camera_of

FILE = Path(__file__).parent.parent / "config" / "robot" / "emulated_camera.json"
DATE = "2026-11-20T00:00:00+00:00"


def main() -> int:
    """Write or compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="only say whether the file is current")
    check = parser.parse_args().check
    camera = camera_of(compile_model(), EmulatedConfig())
    quaternion = se3.quat_from_matrix(camera.rotation[None])[0]
    current = calibration.Calibration(
        camera_serial=SERIAL,
        position=tuple(round(float(value), 9) for value in camera.position),
        quaternion_wxyz=tuple(round(float(value), 12) for value in quaternion),
        method="the simulator's own",
        date=DATE,
        rms_position_m=0.0,
        rms_rotation_rad=0.0,
        rms_reprojection_px=0.0,
        poses=0,
        image_size=(camera.width, camera.height),
    )
    if not check:
        calibration.save(FILE, current)
        return 0
    if FILE.exists() and replace(calibration.load(FILE), date=DATE) == current:
        return 0
    print(f"{FILE.name} is not current: run scripts/emulated_camera_calibration.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
