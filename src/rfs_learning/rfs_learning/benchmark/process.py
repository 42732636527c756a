"""How the process of a cell ends and what it leaves: files that are whole, and no orphans."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rfs_learning.benchmark.settings import BenchmarkError
from rfs_learning.container import write_atomic

_Returned = TypeVar("_Returned")

_parent = os.getppid()


def end_with_parent() -> None:
    """Leave when the process that started this one is gone: a killed matrix leaves nothing running."""
    if os.getppid() != _parent:
        print("who started this cell is gone; what is on disk is continued next time", file=sys.stderr)
        raise SystemExit(1)


def finish(work: Generator[None, None, _Returned]) -> _Returned:
    """Run a measurement to its end, as long as there is somebody to run it for."""
    while True:
        end_with_parent()
        try:
            next(work)
        except StopIteration as end:
            returned: _Returned = end.value
            return returned


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; others wait. The lock goes with its process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        told = False
        while True:
            end_with_parent()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    print(f"{path.parent}: another process is at it; waiting for its end", file=sys.stderr)
                told = True
                time.sleep(0.2)
        yield


def read_json(path: Path) -> dict[str, Any]:
    """A file that `write_json` wrote; {} where there is none.

    Raises:
        BenchmarkError: it is something else.
    """
    try:
        read = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path}: cannot be read ({error}); remove it, it will be made again") from error
    if not isinstance(read, dict):
        raise BenchmarkError(f"{path}: is not a JSON object; remove it, it will be made again")
    return read


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    write_atomic(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())
