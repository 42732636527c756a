"""Entry points of this package's nodes; light, so that Ctrl-C is heeded before their modules are imported."""

from rfs_ros.entry import run_main


def recorder_node() -> None:
    """`ros2 run rfs_data recorder_node`."""
    run_main("rfs_data.nodes.recorder_node")


def benchmark_recorder() -> None:
    """`ros2 run rfs_data benchmark_recorder`."""
    run_main("rfs_data.nodes.benchmark_recorder")
