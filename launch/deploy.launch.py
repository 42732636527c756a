"""Deploys a policy: world, command gate, policy and episode manager, until all episodes have run.

    ros2 launch rfs_bringup deploy.launch.py
    ros2 launch rfs_bringup deploy.launch.py episodes:=50 seed:=3 record_video:=true real_time_factor:=1.0
    ros2 launch rfs_bringup deploy.launch.py observation:=points
    ros2 launch rfs_bringup deploy.launch.py --show-args

At the end there is a table on the screen, and report.json, the episodes' trajectories and the video in the
run folder. Exit code 0 when all episodes ran or after Ctrl-C, 1 when the batch was stopped or could not
begin.

Nodes take their parameters from config/deploy.yaml, then from `params_file`, then from arguments that were
given another value than their default. An argument that is not declared here is an error, also when this
file is included: a parent with arguments of its own includes it in GroupAction(forwarding=False, ...).
"""

import os
import tempfile
import time
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events import matches_action
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from rfs_ros.launching import (
    chosen_checkpoint,
    fail,
    included,
    number,
    refuse_ignored_values,
    refuse_unknown_arguments,
    refuse_unknown_nodes,
    robot_file,
    room_for_images,
    text,
    value_in,
)

TASKS = ["grasp", "kit", "pick_place", "pinch", "place", "pour", "power", "push_grasp", "stack"]
NODES = ["sim_node", "gate_node", "policy_node", "episode_manager", "recorder_node", "realsense_node"]
ROBOT_NODES = ["emulated_robot", "franka_node", "leap_node", "robot_operator"]
"""Of robot.launch.py, where the robot is not simulated."""
WORLDS = {"emulated": "emulated_robot", "real": "robot_operator"}
"""Who begins episodes."""

# A policy that dies within an episode makes the gate hold and the episode manager report: that takes a while.
REPORT_TIMEOUT_S = 30.0

ARGUMENTS = [
    DeclareLaunchArgument(
        "task", default_value="grasp", choices=TASKS, description="What the robot shall do."
    ),
    DeclareLaunchArgument(
        "checkpoint",
        default_value="",
        description="Policy to deploy: a .safetensors file, or base or rfs for one shipped with the task; "
        "empty: rfs where the task has one, and with observation:=points the one that sees points.",
    ),
    DeclareLaunchArgument(
        "observation",
        default_value="state",
        choices=["state", "points"],
        description="What the policy sees: object poses and contacts, or a camera's point cloud.",
    ),
    DeclareLaunchArgument(
        "composition",
        default_value="process",
        choices=["process", "nodes"],
        description="With observation:=points: camera and policy in one process, where clouds change hands "
        "without a message, or each in its own.",
    ),
    DeclareLaunchArgument(
        "episodes", default_value="10", description="How many episodes; 0: none by itself."
    ),
    DeclareLaunchArgument(
        "seed", default_value="0", description="Decides everything random in the episodes."
    ),
    DeclareLaunchArgument(
        "a0",
        default_value="trained",
        choices=["trained", "normal", "zero"],
        description="Initial noise of the flow, where no head decides it: drawn from N(0, I), or 0; or what "
        "the checkpoint was trained with.",
    ),
    DeclareLaunchArgument(
        "robot",
        default_value="sim",
        choices=["sim", "emulated", "real"],
        description="Which world is behind the topics: one node that plays it; the drivers on emulated "
        "devices that move a simulated world; or the drivers on a robot.",
    ),
    DeclareLaunchArgument(
        "robot_file",
        default_value="",
        description="Parameters of devices and drivers: a name in config/robot, or a YAML file. A robot "
        "needs one: fr3_leap, fer_leap.",
    ),
    DeclareLaunchArgument(
        "world",
        default_value="training",
        choices=["training", "gap"],
        description="World of the simulation: as in training, or different from it as a robot is.",
    ),
    DeclareLaunchArgument(
        "objects",
        default_value="seen",
        choices=["seen", "unseen"],
        description="Objects of the gap world: those of the task, or five unseen ones.",
    ),
    DeclareLaunchArgument(
        "real_time_factor",
        default_value="0",
        description="Robot seconds per second on the wall; 0: as fast as the policy answers.",
    ),
    DeclareLaunchArgument(
        "physics_dt",
        default_value="",
        description="Step of the simulation's physics, s; empty: that of config/deploy.yaml. "
        "The benchmark measures at 0.005.",
    ),
    DeclareLaunchArgument(
        "record_video",
        default_value="false",
        choices=["true", "false"],
        description="Write a video of the episodes into the run folder.",
    ),
    DeclareLaunchArgument(
        "record",
        default_value="false",
        choices=["true", "false"],
        description="Record every episode as a bag, into the folder bags of the run folder.",
    ),
    DeclareLaunchArgument(
        "corrections",
        default_value="false",
        choices=["true", "false"],
        description="Wait for a correction node; collect_corrections.launch.py starts one.",
    ),
    DeclareLaunchArgument(
        "camera",
        default_value="false",
        choices=["true", "false"],
        description="Publish camera images and point clouds (the state policy needs none).",
    ),
    DeclareLaunchArgument(
        "run_dir",
        default_value="",
        description="Folder for report, trajectories and video; empty: runs/deploy-<time> here.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="YAML with parameters of nodes that replace those of config/deploy.yaml.",
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


ONLY_WITH = {
    "world": ("sim",),
    "objects": ("sim",),
    "physics_dt": ("sim",),
    "real_time_factor": ("sim", "emulated"),
    "record_video": ("sim", "emulated"),
    "camera": ("sim", "emulated"),
}
"""Arguments that mean something with some robots only."""


def generate_launch_description():
    """The arguments, then everything else once their values are known."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bring_up)])


def bring_up(context):
    """Check the arguments and start the nodes."""
    given = context.launch_configurations
    refuse_unknown_arguments(given, ARGUMENTS, "deploy.launch.py")
    simulated = given["robot"] == "sim"
    for name, where in ONLY_WITH.items():
        default = next(a.default_value[0].text for a in ARGUMENTS if a.name == name)
        if given[name] != default and given["robot"] not in where:
            raise RuntimeError(
                f"{name}:={given[name]} is of the simulation: needs robot:={' or robot:='.join(where)}"
            )
    physics_dt = number(given, "physics_dt", float) if given["physics_dt"] else None
    episodes = number(given, "episodes", int)
    seed = number(given, "seed", int)
    record = given["record"] == "true"
    real_time_factor = number(given, "real_time_factor", float)
    share = Path(get_package_share_directory("rfs_bringup"))
    points = given["observation"] == "points"
    one_process = points and given["composition"] == "process"
    checkpoint = chosen_checkpoint(given["checkpoint"], share / "checkpoints", given["task"], points)
    run_dir = Path(given["run_dir"] or time.strftime("runs/deploy-%Y%m%d-%H%M%S")).absolute()
    params_files = [str(share / "config" / "deploy.yaml")]
    robots = share / "config" / "robot"
    if not simulated:
        params_files.append(str(robot_file(given["robot"], given["robot_file"], robots)))
    if given["params_file"]:
        refuse_unknown_nodes("params_file", given["params_file"], [*NODES, *ROBOT_NODES])
        params_files.append(given["params_file"])
    refuse_ignored_values(params_files)

    def asked(**values):
        """Parameters from arguments that do not have their default value."""
        defaults = {argument.name: argument.default_value[0].text for argument in ARGUMENTS}
        return {name: value for name, value in values.items() if given[name] != defaults[name]}

    def node(kind, package, name, parameters, **options):
        return kind(
            package=package,
            executable=name,
            name=name,
            namespace=given["namespace"],
            parameters=[*params_files, {"use_sim_time": given["robot"] != "real", **parameters}],
            arguments=["--ros-args", "--log-level", given["log_level"], "--enclave", f"/rfs/{name}"],
            output="screen",
            **options,
        )

    task = asked(task=text(given["task"]))
    tick_source = "state" if simulated else "timer"
    sim_parameters = {
        "use_sim_time": False,  # it is the one that publishes /clock
        "run_dir": text(run_dir),
        **task,
        **asked(
            seed=seed,
            world=text(given["world"]),
            objects=text(given["objects"]),
            real_time_factor=real_time_factor,
            physics_dt=physics_dt,
            record_video=given["record_video"] == "true",
            camera=given["camera"] == "true",
        ),
        **({"points": True} if points or given["camera"] == "true" else {}),
    }
    policy_parameters = {
        "tick_source": tick_source,
        "checkpoint": text(checkpoint),
        **task,
        **asked(a0=text(given["a0"]), observation=text(given["observation"])),
    }
    # The one that makes clouds: the world itself, or the camera's driver.
    plugged = emulated_camera(share) if points and given["robot"] == "emulated" else {}
    calibration = plugged.get("calibration")
    if points and given["robot"] == "real":
        calibration = value_in(params_files, "realsense_node", "calibration")
    eye = {"sim_node": sim_parameters} if simulated else {"realsense_node": {"autostart": True, **plugged}}
    sim = node(Node, "rfs_sim", "sim_node", sim_parameters) if simulated and not one_process else None
    camera = None
    if points and not simulated and not one_process:
        camera = node(Node, "rfs_perception", "realsense_node", eye["realsense_node"])
    gate = node(Node, "rfs_control", "gate_node", {"tick_source": tick_source})
    if one_process:
        blocks = {**eye, "policy_node": policy_parameters}
        policy = in_one_process(given, params_files, blocks, run_dir)
    else:
        policy = node(LifecycleNode, "rfs_control", "policy_node", policy_parameters)
    manager = node(
        Node,
        "rfs_control",
        "episode_manager",
        {
            "run_dir": text(run_dir),
            **task,
            **asked(episodes=episodes, seed=seed),
            **({"recorder": True} if record else {}),
            **({"corrections": True} if given["corrections"] == "true" else {}),
            **({} if simulated else {"drivers": True, "world": WORLDS[given["robot"]]}),
        },
    )
    recorder = node(
        Node,
        "rfs_data",
        "recorder_node",
        {
            "folder": text(run_dir / "bags"),
            "checkpoint": text(checkpoint),
            **({"calibration": calibration} if calibration else {}),
        },
    )
    drivers = [] if simulated else [robot_and_drivers(given, asked, run_dir, plugged)]
    world = [each for each in (sim, camera) if each is not None]
    images = points or not simulated or given["camera"] == "true"
    return [
        *(room_for_images(context.environment) if record and images else []),
        *end_with(manager, *world, gate),
        *bring_up_policy(policy),
        *world,
        *drivers,
        gate,
        policy,
        *([recorder] if record else []),
        manager,
    ]


CLASSES = {
    "sim_node": "rfs_sim.nodes.sim_node:SimNode",
    "realsense_node": "rfs_perception.nodes.realsense_node:RealSenseNode",
    "policy_node": "rfs_control.nodes.policy_node:PolicyNode",
}


def in_one_process(given, params_files, blocks, run_dir):
    """A process of several nodes, each with its block of parameters; launch knows it as the policy."""

    def plain(value):
        return value.value if isinstance(value, ParameterValue) else value

    sim_time = {"use_sim_time": given["robot"] != "real"}
    content = {
        f"/**/{name}": {
            "ros__parameters": {key: plain(value) for key, value in {**sim_time, **values}.items()}
        }
        for name, values in blocks.items()
    }
    file = run_dir / "policy_process.yaml"
    run_dir.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return LifecycleNode(
        package="rfs_ros",
        executable="container",
        name="policy_node",
        namespace=given["namespace"],
        parameters=[*params_files, str(file)],
        arguments=[*(CLASSES[name] for name in blocks), "--ros-args", "--log-level", given["log_level"]],
        output="screen",
    )


def emulated_camera(share):
    """What the driver of the emulated robot's camera needs beside config/robot/emulated.yaml."""
    link = Path(tempfile.gettempdir()) / f"rfs_camera_{os.getpid()}"
    return {
        "source": text(f"emulated:{link}"),
        "calibration": text(share / "config" / "robot" / "emulated_camera.json"),
    }


def robot_and_drivers(given, asked, run_dir, plugged):
    """What robot.launch.py starts, with the arguments that were given another value than their default."""
    own = asked(
        **{name: given[name] for name in ("task", "seed", "record_video", "camera", "real_time_factor")}
    )
    passed = ("robot", "robot_file", "params_file", "namespace", "log_level")
    arguments = {**{name: given[name] for name in passed}, **own, "run_dir": str(run_dir)}
    if plugged:
        arguments["camera_link"] = plugged["source"].value.removeprefix("emulated:")
    return included(Path(__file__).with_name("robot.launch.py"), arguments)


def end_with(manager, *needed):
    """The launch ends when the episode manager does, and cannot go on without the nodes it needs."""

    def manager_ended(event, context):
        if context.is_shutdown:
            return []
        if event.returncode == 0:
            return [Shutdown(reason="the episode manager has ended")]
        return [
            fail(f"the batch was stopped (exit code {event.returncode}); episode_manager says why, above")
        ]

    def needed_ended(event, context):
        if context.is_shutdown:
            return []
        return [
            fail(f"{event.process_name} ended with exit code {event.returncode} before the batch was done")
        ]

    return [
        RegisterEventHandler(OnProcessExit(target_action=manager, on_exit=manager_ended)),
        *(RegisterEventHandler(OnProcessExit(target_action=node, on_exit=needed_ended)) for node in needed),
    ]


def bring_up_policy(policy):
    """Configure, then activate. A policy that refuses its checkpoint ends the launch; nothing is armed."""
    was_active = []

    def change_state(transition):
        return EmitEvent(
            event=ChangeState(lifecycle_node_matcher=matches_action(policy), transition_id=transition)
        )

    def policy_ended(event, context):
        if context.is_shutdown:
            return []
        failed = fail(f"policy_node ended with exit code {event.returncode}")
        return [TimerAction(period=REPORT_TIMEOUT_S, actions=[failed])] if was_active else [failed]

    return [
        RegisterEventHandler(
            OnProcessStart(target_action=policy, on_start=[change_state(Transition.TRANSITION_CONFIGURE)])
        ),
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=policy,
                start_state="configuring",
                goal_state="inactive",
                entities=[change_state(Transition.TRANSITION_ACTIVATE)],
            )
        ),
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=policy,
                goal_state="active",
                entities=[OpaqueFunction(function=lambda context: was_active.append(True))],
            )
        ),
        *(
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=policy,
                    start_state=state,
                    goal_state="unconfigured",
                    entities=[fail("policy_node was not configured; it says why, above")],
                )
            )
            for state in ("configuring", "errorprocessing")
        ),
        RegisterEventHandler(OnProcessExit(target_action=policy, on_exit=policy_ended)),
    ]
