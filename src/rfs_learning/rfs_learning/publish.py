"""Ship a checkpoint: write what was measured into its header and put it where it is deployed from.

    ros2 run rfs_learning publish --checkpoint runs/base/checkpoints/step_008000.safetensors \
        --results normal.json zero.json --out checkpoints/grasp_base.safetensors

The results are files that `evaluate --json` wrote; those of another checkpoint are refused. The id stays the
same, because results do not change what a policy does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rfs_core.errors import RfsError
from rfs_learning import checkpoint


def read_result(path: Path, checkpoint_id: str) -> dict[str, Any]:
    """The figures of one evaluation, without its episodes.

    Raises:
        RfsError: not such a file, or measured on another checkpoint.
    """
    try:
        figures = json.loads(path.read_text())
        measured = figures["checkpoint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RfsError(f"{path}: is not a file that evaluate --json wrote ({error!r})") from error
    if measured != checkpoint_id:
        raise RfsError(f"{path}: was measured on {measured}, this checkpoint is {checkpoint_id}: evaluate it")
    # How long it took says something of the machine, and would make every publication another file.
    return {key: value for key, value in figures.items() if key not in ("per_episode", "wall_s")}


def publish(source: Path, results: Sequence[Path], out: Path) -> checkpoint.Checkpoint:
    """Copy `source` to `out` with the results in its header, named by the results' file names.

    What its trainer measured stays there.
    """
    made = checkpoint.load(source)
    measured = {path.stem: read_result(path, made.id) for path in results}
    kept = {**made.header.results, **measured}
    shipped = checkpoint.Checkpoint(dataclasses.replace(made.header, results=kept), made.tensors)
    checkpoint.save(out, shipped)
    return shipped


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_learning publish`."""
    parser = argparse.ArgumentParser(
        prog="publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="checkpoint to ship")
    parser.add_argument("--results", required=True, type=Path, nargs="+", help="files of evaluate --json")
    parser.add_argument("--out", required=True, type=Path, help="where it is deployed from")
    arguments = parser.parse_args(argv)
    try:
        shipped = publish(arguments.checkpoint, arguments.results, arguments.out)
    except RfsError as error:
        print(f"publish: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{arguments.out}: {shipped.id}")
    for name, figures in shipped.header.results.items():
        low, high = figures["interval_95"]
        rate, episodes = figures["success_rate"], figures["episodes"]
        print(f"  {name}: success {rate:.3f} ({low:.3f} - {high:.3f}) of {episodes}")


if __name__ == "__main__":
    main()
