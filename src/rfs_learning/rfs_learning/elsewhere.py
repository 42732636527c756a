"""Engines that live in a Python environment of their own: who asks for one is taken there.

A package names that environment's interpreter by an entry point of the group `rfs.interpreters`, under the
engine's name: a function that returns its path, or None where this interpreter has the engine, and that
raises an RfsError with the command to type where there is none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

ENTRY_POINT_GROUP = "rfs.interpreters"

_OURS = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""Variables that would take this environment's packages along."""


def interpreter(engine: str) -> Path | None:
    """The interpreter that has the engine; None: this one.

    Raises:
        RfsError: the engine's environment is not there; one line with the command to type.
    """
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if engine not in found:
        return None
    find: Callable[[], Path | None] = found[engine].load()
    return find()


def go(engine: str, module: str, arguments: Sequence[str]) -> None:
    """Replace this process by `python -m module arguments` where the engine is; returns where that is here.

    Raises:
        RfsError: the engine's environment is not there.
    """
    python = interpreter(engine)
    if python is None:
        return
    sys.stdout.flush()
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    os.execve(python, [str(python), "-m", module, *arguments], environment)


def parameter(arguments: Sequence[str], name: str, default: str) -> str:
    """The value of `-p name:=value` among a node's arguments; the last one counts."""
    prefix = f"{name}:="
    given = [value.removeprefix(prefix) for value in arguments if value.startswith(prefix)]
    return given[-1] if given else default
