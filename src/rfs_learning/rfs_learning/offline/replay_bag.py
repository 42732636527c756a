"""Play recorded episodes through a policy: what it would have done where something else was done.

    ros2 run rfs_learning replay_bag bags --checkpoint checkpoints/grasp_rfs.safetensors
    ros2 run rfs_learning replay_bag bags/ID --checkpoint runs/grasp_offline/checkpoints/policy.safetensors \
        --critic runs/grasp_offline/critic.safetensors --plot replay.png --json replay.json

At every decision the policy sees what was seen, with the recorded noise where it draws its own. Compared
are its action and what was executed; where a human was correcting, its change of the recorded base action
and the human's (cosine 1: the same direction; explained 1: the same change, 0: as good as none); and what
the command gate would have done with it. Nothing is simulated: after the first other action the recorded
states are not the policy's own, so this looks at decisions, not at success.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rfs_core.bounds import ResidualBounds
from rfs_core.control import StepLimits
from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec
from rfs_data.bag_reader import bags_in
from rfs_data.episode import Episode, read_episode
from rfs_data.errors import BagError
from rfs_learning.container import write_atomic
from rfs_learning.offline.saved_critic import SavedCritic
from rfs_learning.policy import Policy, PolicyOutput

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Replayed:
    """One episode through a policy. D decisions of H control steps."""

    name: str
    outcome: str
    error: Array
    """|policy - executed|, mean over the values of each part. Shape: (D, parts)."""
    parts: tuple[str, ...]
    corrected: NDArray[np.bool_]
    """Decisions in which a human corrected. Shape: (D,), like those below."""
    cosine: Array
    """Between the policy's and the executed change of the recorded base action; NaN where there is none."""
    explained: float
    """1 - |policy's change - executed change|^2 / |executed change|^2 over corrected decisions; NaN without
    any."""
    q_policy: Array
    """Of the policy's action; empty without a critic, like the two below."""
    q_executed: Array
    returns: Array
    """Discounted sum of the rewards that followed."""
    gate: dict[str, int]
    """Control steps in which the gate would have refused or changed the policy's action, by what it does."""

    def summary(self) -> dict[str, Any]:
        """As JSON has it."""
        known = self.cosine[np.isfinite(self.cosine)]
        return {
            "bag": self.name,
            "outcome": self.outcome,
            "decisions": len(self.error),
            "corrected": int(self.corrected.sum()),
            "error": {part: float(e) for part, e in zip(self.parts, self.error.mean(axis=0), strict=True)},
            "cosine": float(known.mean()) if len(known) else None,
            "explained": None if np.isnan(self.explained) else self.explained,
            "q_policy": float(self.q_policy.mean()) if len(self.q_policy) else None,
            "q_executed": float(self.q_executed.mean()) if len(self.q_executed) else None,
            "gate": self.gate,
        }


def replay(policy: Policy, episode: Episode, critic: SavedCritic | None = None) -> Replayed:
    """Play one episode through a policy."""
    spec, count = policy.header.action_spec, len(episode.a_b)
    features = policy.encode(episode.observation[:count])
    output = policy.act_on(features, episode.a_0)
    mask = episode.mask[..., None]
    slices = [spec.slice(name) for name in spec.names]
    difference = np.abs(output.a - episode.executed) * mask
    steps = episode.mask.sum(axis=1)
    error = np.stack([difference[..., part].mean(axis=2).sum(axis=1) / steps for part in slices], axis=1)
    corrected: NDArray[np.bool_] = np.asarray((episode.engaged & episode.mask).any(axis=1))
    cosine, explained = _agreement(output, episode, corrected, spec)
    q_policy = q_executed = returns = np.zeros(0)
    if critic is not None:
        elapsed = np.arange(count, dtype=np.float32)
        q_policy = critic.q(features, output.a_b, output.a, elapsed)
        executed = np.where(mask, episode.executed, episode.a)
        q_executed = critic.q(features, episode.a_b, executed, elapsed)
        returns = _returns(episode, critic.gamma)
    return Replayed(
        episode.path.name,
        episode.outcome,
        error,
        spec.names,
        corrected,
        cosine,
        explained,
        q_policy,
        q_executed,
        returns,
        _gate(output, episode, spec),
    )


def _agreement(
    output: PolicyOutput, episode: Episode, corrected: NDArray[np.bool_], spec: ActionSpec
) -> tuple[Array, float]:
    """Cosine per decision and explained share, both in bounds of the residual."""
    bound = ResidualBounds().vector(spec)
    recorded, mask = spec.clip(episode.a_b), episode.mask[..., None]
    ours = ((output.a - recorded) / bound * mask).reshape(len(mask), -1)
    theirs = ((episode.executed - recorded) / bound * mask).reshape(len(mask), -1)
    size = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(corrected & (size > 0), (ours * theirs).sum(axis=1) / size, np.nan)
    whole = float((theirs[corrected] ** 2).sum())
    left = float(((ours - theirs)[corrected] ** 2).sum())
    return cosine, 1.0 - left / whole if whole > 0 else float("nan")


def _returns(episode: Episode, gamma: float) -> Array:
    horizon = episode.mask.shape[1]
    reward = (episode.reward * episode.mask * gamma ** (np.arange(horizon) / horizon)).sum(axis=1)
    returns, ahead = np.zeros(len(reward)), 0.0
    for d in range(len(reward) - 1, -1, -1):
        returns[d] = ahead = reward[d] + gamma * ahead
    return returns


def _gate(output: PolicyOutput, episode: Episode, spec: ActionSpec) -> dict[str, int]:
    """What the gate would have done with the policy's steps that an episode had."""
    bound, mask = ResidualBounds().vector(spec), episode.mask
    base, residual = output.a_b, np.clip(output.a_r, -bound, bound)
    total = base + residual
    finite = np.isfinite(output.a_b).all(axis=-1) & np.isfinite(output.a_r).all(axis=-1)
    found = {
        "refused, not finite": ~finite,
        "residual clipped": (np.abs(output.a_r) > bound + 1e-9).any(axis=-1),
        "action clipped": (np.abs(spec.clip(total) - total) > 1e-9).any(axis=-1),
    }
    if "hand_target" in spec.names:
        # Against what was told the fingers before; of the first step there is nothing before.
        hand = spec.slice("hand_target")
        told = spec.clip(episode.executed)[..., hand].reshape(-1, hand.stop - hand.start)
        wanted = spec.clip(total)[..., hand].reshape(told.shape)
        far = np.abs(wanted[1:] - told[:-1]) > StepLimits().hand_rate + 1e-9
        slowed = np.concatenate([[False], far.any(axis=1)])
        found["fingers slowed"] = slowed.reshape(mask.shape)
    return {name: int((flag & mask).sum()) for name, flag in found.items()}


def plot(played: Sequence[Replayed], path: Path) -> None:
    """A picture of the first episodes: error, agreement, Q."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = played[:4]
    figure, axes = pyplot.subplots(3, len(shown), figsize=(4.5 * len(shown), 8), squeeze=False, sharex="col")
    for column, one in zip(axes.T, shown, strict=True):
        decisions = np.arange(len(one.error))
        for part, error in zip(one.parts, one.error.T, strict=True):
            column[0].plot(decisions, error, label=part)
        column[0].set_title(f"{one.name}\n{one.outcome}", fontsize=8)
        column[1].plot(decisions, one.cosine, ".", color="tab:purple")
        column[1].set_ylim(-1.05, 1.05)
        for axis in column:
            for d in np.flatnonzero(one.corrected):
                axis.axvspan(d - 0.5, d + 0.5, color="tab:orange", alpha=0.15, linewidth=0)
        if len(one.q_policy):
            column[2].plot(decisions, one.q_policy, label="Q of the policy's action")
            column[2].plot(decisions, one.q_executed, label="Q of what was executed")
            column[2].plot(decisions, one.returns, "k--", label="rewards that followed")
        else:
            column[2].text(0.5, 0.5, "no critic given", ha="center", transform=column[2].transAxes)
        column[2].set_xlabel("decision; shaded: a human corrects")
    for axis, name in zip(
        axes[:, 0], ("|policy - executed| (m, rad)", "cosine of changes", "value"), strict=True
    ):
        axis.set_ylabel(name)
    axes[0, 0].legend(fontsize=7)
    if len(shown[0].q_policy):
        axes[2, 0].legend(fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _print(played: Sequence[Replayed], left: Sequence[tuple[str, str, str]]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, pad_edge=False)
    parts = played[0].parts if played else ()
    columns = (
        "bag",
        "outcome",
        "decisions",
        "corrected",
        *parts,
        "cosine",
        "explained",
        "Q policy",
        "Q executed",
    )
    for title in columns:
        table.add_column(title, justify="left" if title in ("bag", "outcome") else "right")

    def number(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    for one in played:
        told = one.summary()
        table.add_row(
            one.name,
            one.outcome,
            str(told["decisions"]),
            str(told["corrected"]),
            *(number(told["error"][part], 4) for part in parts),
            number(told["cosine"]),
            number(told["explained"]),
            number(told["q_policy"], 2),
            number(told["q_executed"], 2),
        )
    console.print(table)
    totals: dict[str, int] = {}
    for one in played:
        for name, count in one.gate.items():
            totals[name] = totals.get(name, 0) + count
    console.print("the gate, in control steps: " + ", ".join(f"{n} {c}" for n, c in totals.items()))
    for name, reason, sentence in left:
        console.print(f"left: {name}: {reason}: {sentence}", highlight=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning replay_bag`."""
    parser = argparse.ArgumentParser(
        prog="replay_bag", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bags", type=Path, help="a bag, or a folder of bags")
    parser.add_argument("--checkpoint", required=True, type=Path, help="policy to play them through")
    parser.add_argument("--critic", type=Path, help="RUN_DIR/critic.safetensors of a trainer, for Q")
    parser.add_argument("--plot", type=Path, help="picture (.png) of the first four episodes")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args(argv)
    try:
        policy = Policy.load(arguments.checkpoint)
        critic = SavedCritic(arguments.critic) if arguments.critic else None
        if critic is not None:
            critic.require_fits(policy.header)
        played, left = [], []
        for path in bags_in(arguments.bags):
            try:
                episode = read_episode(
                    path, policy.header.action_spec, policy.header.observation_spec, shortest=1
                )
            except BagError as error:
                left.append((path.name, error.reason.value, str(error)))
                continue
            played.append(replay(policy, episode, critic))
        if not played:
            reasons = "".join(f"\n  {name}: {reason}: {sentence}" for name, reason, sentence in left)
            raise RfsError(f"{arguments.bags}: no bag that this policy can be played through{reasons}")
        _print(played, left)
        if arguments.plot:
            plot(played, arguments.plot)
            print(f"written: {arguments.plot}")
        if arguments.json:
            figures = {
                "checkpoint": policy.checkpoint_id,
                "episodes": [one.summary() for one in played],
                "left": [{"bag": n, "reason": r, "sentence": s} for n, r, s in left],
            }
            write_atomic(arguments.json, (json.dumps(figures, indent=1) + "\n").encode())
            print(f"written: {arguments.json}")
    except RfsError as error:
        print(f"replay_bag: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
