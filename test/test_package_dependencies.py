"""What a package imports of ROS 2 and of this workspace stands in its package.xml."""

from __future__ import annotations

import ast
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {path.parent.name: path for path in sorted((ROOT / "src").glob("*/package.xml"))}
OF_ROS = {
    "action_msgs",
    "ament_index_python",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosbag2_py",
    "rosgraph_msgs",
    "rosidl_runtime_py",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "trajectory_msgs",
    "visualization_msgs",
}


def imported(files: list[Path]) -> set[str]:
    """Top-level modules that are imported anywhere in files."""
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_ros_package_that_is_imported_is_declared(package: str) -> None:
    declared = {
        element.text for element in xml.parse(PACKAGES[package]).getroot() if element.tag.endswith("depend")
    }
    files = list((ROOT / "src" / package / package).rglob("*.py"))
    if package == "rfs_bringup":
        files += (ROOT / "launch").glob("*.py")
    used = imported(files) & (OF_ROS | PACKAGES.keys())
    assert sorted(used - {package} - declared) == []


def test_what_is_launched_is_built_with_the_launch_files() -> None:
    """`colcon build --packages-up-to rfs_bringup` is all that a deployment needs."""
    declared = {element.text for element in xml.parse(PACKAGES["rfs_bringup"]).getroot()}
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "launch").glob("*.py"))
    started = {package for package in PACKAGES if f'"{package}"' in text or f'"{package}.' in text}
    assert sorted(started - {"rfs_bringup"} - declared) == []
