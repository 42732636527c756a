"""What offline learning makes of 50 corrected episodes: every method, measured in the gap world.

    ros2 run rfs_learning offline_table --base checkpoints/grasp_distilled.safetensors --seeds 0 1 2 \
        --simulation runs/grasp_distilled/demos.npz --out results/offline/grasp

For every seed: episodes of the base policy in the gap world, corrected by the scripted human; every method
trained on them with its own defaults; and each measured on the same episodes of another seed, with seen and
unseen objects. Cells are files, so that an interrupted run goes on where it stopped; the table is made of
what is there. A cell, a run or data that were made otherwise than is asked for are refused.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rfs_core.errors import RfsError
from rfs_data import offline
from rfs_learning import camera_options
from rfs_learning.container import write_atomic
from rfs_learning.evaluate import evaluate, not_negative, positive, summarize
from rfs_learning.offline import bc, iql, td3bc
from rfs_learning.offline.collect import collect, make_corrector
from rfs_learning.offline.runner import OfflineRunner
from rfs_learning.policy import Policy
from rfs_learning.statistics import wilson_interval
from rfs_learning.vec_env import make_env

OBJECTS = ("seen", "unseen")
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "zero_shot": ("", {}),
    "bc": ("bc", {}),
    "co_training": ("bc", {"simulation": "SIMULATION"}),
    "residual": ("td3bc", {"modulation": "residual"}),
    "noise": ("td3bc", {"modulation": "noise"}),
    "rfs": ("td3bc", {"modulation": "both"}),
    "rfs_critic_residual": ("td3bc", {"critic_input": "residual"}),
    "rfs_critic_residual_and_base": ("td3bc", {"critic_input": "residual_and_base"}),
    "iql": ("iql", {}),
    "best_of_n": ("iql", {"extract": "best_of_n"}),
    "human": ("", {}),
}
"""Trainer and settings of every column; "human": the base policy with the scripted human beside it."""
_MAKERS: dict[str, tuple[Any, Any]] = {
    "td3bc": (td3bc.Td3BcConfig, td3bc.make),
    "iql": (iql.IqlConfig, iql.make),
    "bc": (bc.BcConfig, bc.make),
}
_RECORD_SEED, _EVALUATION_SEED = 1000, 5_000_003


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="offline_table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True, type=Path, help="base policy that is deployed and corrected")
    parser.add_argument("--out", required=True, type=Path, help="folder of results; made if it is missing")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/offline_table"), help="folder of data and runs"
    )
    parser.add_argument("--simulation", default="", help="demonstrations (.npz) for co-training")
    parser.add_argument(
        "--seeds", type=not_negative, nargs="+", default=[0, 1, 2], help="seeds of data and training"
    )
    parser.add_argument(
        "--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD"
    )
    parser.add_argument("--recorded", type=positive, default=50, help="episodes that are corrected")
    parser.add_argument("--episodes", type=positive, default=256, help="episodes of an evaluation")
    parser.add_argument(
        "--steps", type=not_negative, default=0, help="updates of every trainer; 0: its default"
    )
    parser.add_argument(
        "--evaluation-seed",
        type=not_negative,
        default=_EVALUATION_SEED,
        help="seed of the evaluation's episodes; another one, with other --seeds, to choose settings by",
    )
    parser.add_argument("--world", default="gap", help="world to record and measure in")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="settings, as JSON, of td3bc and iql where they have them; of one trainer: bc.NAME=VALUE",
    )
    return parser


def settings_for(trainer: str, given: Sequence[str]) -> dict[str, Any]:
    """What `--set` says to a trainer, by field.

    Raises:
        RfsError: not NAME=VALUE, a value that is not JSON, or a name that no trainer it is meant for has.
    """
    fields: dict[str, Any] = {}
    for one in given:
        said, _, value = one.partition("=")
        owner, _, name = said.rpartition(".")
        meant = [owner] if owner else ["td3bc", "iql"]
        if not any(known in _MAKERS and hasattr(_MAKERS[known][0], name) for known in meant):
            raise RfsError(f"--set {one}: {' and '.join(meant)} have no setting {name!r}")
        try:
            read = json.loads(value)
        except json.JSONDecodeError as error:
            raise RfsError(f"--set {one}: the value is not JSON ({error}); text needs quotes") from error
        if trainer in meant and hasattr(_MAKERS[trainer][0], name):
            fields[name] = read
    return fields


def made_with(cell: dict[str, Any]) -> dict[str, Any]:
    """What a cell's figures depend on: base policy, world, evaluation, and where it was trained data and
    settings.

    Cells of earlier versions hold a part of it; the rest is in their command.

    Raises:
        RfsError: neither in the cell nor in its command.
    """
    try:
        told = vars(_parser().parse_args(shlex.split(cell["command"])[4:])) if "world" not in cell else cell
    except SystemExit as error:
        raise RfsError(f"the command of the cell {cell['method']}_{cell['seed']} cannot be read") from error
    facts = {"base": cell["base"], "episodes": cell[OBJECTS[0]]["episodes"]}
    facts |= {name: told[name] for name in ("world", "evaluation_seed")}
    if METHODS[cell["method"]][0]:
        facts |= {"recorded": told["recorded"], **_flat(cell["settings"])}
    return facts


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {f"settings.{name}": value for name, value in settings.items()}


def _differences(was: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Sentences about what is not the same; a setting that is not given is the trainer's default."""
    return [
        f"{name} was {was.get(name, 'the default')!r}, is {wanted.get(name, 'the default')!r}"
        for name in sorted(set(was) | set(wanted))
        if was.get(name) != wanted.get(name)
    ]


class Table:
    """One table: cells on disk, made where they are missing."""

    def __init__(self, arguments: argparse.Namespace, command: str) -> None:
        """
        Raises:
            RfsError: the base policy cannot be used, or `out` holds cells of another table.
        """
        self.arguments, self.command = arguments, command
        self.base = Policy.load(arguments.base)
        self.task = self.base.header.task
        self._envs: dict[tuple[int, str], Any] = {}
        for path in sorted(self._cells.glob("*.json")):
            self._read(path)

    @property
    def _cells(self) -> Path:
        cells: Path = self.arguments.out / "cells"
        return cells

    def _read(self, path: Path) -> dict[str, Any]:
        """A cell that was made as is asked for. Raises RfsError for any other."""
        try:
            cell: dict[str, Any] = json.loads(path.read_text())
            was = made_with(cell)
        except (ValueError, LookupError, TypeError) as error:
            raise RfsError(f"{path}: is not a cell of this table ({error!r}): remove it") from error
        wanted = self._asked(cell["method"], cell["seed"])
        if not self.arguments.simulation:  # needed where something is trained on it, not to read what was
            was.pop("settings.simulation", None)
            wanted.pop("settings.simulation", None)
        differences = _differences(was, wanted)
        if differences:
            raise RfsError(
                f"{path}: was made otherwise than is asked for: {'; '.join(differences)}: pass the same, or "
                f"name another --out and --runs"
            )
        return cell

    def _asked(self, method: str, seed: int) -> dict[str, Any]:
        """`made_with` of a cell that is made now."""
        arguments = self.arguments
        facts = {
            "base": self.base.checkpoint_id,
            "episodes": arguments.episodes,
            "world": arguments.world,
            "evaluation_seed": arguments.evaluation_seed,
        }
        if METHODS[method][0]:
            facts |= {"recorded": arguments.recorded, **_flat(self._settings(method, seed))}
        return facts

    def _settings(self, method: str, seed: int) -> dict[str, Any]:
        """Fields of a method's trainer that are not its defaults."""
        trainer, settings = METHODS[method]
        fields = {**settings, "seed": seed}
        if "simulation" in fields:
            fields["simulation"] = self.arguments.simulation
        if self.arguments.steps:
            fields["steps"] = self.arguments.steps
        return fields | settings_for(trainer, self.arguments.set)

    def env(self, count: int, objects: str) -> Any:
        """Environments of the table's world."""
        if (count, objects) not in self._envs:
            training = self.arguments.world == "training"
            options: dict[str, Any] = {} if training else {"world": self.arguments.world}
            if objects != "seen":
                options["objects"] = objects
            options |= camera_options.plain(self.base.header.observation_spec)
            self._envs[count, objects] = make_env("mujoco", self.task, count, autoreset=False, **options)
        return self._envs[count, objects]

    def cell(self, method: str, seed: int) -> dict[str, Any]:
        """A method under one seed, trained and measured unless that is on disk."""
        path = self._cells / f"{method}_{seed}.json"
        if path.exists():
            return self._read(path)
        began = time.process_time()
        policy, figures = self._policy(method, seed)
        trained = time.process_time()
        cell: dict[str, Any] = {
            "command": self.command,
            "method": method,
            "seed": seed,
            "base": self.base.checkpoint_id,
            "checkpoint": policy.checkpoint_id,
            "world": self.arguments.world,
            "evaluation_seed": self.arguments.evaluation_seed,
            "recorded": self.arguments.recorded,
            "train_cpu_s": round(trained - began, 1),
            **figures,
        }
        for objects in OBJECTS:
            cell[objects] = self._measure(method, policy, objects)
        cell["evaluate_cpu_s"] = round(time.process_time() - trained, 1)
        write_atomic(path, (json.dumps(cell, indent=1) + "\n").encode())
        return cell

    def _measure(self, method: str, policy: Policy, objects: str) -> dict[str, Any]:
        count, evaluation_seed = self.arguments.episodes, self.arguments.evaluation_seed
        if method == "human":
            env = self.env(count, objects)
            data = collect(policy, env, make_corrector("scripted"), evaluation_seed, np.arange(count))
            won, names = data.success, [source.group for source in data.used]
            by_object = {
                name: float(np.mean([w for w, n in zip(won, names, strict=True) if n == name]))
                for name in sorted(set(names))
            }
            return {"successes": int(won.sum()), "episodes": count, "objects": by_object}
        played = evaluate(policy, self.env(count, objects), evaluation_seed, count)
        summary = summarize(played)
        return {
            "successes": summary["successes"],
            "episodes": count,
            "objects": {name: rate["success_rate"] for name, rate in summary["objects"].items()},
        }

    def _policy(self, method: str, seed: int) -> tuple[Policy, dict[str, Any]]:
        trainer, _ = METHODS[method]
        if not trainer:
            return self.base, {}
        config_type, make = _MAKERS[trainer]
        fields = self._settings(method, seed)
        if fields.get("simulation") == "":
            raise RfsError(f"{method} needs demonstrations: pass --simulation demos.npz")
        folder = self.arguments.runs / self.task / f"{method}_{seed}"
        begun = (folder / "training_state.safetensors").exists()
        if folder.exists() and not begun:
            shutil.rmtree(folder)  # interrupted before there was anything to go on from
        config = config_type(
            bags=str(self._data(seed)),
            checkpoint=str(self.arguments.base),
            run_dir=str(folder),
            resume=begun,
            **fields,
        )
        runner = OfflineRunner(config, make, self.command)
        try:
            if runner.step > config.steps:
                raise RfsError(
                    f"{folder}: has made {runner.step} updates already, asked for are {config.steps}: name "
                    f"another --runs"
                )
            path = runner.run()
        finally:
            runner.close()
        return Policy.load(path), {"settings": fields, "updates": runner.step, "update_cpu_s": runner.cpu_s}

    def _data(self, seed: int) -> Path:
        """Corrected episodes of the base policy.

        Raises:
            RfsError: what is there was made by another policy, in another world, or is of another number.
        """
        path: Path = self.arguments.runs / self.task / f"corrections_{seed}.npz"
        count = self.arguments.recorded
        if path.exists():
            used = offline.load(path).used
            was = {
                "base": ", ".join(sorted({source.checkpoint for source in used})),
                "recorded": len(used),
                "world": offline.read_header(path)["world"],
            }
            wanted = {"base": self.base.checkpoint_id, "recorded": count, "world": self.arguments.world}
            differences = _differences(was, wanted)
            if differences:
                raise RfsError(
                    f"{path}: holds other episodes than are asked for: {'; '.join(differences)}: name "
                    f"another --runs"
                )
        else:
            data = collect(
                self.base,
                self.env(count, "seen"),
                make_corrector("scripted"),
                _RECORD_SEED + seed,
                np.arange(count),
                checkpoint_id=self.base.checkpoint_id,
            )
            offline.save(data, path, {"command": self.command, "world": self.arguments.world})
            print(data.summary(), flush=True)
        return path

    def write(self) -> None:
        """Markdown and CSV of every cell that is there."""
        found = [self._read(path) for path in self._cells.glob("*.json")]
        cells = sorted(found, key=lambda cell: (list(METHODS).index(cell["method"]), cell["seed"]))
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["method", "seed", "objects", "successes", "episodes", "train_cpu_s"])
        for cell in cells:
            for objects in OBJECTS:
                figures = cell[objects]
                row = [cell["method"], cell["seed"], objects, figures["successes"], figures["episodes"]]
                writer.writerow([*row, cell["train_cpu_s"]])
        write_atomic(self.arguments.out / "table.csv", text.getvalue().encode())
        write_atomic(self.arguments.out / "table.md", self.markdown(cells).encode())

    def markdown(self, cells: Sequence[dict[str, Any]]) -> str:
        """The table, for people."""
        lines = [
            f"# Offline learning of {self.task} in the {self.arguments.world} world",
            "",
            f"{self.arguments.recorded} recorded episodes with the scripted human; {self.arguments.episodes} "
            f"evaluation episodes per seed and set of objects; base policy `{self.base.checkpoint_id}`.",
            "Mean over seeds, 95 % Wilson interval of all episodes together, then each seed.",
            "",
            f"    {self.command}",
            "",
            "| method | seen | unseen | seeds, seen | seeds, unseen | training CPU-s |",
            "|---|---|---|---|---|---|",
        ]
        for method in METHODS:
            rows = [cell for cell in cells if cell["method"] == method]
            if not rows:
                continue
            rates, each = [], []
            for objects in OBJECTS:
                won = sum(row[objects]["successes"] for row in rows)
                played = sum(row[objects]["episodes"] for row in rows)
                low, high = wilson_interval(won, played)
                rates.append(f"{won / played:.3f} ({low:.3f} - {high:.3f})")
                each.append(
                    ", ".join(f"{row[objects]['successes'] / row[objects]['episodes']:.3f}" for row in rows)
                )
            cpu = float(np.mean([row["train_cpu_s"] for row in rows]))
            lines.append(f"| {method} | {' | '.join(rates)} | {' | '.join(each)} | {cpu:.0f} |")
        return "\n".join([*lines, ""])


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning offline_table`."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(given)
    try:
        table = Table(arguments, shlex.join(["ros2", "run", "rfs_learning", "offline_table", *given]))
        for seed in arguments.seeds:
            for method in arguments.methods:
                cell = table.cell(method, seed)
                rates = ", ".join(f"{o} {cell[o]['successes'] / cell[o]['episodes']:.3f}" for o in OBJECTS)
                print(f"{method} seed {seed}: {rates}", flush=True)
                table.write()
    except RfsError as error:
        print(f"offline_table: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
