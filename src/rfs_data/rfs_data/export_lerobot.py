"""Recorded episodes as a LeRobotDataset v3, written by lerobot's own writer.

    ros2 run rfs_data export_lerobot bags --out lerobot_data --python ~/lerobot/bin/python

One frame is one decision of the policy (10 Hz): `observation.state`, `action` (the executed chunk), base
action, noise, the human's residual, reward, done and success. What cannot be used is left out and named.
lerobot needs a torch of its own; `--python` is the interpreter of an environment that has it. Images stay
in the bags.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rfs_core.errors import RfsError
from rfs_data import lerobot_writer
from rfs_data.offline import from_bags, save


def export(folder: Path, out: Path, repo_id: str, python: str) -> None:
    """Write a data set.

    Args:
        folder: Of bags.
        out: Folder to make.
        repo_id: Name of the data set, "user/name".
        python: Interpreter of the environment with lerobot.

    Raises:
        RfsError: nothing can be used, `out` is there already, or the writer failed.
    """
    if out.exists():
        raise RfsError(f"{out}: is there already; name another folder")
    data = from_bags(folder)
    print(data.summary())
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "episodes.npz"
        save(data, path, {})
        # Beside its place, so that a half-written one never has its name; whatever stands there is an
        # earlier one.
        partial = out.with_name(out.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            ended = subprocess.run(
                [python, lerobot_writer.__file__, str(path), str(partial), repo_id], check=False
            )
        except OSError as error:
            raise RfsError(f"{python}: cannot be run: {error}: pass --python of an environment") from error
    if ended.returncode:
        raise RfsError(f"lerobot's writer ended with {ended.returncode}; what it said stands above")
    partial.rename(out)
    print(f"written: {out}")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_data export_lerobot`."""
    parser = argparse.ArgumentParser(
        prog="export_lerobot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a bag, or a folder of bags")
    parser.add_argument("--out", required=True, type=Path, help="folder of the data set; made")
    parser.add_argument("--repo-id", default="local/rfs", help="name of the data set")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has lerobot")
    arguments = parser.parse_args(argv)
    try:
        export(arguments.folder, arguments.out, arguments.repo_id, arguments.python)
    except RfsError as error:
        print(f"export_lerobot: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
