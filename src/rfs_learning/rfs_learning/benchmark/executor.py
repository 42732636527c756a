"""Stages of cells side by side: on the cores of this machine, or on a Ray cluster.

Both run the same command, `python -m rfs_learning.benchmark.cell FOLDER STAGE`; on a cluster the folders must
lie on a file system that all machines share under the same path.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from rfs_learning.benchmark.settings import BenchmarkError

_POLL_S = 0.2
_PATIENCE_S = 10.0
"""How long a cell may take to end when asked to."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One stage of one cell."""

    folder: Path
    stage: str

    @property
    def command(self) -> list[str]:
        """The process that does it."""
        return [sys.executable, "-m", "rfs_learning.benchmark.cell", str(self.folder), self.stage]

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log.txt"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    job: Job
    error: str = ""
    """Empty: well."""


class Executor(Protocol):
    """Runs jobs, several at once."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Run all of them; yields each one's outcome as it ends. A job that fails does not end the others."""
        ...


def environment() -> dict[str, str]:
    """Of a job: one thread each, unless it is set."""
    return {"OMP_NUM_THREADS": "1", **os.environ}


def outcome_of(job: Job, code: int) -> Outcome:
    """The outcome of a process that ended with `code`, with the last line of its log where that says why."""
    if code == 0:
        return Outcome(job)
    lines = job.log.read_text(errors="replace").strip().splitlines() if job.log.exists() else []
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return Outcome(job, f"{how}: {lines[-1].split(chr(13))[-1][-300:] if lines else 'nothing printed'}")


def run_job(job: Job) -> Outcome:
    """Run one job and wait for it."""
    with job.log.open("a") as log:
        code = subprocess.run(job.command, stdout=log, stderr=log, env=environment(), check=False).returncode
    return outcome_of(job, code)


class LocalExecutor:
    """Processes of this machine."""

    def __init__(self, workers: int) -> None:
        """`workers`: how many at once."""
        self._workers = workers

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Executor`. Left early, by an exception too, it ends what runs."""
        waiting = list(jobs)
        running: dict[Job, subprocess.Popen[bytes]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._workers:
                    job = waiting.pop(0)
                    with job.log.open("a") as log:
                        running[job] = subprocess.Popen(
                            job.command, stdout=log, stderr=log, env=environment()
                        )
                ended = [
                    (job, code) for job, process in running.items() if (code := process.poll()) is not None
                ]
                for job, code in ended:
                    del running[job]
                    yield outcome_of(job, code)
                if not ended:
                    time.sleep(_POLL_S)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                try:
                    process.wait(_PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class RayExecutor:
    """Machines of a Ray cluster, one core a job."""

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            BenchmarkError: ray is not installed, or there is no cluster at `address`.
        """
        try:
            import ray
        except ImportError as error:
            raise BenchmarkError(
                "--ray-address needs the package ray: python -m pip install ray (here and on the cluster) or "
                "leave --ray-address away to use this machine's cores"
            ) from error
        self._ray: Any = ray
        try:
            ray.init(address=address)
        except Exception as error:
            raise BenchmarkError(f"--ray-address {address}: no cluster answers there ({error})") from error

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Executor`."""
        remote = self._ray.remote(num_cpus=1)(run_job)
        waiting = {remote.remote(job): job for job in jobs}
        try:
            while waiting:
                (reference, *_), _ = self._ray.wait(list(waiting), num_returns=1)
                job = waiting.pop(reference)
                try:
                    yield self._ray.get(reference)
                except Exception as error:  # noqa: BLE001 - a machine that is lost must not end the matrix
                    yield Outcome(job, f"{type(error).__name__}: {error}")
        finally:
            for reference in waiting:
                self._ray.cancel(reference, force=True)
