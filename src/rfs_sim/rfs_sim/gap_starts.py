"""Makes the gap world's starts with an object in the hand: `python -m rfs_sim.gap_starts --seed 0`.

As `rfs_sim.held_starts` does for the training world, but in the gap world, with its masses, friction,
contacts and weak fingers: for the brick of the tasks, and for each unseen object.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core.scene import EpisodeStart, ObjectShape
from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp, held
from rfs_sim import gap, held_starts
from rfs_sim.mjcf import SceneConfig
from rfs_sim.worlds import CARRYING_NOSLIP, Worlds

KEEP = held_starts.Keep(upright=0.96, speed=0.005, slip=0.003, thumb=False)
"""Weak fingers on soft contacts hold less well; what they hold for two seconds will do."""
LARGEST = 128
"""States of one shape that are kept."""


def draw(seed: int, count: int, shape: ObjectShape) -> list[EpisodeStart]:
    """Starts with `shape` on the table."""
    starts = []
    world = gap.Gap("seen", dataclasses.replace(gap.GAP, object_friction=gap.GAP.held_friction))
    for i in range(count):
        start = grasp.draw_episode(episode_rng(seed, i, "held"), held_starts.PLACES)
        start = world.alter(start, episode_rng(seed, i, gap.STREAM), solid_object=False)
        position = start.object_position.copy()
        position[2] = shape.half_height
        starts.append(dataclasses.replace(start, shape=shape, object_position=position))
    return starts


def make(seed: int, count: int, shape: ObjectShape) -> tuple[dict[str, NDArray[np.generic]], dict[str, int]]:
    """The bank's arrays of one shape, and how many grasps were lost for which reason."""
    starts = draw(seed, count, shape)
    worlds = Worlds("grasp", count, scene=SceneConfig(noslip=CARRYING_NOSLIP), world="gap")
    rows, lost = held_starts.hold(worlds, starts, KEEP)
    rows = {name: values[:LARGEST] for name, values in rows.items()}
    return {**rows, "shape": np.full(len(rows["mass"]), shape.name)}, lost


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=384, help="grasps tried of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=gap.BANK, help="default: %(default)s")
    args = parser.parse_args()
    banks = []
    for shape in (held.BRICK, *gap.UNSEEN):
        rows, lost = make(args.seed, args.count, shape)
        print(f"{shape.name}: {len(rows['mass'])} of {args.count}; lost: {lost}")
        banks.append(rows)
    header = {
        "command": f"python -m rfs_sim.gap_starts --count {args.count} --seed {args.seed}",
        "versions": {"mujoco": mujoco.__version__, "numpy": np.__version__},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.concatenate([rows[name] for rows in banks]) for name in banks[0]}
    with args.out.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
