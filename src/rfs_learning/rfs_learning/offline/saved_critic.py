"""A trained critic on disk, beside the policy of its run: for looking at episodes, not for acting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rfs_core.errors import RfsError
from rfs_learning import container
from rfs_learning.critic import INPUTS, CriticEnsemble, critic_input
from rfs_learning.normalizer import Normalizer
from rfs_learning.offline.replay import Replay

FILE = "critic.safetensors"
_KIND = "offline_critic"
_CLIP = 5.0


def save(path: Path, critic: CriticEnsemble, what: str, timed: bool, gamma: float, replay: Replay) -> None:
    """Write a critic with all that is needed to ask it."""
    layout = replay.layout
    header = {
        "kind": _KIND,
        "format_version": 1,
        "critic_input": what,
        "timed": timed,
        "gamma": gamma,
        "reward_scale": replay.reward_scale,
        "decisions": replay.longest,
        "horizon": layout.horizon,
    }
    tensors = {f"critic.{name}": value.clone() for name, value in critic.state_dict().items()}
    tensors |= {f"observation.{n}": v.clone() for n, v in replay.observation_normalizer.state_dict().items()}
    tensors |= {name: getattr(replay, name).clone() for name in ("mean", "std", "bound", "low", "high")}
    container.write(path, header, tensors)


class SavedCritic:
    """Q of a run, in units of the reward."""

    def __init__(self, path: Path) -> None:
        """Raises RfsError: not such a file, or damaged."""
        header, tensors = container.read(path)
        if header.get("kind") != _KIND or header.get("critic_input") not in INPUTS:
            raise RfsError(f"{path}: is {header.get('kind')!r}, needs {_KIND!r}: give RUN_DIR/{FILE}")
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
        t = self._t
        o = self._normalizer.normalize(torch.from_numpy(features)).clamp(-_CLIP, _CLIP)
        if self.header["timed"]:
            share = torch.from_numpy(np.asarray(elapsed, np.float32)) / float(self.header["decisions"])
            o = torch.cat([o, share[:, None]], dim=1)
        base = torch.from_numpy(np.asarray(a_b, np.float32)).clamp(t["low"], t["high"])
        executed = torch.from_numpy(np.asarray(a, np.float32))
        what = str(self.header["critic_input"])
        seen = critic_input(what, o, base, executed, t["mean"], t["std"], t["bound"])
        q: NDArray[np.float64] = self._critic(seen).amin(0).double().numpy() / self.header["reward_scale"]
        return q
