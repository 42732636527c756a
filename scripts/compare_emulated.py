#!/usr/bin/env python3
"""Play the same episodes in simulation and on the emulated robot, and print both success rates.

    scripts/compare_emulated.py --episodes 50
    scripts/compare_emulated.py --episodes 20 --task kit --real-time-factor 0.5 --seed 3

In simulation one node plays arm, hand and time in lock-step; on the emulated robot the driver nodes command
emulated devices through the vendors' client libraries. Faults of the drivers are recovered between episodes
and counted. Exit code 0 when the emulated robot's rate is at most --within below the simulation's, else 1.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rfs_learning.statistics import wilson_interval

RECOVERING = "/**/emulated_robot:\n  ros__parameters: {auto_recover: true}\n"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--task", default="grasp", help="task to play")
    made.add_argument("--checkpoint", default="", help="as in deploy.launch.py; default: the steered one")
    made.add_argument("--episodes", type=int, default=50, help="number of episodes, each")
    made.add_argument("--seed", type=int, default=0, help="seed of episodes and noise")
    made.add_argument("--real-time-factor", type=float, default=1.0, help="of the emulated robot, at most")
    made.add_argument("--within", type=float, default=0.10, help="allowed loss of success")
    made.add_argument("--run-dir", type=Path, help="folder of both runs; default: runs/emulated-<time>")
    return made


def deploy(
    robot: str, run_dir: Path, arguments: argparse.Namespace, *more: str
) -> tuple[dict[str, Any], str]:
    """Report and output of a deployment."""
    command = [
        "ros2", "launch", "rfs_bringup", "deploy.launch.py", f"robot:={robot}", f"run_dir:={run_dir}",
        f"task:={arguments.task}", f"episodes:={arguments.episodes}", f"seed:={arguments.seed}",
        *([f"checkpoint:={arguments.checkpoint}"] if arguments.checkpoint else []), *more,
    ]  # fmt: skip
    print("+ " + " ".join(command), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    (run_dir.parent / f"{robot}.log").write_text(done.stdout)
    report = run_dir / "report.json"
    if not report.exists():
        sys.exit(
            f"{done.stdout}\nthe deployment with robot:={robot} left no report (exit code {done.returncode})"
        )
    content: dict[str, Any] = json.loads(report.read_text())
    return content, done.stdout


def faults(output: str) -> dict[str, int]:
    """Faults that the drivers named, and how often."""
    found: dict[str, int] = {}
    for reason in re.findall(r"\[ERROR\].*?\[(?:franka|leap)_node\]: (.*)", output):
        found[reason] = found.get(reason, 0) + 1
    return found


def main() -> int:
    """Both deployments, one after the other."""
    arguments = parser().parse_args()
    run_dir = (arguments.run_dir or Path(time.strftime("runs/emulated-%Y%m%d-%H%M%S"))).absolute()
    run_dir.mkdir(parents=True, exist_ok=True)
    simulated, _ = deploy("sim", run_dir / "sim", arguments)
    with tempfile.TemporaryDirectory() as folder:
        params = Path(folder) / "recovering.yaml"
        params.write_text(RECOVERING)
        emulated, output = deploy(
            "emulated", run_dir / "emulated", arguments, f"params_file:={params}",
            f"real_time_factor:={arguments.real_time_factor}",
        )  # fmt: skip
    table = Table(title=f"{emulated['checkpoint_id']}, {arguments.task}, seed {arguments.seed}")
    for name in ("robot", "episodes", "success", "95 % interval", "gate holds", "real-time factor"):
        table.add_column(name)
    rates = {}
    for name, report in (("sim", simulated), ("emulated", emulated)):
        won, all_of = report["success"]["successes"], report["success"]["trials"]
        low, high = wilson_interval(won, all_of)
        rates[name] = won / all_of
        table.add_row(
            name, str(all_of), f"{rates[name]:.3f}", f"{low:.3f} to {high:.3f}",
            str(report["gate"]["holds"]), f"{report['real_time_factor']:.2f}",
        )  # fmt: skip
    Console(width=110).print(table)
    for reason, count in sorted(faults(output).items()):
        print(f"{count} x {reason}")
    loss = rates["sim"] - rates["emulated"]
    print(f"the emulated robot loses {loss:.3f} of {rates['sim']:.3f}; allowed: {arguments.within:g}")
    summary = {"sim": simulated["success"], "emulated": emulated["success"], "faults": faults(output)}
    (run_dir / "comparison.json").write_text(json.dumps(summary, indent=2) + "\n")
    complete = emulated["episodes_finished"] == arguments.episodes == simulated["episodes_finished"]
    return int(loss > arguments.within or not complete)


if __name__ == "__main__":
    sys.exit(main())
