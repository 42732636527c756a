"""Whether Isaac Lab is here, in the versions that belong together; imports nothing of it."""

from rfs_sim.seam import require, require_versions

TESTED = {
    "isaaclab": "3.0.0",
    "newton": "1.6.1",
    "mujoco": "3.12.0",
    "mujoco-warp": "3.12.0",
    "warp-lang": "1.17.0",
    "mujoco-usd-converter": "0.6.1",
    "rsl-rl-lib": "5.5.1",
}
"""Versions that fit each other (constraints/isaaclab.txt)."""
INSTALL = "make setup-isaaclab, then use .venv-isaaclab/bin/python"


def check() -> None:
    """Nothing, where all is installed as tested.

    Raises:
        EngineError: one line with what is missing, or is and should be, and what to type.
    """
    modules = ("isaaclab", "isaaclab_newton", "newton", "mujoco_warp", "mujoco_usd_converter")
    require("isaaclab", modules, INSTALL)
    require_versions("isaaclab", TESTED, INSTALL)
