"""Improves a policy in simulation, unattended: corrected episodes, offline training, the new checkpoint
loaded between episodes, success measured; round after round.

    ros2 launch rfs_bringup improve.launch.py rounds:=2
    ros2 launch rfs_bringup improve.launch.py task:=place rounds:=1 trainer_parameters:="steps:=5000"
    ros2 launch rfs_bringup improve.launch.py --show-args

At the end there is a table of success per round on the screen and in <run_dir>/improvement.json; bags,
trainings and measurements are beside it. Exit code 1 when a round could not be done.
"""

import time
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessExit
from launch_ros.actions import Node

from rfs_ros.launching import chosen_checkpoint, fail, included, number, refuse_unknown_arguments, text

ARGUMENTS = [
    DeclareLaunchArgument("rounds", default_value="2", description="How often to collect, train and load."),
    DeclareLaunchArgument(
        "task",
        default_value="grasp",
        choices=["grasp", "kit", "place", "stack"],
        description="What the robot shall do; tasks that the scripted human knows.",
    ),
    DeclareLaunchArgument(
        "checkpoint", default_value="", description="Policy to improve; as in deploy.launch.py."
    ),
    DeclareLaunchArgument(
        "observation",
        default_value="state",
        choices=["state", "points"],
        description="What the policy sees: object poses and contacts, or a camera's point cloud.",
    ),
    DeclareLaunchArgument(
        "episodes", default_value="50", description="Episodes with corrections in each round."
    ),
    DeclareLaunchArgument(
        "seed", default_value="0", description="Decides everything random in episodes and trainings."
    ),
    DeclareLaunchArgument(
        "trainer",
        default_value="td3bc_trainer",
        description="What trains on the bags: an executable of rfs_learning.",
    ),
    DeclareLaunchArgument(
        "trainer_parameters",
        default_value="",
        description="Further parameters of the trainer, separated by blanks, such as steps:=5000.",
    ),
    DeclareLaunchArgument(
        "evaluation_episodes",
        default_value="128",
        description="Episodes without corrections that success is measured on, others than those corrected.",
    ),
    DeclareLaunchArgument(
        "world", default_value="gap", choices=["training", "gap"], description="World of the simulation."
    ),
    DeclareLaunchArgument(
        "objects", default_value="seen", choices=["seen", "unseen"], description="Objects of the gap world."
    ),
    DeclareLaunchArgument(
        "run_dir", default_value="", description="Folder of everything; empty: runs/improve-<time> here."
    ),
    DeclareLaunchArgument(
        "params_file", default_value="", description="YAML with parameters of deploy.launch.py's nodes."
    ),
    DeclareLaunchArgument(
        "corrections_file", default_value="", description="YAML with parameters of correction_node."
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="What the nodes print.",
    ),
]


def generate_launch_description():
    """The arguments, then everything else once their values are known."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bring_up)])


def bring_up(context):
    """Check the arguments, start collecting on demand and the node that demands it."""
    given = context.launch_configurations
    refuse_unknown_arguments(given, ARGUMENTS, "improve.launch.py")
    rounds, episodes, evaluation_episodes = (
        number(given, name, int, 1) for name in ("rounds", "episodes", "evaluation_episodes")
    )
    seed = number(given, "seed", int)
    share = Path(get_package_share_directory("rfs_bringup"))
    points = given["observation"] == "points"
    checkpoint = chosen_checkpoint(given["checkpoint"], share / "checkpoints", given["task"], points)
    run_dir = Path(given["run_dir"] or time.strftime("runs/improve-%Y%m%d-%H%M%S")).absolute()
    improve = Node(
        package="rfs_control",
        executable="improve",
        name="improve",
        parameters=[
            {
                **{name: text(given[name]) for name in ("task", "trainer", "world", "objects")},
                "checkpoint": text(checkpoint),
                "run_dir": text(run_dir),
                "rounds": rounds,
                "episodes": episodes,
                "evaluation_episodes": evaluation_episodes,
                "seed": seed,
                **({"trainer_parameters": words} if (words := given["trainer_parameters"].split()) else {}),
            }
        ],
        arguments=["--ros-args", "--log-level", given["log_level"]],
        output="screen",
    )
    passed = (
        "task",
        "seed",
        "observation",
        "world",
        "objects",
        "params_file",
        "corrections_file",
        "log_level",
    )
    arguments = {name: given[name] for name in passed}
    arguments |= {
        "checkpoint": str(checkpoint),
        "episodes": "0",
        "run_dir": str(run_dir),
        "device": "scripted",
    }
    return [
        RegisterEventHandler(OnProcessExit(target_action=improve, on_exit=ended)),
        included(Path(__file__).with_name("collect_corrections.launch.py"), arguments),
        improve,
    ]


def ended(event, context):
    """The launch ends with the loop, and fails with it."""
    if context.is_shutdown:
        return []
    if event.returncode == 0:
        return [Shutdown(reason="all rounds are done")]
    return [fail(f"the loop was not finished (exit code {event.returncode}); improve says why, above")]
