"""Entry points; light, so that Ctrl-C is heeded before their modules are imported."""

from rfs_ros.entry import run_main


def realsense_node() -> None:
    """`ros2 run rfs_perception realsense_node`."""
    run_main("rfs_perception.nodes.realsense_node")


def calibrate_camera() -> None:
    """`ros2 run rfs_perception calibrate_camera`."""
    run_main("rfs_perception.nodes.calibrate_camera")


def reward_node() -> None:
    """`ros2 run rfs_perception reward_node`."""
    run_main("rfs_perception.nodes.reward_node")


def benchmark_camera() -> None:
    """`ros2 run rfs_perception benchmark_camera`."""
    run_main("rfs_perception.nodes.benchmark_camera")


def replay_reward() -> None:
    """`ros2 run rfs_perception replay_reward`."""
    run_main("rfs_perception.nodes.replay_reward")
