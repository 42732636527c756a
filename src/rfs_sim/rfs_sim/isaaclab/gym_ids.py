"""The tasks under gym ids, for `isaaclab list_envs` and `isaaclab train`: RFS-Grasp-Direct-v0 and its like.

Isaac Lab finds this module by the entry point group `isaaclab.tasks`. It imports gymnasium only.
"""

import gymnasium

from rfs_core import tasks


def gym_id(task: str) -> str:
    """`RFS-PushGrasp-Direct-v0` of push_grasp."""
    return f"RFS-{_title(task)}-Direct-v0"


def _title(task: str) -> str:
    return "".join(word.capitalize() for word in task.split("_"))


for _task in tasks.TASKS:
    gymnasium.register(
        id=gym_id(_task),
        entry_point="rfs_sim.isaaclab.env:RfsEnv",
        disable_env_checker=True,
        kwargs={
            "env_cfg_entry_point": f"rfs_sim.isaaclab.cfg:{_title(_task)}EnvCfg",
            "rsl_rl_cfg_entry_point": "rfs_sim.isaaclab.agents:RfsPpoRunnerCfg",
            "default_agent": "rsl_rl",
        },
    )
