"""Imports point one way, and pure packages stay pure."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"

# Which of our packages and which third-party packages each package may import; `nodes/` may use ROS as well.
PURE = {
    "rfs_core": {"numpy", "fpsample", "array_api_compat"},
    "rfs_learning": {
        "numpy", "scipy", "torch", "safetensors", "tensorboard", "rich", "tqdm", "yaml", "rsl_rl",
        "tensordict", "matplotlib", "ray", "rfs_core", "rfs_data",
    },
    "rfs_sim": {
        "numpy", "scipy", "mujoco", "imageio", "imageio_ffmpeg", "PIL", "rich", "tqdm", "yaml", "OpenGL",
        "rfs_core",
    },
    "rfs_ros": {"numpy", "yaml", "launch", "launch_ros", "rfs_core"},
    "rfs_drivers": {
        "numpy", "yaml", "franky", "dynamixel_sdk", "serial", "pyspacemouse", "pyrealsense2",
        "rfs_core",
    },
    "rfs_perception": {
        "numpy", "scipy", "cv2", "pyrealsense2", "fpsample", "open3d", "PIL", "torch", "transformers", "sam2",
        "rfs_core",
    },
    "rfs_data": {"numpy", "rosbags", "mcap", "rich", "yaml", "lerobot", "rfs_core"},
    "rfs_control": {"numpy", "scipy", "rich", "yaml", "psutil", "rfs_core", "rfs_learning"},
}  # fmt: skip
ROS = {
    "rclpy", "rfs_ros", "rfs_msgs", "rcl_interfaces", "builtin_interfaces", "geometry_msgs", "sensor_msgs",
    "std_msgs", "std_srvs", "diagnostic_msgs", "lifecycle_msgs", "rosgraph_msgs", "ament_index_python",
}  # fmt: skip
# An engine in a folder of its own may import what it stands on.
ENGINES = {
    ("rfs_sim", "mjwarp"): {"torch", "warp", "mujoco_warp"},
    ("rfs_sim", "isaaclab"): {
        "torch", "warp", "gymnasium", "newton", "mujoco_usd_converter",
        "isaaclab", "isaaclab_newton", "isaaclab_rl",
    },
}  # fmt: skip
# The one package whose business ROS is.
ROS_EVERYWHERE = {"rfs_ros"}
# All that deployment may know of the learning package.
DEPLOYED = {
    "rfs_learning.policy",
    "rfs_learning.checkpoint",
    "rfs_learning.errors",
    "rfs_learning.statistics",
}

# A node of the simulator may put its world behind the emulated devices; nothing else of the drivers.
EMULATED = "rfs_drivers.emulated"


def imports(path: Path) -> list[str]:
    """Dotted names of every absolute import of a file, wherever it stands."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def files() -> list[Path]:
    return [path for package in PURE for path in sorted((SRC / package / package).rglob("*.py"))]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SRC)))
def test_module_imports_only_what_its_package_may(path: Path) -> None:
    package = path.relative_to(SRC).parts[0]
    allowed = PURE[package] | {package} | set(sys.stdlib_module_names)
    allowed |= ENGINES.get((package, path.parent.name), set())
    node = "nodes" in path.relative_to(SRC / package).parts
    if node or package in ROS_EVERYWHERE:
        allowed = allowed | ROS
    for name in imports(path):
        top = name.split(".")[0]
        if package == "rfs_sim" and node and name.startswith(f"{EMULATED}."):
            continue
        assert top in allowed, (
            f"{path.relative_to(SRC)} imports {name}; {package} may import {sorted(PURE[package])}"
        )
        if package == "rfs_control" and top == "rfs_learning":
            module = ".".join(name.split(".")[:2])
            assert module in DEPLOYED, f"{path.name} imports {name}; deployment may use {sorted(DEPLOYED)}"


def test_the_check_sees_imports_inside_functions(tmp_path: Path) -> None:
    sneaky = tmp_path / "sneaky.py"
    sneaky.write_text("def f():\n    import rclpy\n    from torch import nn\n")
    assert imports(sneaky) == ["rclpy", "torch.nn"]
