"""Proves bags intact: a green or red line each, and what was lost.

    ros2 run rfs_data check_bag bags
    ros2 run rfs_data check_bag bags --json

A bag is green when its bytes are those that were written and every step of the episode is there; one whose
episode was not recorded to its end is red. What was recovered is judged by its steps. Exit code 0 when all
are green, 3 when one is red.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rfs_data.bag_reader import bags_in
from rfs_data.episode import Episode, read_episode
from rfs_data.errors import BagError, Reason
from rfs_data.recover import recovered_as

EXIT_LOSS = 3
_WIDTH = 140


@dataclass
class Finding:
    """What is known of one bag."""

    path: Path
    reason: str = ""
    """Name of a Reason; empty where the bag is whole."""
    sentence: str = ""
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Reason and sentence."""
    complete: bool = True
    """Recorded to the episode's end, or recovered."""
    outcome: str = ""
    decisions: int = 0
    steps: int = 0
    corrected: int = 0
    """Control steps in which a human corrected."""
    reward: float = 0.0
    checkpoint: str = ""
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Received, expected, lost and dropped messages of every topic."""

    @property
    def ok(self) -> bool:
        """Whole, and nothing that it should have is lost."""
        lost = any(reason == Reason.LOST_MESSAGES.value for reason, _ in self.warnings)
        return not self.reason and self.complete and not lost

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**self.__dict__, "path": str(self.path), "ok": self.ok}


def check(path: Path) -> Finding:
    """Look at one bag.

    A bag that was recovered is whole where its steps are; that it was recovered is among its warnings.
    """
    try:
        episode = read_episode(path)
    except BagError as error:
        return Finding(path, error.reason.value, str(error))
    return _good(path, episode)


def _good(path: Path, episode: Episode) -> Finding:
    return Finding(
        path,
        warnings=[(reason.value, sentence) for reason, sentence in episode.warnings],
        complete=bool(episode.header.get("complete")) or "recovered" in episode.header,
        outcome=episode.outcome,
        decisions=len(episode.a_b),
        steps=episode.steps,
        corrected=episode.corrected_steps,
        reward=float(episode.reward.sum()),
        checkpoint=str(episode.header.get("checkpoint", {}).get("id", "")),
        topics=episode.header.get("flows", {}),
    )


def report(findings: Sequence[Finding], console: Console) -> None:
    """The table, then a sentence for everything that is wrong."""
    table = Table(box=None, pad_edge=False)
    numbers = ("decisions", "steps", "corrected", "reward", "lost")
    for title in ("", "bag", "outcome", *numbers, "checkpoint"):
        table.add_column(title, no_wrap=True, justify="right" if title in numbers else "left")
    for finding in findings:
        lost = sum((flow["lost"] or 0) + flow["dropped"] for flow in finding.topics.values())
        counts = (str(finding.decisions), str(finding.steps), str(finding.corrected))
        row = (finding.outcome, *counts, f"{finding.reward:.2f}", str(lost), finding.checkpoint)
        if finding.reason:
            table.add_row("[red]LOSS[/]", finding.path.name, f"[red]{finding.reason}[/]")
        else:
            table.add_row("[green]ok[/]" if finding.ok else "[red]LOSS[/]", finding.path.name, *row)
    console.print(table)
    for finding in findings:
        if finding.sentence:
            console.print(f"[red]{finding.reason}[/]: {finding.sentence}", highlight=False)
        for reason, sentence in finding.warnings:
            console.print(f"[yellow]{finding.path.name}[/]: {reason}: {sentence}", highlight=False)
    good = sum(finding.ok for finding in findings)
    colour = "green" if good == len(findings) else "red"
    console.print(f"[{colour}]{good} of {len(findings)} bags are whole[/]", highlight=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_data check_bag`."""
    parser = argparse.ArgumentParser(
        prog="check_bag",
        description=__doc__.split("\n\n")[0],
        epilog="example: ros2 run rfs_data check_bag bags --json",
    )
    parser.add_argument("folder", type=Path, help="a bag, or a folder of bags")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON instead")
    arguments = parser.parse_args(argv)
    found = bags_in(arguments.folder)
    if not found:
        parser.error(f"{arguments.folder} holds no bag")
    # What was recovered speaks for what it was recovered from.
    paths = [path for path in found if not recovered_as(path).exists()]
    findings = [check(path) for path in paths]
    if arguments.json:
        print(json.dumps([finding.to_dict() for finding in findings], indent=2))
    else:
        report(findings, Console(width=None if sys.stdout.isatty() else _WIDTH))
    sys.exit(0 if all(finding.ok for finding in findings) else EXIT_LOSS)


if __name__ == "__main__":
    main()
