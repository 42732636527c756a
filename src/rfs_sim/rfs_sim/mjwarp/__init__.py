"""mujoco_warp as an engine: the same MJCF, all worlds in one batch, on a GPU (or, for tests, on the CPU).

Nothing here is imported unless the engine is asked for: `rfs_sim.mjwarp.env.make_env`.
"""
