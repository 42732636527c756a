"""Which code made a figure: the commit, and the loaded files that differ from it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("rfs_core", "rfs_learning", "rfs_sim")


def revision() -> dict[str, Any]:
    """`commit`: of the checkout that the running code comes from, or the package's version outside of one.
    `changed`: files of this project that this process has loaded and that differ from the commit.
    """
    here = Path(__file__).resolve().parent
    commit = _git(here, "rev-parse", "HEAD").strip()
    top = _git(here, "rev-parse", "--show-toplevel").strip()
    if not commit or not top:
        return {"commit": f"rfs_learning {_version()}", "changed": []}
    loaded = sorted(_loaded(Path(top)))
    status = _git(Path(top), "status", "--porcelain", "--", *loaded) if loaded else ""
    return {"commit": commit, "changed": sorted(line[3:] for line in status.splitlines())}


def _loaded(top: Path) -> set[str]:
    """Source files of our packages in this process, relative to the checkout."""
    files = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file:
            continue
        path = Path(file).resolve()
        ours = name.split(".")[0] in _PACKAGES or (name == "__main__" and "rfs_learning" in path.parts)
        if ours and path.is_relative_to(top):
            files.add(str(path.relative_to(top)))
    return files


def _git(folder: Path, *arguments: str) -> str:
    """Output of git, "" where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _version() -> str:
    try:
        return version("rfs_learning")
    except PackageNotFoundError:
        return "unknown"
