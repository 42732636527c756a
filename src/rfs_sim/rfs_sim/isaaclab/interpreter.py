"""Where the interpreter is that has Isaac Lab: in an environment of its own, apart from ROS."""

import importlib.util
import os
from pathlib import Path

from rfs_sim.seam import EngineError

VENV = ".venv-isaaclab"


def find() -> Path | None:
    """Its path; None where this interpreter has Isaac Lab.

    Looked for at the root of the workspace (RFS_ROOT, which `. ./activate` sets) and above this file.

    Raises:
        EngineError: it is nowhere.
    """
    if importlib.util.find_spec("isaaclab_newton") is not None:
        return None
    own = os.environ.get("RFS_ROOT")
    roots = [*([Path(own)] if own else []), *Path(__file__).resolve().parents]
    for root in roots:
        python = root / VENV / "bin" / "python"
        if python.is_file():
            return python
    raise EngineError(
        f"engine isaaclab needs an environment of its own, and there is no {VENV} at the root of the "
        f"workspace: make setup-isaaclab"
    )
