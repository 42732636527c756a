"""The tasks as Isaac Lab's `DirectRLEnv`: it maps, and asks `rfs_sim.worlds` for everything else.

Targets, rewards, success, starts of episodes and observations are those of every other engine.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from isaaclab.envs import DirectRLEnv
from isaaclab.utils.string import ResolvableString

from rfs_core import arrays, control, robot
from rfs_sim.isaaclab import asset, versions
from rfs_sim.isaaclab.cfg import STEPPERS, RfsEnvCfg, add_contact_sensors, scene_of
from rfs_sim.isaaclab.engine import IsaacEngine
from rfs_sim.mjcf import SceneConfig
from rfs_sim.randomization import DisturbanceConfig
from rfs_sim.seam import EngineError
from rfs_sim.worlds import Worlds


class RfsEnv(DirectRLEnv):
    """N episodes of a task. Env i plays episode i of `cfg.seed`, then i + N, and so on.

    An action is one control step's, each value scaled from its bounds to -1 .. 1.

    Attributes:
        worlds: the task's worlds; their `engine` steps this environment's scene.
        successes, episodes_ended: counts since the environment was made.
    """

    cfg: RfsEnvCfg

    def __init__(self, cfg: RfsEnvCfg, render_mode: str | None = None, **kwargs: object) -> None:
        """See `DirectRLEnv`.

        Raises:
            EngineError: other versions than tested, a stepper that the device does not have, or a part of
                the scene that cannot be converted.
        """
        versions.check()
        prepare(cfg)
        super().__init__(cfg, render_mode, **kwargs)
        self.worlds = Worlds(
            cfg.task,
            self.num_envs,
            scene=SceneConfig(physics_dt=cfg.sim.dt),
            disturbance=DisturbanceConfig().scaled(cfg.disturbance),
            engine=lambda _, scene: IsaacEngine(self.sim, self.scene, scene),
        )
        spec = robot.DEFAULT_ACTION_SPEC
        low, high = (torch.tensor(np.array(v), device=self.device).float() for v in (spec.low, spec.high))
        self._centre, self._half = (low + high) / 2, (high - low) / 2
        self._hand = spec.slice("hand_target")
        self._steps = self.worlds.task.MAX_EPISODE_STEPS
        self._next = np.arange(self.num_envs)
        self.successes = self.episodes_ended = 0

    def _setup_scene(self) -> None:
        """The scene makes itself of its configuration."""

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        action = self._centre + self._half * actions.clamp(-1.0, 1.0)
        worlds = self.worlds
        target = control.step_target(worlds.target, action[:, :6], worlds.state.palm)
        hand = control.limit_rate(worlds.hand_target, action[:, self._hand])
        worlds.engine.command(*worlds.targets(target, hand))

    def _apply_action(self) -> None:
        """Targets are held for the control step; they were set before it."""

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        worlds = self.worlds
        worlds.engine.finish()
        worlds.stepped()
        terminated = worlds.task.terminated(worlds.state, worlds.task_config) | worlds.engine.unstable
        time_out = (self.episode_length_buf >= self._steps) & ~terminated
        won = worlds.task.success(worlds.state, worlds.task_config) & time_out
        self.successes += int(won.sum())
        self.episodes_ended += int((terminated | time_out).sum())
        return terminated, time_out

    def _get_rewards(self) -> torch.Tensor:
        worlds = self.worlds
        terms = worlds.task.reward_terms(worlds.state, worlds.task_config)
        rate = self.successes / max(self.episodes_ended, 1)
        self.extras["log"] = {
            **{f"reward/{name}": term.mean() for name, term in terms.items()},
            "success": rate,
            **{f"lost/{reason}": count for reason, count in worlds.engine.problems().items()},
        }
        return arrays.single(worlds.task.total_reward(terms))

    def _reset_idx(self, env_ids: Sequence[int]) -> None:
        super()._reset_idx(env_ids)
        which = torch.as_tensor(env_ids).cpu().numpy().astype(int)
        self.worlds.reset(self.cfg.seed or 0, self._next[which], which)
        self._next[which] += self.num_envs

    def _get_observations(self) -> dict[str, torch.Tensor]:
        return {"policy": self.worlds.observe()}


def prepare(cfg: RfsEnvCfg) -> None:
    """Converts what is not yet, and chooses what steps.

    Raises:
        EngineError: an unknown stepper, or one that the device does not have.
    """
    on_cpu = "cpu" in str(cfg.sim.device)
    stepper = ("loop" if on_cpu else "mjwarp") if cfg.stepper == "auto" else cfg.stepper
    if stepper not in STEPPERS:
        raise EngineError(f"stepper is {cfg.stepper!r}, known are {', '.join(STEPPERS)}")
    if stepper == "loop" and not on_cpu:
        raise EngineError(
            f"stepper loop runs on a CPU, the device is {cfg.sim.device}: choose mjwarp, or cpu"
        )
    if stepper == "mjwarp":
        # It ends early where it can, and prints a line per step where it may not go on.
        cfg.sim.physics.solver_cfg.ls_iterations = max(50, cfg.sim.physics.solver_cfg.ls_iterations)
    manager = "NewtonLoopManager" if stepper == "loop" else "NewtonWatchedManager"
    # By name: a class would be searched for missing values with all that it holds. NewtonCfg takes it from
    # its solver when it is made; afterwards both have to be told.
    cfg.sim.physics.solver_cfg.class_type = ResolvableString(f"rfs_sim.isaaclab.solver:{manager}")
    cfg.sim.physics.class_type = cfg.sim.physics.solver_cfg.class_type
    if cfg.contact_sensors:
        add_contact_sensors(cfg)
    for name, text in asset.parts(scene_of(cfg.task)).items():
        asset.convert(name, text)
    # Pairs that never touch are imported twice, and the second time complains.
    warnings.filterwarnings("ignore", message=".*physics:filteredPairs was not imported.*")
    warnings.filterwarnings("ignore", message="MULTICCD is enabled.*")
    warnings.filterwarnings("ignore", message="Newton shape color replacement.*")
