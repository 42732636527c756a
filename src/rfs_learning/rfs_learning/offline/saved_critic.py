"""A trained critic on disk, beside the policy of its run: for looking at episodes, not for acting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, ObservationSpec, require_same
from rfs_learning import container
from rfs_learning.checkpoint import CheckpointHeader
from rfs_learning.critic import INPUTS, CriticEnsemble, critic_input
from rfs_learning.normalizer import Normalizer
from rfs_learning.offline.replay import Replay
from rfs_learning.steering import SteeringHead

FILE = "critic.safetensors"
_KIND = "offline_critic"
_FORMAT_VERSION = 2
"""1 had another normaliser than the critic was trained with, where training started at a head."""


def save(
    path: Path,
    critic: CriticEnsemble,
    what: str,
    timed: bool,
    gamma: float,
    replay: Replay,
    actor: SteeringHead,
) -> None:
    """Write a critic with all that is needed to ask it.

    Args:
        what: One of `rfs_learning.critic.INPUTS`.
        timed: Whether it sees the elapsed share of the longest episode.
        actor: Whose normalised observations it was trained on.
    """
    layout = replay.layout
    header = {
        "kind": _KIND,
        "format_version": _FORMAT_VERSION,
        "task": replay.task,
        "action_spec": replay.action_spec.to_dict(),
        "observation_spec": replay.observation_spec.to_dict(),
        "observation_clip": actor.architecture.observation_clip,
        "critic_input": what,
        "timed": timed,
        "gamma": gamma,
        "reward_scale": replay.reward_scale,
        "decisions": replay.longest,
        "horizon": layout.horizon,
    }
    tensors = {f"critic.{name}": value.clone() for name, value in critic.state_dict().items()}
    tensors |= {f"observation.{n}": v.clone() for n, v in actor.observation_normalizer.state_dict().items()}
    tensors |= {name: getattr(replay, name).clone() for name in ("mean", "std", "bound", "low", "high")}
    container.write(path, header, tensors)


class SavedCritic:
    """Q of a run, in units of the reward."""

    def __init__(self, path: Path) -> None:
        """Raises RfsError: not such a file, or damaged."""
        header, tensors = container.read(path)
        if header.get("kind") != _KIND or header.get("critic_input") not in INPUTS:
            raise RfsError(f"{path}: is {header.get('kind')!r}, needs {_KIND!r}: give RUN_DIR/{FILE}")
        if header.get("format_version") != _FORMAT_VERSION:
            raise RfsError(
                f"{path}: has format_version {header.get('format_version')}, this program reads "
                f"{_FORMAT_VERSION}: run its trainer again with resume:=true, which writes it anew"
            )
        self.path = path
        self.header: dict[str, Any] = header
        self._t = tensors
        weights = sorted((n for n in tensors if n.startswith("critic.weights.")), key=lambda n: int(n[15:]))
        first = tensors[weights[0]]
        self._critic = CriticEnsemble(first.shape[1], first.shape[2], len(weights) - 1, first.shape[0])
        prefix = "critic."
        self._critic.load_state_dict(
            {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        )
        self._normalizer = Normalizer(len(tensors["observation.mean"]))
        self._normalizer.load_state_dict({n: tensors[f"observation.{n}"] for n in ("mean", "std")})
        self.gamma = float(header["gamma"])
        """Discount per decision."""

    def require_fits(self, policy: CheckpointHeader) -> None:
        """Raises RfsError: the policy is of another task, or has other actions or observations."""
        if policy.task != self.header["task"]:
            raise RfsError(
                f"{self.path}: is of task {self.header['task']!r}, the policy of {policy.task!r}: give the "
                f"{FILE} of a run for that task"
            )
        hint = "Give the critic of a run with this policy's specs."
        for what, has, wanted in (
            ("action", ActionSpec.from_dict(self.header["action_spec"]), policy.action_spec),
            (
                "observation",
                ObservationSpec.from_dict(self.header["observation_spec"]),
                policy.observation_spec,
            ),
        ):
            require_same(has, wanted, f"{what} of {self.path} and the policy (other)", hint)

    @torch.no_grad()
    def q(
        self,
        features: NDArray[np.float32],
        a_b: NDArray[np.floating],
        a: NDArray[np.floating],
        elapsed: NDArray[np.floating],
    ) -> NDArray[np.float64]:
        """Least Q of the ensemble. Shape: (N, F), (N, H, A), (N, H, A), decisions made so far (N,) ->
        (N,)."""
        t, clip = self._t, float(self.header["observation_clip"])
        o = self._normalizer.normalize(torch.from_numpy(features)).clamp(-clip, clip)
        if self.header["timed"]:
            share = torch.from_numpy(np.asarray(elapsed, np.float32)) / float(self.header["decisions"])
            o = torch.cat([o, share[:, None]], dim=1)
        base = torch.from_numpy(np.asarray(a_b, np.float32)).clamp(t["low"], t["high"])
        executed = torch.from_numpy(np.asarray(a, np.float32))
        what = str(self.header["critic_input"])
        seen = critic_input(what, o, base, executed, t["mean"], t["std"], t["bound"])
        q: NDArray[np.float64] = self._critic(seen).amin(0).double().numpy() / self.header["reward_scale"]
        return q
