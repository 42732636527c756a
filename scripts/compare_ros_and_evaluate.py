#!/usr/bin/env python3
"""Play the same episodes with the ROS stack and with `evaluate`, and print whether they agree.

    scripts/compare_ros_and_evaluate.py --episodes 256
    scripts/compare_ros_and_evaluate.py --episodes 500 --checkpoint FILE --a0 zero --seed 7

Prints both success rates with their intervals, in how many episodes the outcome is the same, and what the ROS
stack missed. Exit code 0 when each rate lies within the other's interval, all episodes ran and no policy tick
was missed; 1 otherwise. Needs the project's environment: `. ./activate`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rfs_learning.statistics import wilson_interval


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--checkpoint", type=Path, help="policy to play; default: the one shipped for the task")
    made.add_argument("--task", default="grasp", help="task to play")
    made.add_argument("--episodes", type=int, default=256, help="number of episodes")
    made.add_argument("--seed", type=int, default=0, help="seed of episodes and noise")
    made.add_argument(
        "--a0", choices=("normal", "zero"), default="normal", help="a_0 drawn from N(0, I), or 0"
    )
    made.add_argument("--run-dir", type=Path, help="folder of both reports; default: runs/compare-<time>")
    return made


def run(command: list[str]) -> None:
    """Run a command with its output shown; end with its exit code where it fails."""
    print("+ " + " ".join(command), flush=True)
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        sys.exit(f"{command[0]} {command[1]} {command[3]} ended with exit code {code}; nothing to compare")


def compare(ros: dict[str, Any], vector: dict[str, Any]) -> tuple[Table, list[str]]:
    """The table, and everything that is not as it should be."""
    rows = {
        "ROS stack": (
            [row["outcome"] == "success" for row in ros["episodes"]],
            [row["total_reward"] for row in ros["episodes"]],
        ),
        "evaluate": (
            [row["success"] for row in vector["per_episode"]],
            [row["reward"] for row in vector["per_episode"]],
        ),
    }
    table = Table(title=f"{ros['checkpoint_id']}, {ros['task']}, a_0 {ros['a0']}, seed {ros['seed']}")
    for name in ("", "episodes", "success", "95 % interval", "mean return"):
        table.add_column(name)
    rates, problems = {}, []
    for name, (won, returns) in rows.items():
        low, high = wilson_interval(sum(won), len(won))
        rates[name] = (sum(won) / len(won), low, high)
        mean = sum(returns) / len(returns)
        table.add_row(name, str(len(won)), f"{rates[name][0]:.3f}", f"{low:.3f} to {high:.3f}", f"{mean:.3f}")
    (a, a_low, a_high), (b, b_low, b_high) = rates.values()
    if not (a_low <= b <= a_high and b_low <= a <= b_high):
        problems.append("the success rates do not agree within their intervals")
    if len(rows["ROS stack"][0]) != len(rows["evaluate"][0]) or ros["episodes_aborted"]:
        problems.append(f"the ROS stack did not finish all episodes: {ros['stopped'] or 'interrupted'}")
    if ros["policy"]["missed_ticks"] != 0:
        problems.append(f"missed policy ticks: {ros['policy']['missed_ticks']}")
    if ros["sim"]["lockstep_misses"] != 0:
        problems.append(f"control steps without an answer: {ros['sim']['lockstep_misses']}")
    return table, problems


def main() -> None:
    """Entry point."""
    arguments = parser().parse_args()
    folder = arguments.run_dir or Path(time.strftime("runs/compare-%Y%m%d-%H%M%S"))
    checkpoint = arguments.checkpoint or (
        Path(__file__).parent.parent / "checkpoints" / f"{arguments.task}_base.safetensors"
    )
    common = {
        "task": arguments.task,
        "episodes": arguments.episodes,
        "seed": arguments.seed,
        "a0": arguments.a0,
    }
    launch = [f"{name}:={value}" for name, value in common.items()]
    launch += [f"checkpoint:={checkpoint}", f"run_dir:={folder}"]
    run(["ros2", "launch", "rfs_bringup", "deploy.launch.py", *launch])
    options = [word for name, value in common.items() for word in (f"--{name}", str(value))]
    options += ["--checkpoint", str(checkpoint), "--json", str(folder / "evaluate.json")]
    run(["ros2", "run", "rfs_learning", "evaluate", *options])

    ros = json.loads((folder / "report.json").read_text())
    vector = json.loads((folder / "evaluate.json").read_text())
    table, problems = compare(ros, vector)
    console = Console(width=100)
    console.print(table)
    pairs = list(zip(ros["episodes"], vector["per_episode"], strict=False))
    same = sum((a["outcome"] == "success") == b["success"] for a, b in pairs)
    apart = max((abs(a["total_reward"] - b["reward"]) for a, b in pairs), default=0.0)
    policy = ros["policy"]
    console.print(
        f"same outcome in {same} of {len(pairs)} episodes, largest difference of a return {apart:.2g}\n"
        f"missed policy ticks: {policy['missed_ticks']} of {policy['decisions'] + policy['missed_ticks']}; "
        f"control steps without an answer: {ros['sim']['lockstep_misses']}\n"
        f"policy tick p50 / p99: CPU {policy['tick_cpu_ms_p50']:.2f} / {policy['tick_cpu_ms_p99']:.2f} ms\n"
        f"real-time factor {ros['real_time_factor']:.1f}, "
        f"{ros['wall_s_per_episode']['mean']:.2f} s on the wall per episode"
    )
    for problem in problems:
        console.print(f"NOT AS IT SHOULD BE: {problem}")
    if not problems:
        console.print("the ROS stack and evaluate agree")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
