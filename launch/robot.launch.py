"""The robot without a policy: its drivers, and for robot:=emulated the devices they drive.

    ros2 launch rfs_bringup robot.launch.py robot:=emulated
    ros2 launch rfs_bringup robot.launch.py robot:=real robot_file:=fr3_leap

deploy.launch.py includes it. Nodes take their parameters from config/robot/<robot_file>.yaml, then from
`params_file`, then from arguments that are not empty. The launch ends with exit code 1 when one of the nodes
does.
"""

import os
import tempfile
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch_ros.actions import LifecycleNode, Node

from rfs_ros.launching import (
    NODES_OF_A_ROBOT,
    fail,
    number,
    refuse_ignored_values,
    refuse_unknown_arguments,
    refuse_unknown_nodes,
    robot_file,
    text,
)

ARGUMENTS = [
    DeclareLaunchArgument(
        "robot", default_value="emulated", choices=["emulated", "real"], description="What the drivers drive."
    ),
    DeclareLaunchArgument(
        "robot_file",
        default_value="",
        description="Robot: a name in config/robot, or a YAML file; empty: emulated for robot:=emulated.",
    ),
    DeclareLaunchArgument("task", default_value="", description="Task of the emulated world."),
    DeclareLaunchArgument("seed", default_value="", description="Seed of the emulated world."),
    DeclareLaunchArgument("run_dir", default_value="", description="Folder for trajectories and video."),
    DeclareLaunchArgument(
        "record_video",
        default_value="",
        choices=["", "true", "false"],
        description="Video of the emulated world.",
    ),
    DeclareLaunchArgument(
        "camera", default_value="", choices=["", "true", "false"], description="Images of the emulated world."
    ),
    DeclareLaunchArgument(
        "real_time_factor", default_value="", description="Of the emulated robot, at most."
    ),
    DeclareLaunchArgument(
        "camera_link", default_value="", description="Where the emulated robot's camera is plugged in."
    ),
    DeclareLaunchArgument("params_file", default_value="", description="YAML that replaces parameters."),
    DeclareLaunchArgument("namespace", default_value="", description="Of all nodes."),
    DeclareLaunchArgument("log_level", default_value="info", description="What the nodes print."),
]


def generate_launch_description():
    """The arguments, then everything else once their values are known."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bring_up)])


def bring_up(context):
    """Start devices and drivers."""
    given = context.launch_configurations
    refuse_unknown_arguments(given, ARGUMENTS, "robot.launch.py")
    emulated = given["robot"] == "emulated"
    share = Path(get_package_share_directory("rfs_bringup")) / "config" / "robot"
    files = [str(robot_file(given["robot"], given["robot_file"], share))]
    if given["params_file"]:
        refuse_unknown_nodes("params_file", given["params_file"], [*NODES_OF_A_ROBOT, "sim_node"])
        files.append(given["params_file"])
    refuse_ignored_values(files)

    place = unused_place(files) if emulated else {}

    def node(kind, package, name, *devices, **parameters):
        return kind(
            package=package,
            executable=name,
            name=name,
            namespace=given["namespace"],
            parameters=[
                *files,
                # After the files: where both an exact and a wildcard name fit a node, the block that came
                # first decides which of them counts.
                {
                    "use_sim_time": emulated,
                    **{device: text(place[device]) for device in devices if device in place},
                    **parameters,
                },
            ],
            arguments=["--ros-args", "--log-level", given["log_level"], "--enclave", f"/rfs/{name}"],
            output="screen",
        )

    nodes = [
        node(LifecycleNode, "rfs_drivers", "franka_node", "address"),
        node(LifecycleNode, "rfs_drivers", "leap_node", "port"),
    ]
    if emulated:
        own = {name: text(given[name]) for name in ("task", "run_dir", "camera_link") if given[name]}
        own |= {"seed": number(given, "seed", int)} if given["seed"] else {}
        own |= {name: given[name] == "true" for name in ("record_video", "camera") if given[name]}
        if given["real_time_factor"]:
            own["real_time_factor"] = number(given, "real_time_factor", float)
        own["use_sim_time"] = False  # it is the one that publishes /clock
        nodes.append(node(Node, "rfs_sim", "emulated_robot", "address", "port", **own))
    else:
        own = {"task": text(given["task"])} if given["task"] else {}
        nodes.append(node(Node, "rfs_control", "robot_operator", **own))
    return [
        *(RegisterEventHandler(OnProcessExit(target_action=each, on_exit=ended_too_early)) for each in nodes),
        *nodes,
    ]


def unused_place(files):
    """Address and port that no other emulated robot on this machine uses, but for what a file says."""
    pid = os.getpid() & 0x3FFF
    blocks = [block for file in files for block in yaml.safe_load(Path(file).read_text()).values()]
    said = {name for block in blocks for name in (block or {}).get("ros__parameters") or {}}
    unused = {
        "address": f"127.{128 + (pid >> 8)}.{pid & 0xFF}.2",
        "port": str(Path(tempfile.gettempdir()) / f"rfs_leap_hand_{os.getpid()}"),
    }
    return {name: value for name, value in unused.items() if name not in said}


def ended_too_early(event, context):
    """The end of a node is the end of the launch."""
    if context.is_shutdown:
        return []
    return [fail(f"{event.process_name} ended with exit code {event.returncode}")]
