"""Isaac Lab 3 (kit-less, Newton with MuJoCo Warp) as an engine, and the tasks under its gym ids.

Nothing here is imported unless it is asked for: `make.make_env` is the engine's entry point, `gym_ids` what
Isaac Lab's own tools load. Both live in an environment of their own, apart from ROS: `make setup-isaaclab`.
See docs/isaaclab.md.
"""
