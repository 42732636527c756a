"""One training run in several processes, as torchrun starts them: on several GPUs' hosts, or cores.

    torchrun --nproc-per-node 2 -m rfs_learning.nodes.ppo_trainer --ros-args -p task:=stack ...

Every process plays its share of the environments; what is learned from is the whole batch. All processes
draw the random numbers of all environments and use their own rows, so that together they collect the joint
data that one process would collect alone, and so that the state of process 0 is the state of all. With one
minibatch they also learn from it what one process would, up to rounding; with several each process shuffles
its own share, so that minibatches hold other decisions.
"""

from __future__ import annotations

import dataclasses
import os

import torch
from torch import Tensor
from torch import distributed as dist

from rfs_core.errors import RfsError


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among those of the run."""

    rank: int = 0
    """Number of this process."""
    world: int = 1
    """How many there are."""

    @classmethod
    def join(cls) -> Ranks:
        """Meet the others that torchrun has started; alone without torchrun.

        Raises:
            RfsError: its environment variables are incomplete.
        """
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world <= 1:
            return cls()
        missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
        if missing:
            raise RfsError(
                f"WORLD_SIZE is {world}, but {', '.join(missing)} not set: start with torchrun, or unset "
                f"WORLD_SIZE"
            )
        if not dist.is_initialized():
            dist.init_process_group("gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.world == 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """Rows of this process out of `total`.

        Raises:
            RfsError: they cannot be shared evenly.
        """
        if total % self.world:
            raise RfsError(
                f"num_envs is {total}, cannot be shared by {self.world} processes: choose a multiple of "
                f"{self.world}"
            )
        count = total // self.world
        return slice(self.rank * count, (self.rank + 1) * count)

    def randn(self, rows: int, *shape: int) -> Tensor:
        """This process's rows of N(0, I) for all; `rows` is the number of its own. Shape: (rows, *shape)"""
        if self.alone:
            return torch.randn(rows, *shape)
        return torch.randn(rows * self.world, *shape)[self.share(rows * self.world)]

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the processes, the same in all."""
        if self.alone:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def sums(self, values: dict[str, float]) -> dict[str, float]:
        """`sum` of named numbers."""
        total = self.sum(torch.tensor(list(values.values()), dtype=torch.float64, device="cpu"))
        return dict(zip(values, total.tolist(), strict=True))

    def of_first(self, values: list[float]) -> list[float]:
        """What process 0 says, in all."""
        if self.alone:
            return values
        told = torch.tensor(values, dtype=torch.float64, device="cpu")
        dist.broadcast(told, src=0)
        return list(told.tolist())

    def same_generator(self) -> None:
        """Go on with the random numbers of process 0, which may have drawn some to evaluate."""
        if self.alone:
            return
        state = torch.get_rng_state()
        dist.broadcast(state, src=0)
        torch.set_rng_state(state)

    def leave(self) -> None:
        """Part from the others."""
        if not self.alone and dist.is_initialized():
            dist.destroy_process_group()
