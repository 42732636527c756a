#!/usr/bin/env python3
"""Where deployments of a task that sets something down leave it, beside the goal.

    scripts/set_down_errors.py RUN [RUN ...]        # folders of deploy or collect_corrections

Of every run: successes, and mean and standard deviation of the object's last place beside its goal (mm, base
frame) over the episodes in which the hand has left it.
"""

import argparse
from pathlib import Path

import numpy as np

from rfs_sim import episode_log

LEFT_M = 0.12
"""The palm is farther than this from an object that is released: as in the tasks' success."""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    for run in parser.parse_args().runs:
        episodes = [episode_log.load(path) for path in sorted((run / "episodes").glob("*.npz"))]
        ended = [(h, a) for h, a in episodes if h["outcome"] in ("success", "failure")]
        left = [
            a["object_position"][-1] - a["goal_position"]
            for _, a in ended
            if np.linalg.norm(a["palm_position"][-1] - a["object_position"][-1]) > LEFT_M
        ]
        successes = sum(h["outcome"] == "success" for h, _ in ended)
        errors = 1e3 * np.array(left).reshape(-1, 3)[:, :2]
        mean, spread = (errors.mean(0), errors.std(0)) if len(errors) else (np.full(2, np.nan),) * 2
        print(
            f"{run}: {successes} of {len(ended)} succeed, {len(left)} left; "
            f"x {mean[0]:.1f} +- {spread[0]:.1f} mm, y {mean[1]:.1f} +- {spread[1]:.1f} mm"
        )


if __name__ == "__main__":
    main()
