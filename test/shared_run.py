"""A short PPO run on an engine, in one process and shared by two: what both must have learned."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 900
"""For what takes half a minute on an idle machine."""


def assert_two_processes_learn_what_one_learns(engine: str, folder: Path, **environment: str) -> None:
    """One iteration of 8 environments by `torchrun --nproc-per-node 2` and by one process, on the CPU.

    Both play the same episodes and take the same step; only the order of sums differs.
    """
    settings = {
        "task": "grasp", "base_checkpoint": ROOT / "checkpoints/grasp_base.safetensors", "engine": engine,
        "modulation": "residual", "num_envs": 8, "budget": 512, "minibatch": 100_000, "actor_width": 32,
        "critic_width": 32, "evaluation_episodes": 8, "final_episodes": 0,
    }  # fmt: skip
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    rows = []
    for name, before in (("one", []), ("two", torchrun)):
        pairs = [f"{key}:={value}" for key, value in {**settings, "run_dir": folder / name}.items()]
        words = [*before, "rfs_learning.rl.train", *(word for pair in pairs for word in ("-p", pair))]
        done = subprocess.run(
            [sys.executable, "-m", *words],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        with (folder / name / "metrics.csv").open() as file:
            rows.append(list(csv.DictReader(file))[-1])
    one, two = rows
    assert int(float(one["step"])) == int(float(two["step"])) == 8 * 64
    for figure in ("train/reward", "ppo/value_loss", "ppo/surrogate_loss", "ppo/kl", "ppo/return_scale"):
        assert float(two[figure]) == pytest.approx(float(one[figure]), rel=1e-3, abs=1e-5), figure
    assert float(one["ppo/kl"]) > 1e-4, "something was learned"
