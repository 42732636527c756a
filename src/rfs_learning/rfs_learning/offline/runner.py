"""The loop of every offline trainer; what is learned, and how, is the algorithm's. No ROS here.

A run is a function of its configuration, data and base policy alone: one generator draws everything, the
whole state is in `training_state.safetensors`, and a run that was interrupted and resumed ends with the
same weights.
"""

from __future__ import annotations

import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from rfs_core.config import to_mapping
from rfs_core.errors import RfsError
from rfs_core.specs import require_same
from rfs_data import offline as data_sets
from rfs_data.offline import OfflineData
from rfs_learning import checkpoint, container, training_state
from rfs_learning.checkpoint import Checkpoint, CheckpointError
from rfs_learning.memory import keep_freed_memory
from rfs_learning.offline.config import MAY_CHANGE_ON_RESUME, OfflineConfig
from rfs_learning.offline.whole_flow import require_whole_flow
from rfs_learning.run_folder import RunFolder

_STATE_KIND = "offline_training_state"
_YES = {True: "yes", False: "no"}


def _shown(value: float) -> str:
    """For the report; nan: no update of the actor fell into this row."""
    return "-" if math.isnan(value) else f"{value:.3f}"


class OfflineTrainingError(RfsError):
    """Training that cannot start or go on, with the reason."""


class Algorithm(Protocol):
    """What is learned."""

    optimizer: torch.optim.Optimizer
    updates: int
    """Updates made; set when a run is resumed."""

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All tensors that change, for the training state."""
        ...

    def update(self, generator: torch.Generator) -> dict[str, float]:
        """One update; returns its figures by name. All randomness comes from `generator`."""
        ...

    def checkpoint(self, base: Checkpoint, **header: Any) -> Checkpoint:
        """The policy of now. `header`: fields of its header."""
        ...

    def save_critic(self, path: Path) -> None:
        """Write the critic, where there is one, for those who look at episodes."""
        ...

    def facts(self) -> list[str]:
        """Sentences about data and settings, for log and report."""
        ...


Factory = Callable[[Any, OfflineData, Checkpoint], Algorithm]
"""Of configuration, data and base policy; torch's global generator draws the initial weights."""


class OfflineRunner:
    """One training run: `advance` until `done`, `save` at any time, `finish` at the end, `close` always."""

    def __init__(
        self,
        config: OfflineConfig,
        algorithm: Factory,
        command: str | None = None,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Read the data, and either start a new run or continue the one in `config.run_dir`.

        Args:
            say: Is told what was used and left, and what is doubtful about it.

        Raises:
            RfsError: a required setting is missing, nothing can be learned from, or the state to resume
            belongs
                to another run.
        """
        for field in ("bags", "checkpoint", "run_dir"):
            if not getattr(config, field):
                raise OfflineTrainingError(f"{field} is empty; pass it, e.g. -p {field}:=PATH")
        torch.set_num_threads(config.threads)
        keep_freed_memory()
        self.config = config
        self.command = command if command is not None else shlex.join(sys.argv)
        self._read_base()
        self.data = self._read_data()
        self.folder_path = Path(config.run_dir)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.algorithm = algorithm(config, self.data, self.base)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self.whole = True
        """False within an update: what an exception cut in half must not be saved."""
        self.step, self.cpu_s = 0, 0.0
        if config.resume:
            self._load_state(RunFolder(self.folder_path).state_path)
            self.folder = RunFolder.resume(self.folder_path, self.step)
        else:
            self.folder = RunFolder.create(self.folder_path, to_mapping(config), self.command)
            self._save_state()  # so that a run that is killed early can go on
        self.notes = [*self.data.summary().splitlines(), *self.algorithm.facts()]
        for sentence in self.notes:
            say(sentence)
        self.doubts = self.data.warnings()
        self._cpu = time.process_time()
        self._bar = tqdm(
            total=config.steps,
            initial=self.step,
            desc=f"train {self.name}",
            unit="update",
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
            dynamic_ncols=True,
        )

    @property
    def name(self) -> str:
        """Name of the checkpoints."""
        return self.config.name or f"{self.data.task}_{self.config.method}"

    @property
    def done(self) -> bool:
        """Whether all updates are made."""
        return self.step >= self.config.steps

    @property
    def policy_path(self) -> Path:
        """The product: the policy of the last save."""
        return self.folder.checkpoints / "policy.safetensors"

    def run(self) -> Path:
        """Train to the end and return the path of the policy."""
        while not self.done:
            self.advance(self.config.steps)
        return self.finish()

    def advance(self, updates: int) -> None:
        """Make up to `updates` updates, with the logs and checkpoints that fall due.

        Raises:
            OfflineTrainingError: a figure is not finite; the last good state stays on disk.
        """
        for _ in range(min(updates, self.config.steps - self.step)):
            self.whole = False
            before = self._generator.get_state()
            figures = self.algorithm.update(self._generator)
            for name, value in figures.items():
                if not math.isfinite(value):
                    self._stop(name, value, before)
                self._sums[name] = self._sums.get(name, 0.0) + value
                self._counts[name] = self._counts.get(name, 0) + 1
            self.step += 1
            self.whole = True
            self._bar.update()
            if self.step % self.config.log_every == 0 or self.done:
                self._log()
            if self.step % self.config.checkpoint_every == 0 and not self.done:
                self.save()

    def save(self) -> Path:
        """Write the training state and the policy; returns the policy's path.

        Raises:
            OfflineTrainingError: an exception left an update half made.
        """
        if not self.whole:
            raise OfflineTrainingError(
                f"update {self.step} was cut in half and cannot be saved; resume from "
                f"{self.folder.state_path}"
            )
        for name, module in self.algorithm.modules.items():
            for key, value in module.state_dict().items():
                if not bool(value.isfinite().all()):
                    raise OfflineTrainingError(
                        f"update {self.step}: {name}.{key} is not finite; nothing was written, the last good "
                        f"state is {self.folder.state_path}: lower learning_rate, or resume"
                    )
        now = self.checkpoint()
        checkpoint.save(self.folder.checkpoint_path(self.step), now)
        checkpoint.save(self.policy_path, now)
        self.algorithm.save_critic(self.folder.path / "critic.safetensors")
        self._save_state()
        return self.policy_path

    def finish(self) -> Path:
        """Write the last policy and the report; returns the policy's path."""
        path = self.save()
        self.folder.report(self._report())
        return path

    def close(self) -> None:
        """End the progress bar and flush the curves."""
        self._bar.close()
        self.folder.close()

    def checkpoint(self) -> Checkpoint:
        """The policy of now, as a checkpoint that names what it was made from."""
        return self.algorithm.checkpoint(
            self.base,
            name=self.name,
            task=self.data.task,
            seed=self.config.seed,
            command=self.command,
            config={**to_mapping(self.config), "step": self.step},
            parents=(self._parent, *self.data.parents()),
            results={},
        )

    # --- set-up ---

    def _read_base(self) -> None:
        path = Path(self.config.checkpoint)
        loaded = checkpoint.load(path)
        require_whole_flow(loaded)
        self.base = loaded
        self._parent = {
            "kind": loaded.header.kind,
            "id": loaded.id,
            "path": path.name,
            "sha256": container.file_sha256(path),
        }

    def _read_data(self) -> OfflineData:
        header = self.base.header

        def bar(paths: Sequence[Path]) -> Sequence[Path]:
            shown: Sequence[Path] = tqdm(paths, desc="read bags", unit="bag", disable=not sys.stderr.isatty())
            return shown

        data = data_sets.open_data(
            Path(self.config.bags), header.action_spec, header.observation_spec, header.task, bar
        )
        hint = "give the checkpoint that was deployed when the episodes were recorded"
        require_same(
            data.action_spec, header.action_spec, f"action of {self.config.bags} and checkpoint", hint
        )
        return data

    # --- one update ---

    def _stop(self, name: str, value: float, before: torch.Tensor) -> None:
        """Keep what is needed to repeat the update, and end."""
        path = self.folder.path / "not_finite.safetensors"
        tensors = {
            f"{key}.{part}": tensor.clone()
            for key, module in self.algorithm.modules.items()
            for part, tensor in module.state_dict().items()
        }
        container.write(path, {"step": self.step, "figure": name}, {**tensors, "generator": before})
        raise OfflineTrainingError(
            f"update {self.step}: {name} is {value}; networks and generator are in {path}, the last good "
            f"state in {self.folder.state_path}: lower learning_rate, or resume"
        )

    def _log(self) -> None:
        self.cpu_s += time.process_time() - self._cpu
        self._cpu = time.process_time()
        values = {name: self._sums[name] / self._counts[name] for name in self._sums}
        self._sums, self._counts = {}, {}
        self.folder.log(self.step, {**values, "cpu_s": self.cpu_s})
        shown = {name.split("/")[-1]: f"{value:.3f}" for name, value in list(values.items())[:3]}
        self._bar.set_postfix(shown)

    # --- interruption and resume ---

    def _save_state(self) -> None:
        header = {
            "step": self.step,
            "sums": self._sums,
            "counts": self._counts,
            "cpu_s": self.cpu_s,
            "config": to_mapping(self.config),
            "command": self.command,
            "base": self.base.id,
            "data": [source.sha256 for source in self.data.used],
        }
        algorithm = self.algorithm
        training_state.save(
            self.folder.state_path,
            _STATE_KIND,
            header,
            algorithm.modules,
            algorithm.optimizer,
            self._generator,
        )

    def _load_state(self, path: Path) -> None:
        if not path.exists():
            raise OfflineTrainingError(
                f"{path}: no such file, nothing to resume; start the run without resume"
            )
        header, tensors = training_state.read(path, _STATE_KIND)
        wanted, stored = to_mapping(self.config), header["config"]
        differences = [
            f"{key} was {stored.get(key)!r}, is {wanted.get(key)!r}"
            for key in sorted(wanted)  # of a setting that is gone there is only one value
            if key not in MAY_CHANGE_ON_RESUME and wanted.get(key) != stored.get(key)
        ]
        if header["base"] != self.base.id:
            differences.append(f"base policy was {header['base']}, is {self.base.id}")
        if header["data"] != [source.sha256 for source in self.data.used]:
            differences.append(f"{len(header['data'])} episodes were used, now other {len(self.data.used)}")
        if differences:
            raise CheckpointError(
                f"{path}: belongs to another run: {'; '.join(differences)}: pass the same settings, or "
                f"start a "
                f"new run_dir"
            )
        algorithm = self.algorithm
        training_state.restore(tensors, algorithm.modules, algorithm.optimizer, self._generator)
        self.step = algorithm.updates = int(header["step"])
        self._sums, self._counts = dict(header["sums"]), dict(header["counts"])
        self.cpu_s, self.command = float(header["cpu_s"]), str(header["command"])

    # --- report ---

    def _report(self) -> str:
        rows = self.folder.metrics()
        picked = (
            [rows[int(i)] for i in np.unique(np.linspace(0, len(rows) - 1, 12).astype(int))] if rows else []
        )
        columns = [name for name in (rows[0] if rows else {}) if name not in ("step", "cpu_s")]
        lines = [
            f"# {self.name}: {self.config.method} on {self.config.bags}, task {self.data.task}",
            "",
            f"- Command: `{self.command}`",
            f"- Policy: `{self.policy_path.name}`, id `{self.checkpoint().id}`",
            f"- Base policy: `{self._parent['path']}`, id `{self._parent['id']}`",
            f"- {self.step} updates of {self.config.batch_size}, {self.cpu_s:.0f} CPU-s, "
            f"{self.config.threads} "
            f"thread(s), Python {platform.python_version()}, torch {torch.__version__}",
            *(f"- {note}" for note in self.notes),
            *(f"- WARNING: {doubt}" for doubt in self.doubts),
            "",
            "| update | " + " | ".join(columns) + " |",
            "|---" * (len(columns) + 1) + "|",
            *(
                f"| {row['step']:.0f} | " + " | ".join(_shown(row[name]) for name in columns) + " |"
                for row in picked
            ),
            "",
            "## Episodes",
            "",
            "| episode | policy | decisions | corrected steps | success |",
            "|---|---|---|---|---|",
            *(
                f"| {s.name} | {s.checkpoint} | {s.decisions} | {s.corrected} | {_YES[s.success]} |"
                for s in self.data.used
            ),
            "",
        ]
        return "\n".join(lines)
