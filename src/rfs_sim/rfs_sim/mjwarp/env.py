"""The entry point of engine `mjwarp`: says in one line what is missing before it imports it."""

from __future__ import annotations

import logging
from functools import partial

from rfs_core.errors import ConfigError
from rfs_sim.mjcf import SceneConfig
from rfs_sim.randomization import DisturbanceConfig
from rfs_sim.seam import require, require_versions
from rfs_sim.vec_env import TaskVecEnv
from rfs_sim.worlds import Worlds

TESTED = {"mujoco": "4.0.0", "mujoco-warp": "4.0.0", "warp-lang": "1.19.0"}
"""Versions that fit each other (requirements/extra-mjwarp.txt)."""
INSTALL = "EXTRAS=mjwarp make setup"


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
    contacts_per_world: int | None = None,
    constraints_per_world: int | None = None,
    **task_options: object,
) -> TaskVecEnv:
    """A task's vector environment on mujoco_warp.

    Args:
        task, num_envs, physics_dt, autoreset, disturbance, task_options: as of `rfs_sim.vec_env.make_env`.
        threads: not used: the engine has the whole device.
        world: only `training`; the gap world needs a model per world.
        objects: only `seen`.
        observation: only `state`; a GPU has no cameras here.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, ...
        contacts_per_world, constraints_per_world: see `rfs_sim.mjwarp.engine.MjwarpEngine`.

    Raises:
        EngineError: the extra is not installed, or its versions do not fit; the line says what to type.
    """
    require("mjwarp", ("mujoco_warp", "warp"), INSTALL)
    require_versions("mjwarp", TESTED, INSTALL)
    for name, value, only in (
        ("world", world, "training"),
        ("objects", objects, "seen"),
        ("observation", observation, "state"),
    ):
        if value != only:
            raise ConfigError(f"{name} is {value!r}, engine mjwarp has {only} only: choose engine mujoco")
    import warp

    warp.config.log_level = warp.LOG_WARNING  # or it lists its devices and every kernel that it loads
    from rfs_sim.mjwarp.engine import MjwarpEngine

    limits = {"contacts_per_world": contacts_per_world, "constraints_per_world": constraints_per_world}
    engine = partial(MjwarpEngine, device=device, **{k: v for k, v in limits.items() if v is not None})
    worlds = Worlds(
        task,
        num_envs,
        scene=SceneConfig(physics_dt=physics_dt),
        disturbance=DisturbanceConfig().scaled(disturbance),
        engine=engine,
        **task_options,
    )
    made = worlds.engine.device
    logging.getLogger("rfs_sim").info("engine mjwarp: %d worlds on %s", num_envs, made)
    return TaskVecEnv(task, worlds, autoreset)
