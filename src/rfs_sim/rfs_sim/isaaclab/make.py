"""The entry point of engine `isaaclab`: says in one line what is missing before it imports it.

RFS itself trains here: `rfs_learning`'s trainer wraps what this returns in its modulation, as it does with
any engine.
"""

from __future__ import annotations

import logging

from rfs_core.errors import ConfigError
from rfs_sim.isaaclab import versions
from rfs_sim.mjcf import SceneConfig
from rfs_sim.seam import EngineError, substeps_of
from rfs_sim.vec_env import TaskVecEnv


def make_env(
    task: str,
    num_envs: int,
    *,
    physics_dt: float = 0.01,
    autoreset: bool = True,
    disturbance: float = 1.0,
    threads: int = 1,
    world: str = "training",
    objects: str = "seen",
    observation: str = "state",
    device: str = "auto",
    stepper: str = "auto",
) -> TaskVecEnv:
    """A task's vector environment on Isaac Lab.

    Args:
        task, num_envs, physics_dt, autoreset, disturbance: as of `rfs_sim.vec_env.make_env`.
        threads: not used.
        world: only `training`; the gap world needs a model per world.
        objects: only `seen`.
        observation: only `state`.
        device: `auto` (a GPU where there is one), `cpu`, `cuda:0`, ...
        stepper: `auto`, `mjwarp`, or on a CPU `loop` (`rfs_sim.isaaclab.solver.LoopSolver`).

    Raises:
        EngineError: Isaac Lab is not installed, or its versions do not fit; the line says what to type. Or
            this process already has one: Isaac Lab simulates one scene per process.
    """
    versions.check()
    for name, value, only in (
        ("world", world, "training"),
        ("objects", objects, "seen"),
        ("observation", observation, "state"),
    ):
        if value != only:
            raise ConfigError(f"{name} is {value!r}, engine isaaclab has {only} only: choose engine mujoco")
    import torch
    import warp

    warp.config.quiet = True  # or it lists its devices and every kernel that it loads
    from isaaclab.app import launch_simulation
    from isaaclab.sim import SimulationContext

    from rfs_core import tasks
    from rfs_sim.isaaclab.cfg import ENV_CFGS
    from rfs_sim.isaaclab.env import RfsEnv

    tasks.load(task)
    if SimulationContext.instance() is not None:
        raise EngineError("Isaac Lab simulates one scene per process, and this one has it: close it first")
    cfg = ENV_CFGS[task]()
    cfg.seed = 0
    cfg.stepper, cfg.disturbance = stepper, disturbance
    cfg.scene.num_envs, cfg.sim.dt = num_envs, physics_dt
    cfg.decimation = cfg.sim.render_interval = substeps_of(SceneConfig(physics_dt=physics_dt))
    cfg.sim.device = device if device != "auto" else ("cuda:0" if torch.cuda.is_available() else "cpu")
    launch_simulation(cfg, {"device": cfg.sim.device}).__enter__()
    env = RfsEnv(cfg)
    logging.getLogger("rfs_sim").info("engine isaaclab: %d worlds on %s", num_envs, cfg.sim.device)
    env.worlds.engine.when_closed = env.close
    return TaskVecEnv(task, env.worlds, autoreset)
