"""Training of the flow base policy on demonstrations; no ROS here, see `nodes/base_trainer.py`.

The run is a function of its configuration and data alone: one generator draws everything, and the whole
state is in `training_state.safetensors`, so that an interrupted and resumed run ends with the same weights.
"""

from __future__ import annotations

import copy
import dataclasses
import platform
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rfs_core.config import param, to_mapping
from rfs_core.errors import RfsError
from rfs_learning import checkpoint, datasets, training_state
from rfs_learning.checkpoint import Checkpoint, CheckpointHeader
from rfs_learning.flow import FlowBase
from rfs_learning.integrator import KNOWN, Integrator
from rfs_learning.networks import MlpArchitecture
from rfs_learning.normalizer import Normalizer
from rfs_learning.run_folder import RunFolder
from rfs_learning.steering import OVER

_STATE_KIND = "base_training_state"
_MAY_CHANGE_ON_RESUME = ("run_dir", "demonstrations", "resume", "checkpoint_every", "log_every", "threads")
"""Fields that do not change the weights. Demonstrations are compared by digest, not by path."""


class TrainingError(RfsError):
    """Training that cannot start or go on, with the reason."""


@dataclasses.dataclass(frozen=True)
class BaseTrainerConfig:
    """Configuration of the base policy's training."""

    demonstrations: str = param("", doc="File of demonstrations (.npz) to train on")
    run_dir: str = param("", doc="Folder of this run; created")
    name: str = param("base", doc="Name of the checkpoints")
    seed: int = param(0, doc="Seed of initial weights, batches, noise and flow times", low=0, high=2**31 - 1)
    resume: bool = param(False, doc="Continue the run in run_dir where it stopped")
    episodes: str = param("all", doc="Demonstrations to learn from", choices=("all", "successful"))
    over: str = param(
        "hand_and_arm",
        doc="What the flow shall move; hand: the fingers, the arm is learned later",
        choices=OVER,
    )
    validation_share: float = param(
        0.05, doc="Share of episodes held out to measure the loss on", low=0.0, high=0.5
    )
    steps: int = param(8000, doc="Gradient steps", low=1)
    batch_size: int = param(512, doc="Windows in a batch", low=1)
    learning_rate: float = param(1e-3, doc="Peak learning rate of AdamW; falls to 0 along a cosine", low=0.0)
    warmup_steps: int = param(100, doc="Steps of linear increase of the learning rate", low=0)
    weight_decay: float = param(1e-4, doc="Weight decay of AdamW", low=0.0)
    gradient_clip: float = param(1.0, doc="Largest norm of the gradient", low=0.0)
    ema_decay: float = param(0.999, doc="Decay per step of the averaged weights", low=0.0, high=1.0)
    hidden_width: int = param(256, doc="Units of every hidden layer", low=1, high=8192)
    hidden_layers: int = param(3, doc="Hidden layers of the velocity field", low=1, high=32)
    time_features: int = param(32, doc="Length of the embedding of flow time; even", low=2, high=1024)
    integrator: str = param("euler", doc="Rule that Push integrates by", choices=KNOWN)
    integrator_steps: int = param(10, doc="Steps of the integration", low=1, high=1000)
    observation_clip: int = param(5, doc="Bound of normalised observations", low=1, high=1000)
    action_std_floor: float = param(
        0.05, doc="Least standard deviation of an action as a share of half its range", low=0.0, high=1.0
    )
    observation_std_floor: float = param(
        0.01, doc="Least standard deviation of an observation as a share of half its range", low=0.0, high=1.0
    )
    observation_noise: float = param(
        0.0, doc="Noise added to training observations, in standard deviations", low=0.0
    )
    checkpoint_every: int = param(1000, doc="Steps between checkpoints", low=1)
    log_every: int = param(100, doc="Steps between rows of metrics", low=1)
    threads: int = param(1, doc="Threads of torch", low=1, high=64)


class BaseRunner:
    """One training run: `advance` until `done`, `save` at any time, `finish` at the end, `close` always."""

    def __init__(self, config: BaseTrainerConfig, command: str | None = None) -> None:
        """Load the data, and either start a new run or continue the one in `config.run_dir`.

        Raises:
            RfsError: a required setting is missing, the data or the state cannot be used, or the state
                belongs to another configuration or other data.
        """
        for field in ("demonstrations", "run_dir"):
            if not getattr(config, field):
                raise TrainingError(f"{field} is empty; pass it, e.g. -p {field}:=PATH")
        torch.set_num_threads(config.threads)
        self.config = config
        self.command = command if command is not None else shlex.join(sys.argv)
        self.demos = datasets.load(config.demonstrations)
        self._split()
        self._build()
        self.step = 0
        self.whole = True
        """False within a gradient step: what an exception cut in half must not be saved."""
        path = Path(config.run_dir)
        if config.resume:
            self._load_state(RunFolder(path).state_path)
            self.folder = RunFolder.resume(path, self.step)
        else:
            self.folder = RunFolder.create(path, to_mapping(config), self.command)
            self._save_state()  # so that a run that is killed early can go on
        self._bar = tqdm(
            total=config.steps,
            initial=self.step,
            desc=f"train {config.name}",
            unit="step",
            # A log file gets a line now and then instead of ten a second.
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
            dynamic_ncols=True,
        )
        self._started, self._first_step = time.monotonic(), self.step

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.step >= self.config.steps

    def run(self) -> Path:
        """Train to the end and return the path of the last checkpoint."""
        while not self.done:
            self.advance(self.config.steps)
        return self.finish()

    def advance(self, steps: int) -> None:
        """Make up to `steps` gradient steps, with the logs and checkpoints that fall due.

        Raises:
            TrainingError: the loss or the gradient is not finite; the last good state stays on disk.
        """
        for _ in range(min(steps, self.config.steps - self.step)):
            self.whole = False
            self._loss_sum += self._gradient_step()
            self._loss_count += 1
            self.step += 1
            self.whole = True
            self._bar.update()
            if self.step % self.config.log_every == 0 or self.done:
                self._log()
            if self.step % self.config.checkpoint_every == 0 and not self.done:
                self.save()

    def save(self) -> Path:
        """Write the training state and a checkpoint of the averaged weights; returns the checkpoint's path.

        Raises:
            TrainingError: an exception left a gradient step half made.
        """
        if not self.whole:
            raise TrainingError(
                f"step {self.step} was cut in half and cannot be saved; resume from {self.folder.state_path}"
            )
        path = self.folder.checkpoint_path(self.step)
        checkpoint.save(path, self.checkpoint())
        self._save_state()
        return path

    def finish(self) -> Path:
        """Write the last checkpoint and the report; returns the checkpoint's path."""
        path = self.save()
        self.folder.report(self._report(path))
        return path

    def close(self) -> None:
        """End the progress bar and flush the curves."""
        self._bar.close()
        self.folder.close()

    def checkpoint(self) -> Checkpoint:
        """The averaged weights of now as a checkpoint."""
        config = self.config
        parent = {"kind": "demonstrations", "path": self.demos.path.name, "sha256": self.demos.sha256}
        parent["command"] = str(self.demos.header.get("command", ""))
        header = CheckpointHeader(
            kind="flow_base",
            name=config.name,
            task=self.demos.task,
            action_spec=self.demos.action_spec,
            observation_spec=self.demos.observation_spec,
            architecture=self._ema.velocity.architecture.to_dict(),
            integrator=self._ema.integrator,
            seed=config.seed,
            command=self.command,
            config={**to_mapping(config), "step": self.step},
            parents=(parent,),
            results={},
        )
        return self._ema.to_checkpoint(header)

    # --- set-up ---

    def _split(self) -> None:
        """Choose episodes, hold some out, and lay out the windows to draw from."""
        chosen = np.arange(self.demos.episodes)
        if self.config.episodes == "successful":
            chosen = chosen[self.demos.success]
        shuffled = np.random.default_rng(self.config.seed).permutation(chosen)
        held_out = int(self.config.validation_share * len(chosen))
        train, validation = np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out])
        starts = self.demos.window_starts(train)
        if len(starts) == 0:
            raise TrainingError(
                f"{self.demos.path}: {len(train)} episodes ({self.config.episodes}) hold no window of "
                f"{self.demos.action_spec.horizon} steps to learn from: collect longer or more episodes"
            )
        self._observation = torch.from_numpy(self.demos.observation[starts])
        self._chunk = torch.from_numpy(self.demos.chunks(starts))
        validation_starts = self.demos.window_starts(validation)
        self._validation = (
            torch.from_numpy(self.demos.observation[validation_starts]),
            torch.from_numpy(self.demos.chunks(validation_starts)),
        )

    def _build(self) -> None:
        """Networks, optimiser and generator at step 0."""
        config, demos = self.config, self.demos
        horizon = demos.action_spec.horizon
        left_out = demos.action_spec.slice("hand_target").start if config.over == "hand" else 0
        architecture = MlpArchitecture(
            demos.observation_spec.size,
            horizon * (demos.action_spec.size - left_out),
            config.hidden_width,
            config.hidden_layers,
            config.time_features,
            config.observation_clip,
        )
        integrator = Integrator(config.integrator, config.integrator_steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._flow = FlowBase(architecture, integrator, horizon, left_out)
        o, a = demos.observation_spec, demos.action_spec
        self._flow.observation_normalizer = Normalizer.fit(
            self._observation.numpy(), o.low, o.high, config.observation_std_floor
        )
        self._flow.action_normalizer = Normalizer.fit(
            self._chunk.flatten(0, 1).numpy()[:, left_out:],
            a.low[left_out:],
            a.high[left_out:],
            config.action_std_floor,
        )
        self._ema = copy.deepcopy(self._flow).eval().requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            self._flow.velocity.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._generator = torch.Generator().manual_seed(config.seed)
        self._loss_sum, self._loss_count = 0.0, 0

    # --- one step ---

    def learning_rate(self, step: int) -> float:
        """Rate of the step with this index: linear warm-up, then a cosine down to 0 at the last one."""
        config = self.config
        if step < config.warmup_steps:
            return config.learning_rate * (step + 1) / config.warmup_steps
        share = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
        return config.learning_rate * 0.5 * (1 + float(np.cos(np.pi * share)))

    def _gradient_step(self) -> float:
        config, generator = self.config, self._generator
        rows = torch.randint(len(self._chunk), (config.batch_size,), generator=generator)
        observation, chunk = self._observation[rows], self._chunk[rows]
        a_0 = torch.randn(chunk.shape, generator=generator)
        t = torch.rand((config.batch_size, 1), generator=generator)
        if config.observation_noise > 0:
            noise = torch.randn(observation.shape, generator=generator)
            observation = (
                observation + config.observation_noise * noise * self._flow.observation_normalizer.std
            )
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        loss = self._flow.loss(observation, chunk, a_0, t)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._flow.velocity.parameters(), config.gradient_clip)
        value = loss.item()
        if not np.isfinite(value) or not bool(norm.isfinite()):
            self._dump_batch(observation, chunk, a_0, t, rows)
            raise TrainingError(
                f"step {self.step}: loss is {value}, norm of the gradient {norm.item()}; the batch is in "
                f"{self.folder.path / 'not_finite.npz'}, the last good state in {self.folder.state_path}: "
                f"lower learning_rate (now {config.learning_rate}) or look at the batch"
            )
        self._optimizer.step()
        with torch.no_grad():
            pairs = zip(self._ema.velocity.parameters(), self._flow.velocity.parameters(), strict=True)
            for averaged, current in pairs:
                averaged.lerp_(current, 1 - self._ema_decay())
        return value

    def _ema_decay(self) -> float:
        """Short memory at first, so that the average does not keep the initial weights."""
        return min(self.config.ema_decay, (1 + self.step) / (10 + self.step))

    def _dump_batch(self, observation: Tensor, chunk: Tensor, a_0: Tensor, t: Tensor, rows: Tensor) -> None:
        np.savez(
            self.folder.path / "not_finite.npz",
            observation=observation.numpy(),
            chunk=chunk.numpy(),
            a_0=a_0.numpy(),
            t=t.numpy(),
            row=rows.numpy(),
        )

    def _log(self) -> None:
        values = {
            "loss": self._loss_sum / self._loss_count,
            "validation_loss": self.validation_loss(),
            "learning_rate": self.learning_rate(self.step - 1),
        }
        self._loss_sum, self._loss_count = 0.0, 0
        self.folder.log(self.step, values)
        self._bar.set_postfix(loss=f"{values['loss']:.4f}", validation=f"{values['validation_loss']:.4f}")

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Eq. 3 of the averaged weights on held-out episodes, the same noise each time; 0 without any."""
        observation, chunk = self._validation
        if len(chunk) == 0:
            return 0.0
        generator = torch.Generator().manual_seed(self.config.seed)
        a_0 = torch.randn(chunk.shape, generator=generator)
        t = torch.rand((len(chunk), 1), generator=generator)
        return float(self._ema.loss(observation, chunk, a_0, t))

    # --- interruption and resume ---

    @property
    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"flow": self._flow, "ema": self._ema}

    def _save_state(self) -> None:
        header = {
            "step": self.step,
            "loss_sum": self._loss_sum,
            "loss_count": self._loss_count,
            "config": to_mapping(self.config),
            "command": self.command,
            "demonstrations_sha256": self.demos.sha256,
        }
        path = self.folder.state_path
        training_state.save(path, _STATE_KIND, header, self._modules, self._optimizer, self._generator)

    def _load_state(self, path: Path) -> None:
        if not path.exists():
            raise TrainingError(f"{path}: no such file, nothing to resume; start the run without resume")
        header, tensors = training_state.read(path, _STATE_KIND)
        wanted, stored = to_mapping(self.config), header["config"]
        differences = [
            f"{key} was {stored.get(key)!r}, is {wanted.get(key)!r}"
            for key in sorted(set(wanted) | set(stored))
            if key not in _MAY_CHANGE_ON_RESUME and wanted.get(key) != stored.get(key)
        ]
        was, now = header["demonstrations_sha256"], self.demos.sha256
        if was != now:
            differences.append(f"demonstrations had sha256 {was[:12]}, have {now[:12]}")
        if differences:
            raise TrainingError(
                f"{path}: belongs to another run: {'; '.join(differences)}: pass the same settings, or start "
                f"a new run_dir"
            )
        training_state.restore(tensors, self._modules, self._optimizer, self._generator)
        self.step = int(header["step"])
        self._loss_sum, self._loss_count = float(header["loss_sum"]), int(header["loss_count"])
        self.command = str(header["command"])

    # --- report ---

    def _report(self, path: Path) -> str:
        rows = self.folder.metrics()
        picked = (
            [rows[int(i)] for i in np.unique(np.linspace(0, len(rows) - 1, 12).astype(int))] if rows else []
        )
        demos, elapsed = self.demos, time.monotonic() - self._started
        lines = [
            f"# Base policy {self.config.name}, task {demos.task}",
            "",
            f"- Command: `{self.command}`",
            f"- Checkpoint: `{path.name}`, id `{self.checkpoint().id}`",
            f"- Demonstrations: `{demos.path.name}`, sha256 {demos.sha256[:12]}, {demos.episodes} episodes "
            f"of which {int(demos.success.sum())} succeeded; learned from: {self.config.episodes}, "
            f"{len(self._chunk)} windows",
            f"- {self.step} steps of {self.config.batch_size}; {self.step - self._first_step} of them in "
            f"this process, {elapsed:.0f} s, {torch.get_num_threads()} thread(s), "
            f"Python {platform.python_version()}, torch {torch.__version__}",
            f"- Push integrates by {self._ema.integrator}",
            "",
            "| step | loss | validation loss | learning rate |",
            "|---|---|---|---|",
            *(
                f"| {row['step']:.0f} | {row['loss']:.4f} | {row['validation_loss']:.4f} "
                f"| {row['learning_rate']:.1e} |"
                for row in picked
            ),
            "",
            "How well it acts is measured by:",
            "",
            f"    ros2 run rfs_learning evaluate --checkpoint {path} --task {demos.task} --episodes 1024 "
            "--seed 1000",
            "",
        ]
        return "\n".join(lines)
