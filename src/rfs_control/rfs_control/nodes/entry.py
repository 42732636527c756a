"""Entry points of the executables; light, so that Ctrl-C is heeded before the nodes' modules are imported."""

from rfs_ros.entry import run_main


def policy_node() -> None:
    """`ros2 run rfs_control policy_node`."""
    run_main("rfs_control.nodes.policy_node")


def gate_node() -> None:
    """`ros2 run rfs_control gate_node`."""
    run_main("rfs_control.nodes.gate_node")


def episode_manager() -> None:
    """`ros2 run rfs_control episode_manager`."""
    run_main("rfs_control.nodes.episode_manager")


def correction_node() -> None:
    """`ros2 run rfs_control correction_node`."""
    run_main("rfs_control.nodes.correction_node")


def improve() -> None:
    """`ros2 run rfs_control improve`."""
    run_main("rfs_control.nodes.improve")


def robot_operator() -> None:
    """`ros2 run rfs_control robot_operator`."""
    run_main("rfs_control.nodes.robot_operator")
