"""One distillation: collect the teacher's episodes, train, and round by round let the student act, relabel
and train on. No ROS here, see `nodes/distill_trainer.py`.

The run is a function of configuration and teacher. It is resumed after a signal at the batch of episodes or
the gradient step where it stopped, from the store and `training_state.safetensors`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rfs_core.config import to_mapping
from rfs_core.errors import RfsError
from rfs_learning import checkpoint, training_state
from rfs_learning.checkpoint import Checkpoint, CheckpointHeader
from rfs_learning.container import file_sha256
from rfs_learning.distill.collector import Collector
from rfs_learning.distill.config import DistillConfig
from rfs_learning.distill.store import CENTRE
from rfs_learning.distill.student import Student
from rfs_learning.policy import Policy
from rfs_learning.run_folder import RunFolder

_STATE_KIND = "distillation_state"
_MAY_CHANGE_ON_RESUME = (
    "run_dir", "data_dir", "resume", "checkpoint_every", "log_every", "threads", "envs", "rounds",
    "round_episodes", "round_steps", "steps",
)  # fmt: skip
"""What changes no weight that is there, or only how long the run still goes on: with fewer steps the learning
rate falls sooner."""
_DOES_NOT_NAME = ("run_dir", "data_dir", "teacher", "resume", "checkpoint_every", "log_every", "threads")
"""Settings that do not make another student."""
_VALIDATION_ROWS = 1024
_FIT_CLOUDS = 500


class DistillError(RfsError):
    """Distillation that cannot start or go on, with the reason."""


def student_of(config: DistillConfig) -> str:
    """What the episodes of a student are known by among those of others: its settings, when it is started."""
    settings = {name: value for name, value in to_mapping(config).items() if name not in _DOES_NOT_NAME}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return f"{config.name}@{digest[:12]}"


class DistillRunner:
    """`advance` until `done`, `save` at any time between, `finish` at the end, `close` always."""

    def __init__(self, config: DistillConfig, command: str | None = None) -> None:
        """Start a new run, or continue the one in `config.run_dir`.

        Raises:
            RfsError: a required setting is missing, the teacher or the rows cannot be used, or the state
                belongs to another configuration.
        """
        if not config.run_dir:
            raise DistillError("run_dir is empty; pass it, e.g. -p run_dir:=runs/distill")
        torch.set_num_threads(config.threads)
        self.config = config
        self.command = command if command is not None else shlex.join(sys.argv)
        self.collector = Collector(config, student_of(config))
        header = self.collector.store.header
        self.student = Student(config, header.action_spec, header.observation_spec, header.state_spec)
        self._optimizer = torch.optim.AdamW(
            self.student.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._generator = torch.Generator().manual_seed(config.seed)
        self.round, self.round_step, self.step = 0, 0, 0
        self.whole = True
        """False within a gradient step: what an exception cut in half must not be saved."""
        self._train: NDArray[np.int64] | None = None
        self._sums = np.zeros(3)
        path = Path(config.run_dir)
        if config.resume and RunFolder(path).state_path.exists():
            self._load_state(RunFolder(path).state_path)
            self.folder = RunFolder.resume(path, self.step)
        elif config.resume and (path / "config.json").exists():  # interrupted while collecting
            self.folder = RunFolder.resume(path, 0)
        else:
            self.folder = RunFolder.create(path, to_mapping(config), self.command)
        self._started = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether all rounds are trained."""
        return self.round > self.config.rounds

    @property
    def doing(self) -> str:
        """What comes next, for people."""
        if self.done:
            return "done"
        missing = self.collector.missing(self.round)
        if missing:
            return f"round {self.round}: {missing} episodes to play"
        return f"round {self.round}: step {self.round_step} of {self._round_steps()}"

    def run(self) -> Path:
        """Everything to the end; returns the path of the last checkpoint."""
        while not self.done:
            self.advance(self.config.log_every)
        return self.finish()

    def advance(self, steps: int) -> None:
        """One batch of episodes if the round lacks any, otherwise up to `steps` gradient steps; nothing when
        done.

        Raises:
            DistillError: a loss is not finite; the last good state stays on disk.
        """
        if self.done:
            return
        if self.collector.missing(self.round):
            self.collector.batch(self.round, self._acting() if self.round else None)
            return
        if self._train is None:
            self._lay_out()
        for _ in range(min(steps, self._round_steps() - self.round_step)):
            self.whole = False
            self._gradient_step()
            self.whole = True
            if self.step % self.config.log_every == 0:
                self._log()
            if self.step % self.config.checkpoint_every == 0:
                self.save()
        if self.round_step >= self._round_steps():
            self.round, self.round_step, self._train = self.round + 1, 0, None
            self.save()

    def save(self) -> Path:
        """Write the training state and a checkpoint of the averaged weights; returns the checkpoint's path.

        Raises:
            DistillError: an exception left a gradient step half made.
        """
        if not self.whole:
            raise DistillError(
                f"step {self.step} was cut in half and cannot be saved; resume from {self.folder.state_path}"
            )
        if self.step == 0:
            raise DistillError("nothing was trained yet; the episodes are in the store")
        path = self.folder.checkpoint_path(self.step)
        checkpoint.save(path, self.checkpoint())
        state = {
            "round": self.round,
            "round_step": self.round_step,
            "step": self.step,
            "sums": self._sums.tolist(),
            "config": to_mapping(self.config),
            "teacher": self.collector.teacher.checkpoint_id,
            "student": self.collector.student,
            "command": self.command,
        }
        training_state.save(
            self.folder.state_path, _STATE_KIND, state, self.student.modules, self._optimizer, self._generator
        )
        return path

    def finish(self) -> Path:
        """Write the last checkpoint and the report; returns the checkpoint's path."""
        path = self.save()
        self.folder.report(self._report(path))
        return path

    def close(self) -> None:
        """Flush the curves."""
        self.folder.close()

    def checkpoint(self) -> Checkpoint:
        """The averaged weights of now: a base policy like any other."""
        config, store = self.config, self.collector.store
        teacher = {
            "kind": "teacher",
            "path": Path(config.teacher).name,
            "sha256": file_sha256(Path(config.teacher)),
            "id": self.collector.teacher.checkpoint_id,
        }
        rows = {
            "kind": "distillation_rows",
            "path": store.path.name,
            "sha256": store.digest(self.collector.lines),
        }
        flow = self.student.average
        header = CheckpointHeader(
            kind="flow_base",
            name=config.name,
            task=store.header.task,
            action_spec=store.header.action_spec,
            observation_spec=store.header.observation_spec,
            architecture=flow.architecture.to_dict(),
            integrator=flow.integrator,
            seed=config.seed,
            command=self.command,
            config={**to_mapping(config), "step": self.step, "round": self.round},
            parents=(teacher, rows),
            results={},
        )
        return flow.to_checkpoint(header)

    # --- rows ---

    def _lay_out(self) -> None:
        """Choose which rows are learned from in this round, and fit the normalisers in the first."""
        store = self.collector.store
        known = np.array(
            [self.collector.belongs(line) and line["round"] <= self.round for line in store.episodes], bool
        )
        drawn = np.random.default_rng(self.config.seed).random(len(known))
        held_out = drawn < self.config.validation_share
        self._arrays = {name: store.array(name) for name in ("own", "state", "action")}
        self._points = store.array("points") if self.config.observation == "points" else None
        self._train = store.rows_of(known & ~held_out)
        rows = store.rows_of(known & held_out)
        rng = np.random.default_rng(self.config.seed)
        self._validation = np.sort(rng.permutation(rows)[:_VALIDATION_ROWS])
        if len(self._train) == 0:
            raise DistillError(f"{store.path}: no rows to learn from in {len(store.episodes)} episodes")
        if self.step == 0:
            train = {name: np.asarray(array[self._train]) for name, array in self._arrays.items()}
            clouds = None
            if self._points is not None:
                some = np.sort(rng.permutation(self._train)[:_FIT_CLOUDS])
                clouds = self._clouds(some).numpy().reshape(-1, 3)
            self.student.fit(train["own"], clouds, train["state"], train["action"])

    def _clouds(self, rows: NDArray[np.int64]) -> Tensor:
        """Clouds of some rows, base frame. Shape: (B, N, 3)"""
        assert self._points is not None
        stored = np.asarray(self._points[rows], np.float32)
        return torch.from_numpy(stored) + torch.from_numpy(CENTRE.astype(np.float32))

    def _rows(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        own, state, action = (torch.from_numpy(np.asarray(a[rows])) for a in self._arrays.values())
        return own, self._clouds(rows) if self._points is not None else None, state, action

    # --- one step ---

    def _round_steps(self) -> int:
        return self.config.steps if self.round == 0 else self.config.round_steps

    def learning_rate(self) -> float:
        """Of the next step: linear warm-up, then a cosine down to 0 at the end of the round; half as high in
        later rounds."""
        config, step, steps = self.config, self.round_step, self._round_steps()
        peak = config.learning_rate * (1.0 if self.round == 0 else 0.5)
        if step < config.warmup_steps:
            return peak * (step + 1) / config.warmup_steps
        share = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
        return peak * 0.5 * (1 + float(np.cos(np.pi * share)))

    def _gradient_step(self) -> None:
        assert self._train is not None
        config = self.config
        drawn = torch.randint(len(self._train), (config.batch_size,), generator=self._generator)
        rows = np.sort(self._train[drawn.numpy()])
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate()
        flow_loss, state_loss = self.student.losses(*self._rows(rows), self._generator)
        loss = flow_loss + config.state_weight * state_loss
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), config.gradient_clip)
        if not bool(loss.isfinite()) or not bool(norm.isfinite()):
            raise DistillError(
                f"step {self.step}: loss is {loss.item()}, norm of the gradient {norm.item()}; rows "
                f"{rows[:5].tolist()}...; the last good state is in {self.folder.state_path}: lower "
                f"learning_rate (now {config.learning_rate})"
            )
        self._optimizer.step()
        self.step += 1
        self.round_step += 1
        # Short memory at first, so that the average does not keep the initial weights.
        self.student.follow(min(config.ema_decay, self.step / (9 + self.step)))
        self._sums += (flow_loss.item(), state_loss.item(), 1.0)

    def _log(self) -> None:
        flow_loss, state_loss = self._sums[:2] / max(self._sums[2], 1.0)
        self._sums[:] = 0.0
        values = {
            "loss": float(flow_loss),
            "state_loss": float(state_loss),
            **self._validate(),
            "learning_rate": self.learning_rate(),
            "round": float(self.round),
        }
        self.folder.log(self.step, values)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Losses of the averaged weights on held-out episodes, whole clouds, the same noise each time."""
        if len(self._validation) == 0:
            return {"validation_loss": 0.0, "validation_state_loss": 0.0}
        generator = torch.Generator().manual_seed(self.config.seed)
        sums = np.zeros(2)
        for block in np.array_split(self._validation, -(-len(self._validation) // 64)):
            losses = self.student.losses(
                *self._rows(block), generator, flow=self.student.average, augment=False
            )
            sums += [loss.item() * len(block) for loss in losses]
        flow_loss, state_loss = (sums / len(self._validation)).tolist()
        return {"validation_loss": flow_loss, "validation_state_loss": state_loss}

    def _acting(self) -> Policy:
        return Policy.from_checkpoint(self.checkpoint())

    # --- interruption and resume ---

    def _load_state(self, path: Path) -> None:
        header, tensors = training_state.read(path, _STATE_KIND)
        wanted, stored = to_mapping(self.config), header["config"]
        differences = [
            f"{key} was {stored.get(key)!r}, is {wanted.get(key)!r}"
            for key in sorted(set(wanted) | set(stored))
            if key not in _MAY_CHANGE_ON_RESUME and wanted.get(key) != stored.get(key)
        ]
        if header["teacher"] != self.collector.teacher.checkpoint_id:
            differences.append(
                f"the teacher was {header['teacher']}, is {self.collector.teacher.checkpoint_id}"
            )
        if differences:
            raise DistillError(
                f"{path}: belongs to another run: {'; '.join(differences)}: pass the same settings, or start "
                "a new run_dir"
            )
        training_state.restore(tensors, self.student.modules, self._optimizer, self._generator)
        # Of a version that did not name it: None, as its episodes say.
        self.collector.student = header.get("student")
        self.round, self.round_step = int(header["round"]), int(header["round_step"])
        self.step, self._sums = int(header["step"]), np.array(header["sums"])
        self.command = str(header["command"])

    # --- report ---

    def _report(self, path: Path) -> str:
        rows, store = self.folder.metrics(), self.collector.store
        picked = (
            [rows[int(i)] for i in np.unique(np.linspace(0, len(rows) - 1, 12).astype(int))] if rows else []
        )
        mine = self.collector.lines
        rounds = range(max((line["round"] for line in mine), default=0) + 1)
        told = []
        for number in rounds:
            played = self.collector.of_round(number)
            won = sum(bool(line["success"]) for line in played)
            who = "the teacher acted" if number == 0 else "the student acted"
            told.append(f"  - round {number}, {who}: {len(played)} episodes, {won} succeeded")
        lines = [
            f"# Student {self.config.name}, task {store.header.task}",
            "",
            f"- Command: `{self.command}`",
            f"- Checkpoint: `{path.name}`, id `{self.checkpoint().id}`",
            f"- Teacher: `{self.collector.teacher.checkpoint_id}`",
            f"- {sum(int(line['rows']) for line in mine)} rows:",
            *told,
            f"- {self.step} steps of {self.config.batch_size}; this process ran "
            f"{time.monotonic() - self._started:.0f} s, {torch.get_num_threads()} thread(s), "
            f"Python {platform.python_version()}, torch {torch.__version__}",
            "",
            "| step | round | loss | state | validation | validation state |",
            "|---|---|---|---|---|---|",
            *(
                f"| {row['step']:.0f} | {row['round']:.0f} | {row['loss']:.4f} | {row['state_loss']:.4f} "
                f"| {row['validation_loss']:.4f} | {row['validation_state_loss']:.4f} |"
                for row in picked
            ),
            "",
            "How well it acts is measured by:",
            "",
            f"    ros2 run rfs_learning evaluate --checkpoint {path} --episodes 1024",
            "",
        ]
        return "\n".join(lines)
