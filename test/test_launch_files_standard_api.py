"""Launch files use nothing but the standard API of launch and launch_ros of ROS 2 Jazzy.

The allow-list was written from the documentation and sources of launch 3.4 and launch_ros 0.26, those of
Jazzy; it is the part of them that bringups commonly use.
"""

import ast
from pathlib import Path

import pytest

STANDARD = {
    "launch": {"LaunchDescription", "LaunchContext", "LaunchService"},
    "launch.actions": {
        "DeclareLaunchArgument",
        "EmitEvent",
        "ExecuteProcess",
        "GroupAction",
        "IncludeLaunchDescription",
        "LogInfo",
        "OpaqueFunction",
        "RegisterEventHandler",
        "SetEnvironmentVariable",
        "SetLaunchConfiguration",
        "Shutdown",
        "TimerAction",
    },
    "launch.conditions": {"IfCondition", "LaunchConfigurationEquals", "UnlessCondition"},
    "launch.event_handlers": {"OnProcessExit", "OnProcessStart", "OnShutdown"},
    "launch.events": {"Shutdown", "matches_action"},
    "launch.launch_description_sources": {"PythonLaunchDescriptionSource"},
    "launch.substitutions": {
        "Command",
        "EnvironmentVariable",
        "EqualsSubstitution",
        "FindExecutable",
        "IfElseSubstitution",
        "LaunchConfiguration",
        "PathJoinSubstitution",
        "PythonExpression",
        "TextSubstitution",
        "ThisLaunchFileDir",
    },
    "launch_ros.actions": {"LifecycleNode", "Node", "PushRosNamespace", "SetParameter"},
    "launch_ros.event_handlers": {"OnStateTransition"},
    "launch_ros.events.lifecycle": {"ChangeState"},
    "launch_ros.parameter_descriptions": {"ParameterFile", "ParameterValue"},
    "launch_ros.substitutions": {"FindPackageShare"},
    "lifecycle_msgs.msg": {"State", "Transition"},
    "ament_index_python.packages": {"get_package_share_directory", "get_package_prefix"},
    "rfs_ros.launching": {
        "NODES_OF_A_ROBOT",
        "chosen_checkpoint",
        "fail",
        "included",
        "number",
        "refuse_ignored_values",
        "refuse_unknown_arguments",
        "refuse_unknown_nodes",
        "robot_file",
        "room_for_images",
        "text",
        "value_in",
    },
}
"""What may be imported from where."""

OTHER_MODULES = {"os", "pathlib", "tempfile", "time", "yaml", "__future__", "collections", "typing"}
"""Whole modules that are there wherever launch is."""

KEYWORDS = {
    "DeclareLaunchArgument": {"default_value", "description", "choices", "condition"},
    "OpaqueFunction": {"function", "args", "kwargs", "condition"},
    "RegisterEventHandler": {"event_handler", "condition"},
    "OnProcessExit": {"target_action", "on_exit", "handle_once"},
    "OnProcessStart": {"target_action", "on_start", "handle_once"},
    "OnStateTransition": {
        "entities",
        "goal_state",
        "handle_once",
        "matcher",
        "start_state",
        "target_lifecycle_node",
        "transition",
    },
    "ChangeState": {"lifecycle_node_matcher", "transition_id"},
    "EmitEvent": {"event", "condition"},
    "TimerAction": {"actions", "cancel_on_shutdown", "condition", "period"},
    "Shutdown": {"reason", "condition"},
    "ParameterValue": {"value_type", "description"},
}
"""Keyword arguments of what launch files call."""

ROOT = Path(__file__).parent.parent
FILES = [*sorted((ROOT / "launch").glob("*.py")), ROOT / "src/rfs_ros/rfs_ros/launching.py"]
"""Launch files, and what they share."""


def problems(source: str) -> list[str]:
    """What a launch file uses beyond the standard API."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module in STANDARD:
                found += [f"{node.module}.{name}" for name in sorted(names - STANDARD[node.module])]
            elif (node.module or ".").split(".")[0] not in OTHER_MODULES:
                found.append(f"from {node.module}")
        elif isinstance(node, ast.Import):
            modules = {alias.name for alias in node.names}
            found += [f"import {name}" for name in sorted(modules) if name.split(".")[0] not in OTHER_MODULES]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEYWORDS:
            used = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
            found += [f"{node.func.id}({name}=)" for name in sorted(used - KEYWORDS[node.func.id])]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_uses_the_standard_api_only(path):
    assert problems(path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_argument_is_described(path):
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "DeclareLaunchArgument"
    ]
    for call in calls:
        description = [keyword.value for keyword in call.keywords if keyword.arg == "description"]
        assert description, f"{ast.unparse(call.args[0])} has no description"
        assert len(ast.literal_eval(description[0])) > 10


def test_there_is_a_launch_file_to_look_at():
    assert "deploy.launch.py" in [path.name for path in FILES]


def test_what_is_not_standard_is_found():
    source = (
        "import rclpy\n"
        "from launch.actions import Node, Shutdown\n"
        "from rfs_core import robot\n"
        "Shutdown(reason='x', code=1)\n"
    )
    assert problems(source) == [
        "import rclpy",
        "launch.actions.Node",
        "from rfs_core",
        "Shutdown(code=)",
    ]
