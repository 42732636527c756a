"""Pictures of the clouds that a policy sees while it plays an episode.

    ros2 run rfs_sim render_points --checkpoint checkpoints/grasp_points.safetensors --episode 0 \
        --out docs/images/grasp_points.png

A row for each camera: the table's, the one on the left, and the table's with a calibration that is off by
1 cm and 1 degree and 3 mm of noise. Height is colour; near points hide far ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rfs_core.cloud import CloudConfig
from rfs_core.errors import RfsError
from rfs_sim.point_camera import PointCamera, PointCameraConfig
from rfs_sim.render import contact_sheet, play, policy_actor
from rfs_sim.video import Picture
from rfs_sim.world import World

CAMERAS = {
    "table": PointCameraConfig(),
    "left": PointCameraConfig(viewpoints=("left",)),
    "table, 1 cm, 1 degree, 3 mm": PointCameraConfig(position_error=0.01, rotation_error=1.0, noise=0.003),
}
"""A row of pictures for each."""

_SEEN_FROM = np.array([0.75, -0.85, 0.55])
_CENTRE = np.array([0.58, 0.0, 0.18])
_HEIGHT_M = 0.55
"""What a picture is high, at its middle."""


def picture(points: NDArray[np.float32], words: str, size: tuple[int, int]) -> Picture:
    """A cloud from where a bystander stands, without perspective. Shape: (height, width, 3)"""
    width, height = size
    forward = -_SEEN_FROM / np.linalg.norm(_SEEN_FROM)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    axes = np.stack([right, -np.cross(right, forward), forward])
    seen = (points - _CENTRE) @ axes.T * (height / _HEIGHT_M)
    colour = np.clip(points[:, 2] / 0.45, 0.0, 1.0)[:, None]
    shades = (1 - colour) * (70, 110, 255) + colour * (255, 190, 60)
    image = Image.new("RGB", size, (18, 20, 26))
    draw = ImageDraw.Draw(image)
    for i in np.argsort(-seen[:, 2]).tolist():
        x, y = seen[i, 0] + width / 2, seen[i, 1] + height / 2
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=tuple(int(c) for c in shades[i]))
    draw.text((6, 4), words, fill=(235, 238, 242))
    return np.asarray(image)


def pictures(
    checkpoint: Path, task: str, seed: int, episode: int, columns: int, size: tuple[int, int]
) -> list[Picture]:
    """Row by row the clouds of `columns` moments of an episode that a checkpoint plays."""
    world, pipeline = World(task), CloudConfig()
    world.reset(seed, episode)
    cameras = {words: PointCamera(config, pipeline, seed, episode) for words, config in CAMERAS.items()}
    moments = np.linspace(0, world.max_episode_steps - 4, columns).astype(int).tolist()
    rows: dict[str, list[Picture]] = {words: [] for words in cameras}
    for _ in play(world, policy_actor(checkpoint, seed, episode)):
        if world.steps not in moments:
            continue
        for words, camera in cameras.items():
            cloud = camera.points(world.model, world.data(), world.steps)
            rows[words].append(picture(cloud, f"{words}, {world.steps * 0.05:.2f} s", size))
    world.close()
    return [made for row in rows.values() for made in row]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="render_points", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="the policy that plays")
    parser.add_argument("--task", default="grasp")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episode", type=int, default=0)
    parser.add_argument("--columns", type=int, default=4, help="moments of the episode")
    parser.add_argument("--out", type=Path, required=True, help="a .png")
    arguments = parser.parse_args(argv)
    try:
        made = pictures(
            arguments.checkpoint,
            arguments.task,
            arguments.seed,
            arguments.episode,
            arguments.columns,
            (300, 240),
        )
    except RfsError as error:
        print(f"render_points: {error}", file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(made, len(made) // len(CAMERAS))).save(arguments.out)
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
