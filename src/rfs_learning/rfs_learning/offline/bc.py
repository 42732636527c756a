"""Fine-tuning of the base policy by imitation of what was executed, alone or mixed with simulation data.

The flow is trained on (o, a) with Eq. 3 of the paper, a being the executed chunk: base action and corrections
together. With `simulation` a share of every batch comes from demonstrations in simulation (co-training). The
encoder of a point cloud stays as it is. The product is a base policy of its own.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rfs_core.config import param
from rfs_core.specs import require_same
from rfs_data.offline import OfflineData, OfflineDataError
from rfs_learning import datasets
from rfs_learning.checkpoint import Checkpoint
from rfs_learning.critic import follow
from rfs_learning.flow import FlowBase, flow_matching_loss
from rfs_learning.offline.config import OfflineConfig
from rfs_learning.policy import Policy
from rfs_learning.steering import base_of

_CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class BcConfig(OfflineConfig):
    """Fine-tuning by imitation."""

    episodes: str = param("successful", doc="Recorded episodes to imitate", choices=("all", "successful"))
    simulation: str = param("", doc="Demonstrations (.npz) to train on as well; empty: none")
    simulation_share: float = param(
        0.5, doc="Share of a batch that is from simulation, where there is any", low=0.0, high=0.99
    )
    learning_rate: float = param(3e-4, doc="Learning rate of AdamW", low=1e-7, high=1.0)
    weight_decay: float = param(1e-4, doc="Weight decay of AdamW", low=0.0)
    gradient_clip: float = param(1.0, doc="Largest norm of the gradient", low=0.0)
    ema_decay: float = param(0.995, doc="Decay per update of the averaged weights", low=0.0, high=0.99999)

    @property
    def method(self) -> str:
        """Short name of what is trained."""
        return "co_training" if self.simulation else "bc"


class Bc:
    """The flow, its average, and what they imitate."""

    def __init__(self, config: BcConfig, data: OfflineData, base: Checkpoint) -> None:
        """
        Raises:
            RfsError: nothing to imitate, or simulation data of other specs.
        """
        self.config = config
        self.flow = FlowBase.from_checkpoint(base_of(base))
        self._policy = Policy.from_checkpoint(base_of(base))
        self.velocity = copy.deepcopy(self.flow.velocity).requires_grad_(True).train()
        self.average = copy.deepcopy(self.flow.velocity).requires_grad_(False)
        rows = self._rows(data)
        self._real = (self._encode(data.seen[data.at[rows]]), self._normalized(data.executed[rows]))
        self._simulated = self._simulation(data) if config.simulation else None
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            self.velocity.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.updates = 0

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that changes, for the training state."""
        return {"velocity": self.velocity, "average": self.average}

    def update(self, generator: torch.Generator) -> dict[str, float]:
        """One gradient step."""
        s, a = self._draw(generator)
        a_0 = torch.randn(a.shape, generator=generator)
        t = torch.rand((len(a), 1), generator=generator)
        loss = flow_matching_loss(self.velocity, a, s, a_0, t)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.velocity.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        follow(self.average, self.velocity, 1 - self.config.ema_decay)
        self.updates += 1
        return {"loss": float(loss.detach()), "gradient": float(norm)}

    def checkpoint(self, base: Checkpoint, **header: Any) -> Checkpoint:
        """The averaged flow as a base policy."""
        base = base_of(base)
        tensors = dict(base.tensors)
        tensors |= {f"velocity.{name}": value.clone() for name, value in self.average.state_dict().items()}
        return Checkpoint(dataclasses.replace(base.header, **header), tensors)

    def save_critic(self, path: Path) -> None:
        """Imitation has none."""

    def facts(self) -> list[str]:
        """How much is imitated."""
        simulated = len(self._simulated[0]) if self._simulated is not None else 0
        return [
            f"imitated: {len(self._real[0])} recorded decisions ({self.config.episodes} episodes), "
            f"{simulated} of simulation, which are {self.config.simulation_share if simulated else 0:.0%} "
            f"of a batch"
        ]

    # --- data ---

    def _rows(self, data: OfflineData) -> np.ndarray[Any, Any]:
        """Decisions that were executed as a whole and as they were made, of the chosen episodes."""
        chosen = data.success if self.config.episodes == "successful" else np.ones(len(data.used), bool)
        keep = np.repeat(chosen, np.diff(data.episode_start)) & (data.mask & data.own).all(axis=1)
        if not keep.any():
            raise OfflineDataError(
                f"{len(data.used)} episodes, {int(data.success.sum())} successful: nothing to imitate; pass "
                f"episodes:=all, or record more"
            )
        return np.flatnonzero(keep)

    def _simulation(self, data: OfflineData) -> tuple[Tensor, Tensor]:
        demos = datasets.load(self.config.simulation)
        hint = "collect the simulation data for this robot and task"
        for what, has, needed in (
            ("action", demos.action_spec, data.action_spec),
            ("observation", demos.observation_spec, data.observation_spec),
        ):
            require_same(has, needed, f"{what} of {demos.path} and of the recorded episodes (other)", hint)
        starts = demos.window_starts(np.flatnonzero(demos.success))
        if not len(starts):
            raise OfflineDataError(f"{demos.path}: no successful demonstration to learn from")
        return self._encode(demos.observation[starts]), self._normalized(demos.chunks(starts))

    def _encode(self, observation: np.ndarray[Any, Any]) -> Tensor:
        blocks = [observation[i : i + _CHUNK] for i in range(0, len(observation), _CHUNK)]
        features = np.concatenate([self._policy.encode(block) for block in blocks])
        return self.flow.clip(torch.from_numpy(features))

    def _normalized(self, chunk: np.ndarray[Any, Any]) -> Tensor:
        return self.flow.action_normalizer.normalize(torch.from_numpy(chunk)).flatten(1)

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        count, drawn = self.config.batch_size, []
        simulated = round(count * self.config.simulation_share) if self._simulated is not None else 0
        for pool, share in ((self._real, count - simulated), (self._simulated, simulated)):
            if pool is not None and share:
                rows = torch.randint(len(pool[0]), (share,), generator=generator)
                drawn.append((pool[0][rows], pool[1][rows]))
        return torch.cat([s for s, _ in drawn]), torch.cat([a for _, a in drawn])


def make(config: BcConfig, data: OfflineData, base: Checkpoint) -> Bc:
    """The algorithm on a data set, for `rfs_learning.offline.runner`."""
    return Bc(config, data, base)
