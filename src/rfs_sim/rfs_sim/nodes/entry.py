"""Entry point of the simulation node; light, so that Ctrl-C is heeded before its modules are imported."""

from rfs_ros.entry import run_main


def sim_node() -> None:
    """`ros2 run rfs_sim sim_node`."""
    run_main("rfs_sim.nodes.sim_node")
