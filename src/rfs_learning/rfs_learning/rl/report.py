"""The report of a finished run, for people."""

from __future__ import annotations

import dataclasses
import math
import platform
from typing import Any

import torch

from rfs_learning.checkpoint import Checkpoint
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.steering import SteeringLayout

_SWITCHES = (
    "full: the policy; residual_off: a_r = 0; noise_off: its residual with a_0 ~ N(0, I); noise_zero: its "
    "residual with a_0 = 0; base_normal, base_zero: the base policy with a_0 ~ N(0, I) and a_0 = 0."
)


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What the report says of the run besides its curve."""

    best: Checkpoint
    parent: dict[str, Any]
    """The base policy: id and path."""
    layout: SteeringLayout
    step: int
    """Control steps trained for."""
    best_step: int
    """Control steps at the best evaluation."""
    cpu_s: float


def report(
    config: PpoTrainerConfig,
    command: str,
    facts: RunFacts,
    metrics: list[dict[str, float]],
    figures: dict[str, dict[str, Any]],
) -> str:
    """Markdown: what was run, the curve, and the best checkpoint with its parts switched off."""
    lines = [
        f"# {config.checkpoint_name}: {config.modulation} over {config.over}, task {config.task}",
        "",
        f"- Command: `{command}`",
        f"- Checkpoint: `best.safetensors`, id `{facts.best.id}`, from control step {facts.best_step}",
        f"- Base policy: `{facts.parent['path']}`, id `{facts.parent['id']}`",
        f"- {facts.step} control steps, {facts.cpu_s:.0f} CPU-s, {torch.get_num_threads()} thread(s), "
        f"Python {platform.python_version()}, torch {torch.__version__}",
        f"- Physics step {config.physics_dt:g} s, disturbance {config.disturbance:g}, seed {config.seed}",
        "",
        f"## Deterministic evaluation, {config.evaluation_episodes} episodes",
        "",
        "| control steps | CPU-s | success | training success | noise std | residual std | KL |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in metrics:
        if not math.isnan(row["evaluation/success"]):
            lines.append(
                f"| {row['step']:.0f} | {row['cpu_s']:.0f} | {row['evaluation/success']:.3f} "
                f"| {row['train/success']:.3f} | {row['ppo/noise_std']:.2f} | {row['ppo/residual_std']:.2f} "
                f"| {row['ppo/kl']:.3f} |"
            )
    if figures:
        lines += [
            "",
            "## The best checkpoint, on episodes that neither trained nor chose it",
            "",
            "| policy | episodes | success | 95 % interval | mean return |",
            "|---|---|---|---|---|",
        ]
        for name, f in figures.items():
            low, high = f["interval_95"]
            lines.append(
                f"| {name} | {f['episodes']} | {f['success_rate']:.3f} | {low:.3f} - {high:.3f} "
                f"| {f['mean_return']:.2f} |"
            )
        full = figures["full"]
        lines += [
            "",
            _SWITCHES,
            "",
            f"||a_0|| {full['a0_norm']:.2f}, 99 % below {full['a0_norm_p99']:.2f} (N(0, I): about "
            f"{math.sqrt(facts.layout.horizon * facts.layout.action_size):.2f}); residuals at "
            f"{100 * full['residual_share']:.1f} % of their bounds on average, "
            f"{100 * full['residual_saturated']:.2f} % saturated.",
        ]
    return "\n".join([*lines, ""])
