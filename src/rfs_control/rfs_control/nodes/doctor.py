"""Twenty checks before a robot is touched.

    ros2 run rfs_control doctor --robot-file fr3_leap --task grasp --calibration calibration.json
    ros2 run rfs_control doctor --robot-file fr3_leap --no-camera --json

Exit code 0 where no check failed, 1 otherwise. Warnings do not count; --strict makes them. Run it before the
drivers: an arm serves one client only, a servo bus one program.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from ament_index_python.resources import get_resources
from rich.console import Console
from rich.table import Table

from rfs_control.doctor import examine, exit_code
from rfs_control.doctor_facts import Finding, Verdict
from rfs_control.doctor_probes import Asked, gather

COLOURS = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.FAILED: "bold red",
    Verdict.SKIPPED: "dim",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="doctor", description="Twenty checks before a robot is touched.")
    p.add_argument("--robot-file", default="fr3_leap", help="name in config/robot, or a YAML file")
    p.add_argument("--task", default="grasp", help="task that shall be deployed")
    p.add_argument("--observation", default="state", choices=("state", "points"), help="what the policy sees")
    p.add_argument("--checkpoint", default="", help="checkpoint file; empty: the one shipped with the task")
    p.add_argument("--device", default="cpu", help="where the policy shall run: cpu, cuda, cuda:0")
    p.add_argument("--run-dir", type=Path, default=Path("runs"), help="where runs and bags are written")
    p.add_argument("--calibration", type=Path, default=None, help="calibration file of the camera")
    for part in ("arm", "hand", "camera"):
        p.add_argument(f"--no-{part}", action="store_true", help=f"leave the {part} out")
    p.add_argument("--strict", action="store_true", help="warnings count as failures")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return p


def shipped(folder: str, name: str) -> Path:
    """A file that was asked for by name, or by path."""
    try:
        share = Path(get_package_share_directory("rfs_bringup"))
    except PackageNotFoundError:
        return Path(name)
    found = share / folder / name
    return found if found.exists() else Path(name)


def checkpoint_of(task: str, asked: str, observation: str = "state") -> Path | None:
    """The checkpoint file that would be deployed."""
    if asked:
        return Path(asked)
    for kind in ("points",) if observation == "points" else ("rfs", "base"):
        path = shipped("checkpoints", f"{task}_{kind}.safetensors")
        if path.exists():
            return path
    return None


def code_of(findings: Sequence[Finding], strict: bool) -> int:
    """Exit code: 0 where no check failed, nor, if strict, warned."""
    warned = any(finding.verdict is Verdict.WARNING for finding in findings)
    return int(bool(exit_code(findings)) or (strict and warned))


def as_json(findings: Sequence[Finding], strict: bool) -> str:
    """For programs."""
    rows = [{**finding._asdict(), "verdict": finding.verdict.value} for finding in findings]
    counts = {verdict.value: sum(f.verdict is verdict for f in findings) for verdict in Verdict}
    return json.dumps({"checks": rows, "counts": counts, "exit_code": code_of(findings, strict)}, indent=2)


def table(findings: Sequence[Finding]) -> Table:
    """For people."""
    shown = Table(title="before the robot is touched", width=110)
    shown.add_column("check", style="bold", no_wrap=True)
    shown.add_column("", no_wrap=True)
    shown.add_column("found, and what to do")
    for finding in findings:
        colour = COLOURS[finding.verdict]
        advice = f"\n-> {finding.advice}" if finding.advice else ""
        shown.add_row(
            finding.name, f"[{colour}]{finding.verdict.value}[/]", _plain(f"{finding.found}{advice}")
        )
    return shown


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `ros2 run rfs_control doctor`."""
    arguments = parser().parse_args(argv)
    robot_file = arguments.robot_file
    if Path(robot_file).stem == "emulated":
        parser().error("an emulated robot needs no doctor; name the file of a robot: fr3_leap, fer_leap")
    if not robot_file.endswith((".yaml", ".yml")):
        robot_file = shipped("config/robot", f"{robot_file}.yaml")
    asked = Asked(
        robot_file=Path(robot_file),
        task=arguments.task,
        observation=arguments.observation,
        checkpoint=checkpoint_of(arguments.task, arguments.checkpoint, arguments.observation),
        device=arguments.device,
        run_dir=arguments.run_dir,
        calibration=arguments.calibration,
        parts=frozenset(p for p in ("arm", "hand", "camera") if not getattr(arguments, f"no_{p}")),
    )
    findings = examine(gather(asked, rmw_known=sorted(get_resources("rmw_typesupport"))))
    if arguments.json:
        print(as_json(findings, arguments.strict))
    else:
        Console(width=110).print(table(findings))
        failed = sum(finding.verdict is Verdict.FAILED for finding in findings)
        print(f"{failed} of {len(findings)} checks failed" if failed else "no check failed")
    return code_of(findings, arguments.strict)


if __name__ == "__main__":
    sys.exit(main())
