"""Find the noise that leads a base policy to given actions, and say how well it does.

    ros2 run rfs_learning invert_noise bags --checkpoint checkpoints/grasp_base.safetensors
    ros2 run rfs_learning invert_noise bags --checkpoint checkpoints/grasp_base.safetensors --method optimize

The actions are the recorded base actions of a folder of bags, or of a .npz of episodes. Where their noise was
recorded, it is compared. How it is done: `rfs_learning.inversion`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from rfs_core.errors import RfsError
from rfs_data.offline import open_data
from rfs_learning import checkpoint
from rfs_learning.container import write_atomic
from rfs_learning.evaluate import positive
from rfs_learning.flow import FlowBase
from rfs_learning.inversion import invert, optimize
from rfs_learning.offline.whole_flow import require_whole_flow
from rfs_learning.policy import Policy
from rfs_learning.steering import base_of


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning invert_noise`."""
    parser = argparse.ArgumentParser(
        prog="invert_noise", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a folder of bags, or a .npz of episodes")
    parser.add_argument("--checkpoint", required=True, type=Path, help="base policy")
    parser.add_argument("--method", choices=("invert", "optimize"), default="invert")
    parser.add_argument("--most", type=positive, default=10_000, help="decisions to look at")
    parser.add_argument("--out", type=Path, help="file (.safetensors) for a_0, re-push error and norm")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        loaded = checkpoint.load(arguments.checkpoint)
        require_whole_flow(loaded)
        base = base_of(loaded)
        header = base.header
        data = open_data(arguments.data, header.action_spec, header.observation_spec, header.task)
        rows = np.arange(min(len(data.at), arguments.most))
        features = torch.from_numpy(Policy.from_checkpoint(base).encode(data.seen[data.at[rows]]))
        a_b = torch.from_numpy(data.a_b[rows])
        began = time.process_time()
        found = (invert if arguments.method == "invert" else optimize)(
            FlowBase.from_checkpoint(base), features, a_b
        )
    except RfsError as error:
        print(f"invert_noise: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{found}; {time.process_time() - began:.1f} CPU-s")
    recorded = torch.from_numpy(data.a_0[rows]).flatten(1).double()
    apart = (found.a_0.flatten(1) - recorded).norm(dim=1)
    print(f"to the recorded noise: median {float(apart.median()):.2g}, largest {float(apart.max()):.2g}")
    if arguments.out:
        import safetensors.torch

        tensors = {"a_0": found.a_0.contiguous(), "repush_error": found.repush_error, "norm": found.norm}
        write_atomic(arguments.out, safetensors.torch.save(tensors))
        print(f"written: {arguments.out}")


if __name__ == "__main__":
    main()
