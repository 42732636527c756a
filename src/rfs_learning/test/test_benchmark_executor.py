"""Cells side by side: processes of this machine, or a cluster that behaves as ray does."""

import dataclasses
import sys
import types

import pytest

from rfs_learning.benchmark import executor
from rfs_learning.benchmark.executor import Job, LocalExecutor, RayExecutor
from rfs_learning.benchmark.settings import BenchmarkError


@dataclasses.dataclass(frozen=True)
class Told(Job):
    """A job that runs a line of Python."""

    line: str = ""

    @property
    def command(self):
        return [sys.executable, "-S", "-c", self.line]


def job(folder, line):
    folder.mkdir(parents=True, exist_ok=True)
    return Told(folder, "run", line)


def meeting(folder, me, other):
    """A line that ends well only where `other` runs at the same time."""
    return (
        f"import pathlib, time; here = pathlib.Path({str(folder)!r}); (here / {me!r}).touch()\n"
        f"while not (here / {other!r}).exists(): time.sleep(0.01)"
    )


def test_local_jobs_run_at_once_and_all_outcomes_come(tmp_path):
    jobs = [
        job(tmp_path / "a", meeting(tmp_path, "first", "second")),
        job(tmp_path / "b", meeting(tmp_path, "second", "first")),
        job(tmp_path / "c", "pass"),
    ]
    outcomes = list(LocalExecutor(2).run(jobs))
    assert sorted(outcome.job.folder.name for outcome in outcomes) == ["a", "b", "c"]
    assert not any(outcome.error for outcome in outcomes)


def test_a_job_that_fails_says_why_and_does_not_end_the_others(tmp_path):
    jobs = [job(tmp_path / "a", "import sys; sys.exit('no base policy')"), job(tmp_path / "b", "pass")]
    errors = {outcome.job.folder.name: outcome.error for outcome in LocalExecutor(1).run(jobs)}
    assert errors == {"a": "exit code 1: no base policy", "b": ""}
    assert (tmp_path / "a" / "log.txt").read_text() == "no base policy\n"


def test_a_job_that_is_killed_is_told_by_its_signal(tmp_path):
    line = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    (outcome,) = LocalExecutor(1).run([job(tmp_path / "a", line)])
    assert outcome.error == "signal 9: nothing printed"


def test_leaving_early_ends_what_runs(tmp_path):
    forever = (
        f"import pathlib, time; pathlib.Path({str(tmp_path / 'up')!r}).touch(); "
        f"time.sleep(600); pathlib.Path({str(tmp_path / 'over')!r}).touch()"
    )
    running = LocalExecutor(2).run([job(tmp_path / "a", "pass"), job(tmp_path / "b", forever)])
    next(running)
    running.close()  # returns only when the process is gone
    assert not (tmp_path / "over").exists()


def test_processes_of_cells_have_one_thread_unless_set(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert executor.environment()["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert executor.environment()["OMP_NUM_THREADS"] == "4"


class Cluster(types.ModuleType):
    """What of ray the executor uses, in this process."""

    def __init__(self):
        super().__init__("ray")
        self.asked, self.cancelled, self.lost = [], [], ()

    def init(self, address):
        if address != "ray://head:10001":
            raise ConnectionError("nobody there")

    def remote(self, num_cpus):
        self.asked.append(num_cpus)
        return lambda function: types.SimpleNamespace(remote=lambda *given: Reference(function, given))

    def wait(self, references, num_returns):
        assert num_returns == 1
        return references[-1:], references[:-1]  # in no order to rely on

    def get(self, reference):
        if reference.given[0].folder.name in self.lost:
            raise RuntimeError("the machine died")
        return reference.function(*reference.given)

    def cancel(self, reference, force):
        assert force
        self.cancelled.append(reference.given[0].folder.name)


@dataclasses.dataclass(eq=False)
class Reference:
    function: object
    given: tuple


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def test_on_a_cluster_the_same_processes_run_with_one_core_each(tmp_path, cluster):
    jobs = [job(tmp_path / "a", "print('here')"), job(tmp_path / "b", "import sys; sys.exit(3)")]
    errors = {o.job.folder.name: o.error for o in RayExecutor("ray://head:10001").run(jobs)}
    assert errors == {"a": "", "b": "exit code 3: nothing printed"}
    assert (tmp_path / "a" / "log.txt").read_text() == "here\n"
    assert cluster.asked == [1]


def test_a_machine_that_is_lost_costs_its_cell_only(tmp_path, cluster):
    cluster.lost = ("b",)
    jobs = [job(tmp_path / name, "pass") for name in "abc"]
    errors = {o.job.folder.name: o.error for o in RayExecutor("ray://head:10001").run(jobs)}
    assert errors == {"a": "", "b": "RuntimeError: the machine died", "c": ""}


def test_leaving_a_cluster_early_cancels_what_waits(tmp_path, cluster):
    running = RayExecutor("ray://head:10001").run([job(tmp_path / name, "pass") for name in "abc"])
    next(running)
    running.close()
    assert sorted(cluster.cancelled) == ["a", "b"]


def test_no_cluster_and_no_ray_are_one_line_each(monkeypatch, cluster):
    with pytest.raises(
        BenchmarkError, match=r"--ray-address ray://x: no cluster answers there \(nobody there\)"
    ):
        RayExecutor("ray://x")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BenchmarkError, match="python -m pip install ray") as said:
        RayExecutor("ray://head:10001")
    assert "\n" not in str(said.value)
