"""PPO over a modulated base policy: the loop; losses and storage are rsl_rl's. No ROS here.

One iteration: every environment starts an episode and decides as often as an episode lasts (an episode that
ends early is followed by another, cut off at the end of the iteration and bootstrapped). So an iteration is a
function of the state at its start alone, `training_state.safetensors` holds that state, and a run that was
interrupted at any moment and resumed goes on bit for bit.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from rsl_rl.algorithms import PPO
from torch import Tensor
from tqdm import tqdm

from rfs_core.config import to_mapping
from rfs_core.specs import require_same
from rfs_learning import camera_options, checkpoint, container, training_state
from rfs_learning.checkpoint import Checkpoint, CheckpointError
from rfs_learning.flow import architecture_from_dict, values_left_out
from rfs_learning.policy import Policy
from rfs_learning.rl import actor_critic, devices
from rfs_learning.rl.counters import Counters, Rollout
from rfs_learning.rl.diagnostics import SATURATED, measure, measure_switches, noise_norm, residual_share
from rfs_learning.rl.distributed import Ranks
from rfs_learning.rl.learner import Learner, NotFiniteError, PpoError
from rfs_learning.rl.modulated_env import ModulatedEnv
from rfs_learning.rl.nan_guard import NanGuard
from rfs_learning.rl.ppo_config import MAY_CHANGE_ON_RESUME, PpoTrainerConfig
from rfs_learning.rl.report import RunFacts, report
from rfs_learning.run_folder import RunFolder
from rfs_learning.steering import SteeringLayout, base_of
from rfs_learning.vec_env import VecEnv, make_env

_STATE_KIND = "ppo_training_state"
_EVALUATION_SEED = 1_000_003
_FINAL_SEED = 2_000_003
"""Added to the seed: episodes that choose the checkpoint, and episodes that neither trained nor chose it."""


class PpoRunner:
    """One training run: `advance` until `done`, `close` always."""

    def __init__(
        self, config: PpoTrainerConfig, command: str | None = None, env: VecEnv | None = None
    ) -> None:
        """Load the base policy, make the environments, and start a new run or continue the one in run_dir.

        Args:
            env: environments with autoreset to train in; None: `config.engine` makes them.

        Raises:
            RfsError: a required setting is missing, the base policy does not fit the environment, there is
                nothing to train, or the state to resume belongs to another run.
        """
        for field in ("base_checkpoint", "run_dir"):
            if not getattr(config, field):
                raise PpoError(f"{field} is empty; pass it, e.g. -p {field}:=PATH")
        devices.resolve(config.device)  # to refuse one that is not here before an engine is made
        torch.set_num_threads(config.threads)
        self.config, self._ranks = config, Ranks.join()
        own = self._ranks.share(config.num_envs)
        self._first_env = own.start
        self.command = command if command is not None else shlex.join(sys.argv)
        loaded = checkpoint.load(config.base_checkpoint)
        self.base = base_of(loaded)
        self._parent = {
            "kind": loaded.header.kind,
            "id": loaded.id,
            "path": Path(config.base_checkpoint).name,
            "sha256": container.file_sha256(Path(config.base_checkpoint)),
        }
        if env is None:
            env = make_env(
                config.engine,
                config.task,
                own.stop - own.start,
                physics_dt=config.physics_dt,
                disturbance=config.disturbance,
                threads=config.threads,
                **camera_options.plain(self.base.header.observation_spec),
            )
        self._check_base(env)
        if not self._ranks.alone:
            self._share_episodes(env)
        self.layout = SteeringLayout.of(
            env.action_spec, config.modulation, config.over, config.noise_clip, config.residual_bounds
        )
        left_out = values_left_out(architecture_from_dict(self.base.header.architecture), env.action_spec)
        if not set(range(left_out)) <= set(self.layout.direct_values):
            raise PpoError(
                f"{config.base_checkpoint}: its flow makes the fingers only, and over is {config.over!r}: "
                f"nothing would move the arm; pass over:=hand, or a base policy trained over hand_and_arm"
            )
        if self.layout.size == 0:
            raise PpoError(
                f"modulation {config.modulation!r} over {config.over!r} leaves nothing to train: choose "
                f"residual, noise or both; `ros2 run rfs_learning evaluate` measures the base policy alone"
            )
        self.device = devices.resolve(config.device, str(getattr(env, "device", "cpu")))
        self._base_policy = self._policy(self.base)
        self.env = ModulatedEnv(
            env,
            self._base_policy,
            self.layout,
            config.gamma,
            config.residual_penalty,
            config.base_a0,
            critic_sees_time=not config.bootstrap,
        )
        self.counters = Counters(learning_rate=config.learning_rate)
        self.env.draw = self._ranks.randn
        self._learner = Learner(config, self.env, self.layout, self._ranks)
        self.folder = self._open_folder(Path(config.run_dir))
        self._guard = NanGuard(int(self.env.max_episode_length))
        self._cpu = time.process_time()
        self._bar = tqdm(
            total=config.budget,
            initial=self.counters.step,
            desc=f"train {config.checkpoint_name}",
            unit="step",
            unit_scale=True,
            # A log file gets a line now and then instead of ten a second.
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
            dynamic_ncols=True,
            disable=not self._ranks.first,
        )
        self.done = False
        """Whether the budget is spent, the best checkpoint measured and the report written."""
        self.final: dict[str, Any] = {}
        """Figures of the best checkpoint, once done."""
        self._work = self._run()

    @property
    def best_path(self) -> Path:
        """The product: the checkpoint of the best deterministic evaluation."""
        return self.folder.checkpoints / "best.safetensors"

    def advance(self) -> None:
        """Go on until the next moment at which the run can be left: after one decision, or one update.

        Raises:
            PpoError: a value is not finite, or a stored log-probability is not that of what was executed; the
                last good state stays on disk.
        """
        try:
            next(self._work)
        except StopIteration:
            self.done = True

    def run(self) -> Path:
        """Train to the end and return the path of the best checkpoint."""
        while not self.done:
            self.advance()
        return self.best_path

    def close(self) -> None:
        """End the progress bar and flush the curves; what the last complete iteration left is on disk."""
        self._work.close()
        self._bar.close()
        self.folder.close()
        self._ranks.leave()

    def checkpoint(self, results: dict[str, Any] | None = None) -> Checkpoint:
        """The policy of now, deterministic, as a checkpoint."""
        head = actor_critic.to_head(self.ppo.actor, self.layout, self.config.base_a0)
        return head.to_checkpoint(
            self.base,
            name=self.config.checkpoint_name,
            task=self.config.task,
            seed=self.config.seed,
            command=self.command,
            config={**to_mapping(self.config), "step": self.counters.step},
            parents=(self._parent, *self.base.header.parents),
            results=results or {},
        )

    @property
    def ppo(self) -> PPO:
        """rsl_rl's algorithm: actor, critic, optimiser, storage."""
        return self._learner.ppo

    # --- set-up ---

    def _open_folder(self, path: Path) -> RunFolder:
        """Start a new run, or continue the one that is there. Only the first process writes."""
        folder = RunFolder(path)
        if self.config.resume:
            self._load_state(folder.state_path)
            return RunFolder.resume(path, self.counters.step) if self._ranks.first else folder
        if self._ranks.first:
            folder = RunFolder.create(path, to_mapping(self.config), self.command)
        self.folder = folder
        self._save_state()
        return folder

    def _policy(self, policy: Checkpoint) -> Policy:
        return Policy.from_checkpoint(policy, a0=self.config.base_a0, device=self.device)

    def _share_episodes(self, env: VecEnv) -> None:
        """See to it that the processes play different episodes, those that one process would play."""
        if not hasattr(env, "autoreset_stride"):
            raise PpoError(
                f"engine {self.config.engine!r} cannot be shared by {self._ranks.world} processes: its "
                f"environments have no autoreset_stride; start without torchrun"
            )
        env.autoreset_stride = self.config.num_envs

    def _check_base(self, env: VecEnv) -> None:
        header, base_id = self.base.header, self.base.id
        if header.task != self.config.task:
            raise PpoError(
                f"{self.config.base_checkpoint}: was trained on task {header.task!r}, asked for is "
                f"{self.config.task!r}: choose a base checkpoint of {self.config.task!r}"
            )
        hint = "choose a base checkpoint trained for this robot and task, or retrain it"
        for what, spec, needed in (
            ("action", header.action_spec, env.action_spec),
            ("observation", header.observation_spec, env.observation_spec),
        ):
            require_same(spec, needed, f"{what} of checkpoint {base_id} and of the environment (other)", hint)

    # --- the run ---

    def _run(self) -> Generator[None, None, None]:
        config, counters = self.config, self.counters
        if counters.best_success < 0:
            yield from self._evaluate_and_log(Rollout(), {})
            self._save_state()
        while counters.step < config.budget:
            rollout = yield from self._collect()
            try:
                losses = self._learner.update(counters.iteration)
            except NotFiniteError as error:
                self._stop(str(error))
            counters.learning_rate = self.ppo.learning_rate
            yield
            counters.iteration += 1
            counters.step += rollout.steps
            self._bar.update(rollout.steps)
            yield from self._evaluate_and_log(rollout, losses)
            self._save_state()
        yield from self._finish()

    def _collect(self) -> Generator[None, None, Rollout]:
        """One episode in every environment, into the storage."""
        learner, env, rollout = self._learner, self.env, Rollout()
        decisions = int(env.max_episode_length)
        # Fresh episodes in every iteration; with autoreset an environment plays at most one per decision.
        first = self.counters.iteration * self.config.num_envs * decisions
        learner.begin()
        episodes = first + self._first_env + np.arange(env.num_envs)
        observations = env.reset(self.config.seed, episodes)
        self._guard.restart(seed=np.array(self.config.seed), episode=episodes)
        for _ in range(decisions):
            with torch.inference_mode():
                physical = env.observation
                z = learner.act(observations)
                observations, reward, done, extras = env.step(z)
                self._remember(physical, z, extras, reward, done)
                learner.take(observations, reward, done, extras)
            self._count(rollout, reward, done, extras)
            yield
        with torch.inference_mode():
            learner.finish(observations)
        return rollout.over(self._ranks)

    def _remember(
        self, physical: np.ndarray[Any, Any], z: Tensor, extras: dict[str, Any], reward: Tensor, done: Tensor
    ) -> None:
        problem = self._guard.remember(
            observation=physical,
            z=z.cpu().numpy(),
            chunk=extras["output"].a,
            reward=reward.cpu().numpy(),
            # Not where an episode ended: a simulation that blew up is an end like others.
            next_observation=np.where(done.cpu().numpy()[:, None], 0.0, self.env.observation),
        )
        if problem:
            self._stop(problem)

    def _stop(self, problem: str) -> NoReturn:
        name = "not_finite.npz" if self._ranks.first else f"not_finite_{self._ranks.rank}.npz"
        path = self._guard.dump(self.folder.path / name)
        raise PpoError(
            f"iteration {self.counters.iteration}: {problem}; the last decisions are in {path}, the last "
            f"good state in {self.folder.state_path}: look at them, lower learning_rate, or resume"
        )

    def _count(self, rollout: Rollout, reward: Tensor, done: Tensor, extras: dict[str, Any]) -> None:
        output = extras["output"]
        share = residual_share(output, self.layout)
        rollout.decisions += 1
        rollout.episodes += int(done.sum())
        rollout.successes += int(extras["success"].sum())
        rollout.steps += int(extras["executed"].sum())
        rollout.reward += float(reward.mean())
        rollout.a0_norm += float(noise_norm(output).mean())
        rollout.residual_saturated += float((share >= SATURATED).mean()) if share.size else 0.0

    # --- evaluation, log ---

    def _evaluate_and_log(self, rollout: Rollout, losses: dict[str, float]) -> Generator[None, None, None]:
        config, counters = self.config, self.counters
        success = mean_return = float("nan")
        due = counters.step - counters.evaluated_at >= config.evaluate_every or counters.step >= config.budget
        if counters.best_success < 0 or due:
            counters.evaluated_at = counters.step
            now = self.checkpoint()
            if self._ranks.first:
                policy, seed = self._policy(now), config.seed + _EVALUATION_SEED
                figures = yield from measure(
                    policy, self.layout, self.env.env, seed, config.evaluation_episodes
                )
                success, mean_return = figures["success_rate"], figures["mean_return"]
            success, mean_return = self._ranks.of_first([success, mean_return])
            if success > counters.best_success:
                counters.best_success, counters.best_step = success, counters.step
                if self._ranks.first:
                    checkpoint.save(self.best_path, now)
        counters.cpu_s += time.process_time() - self._cpu
        self._cpu = time.process_time()
        if not self._ranks.first:
            return
        noise, residual, _ = torch.split(self._learner.std, list(self.layout.groups.values()))
        made = max(rollout.decisions, 1)
        nan = float("nan")
        self.folder.log(
            counters.step,
            {
                "evaluation/success": success,
                "evaluation/return": mean_return,
                "train/success": rollout.successes / rollout.episodes if rollout.episodes else nan,
                "train/reward": rollout.reward / made if rollout.decisions else nan,
                "train/a0_norm": rollout.a0_norm / made if rollout.decisions else nan,
                "train/residual_saturated": rollout.residual_saturated / made if rollout.decisions else nan,
                "ppo/kl": losses.get("kl", nan),
                "ppo/learning_rate": counters.learning_rate,
                "ppo/value_loss": losses.get("value_loss", nan),
                "ppo/surrogate_loss": losses.get("surrogate_loss", nan),
                "ppo/explained_variance": losses.get("explained_variance", nan),
                "ppo/return_scale": float(self._learner.scale.scale),
                "ppo/noise_std": float(noise.mean()) if len(noise) else nan,
                "ppo/residual_std": float(residual.mean()) if len(residual) else nan,
                "cpu_s": counters.cpu_s,
            },
        )
        if rollout.episodes:
            self._bar.set_postfix(
                train=f"{rollout.successes / rollout.episodes:.3f}", best=f"{counters.best_success:.3f}"
            )

    def _finish(self) -> Generator[None, None, None]:
        """Measure the best checkpoint on episodes that did not choose it, and write the report."""
        if not self._ranks.first:
            return
        best = checkpoint.load(self.best_path)
        figures: dict[str, Any] = {}
        if self.config.final_episodes:
            policy = self._policy(best)
            seed, env = self.config.seed + _FINAL_SEED, self.env.env
            figures = yield from measure_switches(
                policy,
                self.layout,
                env,
                seed,
                min(self.config.evaluation_episodes, self.config.final_episodes),
            )
            figures["full"] = yield from measure(policy, self.layout, env, seed, self.config.final_episodes)
            said = {"command": self.command, "physics_dt": self.config.physics_dt, "seed": seed}
            results = {name: {**said, "switch": name, **measured} for name, measured in figures.items()}
            checkpoint.save(
                self.best_path, Checkpoint(dataclasses.replace(best.header, results=results), best.tensors)
            )
        self.final = figures
        facts = RunFacts(
            best, self._parent, self.layout, self.counters.step, self.counters.best_step, self.counters.cpu_s
        )
        self.folder.report(report(self.config, self.command, facts, self.folder.metrics(), figures))

    # --- interruption and resume ---

    def _save_state(self) -> None:
        if not self._ranks.first:
            return
        training_state.save(
            self.folder.state_path,
            _STATE_KIND,
            {
                "counters": dataclasses.asdict(self.counters),
                "config": to_mapping(self.config),
                "command": self.command,
                "base": self.base.id,
                "processes": self._ranks.world,
            },
            self._learner.modules,
            self.ppo.optimizer,
            torch.default_generator,
        )

    def _load_state(self, path: Path) -> None:
        header, tensors = training_state.read(path, _STATE_KIND)
        wanted, stored = to_mapping(self.config), header["config"]
        differences = [
            f"{key} was {stored.get(key)!r}, is {wanted.get(key)!r}"
            for key in sorted(set(wanted) | set(stored))
            if key not in MAY_CHANGE_ON_RESUME and wanted.get(key) != stored.get(key)
        ]
        if header["base"] != self.base.id:
            differences.append(f"base policy was {header['base']}, is {self.base.id}")
        if header.get("processes", 1) != self._ranks.world:
            differences.append(f"processes were {header.get('processes', 1)}, are {self._ranks.world}")
        if differences:
            raise CheckpointError(
                f"{path}: belongs to another run: {'; '.join(differences)}: pass the same settings, or start "
                f"a new run_dir"
            )
        training_state.restore(tensors, self._learner.modules, self.ppo.optimizer, torch.default_generator)
        self.counters = Counters(**header["counters"])
        self._learner.set_learning_rate(self.counters.learning_rate)
        # What an interruption cut in two is one command; to train further is a second one.
        further = stored.get("budget") != wanted["budget"]
        self.command = f"{header['command']}; then {self.command}" if further else str(header["command"])
