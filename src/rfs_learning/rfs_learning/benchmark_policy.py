"""CPU time of one policy decision, from named observations to an action, on one thread.

    ros2 run rfs_learning benchmark_policy --checkpoint checkpoints/grasp_base.safetensors
    ros2 run rfs_learning benchmark_policy            # an untrained network of the usual size
    ros2 run rfs_learning benchmark_policy --points 1024    # the same on a cloud, with its encoder

It also says whether one decision is the same bit for bit in a batch of one and of many on this machine.
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
from rfs_core.robot import DEFAULT_ACTION_SPEC
from rfs_core.specs import ObservationSpec, Part
from rfs_core.tasks.points import observation_spec
from rfs_learning.checkpoint import CheckpointHeader
from rfs_learning.flow import Architecture, FlowBase
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture
from rfs_learning.point_encoder import PointsArchitecture
from rfs_learning.policy import Policy

_USUAL_OBSERVATION = ObservationSpec((Part("observation", (64,), "1", -1.0, 1.0),))


def untrained(integrator: Integrator, points: int = 0) -> Policy:
    """A policy of the usual size with random weights; it sees a cloud of `points`, if any."""
    action = DEFAULT_ACTION_SPEC
    chunk_size = action.horizon * action.size
    observation = _USUAL_OBSERVATION
    architecture: Architecture = MlpArchitecture(observation.size, chunk_size)
    if points:
        observation = observation_spec("grasp", points)
        architecture = PointsArchitecture.of(observation, {"chunk_size": chunk_size})
    torch.manual_seed(0)
    header = CheckpointHeader(
        kind="flow_base",
        name="untrained",
        task="none",
        action_spec=action,
        observation_spec=observation,
        architecture=architecture.to_dict(),
        integrator=integrator,
        seed=0,
        command="benchmark_policy",
        config={},
    )
    return Policy.from_checkpoint(FlowBase(architecture, integrator, action.horizon).to_checkpoint(header))


def tick_seconds(policy: Policy, ticks: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """CPU seconds of `ticks` decisions for one robot, each from parts to the clipped chunk."""
    rng = np.random.default_rng(0)
    observation_spec, action_spec = policy.header.observation_spec, policy.header.action_spec
    seconds = np.empty(ticks)
    for tick in range(-50, ticks):  # the first 50 warm caches and are not counted
        parts = {
            part.name: rng.standard_normal((1, *part.shape)).astype(np.float32)
            for part in observation_spec.parts
        }
        started = time.process_time()
        noise = rng.standard_normal((1, action_spec.horizon, action_spec.size)).astype(np.float32)
        policy.act(observation_spec.pack(parts), noise)
        if tick >= 0:
            seconds[tick] = time.process_time() - started
    return seconds


def largest_batch_difference(policy: Policy, rows: int = 64) -> float:
    """Largest difference of an action between a batch of `rows` and each row alone."""
    rng = np.random.default_rng(1)
    spec = policy.header.action_spec
    observation = rng.standard_normal((rows, policy.header.observation_spec.size)).astype(np.float32)
    noise = rng.standard_normal((rows, spec.horizon, spec.size)).astype(np.float32)
    together = policy.act(observation, noise).a_b
    alone = np.concatenate([policy.act(observation[i : i + 1], noise[i : i + 1]).a_b for i in range(rows)])
    return float(np.abs(together - alone).max())


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning benchmark_policy`."""
    parser = argparse.ArgumentParser(
        prog="benchmark_policy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, help="checkpoint to time; default: an untrained network")
    parser.add_argument(
        "--points", type=int, default=0, help="without a checkpoint: points of the cloud it sees; 0: none"
    )
    parser.add_argument("--ticks", type=int, default=3000, help="decisions to time")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        policy = (
            Policy.load(arguments.checkpoint)
            if arguments.checkpoint
            else untrained(Integrator(), arguments.points)
        )
    except RfsError as error:
        print(f"benchmark_policy: {error}", file=sys.stderr)
        sys.exit(1)
    milliseconds = tick_seconds(policy, max(arguments.ticks, 1)) * 1e3
    p50, p99 = np.percentile(milliseconds, [50, 99])
    print(f"{policy.checkpoint_id}: {policy.header.integrator}, {torch.get_num_threads()} thread, "
          f"{len(milliseconds)} ticks")  # fmt: skip
    print(f"CPU time per tick: p50 {p50:.3f} ms, p99 {p99:.3f} ms, max {milliseconds.max():.3f} ms")
    print(f"one row alone against a batch of 64: largest difference {largest_batch_difference(policy):.3g}")


if __name__ == "__main__":
    main()
