"""How many updates a CPU-second has: offline RFS, its modes, and plain TD3+BC of the same networks without
a flow.

    ros2 run rfs_learning benchmark_offline --checkpoint checkpoints/grasp_base.safetensors

Data are made up: as many decisions as 50 episodes have, of the checkpoint's sizes; batch 256. What is timed
is CPU time of one thread, several rounds in turn, and the best round of each counts: what else runs on the
machine makes rounds slower, never faster. Plain TD3+BC has the same critics and an actor of the same size
that puts out the chunk itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from rfs_core.errors import RfsError
from rfs_data.offline import OfflineData, Source, rows_of_decisions
from rfs_learning import checkpoint
from rfs_learning.checkpoint import Checkpoint
from rfs_learning.container import write_atomic
from rfs_learning.critic import follow
from rfs_learning.evaluate import positive
from rfs_learning.memory import keep_freed_memory
from rfs_learning.networks import multi_layer_perceptron
from rfs_learning.offline import iql, td3bc
from rfs_learning.offline.iql import IqlConfig
from rfs_learning.offline.td3bc import Td3Bc, Td3BcConfig
from rfs_learning.offline.whole_flow import require_whole_flow
from rfs_learning.policy import Policy
from rfs_learning.steering import base_of


def made_up(base: Checkpoint, episodes: int = 50, decisions: int = 32, seed: int = 0) -> OfflineData:
    """Data of the sizes that 50 recorded episodes have; observations near those of the demonstrations."""
    rng, header = np.random.default_rng(seed), base.header
    spec, count = header.action_spec, episodes * decisions
    mean, std = (
        base.tensors[f"observation_normalizer.{name}"].numpy().astype(np.float32) for name in ("mean", "std")
    )
    own = (mean + std * rng.standard_normal((count + episodes, len(mean)))).astype(np.float32)
    rest = rng.standard_normal((len(own), header.observation_spec.size - own.shape[1])).astype(np.float32)
    seen = np.concatenate([own, rest], axis=1)
    at = rows_of_decisions(np.full(episodes, decisions))
    a_0 = rng.standard_normal((count, spec.horizon, spec.size)).astype(np.float32)
    a_b = Policy.from_checkpoint(base).act(seen[at], a_0).a_b.astype(np.float32)
    human = (0.01 * rng.standard_normal(a_b.shape)).astype(np.float32)
    last = np.zeros(count, bool)
    last[decisions - 1 :: decisions] = True
    shape = (count, spec.horizon)
    return OfflineData(
        task=header.task,
        action_spec=spec,
        observation_spec=header.observation_spec,
        seen=seen,
        at=at,
        a_0=a_0,
        a_b=a_b,
        executed=spec.clip(a_b + human).astype(np.float32),
        human=human,
        engaged=np.ones(shape, bool),
        mask=np.ones(shape, bool),
        own=np.ones(shape, bool),
        reward=rng.random(shape, np.float32),
        terminated=np.zeros(count, bool),
        truncated=last,
        episode_start=np.arange(episodes + 1) * decisions,
        used=tuple(Source(str(e), "", "", decisions, 0, 0, e % 2 == 0) for e in range(episodes)),
    )


class Plain:
    """TD3+BC as published: the actor puts out the action. Data, critics and optimiser are those of
    `Td3Bc`."""

    def __init__(self, twin: Td3Bc) -> None:
        self._twin = twin
        layout, config = twin.layout, twin.config
        inputs, chunk = twin.features.shape[1], layout.horizon * layout.action_size
        self._actor, self._target = (
            multi_layer_perceptron(inputs, config.actor_width, config.actor_layers, chunk) for _ in range(2)
        )
        groups = [
            {"params": list(twin.critic.parameters())},
            {"params": list(self._actor.parameters())},
        ]
        self._optimizer = torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
        self._updates = 0

    def update(self, generator: torch.Generator) -> None:
        """One update of the critics, every other time one of the actor."""
        twin, config, replay = self._twin, self._twin.config, self._twin.replay
        batch = replay.draw(config.batch_size, generator)
        at = batch.at
        o, o_next = twin.features[at], twin.features[at + 1]
        a = ((batch.a - replay.mean) / replay.std).flatten(1)
        with torch.no_grad():
            smoothing = (torch.randn(a.shape, generator=generator) * 0.2).clamp(-0.5, 0.5)
            q = twin.target_critic(torch.cat([o_next, self._target(o_next).tanh() + smoothing], dim=1)).amin(
                0
            )
            target = batch.reward + batch.discount * q
        loss = ((twin.critic(torch.cat([o, a], dim=1)) - target) ** 2).mean(1).sum()
        self._step(loss, list(twin.critic.parameters()))
        follow(twin.target_critic, twin.critic, config.tau)
        if self._updates % config.policy_delay == 0:
            ours = self._actor(o).tanh()
            q = twin.critic.first(torch.cat([o, ours], dim=1))
            loss = -2.5 / q.detach().abs().mean() * q.mean() + ((ours - a) ** 2).mean()
            self._step(loss, list(self._actor.parameters()))
            follow(self._target, self._actor, config.tau)
        self._updates += 1

    def _step(self, loss: torch.Tensor, parameters: list[torch.nn.Parameter]) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        self._optimizer.step()


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning benchmark_offline`."""
    parser = argparse.ArgumentParser(
        prog="benchmark_offline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="base policy whose sizes count")
    parser.add_argument("--updates", type=positive, default=40, help="updates of a round")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds; the best of each counts")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    keep_freed_memory()  # as in training
    try:
        loaded = checkpoint.load(arguments.checkpoint)
        require_whole_flow(loaded)
        base = base_of(loaded)
        data = made_up(base)
    except RfsError as error:
        print(f"benchmark_offline: {error}", file=sys.stderr)
        sys.exit(1)
    torch.manual_seed(0)
    learners: dict[str, Callable[[torch.Generator], object]] = {
        "plain TD3+BC, no flow": Plain(td3bc.make(Td3BcConfig(), data, base)).update,
        "offline RFS": td3bc.make(Td3BcConfig(), data, base).update,
        "residual only": td3bc.make(Td3BcConfig(modulation="residual"), data, base).update,
        "noise only": td3bc.make(Td3BcConfig(modulation="noise"), data, base).update,
        "IQL": iql.make(IqlConfig(), data, base).update,
    }
    best = dict.fromkeys(learners, 0.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(arguments.rounds):
        for name, update in learners.items():
            began = time.process_time()
            for _ in range(arguments.updates):
                update(generator)
            best[name] = max(best[name], arguments.updates / (time.process_time() - began))
    plain = best["plain TD3+BC, no flow"]
    table = Table(
        title=f"batch 256, {base.header.integrator}, {len(data.at)} decisions", title_justify="left"
    )
    for title in ("", "updates per CPU-second", "of plain"):
        table.add_column(title, justify="right" if title else "left")
    for name, rate in best.items():
        table.add_row(name, f"{rate:.0f}", f"{rate / plain:.2f}")
    Console().print(table)
    if arguments.json:
        figures = {"integrator": base.header.integrator.to_dict(), "updates_per_cpu_s": best}
        write_atomic(arguments.json, (json.dumps(figures, indent=1) + "\n").encode())
        print(f"written: {arguments.json}")


if __name__ == "__main__":
    main()
