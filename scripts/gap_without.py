"""What keeps a policy, and a human who corrects it, from succeeding in the gap world.

    python scripts/gap_without.py --checkpoint checkpoints/grasp_distilled.safetensors --episodes 128

Takes one difference of the gap world after the other away (its values become those of training) and plays the
same episodes again, alone and with the scripted human. It explains figures; it makes none: the gap world that
methods are measured in is the whole one, and cannot be chosen in parts anywhere else.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from rfs_learning.offline.collect import collect, make_corrector
from rfs_learning.policy import Policy
from rfs_learning.vec_env import make_env
from rfs_sim.gap import GAP

TRAINING: dict[str, dict[str, Any]] = {
    "nothing": {},
    "camera error": {"camera_offset": 0.0, "camera_turn": 0.0},
    "mass": {"object_mass": (0.05, 0.15)},
    "friction": {"object_friction": (0.8, 1.2)},
    "hand gain": {"hand_gain": (0.8, 1.2)},
    "mass, friction, hand gain": {
        "object_mass": (0.05, 0.15),
        "object_friction": (0.8, 1.2),
        "hand_gain": (0.8, 1.2),
    },
}
"""What is taken away, with the values of training."""


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="policy that acts")
    parser.add_argument("--episodes", type=int, default=128, help="episodes, side by side")
    parser.add_argument("--seed", type=int, default=77, help="seed of the episodes")
    parser.add_argument("--objects", default="seen", help="objects of the gap world: seen or unseen")
    arguments = parser.parse_args()
    policy = Policy.load(arguments.checkpoint)
    whole = {field.name: getattr(GAP, field.name) for field in dataclasses.fields(GAP)}
    print("| without | alone | corrected |\n|---|---|---|")
    for name, values in TRAINING.items():
        for key, value in (whole | values).items():
            # The one definition is frozen; here, and only here, it is taken apart.
            object.__setattr__(GAP, key, value)
        env = make_env(
            "mujoco",
            policy.header.task,
            arguments.episodes,
            autoreset=False,
            world="gap",
            objects=arguments.objects,
        )
        rates = [
            collect(
                policy, env, make_corrector(who), arguments.seed, np.arange(arguments.episodes)
            ).success.mean()
            for who in ("none", "scripted")
        ]
        print(f"| {name} | {rates[0]:.3f} | {rates[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
