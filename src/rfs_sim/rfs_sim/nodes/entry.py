"""Entry points of the nodes; light, so that Ctrl-C is heeded before their modules are imported."""

from rfs_ros.entry import run_main


def sim_node() -> None:
    """`ros2 run rfs_sim sim_node`."""
    run_main("rfs_sim.nodes.sim_node")


def emulated_robot() -> None:
    """`ros2 run rfs_sim emulated_robot`."""
    run_main("rfs_sim.nodes.emulated_robot")
