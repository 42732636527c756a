"""Collects corrections: a deployment that is recorded, and a human, or a stand-in, who corrects it.

    ros2 launch rfs_bringup collect_corrections.launch.py                      # scripted, in the gap world
    ros2 launch rfs_bringup collect_corrections.launch.py device:=keyboard     # by hand, in real time
    ros2 launch rfs_bringup collect_corrections.launch.py device:=spacemouse robot:=real robot_file:=fr3_leap
    ros2 launch rfs_bringup collect_corrections.launch.py --show-args

Every episode becomes a bag in <run_dir>/bags, ready for td3bc_trainer. Keys of the terminal mark the running
episode: y success, n failure, x discard. The correction node says after each episode how many there are and
how many control steps were corrected.

It includes deploy.launch.py and takes most of its arguments, with other defaults; parameters of the
correction and the device node are in config/corrections.yaml.
"""

import os
import time
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit, OnShutdown
from launch_ros.actions import Node

from rfs_ros.launching import (
    chosen_checkpoint,
    fail,
    included,
    refuse_unknown_arguments,
    refuse_unknown_nodes,
    text,
)

NODES = ["correction_node", "spacemouse_node"]
SCRIPTED = ["grasp", "kit", "place", "stack"]

ARGUMENTS = [
    DeclareLaunchArgument(
        "device",
        default_value="scripted",
        choices=["scripted", "spacemouse", "keyboard"],
        description="Who corrects: a stand-in that sees the simulation's truth, late and noisy, or a person.",
    ),
    DeclareLaunchArgument(
        "corrections_file",
        default_value="",
        description="YAML with parameters of correction_node and spacemouse_node that replace the shipped.",
    ),
    DeclareLaunchArgument("task", default_value="grasp", description="What the robot shall do."),
    DeclareLaunchArgument(
        "checkpoint", default_value="", description="Policy to correct; as in deploy.launch.py."
    ),
    DeclareLaunchArgument("episodes", default_value="50", description="How many episodes; 0: by service."),
    DeclareLaunchArgument(
        "seed", default_value="0", description="Decides everything random in the episodes."
    ),
    DeclareLaunchArgument(
        "robot",
        default_value="sim",
        choices=["sim", "emulated", "real"],
        description="Which world is behind the topics; as in deploy.launch.py.",
    ),
    DeclareLaunchArgument(
        "robot_file",
        default_value="",
        description="Parameters of devices and drivers; as in deploy.launch.py.",
    ),
    DeclareLaunchArgument(
        "observation",
        default_value="state",
        choices=["state", "points"],
        description="What the policy sees; as in deploy.launch.py.",
    ),
    DeclareLaunchArgument(
        "world",
        default_value="",
        choices=["", "training", "gap"],
        description="World of the simulation; empty: gap, which differs from training as a robot does.",
    ),
    DeclareLaunchArgument(
        "objects", default_value="seen", choices=["seen", "unseen"], description="Objects of the gap world."
    ),
    DeclareLaunchArgument(
        "real_time_factor",
        default_value="",
        description="Robot seconds per second on the wall; empty: 1 for a person, 0 (as fast as it goes) for "
        "the scripted one.",
    ),
    DeclareLaunchArgument(
        "record_video",
        default_value="false",
        choices=["true", "false"],
        description="Write a video of the episodes into the run folder.",
    ),
    DeclareLaunchArgument(
        "run_dir",
        default_value="",
        description="Folder for bags, report and video; empty: runs/corrections-<time> here.",
    ),
    DeclareLaunchArgument(
        "params_file", default_value="", description="YAML with parameters of deploy.launch.py's nodes."
    ),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of all nodes, topics and services."
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="What the nodes print.",
    ),
]

OWN = ("device", "corrections_file")
"""Arguments that deploy.launch.py does not have."""


def generate_launch_description():
    """The arguments, then everything else once their values are known."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bring_up)])


def bring_up(context):
    """Check the arguments, include the deployment, start the device and its law."""
    given = dict(context.launch_configurations)
    refuse_unknown_arguments(given, ARGUMENTS, "collect_corrections.launch.py")
    person = given["device"] != "scripted"
    if not person and given["robot"] == "real":
        raise RuntimeError(
            "device:=scripted sees the simulation's truth, which there is not with robot:=real: "
            "choose device:=spacemouse or device:=keyboard"
        )
    if not person and given["task"] not in SCRIPTED:
        raise RuntimeError(
            f"device:=scripted does not know how to help with task:={given['task']}; it knows "
            f"{', '.join(SCRIPTED)}"
        )
    if given["corrections_file"]:
        refuse_unknown_nodes("corrections_file", given["corrections_file"], NODES)
    given["world"] = given["world"] or ("gap" if given["robot"] == "sim" else "training")
    hurried = not person or given["robot"] == "real"  # a robot has its own time
    given["real_time_factor"] = given["real_time_factor"] or ("0" if hurried else "1.0")
    given["run_dir"] = str(
        Path(given["run_dir"] or time.strftime("runs/corrections-%Y%m%d-%H%M%S")).absolute()
    )
    share = Path(get_package_share_directory("rfs_bringup"))
    files = [str(share / "config" / "corrections.yaml")]
    if given["corrections_file"]:
        files.append(given["corrections_file"])

    def node(package, name, parameters):
        return Node(
            package=package,
            executable=name,
            name=name,
            namespace=given["namespace"],
            parameters=[*files, {"use_sim_time": given["robot"] != "real", **parameters}],
            arguments=["--ros-args", "--log-level", given["log_level"], "--enclave", f"/rfs/{name}"],
            output="screen",
        )

    correction = node(
        "rfs_control",
        "correction_node",
        {
            **{name: text(given[name]) for name in ("device", "task")},
            # Where this launch was started in a terminal, that one's keys are taken.
            **({"terminal": text(os.ttyname(0))} if os.isatty(0) else {}),
        },
    )
    device = [node("rfs_drivers", "spacemouse_node", {})] if given["device"] == "spacemouse" else []
    return [
        *what_next(given, share),
        *(
            RegisterEventHandler(OnProcessExit(target_action=each, on_exit=ended))
            for each in [correction, *device]
        ),
        deployment(given),
        correction,
        *device,
    ]


def deployment(given):
    """deploy.launch.py, recorded, that waits for the correction node."""
    arguments = {name: value for name, value in given.items() if name not in OWN}
    arguments |= {"record": "true", "corrections": "true"}
    return included(Path(__file__).with_name("deploy.launch.py"), arguments)


def what_next(given, share):
    """At the end of a batch, the commands that use what was recorded."""
    if given["episodes"] == "0":  # whoever starts episodes one by one knows when it is the last
        return []
    points = given["observation"] == "points"
    checkpoint = chosen_checkpoint(given["checkpoint"], share / "checkpoints", given["task"], points)
    run = given["run_dir"]

    def say(event, context):
        if not Path(run, "bags").is_dir():
            return []
        return [
            LogInfo(
                msg=f"next: ros2 run rfs_data check_bag {run}/bags; then: "
                f"ros2 run rfs_learning td3bc_trainer --ros-args -p bags:={run}/bags "
                f"-p checkpoint:={checkpoint} -p run_dir:={run}/trained"
            )
        ]

    return [RegisterEventHandler(OnShutdown(on_shutdown=say))]


def ended(event, context):
    """Without the device or its law nothing can be corrected: the launch ends with exit code 1."""
    if context.is_shutdown:
        return []
    return [
        fail(f"{event.process_name} ended with exit code {event.returncode}: corrections are not possible")
    ]
