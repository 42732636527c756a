"""Files that a command writes at its end: what cannot be written is said at its start."""

from __future__ import annotations

import os
from pathlib import Path

from rfs_perception.errors import PerceptionError


def prepare(*paths: Path | None) -> None:
    """Make the folders of the files; None is a file that nobody asked for.

    Raises:
        PerceptionError: one of them cannot be written.
    """
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise PerceptionError(f"{path} cannot be written: it is a folder; name a file in it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PerceptionError(f"{path} cannot be written: {error}; name another file") from error
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PerceptionError(f"{path} cannot be written: permission denied; name another file")
